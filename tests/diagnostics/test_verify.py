"""A second opinion on records: what it confirms, and all that it is to notice."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.pairs import array_pairs
from support.protocols import FLOAT, HALF, LIGHT, protocol_of
from support.scenes import float_image

from nvs_eval.cli import main
from nvs_eval.diagnostics.verify import installation, perceptual
from nvs_eval.diagnostics.verify import record as verifying
from nvs_eval.diagnostics.verify.agreement import Case, cases_for, our_scores, second_opinions
from nvs_eval.diagnostics.verify.claims import wrong_claims
from nvs_eval.diagnostics.verify.installation import verify_installation
from nvs_eval.diagnostics.verify.made import KNOWN_LPIPS, made_pair, with_mask
from nvs_eval.diagnostics.verify.perceptual import lpips_distance
from nvs_eval.diagnostics.verify.prepare import Pair
from nvs_eval.diagnostics.verify.record import Compared, Report, tolerance_of, verify_record
from nvs_eval.diagnostics.verify.scores import average_error
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import Reading, save_npy, save_png
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.weights.backbones import Found, find_backbone
from nvs_eval.metrics.weights.pins import NETS, Net
from nvs_eval.protocols.protocol import Protocol, load_protocol, named_protocols
from nvs_eval.records.record import MetricInfo, Record, read_record, record_file, write_record
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.masks import Masks

LpipsOf = Callable[..., Lpips]

PAIRS = ("photograph and noise", "photograph and its blur", "odd sizes", "low contrast", "white background", "dark")
FLAT = ("flat and noise", "flat and flat")


def write_scene(folder: Path, names: Sequence[str] = PAIRS, save: Any = save_png) -> Path:
    """Renders in `folder/ours` and references in `folder/gt`, of the pairs of these names."""
    extension = "png" if save is save_png else "npy"
    for name in names:
        for part, pixels in zip(("gt", "ours"), array_pairs()[name], strict=True):
            save(folder / part / f"{name}.{extension}", torch.from_numpy(pixels))
    return folder


def score(folder: Path, *texts: str, **how: Any) -> list[Path]:
    """The records of a scene's renders under these protocols."""
    return evaluated(folder, [protocol_of(text) for text in texts], **how)


def evaluated(folder: Path, protocols: Sequence[Protocol], **how: Any) -> list[Path]:
    """Likewise, with what `open_folders` takes."""
    (source,) = open_folders([folder / "ours"], reference=folder / "gt", **how)
    scorer = Scorer(protocols, torch.device("cpu"))
    records = evaluate(source, source.ids, scorer, Session(folder / "out"), provenance=source.provenance)
    files = [record_file(each, folder / "out") for each in records]
    for file, each in zip(files, records, strict=True):
        write_record(file, each)
    return files


def change(file: Path, changed: Callable[[Record], Record]) -> None:
    """Edit a record, its means and all that follows from its rows with it."""
    write_record(file, changed(read_record(file)))


def with_score(metric: str, value: float, view: int = 0) -> Callable[[Record], Record]:
    def changed(record: Record) -> Record:
        rows = list(record.views)
        rows[view] = replace(rows[view], scores={**rows[view].scores, metric: value})
        return replace(record, views=rows)

    return changed


def with_metrics(metrics: Mapping[str, MetricInfo]) -> Record:
    """A record that says no more than what its metrics are."""
    return Record("scene", "method", None, None, "test", {}, metrics, [], {})


def verified(file: Path, **choices: Any) -> Report:
    return verify_record(read_record(file), file, **{"views": None, **choices})


def deviations(report: Report) -> Mapping[str, float]:
    return {metric: max(c.deviation for c in report.compared if c.metric == metric) for metric in metrics(report)}


def metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(each.metric for each in report.compared))


def protocol(name: str, **changes: str) -> str:
    """A variant of the light protocol: each value in place of what stands there."""
    text = LIGHT.replace("name: light", f"name: {name}")
    for field, value in changes.items():
        lines = [line for line in text.splitlines() if line.strip().startswith(f"{field}:")]
        assert len(lines) == 1, field
        text = text.replace(lines[0], f"{lines[0].partition(':')[0]}: {value}")
    return text


# --- What is confirmed ----------------------------------------------------------------------------------------------

KERNELS = ("valid", "dmpix", "reflect", "zero", "uniform7-rgb")
ROUNDED = "{render: round, reference: round, mask: none}"
TRUNCATED = "{render: truncate, reference: truncate, mask: none}"


@pytest.mark.parametrize("quantise", [ROUNDED, TRUNCATED, "{render: round, reference: none, mask: none}"])
def test_every_kernel_is_confirmed_of_8_bit_images(tmp_path: Path, quantise: str) -> None:
    scene = write_scene(tmp_path, (*PAIRS, *FLAT))
    texts = [protocol(name, ssim=f"{{kernel: {name}, data_range: 1}}", quantise=quantise) for name in KERNELS]
    for file in score(scene, *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert metrics(report) == ["psnr", "ssim"]
        assert deviations(report)["ssim"] < 1e-9


def test_every_kernel_is_confirmed_of_floats_with_the_range_of_each_pair(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, PAIRS, save_npy)
    texts = [
        FLOAT.replace("name: float", f"name: {name}").replace("kernel: reflect", f"kernel: {name}") for name in KERNELS
    ]
    for file in score(scene, *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted


@pytest.mark.parametrize("crop", ["0", "3"])
@pytest.mark.parametrize("rule", ["clamp", "keep"])
def test_renders_beyond_the_range_and_crops_are_confirmed(tmp_path: Path, rule: str, crop: str) -> None:
    scene = write_scene(tmp_path, PAIRS[:2], save_npy)
    beyond = 1.6 * float_image(5, 48, 64) - 0.3
    save_npy(scene / "ours" / f"{PAIRS[0]}.npy", beyond)
    (file,) = score(scene, protocol("beyond", out_of_range=rule, crop=crop))
    report = verified(file)
    assert report.complete
    assert not report.refuted


@pytest.mark.parametrize("rule", ["composite", "drop"])
def test_images_with_alpha_are_confirmed(tmp_path: Path, rule: str) -> None:
    import imageio.v3 as iio

    random = np.random.RandomState(3)
    for part in ("gt", "ours"):
        (tmp_path / part).mkdir()
        for name in ("a", "b"):
            iio.imwrite(tmp_path / part / f"{name}.png", random.randint(0, 256, (20, 24, 4), dtype=np.uint8))
    text = protocol("alpha", alpha=rule, quantise=TRUNCATED)
    (file,) = score(tmp_path, text, reading=Reading(background=(0.25, 0.5, 1.0)))
    report = verified(file)
    assert report.complete
    assert not report.refuted
    assert deviations(report)["psnr"] < 1e-5


LPIPS = """\
  lpips_NET: {net: NET, version: "VERSION", input: INPUT, normaliser: NORMALISER}
round_means: null
"""


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_lpips_is_confirmed_in_each_of_its_ways(tmp_path: Path, lpips_of: LpipsOf, net: Net) -> None:
    lpips_of(net)  # Skips where the weights are not here.
    ways = [
        ("0.1", "scaled", "lpips"),
        ("0.1", "unscaled", "torchmetrics"),
        ("0.0", "scaled", "lpips"),
    ]
    texts = []
    for index, way in enumerate(ways):
        lines = LPIPS.replace("NET", net)
        for placeholder, value in zip(("VERSION", "INPUT", "NORMALISER"), way, strict=True):
            lines = lines.replace(placeholder, value)
        texts.append(protocol(f"way{index}").replace("round_means: null\n", lines))
    for file in score(write_scene(tmp_path, PAIRS[:3]), *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert deviations(report)[f"lpips_{net}"] < 1e-6


def test_a_record_of_a_run_is_confirmed_from_the_renders_it_kept(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert not verified(record_file(record, tmp_path)).refuted


def test_references_kept_in_the_8_bits_they_are_rounded_to_are_confirmed(tmp_path: Path) -> None:
    checkpoint = FakeCheckpoint(1, references=lambda index: float_image(50 + index))
    (record,) = evaluate_checkpoints([checkpoint], tmp_path, LIGHT)
    file = record_file(record, tmp_path)
    report = verified(file)
    assert report.complete
    assert not report.refuted
    save_png(file.parent / str(record.views[1].reference), float_image(60))
    wrong = {each.view for each in verified(file).compared if not each.confirmed}
    assert wrong == {record.views[1].name}


# --- Every part of a protocol ---------------------------------------------------------------------------------------


def assert_confirmed(cases: Sequence[Case]) -> None:
    ours, others = our_scores(cases, torch.device("cpu"), None), second_opinions(cases, None)
    assert ours.keys() == others.keys()
    compared = [Compared(str(key), key[2], ours[key], others[key], tolerance_of(key[2])) for key in ours]
    assert compared
    assert [each for each in compared if not each.confirmed] == []


def nets_here() -> list[Net]:
    return [net for net in NETS if find_backbone(net).verified]


@pytest.mark.parametrize("name", sorted(named_protocols()))
def test_every_named_protocol_is_confirmed_with_masks_and_without(name: str) -> None:
    cases = [
        replace(case, protocols=[protocol for protocol in case.protocols if protocol.name == name])
        for case in cases_for(nets_here())
    ]
    assert any(case.protocols for case in cases)
    assert_confirmed([case for case in cases if case.protocols])


def masked_pairs() -> Mapping[str, Pair]:
    found: dict[str, Pair] = {"made": with_mask(made_pair())}
    random = np.random.RandomState(7)
    for name in PAIRS[:4]:
        reference, render = array_pairs()[name]
        mask = random.rand(*reference.shape[:2]).astype(np.float32)
        mask[: len(mask) // 2] = 1
        mask[-6:, -20:] = 0
        found[name] = Pair(reference, render, mask)
    return found


@pytest.mark.parametrize("meaning", ["ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"])
def test_every_meaning_of_a_mask_is_confirmed_with_every_kernel(meaning: str) -> None:
    kernels = ("valid", "dmpix") if meaning == "dycheck" else (*KERNELS, "luma5", "uniform7-gray")
    quantise = "{render: truncate, reference: round, mask: truncate}"
    protocols = []
    for kernel in kernels:
        extent = 255 if kernel == "uniform7-gray" else 1
        text = protocol(kernel, mask=meaning, quantise=quantise, ssim=f"{{kernel: {kernel}, data_range: {extent}}}")
        protocols.append(protocol_of(text.replace("round_means", "  mae: {}\nround_means")))
    assert_confirmed([Case(name, pair, protocols) for name, pair in masked_pairs().items()])


@pytest.mark.parametrize(
    ("meaning", "kernel"),
    [
        *(("valid-pixels", kernel) for kernel in ("valid", "dmpix", "reflect", "zero", "luma5")),
        *(("dycheck", kernel) for kernel in ("valid", "dmpix")),
    ],
)
def test_a_least_variance_that_matters_is_confirmed(meaning: str, kernel: str) -> None:
    text = protocol("floor", mask=meaning, ssim=f"{{kernel: {kernel}, data_range: 1, variance_floor: 0.001}}")
    assert_confirmed([Case(name, pair, [protocol_of(text)]) for name, pair in masked_pairs().items()])


def write_masks(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        height, width = array_pairs()[name][0].shape[:2]
        mask = torch.zeros(height, width, 3)
        mask[5:-9, 3:-11] = 1
        mask[9:12] = 0.6
        save_png(folder / "masks" / f"{name}.png", mask)
    return folder / "masks"


def test_records_of_every_named_protocol_are_confirmed(tmp_path: Path) -> None:
    floats, beyond, _ = cases_for(nets_here())
    protocols = [*floats.protocols, *beyond.protocols]
    files = evaluated(write_scene(tmp_path, PAIRS[:1]), protocols)
    assert len(files) >= 17
    for file in files:
        report = verified(file)
        assert report.complete
        assert not report.refuted


def test_records_with_masks_are_confirmed_and_changed_masks_noticed(tmp_path: Path) -> None:
    scene, names = write_scene(tmp_path, PAIRS[:2]), PAIRS[:2]
    masks = write_masks(scene, names)
    meanings = ("ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck")
    protocols = [protocol_of(protocol(meaning, mask=meaning)) for meaning in meanings]
    files = dict(zip(meanings, evaluated(scene, protocols, masks=masks), strict=True))
    for meaning, file in files.items():
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert ("coverage" in metrics(report)) == (meaning != "ignored")
    save_png(masks / f"{names[0]}.png", torch.ones(*array_pairs()[names[0]][0].shape[:2], 3))
    for meaning, file in files.items():
        changed = verified(file).changed
        assert len(changed) == (meaning != "ignored")
        assert all(f"View {names[0]!r}: the mask {masks / names[0]}.png has changed since." == each for each in changed)


def test_masks_that_were_made_binary_are_confirmed(tmp_path: Path) -> None:
    names = PAIRS[:2]
    scene = write_scene(tmp_path, names)
    masks = write_masks(scene, names)
    (source,) = open_folders([scene / "ours"], reference=scene / "gt")
    attached = Masks({name: masks / f"{name}.png" for name in names}, binary=True)
    provenance = [{**source.provenance[0], "masks": "binary"}]
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    (record,) = evaluate(
        map(attached.attach, source), source.ids, scorer, Session(scene / "out"), provenance=provenance
    )
    file = record_file(record, scene / "out")
    write_record(file, record)
    report = verified(file)
    assert report.complete
    assert not report.refuted


def test_a_changed_coverage_is_noticed(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, PAIRS[:1])
    (file,) = evaluated(scene, [protocol_of(LIGHT)], masks=write_masks(scene, PAIRS[:1]))
    change(file, lambda record: replace(record, views=[replace(record.views[0], coverage=0.5)]))
    assert [each.metric for each in verified(file).compared if not each.confirmed] == ["coverage"]


def test_lpips_of_large_images_in_float32_is_within_the_tolerance(
    lpips_of: LpipsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    lpips_of("alex")
    parameters = {"net": "alex", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    pair = with_mask(made_pair())
    wide = lpips_distance(pair, parameters, "valid-pixels", None)
    monkeypatch.setattr(perceptual, "_MOST_PIXELS_IN_FLOAT64", 10)
    narrow = lpips_distance(pair, parameters, "valid-pixels", None)
    assert narrow != wide
    assert abs(narrow - wide) < tolerance_of("lpips_alex") / 10


@pytest.mark.parametrize("rule", ["quadratic", "affine"])
@pytest.mark.parametrize("quantise", [ROUNDED, "{render: none, reference: none, mask: none}"])
def test_colour_correction_is_confirmed(rule: str, quantise: str) -> None:
    text = protocol("corrected", colour_correction=rule, quantise=quantise, out_of_range="clamp")
    more = "  cc_psnr: {data_range: 1}\n  cc_ssim: {kernel: zero, data_range: 1}\n  cc_mae: {}\nround_means"
    protocols = [protocol_of(text.replace("round_means", more))]
    cases = [Case(name, Pair(*array_pairs()[name]), protocols) for name in (*PAIRS, *FLAT)]
    assert_confirmed([*cases, Case("tinted", tinted(), protocols)])
    corrected = our_scores([Case("tinted", tinted(), protocols)], torch.device("cpu"), None)
    assert corrected["corrected", "tinted", "cc_psnr"] > corrected["corrected", "tinted", "psnr"] + 3


def tinted() -> Pair:
    reference, render = array_pairs()["photograph and noise"]
    return Pair(reference, (render * np.float32(0.8) + np.array([0.1, 0, 0.05], np.float32)).clip(0, 1))


def test_the_average_error_is_confirmed_of_a_record_and_of_its_parts(tmp_path: Path, lpips_of: LpipsOf) -> None:
    lpips_of("alex")
    metrics = '  lpips_alex: {net: alex, version: "0.1", input: scaled, normaliser: lpips}\n'
    metrics += "  mipnerf_average: {psnr: psnr, ssim: ssim, lpips: lpips_alex}\n"
    scene = write_scene(tmp_path, PAIRS[:2])
    name = PAIRS[1]
    (scene / "ours" / f"{name}.png").write_bytes((scene / "gt" / f"{name}.png").read_bytes())
    (file,) = score(scene, LIGHT.replace("round_means", f"{metrics}round_means"))
    assert not verified(file).refuted
    change(file, with_score("mipnerf_average", 0.5))
    assert [each.metric for each in verified(file).compared if not each.confirmed] == ["mipnerf_average"]


def test_the_average_error_is_the_published_one() -> None:
    assert average_error(31, 0.94, 0.12) == pytest.approx(0.028582, abs=5e-7)


# --- What is noticed ------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The record of a scene of six views under the light protocol."""
    (file,) = score(write_scene(tmp_path), LIGHT)
    capsys.readouterr()
    return file


def test_a_confirmed_record_is_said_to_be(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(file), "--all"]) == 0
    said = capsys.readouterr()
    assert f"{file}: 6 of 6 views, protocol light {read_record(file).fingerprint}" in said.out
    rows = [line.split() for line in said.out.splitlines() if line.rstrip().endswith(" confirmed")]
    assert [(row[0], row[-2:]) for row in rows] == [("psnr", ["0.0001", "confirmed"]), ("ssim", ["1e-05", "confirmed"])]
    assert "6 of 6" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(("metric", "by"), [("psnr", 1.1e-4), ("psnr", -0.5), ("ssim", 1.1e-5)])
def test_a_changed_score_is_noticed(file: Path, capsys: pytest.CaptureFixture[str], metric: str, by: float) -> None:
    row = read_record(file).views[0]
    change(file, with_score(metric, row.scores[metric] + by))
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"{row.name!r}: {metric} is recorded as {row.scores[metric] + by} and recomputed as" in out
    assert "NOT CONFIRMED" in out


def test_a_score_changed_by_less_than_the_tolerance_is_confirmed(file: Path) -> None:
    change(file, with_score("psnr", read_record(file).views[0].scores["psnr"] + 0.9e-4))
    assert main(["verify", str(file)]) == 0


def test_an_infinite_score_is_not_confirmed_where_there_is_a_number(file: Path) -> None:
    change(file, with_score("psnr", math.inf))
    (wrong,) = [each for each in verified(file).compared if not each.confirmed]
    assert (wrong.metric, wrong.recorded, wrong.deviation) == ("psnr", math.inf, math.inf)


def test_identical_images_are_infinite_to_both(tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    for name in PAIRS:
        (scene / "ours" / f"{name}.png").write_bytes((scene / "gt" / f"{name}.png").read_bytes())
    (file,) = score(scene, LIGHT)
    report = verified(file)
    assert not report.refuted
    assert {each.recomputed for each in report.compared if each.metric == "psnr"} == {math.inf}


def test_a_changed_render_is_noticed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = read_record(file).views[2].name
    scene = file.parents[4]
    save_png(scene / "ours" / f"{name}.png", torch.from_numpy(array_pairs()[name][0]))
    assert main(["verify", str(file), "--all"]) == 1
    assert f"View {name!r}: psnr is recorded as" in capsys.readouterr().out


def test_a_render_of_another_size_is_noticed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render = file.parents[4] / "ours" / f"{read_record(file).views[0].name}.png"
    save_png(render, torch.zeros(20, 20, 3))
    assert main(["verify", str(file)]) == 1
    assert "has changed since: it has another size" in capsys.readouterr().out


def test_a_changed_reference_is_noticed_and_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = read_record(file).views[0]
    reference = file.parents[4] / "gt" / f"{row.name}.png"
    pixels = torch.from_numpy(array_pairs()[row.name][0].copy())
    pixels[0, 0] = 1 - pixels[0, 0]
    save_png(reference, pixels)
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"View {row.name!r}: the reference" in out
    assert "has changed since." in out


def test_a_changed_protocol_is_noticed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def changed(record: Record) -> Record:
        definition = {**record.protocol["definition"], "round_means": 5}
        return replace(record, protocol={**record.protocol, "definition": definition})

    change(file, changed)
    assert main(["verify", str(file)]) == 1
    assert f"The fingerprint is recorded as {read_record(file).fingerprint}, and" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "claim", "said"),
    [
        ("psnr", {"higher_is_better": False}, "The psnr is recorded as better the lower it is, and it is better the"),
        ("ssim", {"higher_is_better": False}, "The ssim is recorded as better the lower it is, and it is better the"),
        ("mae", {"higher_is_better": True}, "The mae is recorded as better the higher it is, and it is better the"),
        ("psnr", {"unit": ""}, "The unit of psnr is recorded as '', and it is 'dB': the record was changed"),
        ("ssim", {"unit": "dB"}, "The unit of ssim is recorded as 'dB', and it is '': the record was changed"),
    ],
)
def test_a_wrong_direction_or_unit_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, claim: Mapping[str, Any], said: str
) -> None:
    (file,) = score(write_scene(tmp_path, PAIRS[:2]), LIGHT.replace("round_means", "  mae: {}\nround_means"))
    assert main(["verify", str(file)]) == 0

    def claimed(record: Record) -> Record:
        return replace(record, metrics={**record.metrics, metric: replace(record.metrics[metric], **claim)})

    change(file, claimed)
    assert main(["verify", str(file)]) == 1
    assert said in capsys.readouterr().out


def test_the_directions_and_units_are_those_of_the_metrics() -> None:
    """Of every named protocol, the colour-corrected metrics and the average error among them."""
    protocols = [load_protocol(name) for name in named_protocols()]
    protocols.append(protocol_of(LIGHT.replace("round_means: null\n", WITH_LPIPS)))
    protocols += [each.colour_corrected("affine") for each in protocols if each.colour_correction == "none"]
    seen = {name for each in protocols for name in each.infos}
    assert {"psnr", "ssim", "lpips_alex", "lpips_vgg", "mipnerf_average", "cc_psnr", "cc_lpips_vgg"} <= seen
    for each in protocols:
        infos = each.infos
        assert list(wrong_claims(with_metrics(infos))) == []
        turned = {name: replace(info, higher_is_better=not info.higher_is_better) for name, info in infos.items()}
        assert len(list(wrong_claims(with_metrics(turned)))) == len(infos)


def test_a_metric_of_ours_that_is_broken_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.metrics import psnr

    right = psnr.mse
    monkeypatch.setattr(psnr, "mse", lambda *images, **how: right(*images, **how) * 1.01)
    (file,) = score(write_scene(tmp_path), LIGHT)
    assert main(["verify", str(file)]) == 1
    wrong = [each for each in verified(file).compared if not each.confirmed]
    assert {each.metric for each in wrong} == {"psnr"}
    assert all(abs(each.deviation - 10 * math.log10(1.01)) < 1e-5 for each in wrong)


BROKEN = """
import sys
from nvs_eval.metrics.ssim import metric as ssim
from nvs_eval.metrics import psnr
import nvs_eval.images.pixels, nvs_eval.evaluation.scorer
def broken(*_, **__): raise AssertionError("the second opinion must not ask the first")
for module in (psnr, ssim, nvs_eval.images.pixels, nvs_eval.evaluation.scorer):
    for name in ("mse", "psnr", "ssim", "ssim_map", "quantise", "composite", "crop_border", "Scorer"):
        if hasattr(module, name): setattr(module, name, broken)
from nvs_eval.cli import main
sys.exit(main(sys.argv[1:]))
"""
WATCHED = """
import sys
from nvs_eval.cli import main
import nvs_eval.diagnostics.verify.perceptual
code = main(sys.argv[1:])
ours = (
    *(f"nvs_eval.metrics.{name}" for name in ("psnr", "ssim", "lpips", "pair", "registry", "colour_correction")),
    *("nvs_eval.evaluation.scorer", "nvs_eval.protocols.protocol", "nvs_eval.evaluation.prepare"),
)
print("imported", [name for name in sys.modules if name.startswith(ours)])
sys.exit(code)
"""


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_the_second_opinion_does_not_ask_the_first(file: Path) -> None:
    done = run(BROKEN, "verify", str(file))
    assert done.returncode == 0, done.stderr


def test_verifying_a_record_imports_none_of_what_made_it(file: Path) -> None:
    done = run(WATCHED, "verify", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported []"


def test_what_verifying_imports_is_seen(file: Path) -> None:
    done = run(
        WATCHED.replace("import nvs_eval.diagnostics.verify.perceptual", "import nvs_eval.evaluation.scorer"),
        "verify",
        str(file),
    )
    assert "nvs_eval.metrics.psnr.metric" in done.stdout.splitlines()[-1]


# --- What cannot be verified ----------------------------------------------------------------------------------------


def test_missing_files_are_said_a_view(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [row.name for row in read_record(file).views]
    scene = file.parents[4]
    (scene / "ours" / f"{names[0]}.png").unlink()
    (scene / "gt" / f"{names[-1]}.png").unlink()
    assert main(["verify", str(file)]) == 2
    out = capsys.readouterr().out
    assert f"View {names[0]!r} cannot be verified: its render is not at" in out
    assert f"View {names[-1]!r} cannot be verified: its reference is not at" in out
    assert "confirmed" in out


def test_a_wrong_number_outweighs_a_missing_file(file: Path) -> None:
    first, last = read_record(file).views[0], read_record(file).views[-1]
    (file.parents[4] / "ours" / f"{first.name}.png").unlink()
    change(file, with_score("ssim", last.scores["ssim"] / 2, -1))
    assert main(["verify", str(file)]) == 1


def test_renders_that_were_not_kept_cannot_be_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, keep="none")
    assert main(["verify", str(record_file(record, tmp_path))]) == 2
    assert "its renders were not kept. Run it again with `--keep-renders all`" in capsys.readouterr().err


def test_8_bit_copies_of_floats_cannot_be_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    light, float_ = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, FLOAT)
    assert main(["verify", str(record_file(float_, tmp_path))]) == 2
    assert "8-bit copies of what was scored, and float scored floats" in capsys.readouterr().err
    assert main(["verify", str(record_file(light, tmp_path))]) == 0


def test_floats_that_were_kept_are_confirmed(tmp_path: Path) -> None:
    checkpoint = FakeCheckpoint(1, references=lambda index: float_image(50 + index))
    for record in evaluate_checkpoints([checkpoint], tmp_path, FLOAT, HALF, keep="all"):
        report = verified(record_file(record, tmp_path))
        assert report.complete
        assert not report.refuted


def test_an_image_without_a_file_of_its_own_cannot_be_verified(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def unpacked(record: Record) -> Record:
        rows = [replace(row, render=None) for row in record.views]
        return replace(record, views=rows, provenance={**record.provenance, "renders_from": "ours.zip"})

    change(file, unpacked)
    assert main(["verify", str(file)]) == 2
    said = "its render was not kept as a file of its own (it came from ours.zip)."
    assert capsys.readouterr().out.count(said) == 5


def test_a_metric_of_a_plugin_is_said_and_not_failed(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_metric(record: Record) -> Record:
        definition = record.protocol["definition"]
        definition = {**definition, "metrics": {**definition["metrics"], "sharpness": {}}}
        changed = replace(
            record,
            metrics={**record.metrics, "sharpness": MetricInfo("", True, "sharpness|v1")},
            views=[replace(row, scores={**row.scores, "sharpness": 0.5}) for row in record.views],
            protocol={**record.protocol, "definition": definition},
        )
        fingerprint = verifying._fingerprint(changed)
        return replace(changed, protocol={**changed.protocol, "fingerprint": fingerprint})

    change(file, with_metric)
    assert main(["verify", str(file)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sharpness")]
    assert row.rstrip().endswith("not verified: a plugin's metric")


@pytest.mark.parametrize(
    ("field", "value"), [("region", "left-half"), ("metrics", {"psnr": {"data_range": 1}, "ssim": {"kernel": "new"}})]
)
def test_what_a_later_protocol_asks_for_is_said_to_be_unknown(
    file: Path, capsys: pytest.CaptureFixture[str], field: str, value: object
) -> None:
    def later(record: Record) -> Record:
        definition = {**record.protocol["definition"], field: value}
        changed = replace(record, protocol={**record.protocol, "definition": definition})
        protocol = {**changed.protocol, "fingerprint": verifying._fingerprint(changed)}
        return replace(changed, protocol=protocol)

    change(file, later)
    assert main(["verify", str(file)]) == 2
    assert "is not known here: upgrade nvs-eval." in capsys.readouterr().out


WITH_LPIPS = """\
  lpips_alex: {net: alex, version: "0.1", input: scaled, normaliser: lpips}
  mae: {}
  mipnerf_average: {psnr: psnr, ssim: ssim, lpips: lpips_alex}
round_means: null
"""


@pytest.fixture
def lpips_file(tmp_path: Path, lpips_of: LpipsOf) -> Path:
    """The record of one view under a protocol of five metrics."""
    lpips_of("alex")
    (file,) = score(write_scene(tmp_path, PAIRS[:1]), LIGHT.replace("round_means: null\n", WITH_LPIPS))
    return file


def edited(definition: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A definition with another value at a path such as "quantise.render"; without it if the value is `ABSENT`."""
    first, _, rest = path.partition(".")
    if value is ABSENT and not rest:
        return {key: item for key, item in definition.items() if key != first}
    return {**definition, first: edited(definition[first], rest, value) if rest else value}


ABSENT = object()


def with_definition(path: str, value: object, *, follows: bool = True) -> Callable[[Record], Record]:
    """A record with an edited definition, and the fingerprint of it or the one that it had."""

    def changed(record: Record) -> Record:
        protocol = {**record.protocol, "definition": edited(record.protocol["definition"], path, value)}
        fingerprint = verifying._fingerprint(replace(record, protocol=protocol)) if follows else record.fingerprint
        return replace(record, protocol={**protocol, "fingerprint": fingerprint})

    return changed


METRICS = ("psnr", "ssim", "lpips_alex", "mae", "mipnerf_average")
WITHOUT = {left_out: [name for name in METRICS if name != left_out] for left_out in METRICS}


@pytest.mark.parametrize("follows", [True, False], ids=["fingerprint follows", "fingerprint stays"])
@pytest.mark.parametrize(
    "edit",
    [
        ("quantise.render", "floor", "its protocol's quantise.render 'floor' is", []),
        (
            "metrics.lpips_alex.net",
            "resnet",
            "its protocol's metrics.lpips_alex.net 'resnet' is",
            WITHOUT["lpips_alex"],
        ),
        ("metrics.ssim", 3, "its protocol's metrics.ssim 3 is", WITHOUT["ssim"]),
        ("crop", "x", "its protocol's crop 'x' is", []),
        ("region", ABSENT, "its protocol has no region, and one without it is", []),
        ("crop", -1, "its protocol's crop -1 is", []),
        ("crop", True, "its protocol's crop True is", []),
        ("mask", ["fill"], "its protocol's mask ['fill'] is", []),
        ("gamma", 2.2, "its protocol's gamma 2.2 is", []),
        ("metrics.psnr.data_range", "x", "its protocol's metrics.psnr.data_range 'x' is", WITHOUT["psnr"]),
        ("metrics.ssim.data_range", 0, "its protocol's metrics.ssim.data_range 0 is", WITHOUT["ssim"]),
        ("metrics.mae", {"root": True}, "its protocol's metrics.mae.root True is", WITHOUT["mae"]),
        (
            "metrics.ssim.kernel",
            ABSENT,
            "its protocol has no metrics.ssim.kernel, and one without it is",
            WITHOUT["ssim"],
        ),
        ("metrics.mae", ABSENT, "its protocol has no metrics.mae, and a record with its scores is", WITHOUT["mae"]),
    ],
)
def test_a_rule_that_is_not_known_is_said_with_its_record(
    lpips_file: Path, capsys: pytest.CaptureFixture[str], edit: tuple[str, object, str, Sequence[str]], follows: bool
) -> None:
    path, value, said, verifiable = edit
    change(lpips_file, with_definition(path, value, follows=follows))
    assert main(["verify", str(lpips_file)]) == 2
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "upgrade nvs-eval" in line]
    assert f"ecord {lpips_file} cannot be verified: {said} not known here: upgrade nvs-eval." in line
    assert ("The fingerprint is recorded as" in out) != follows
    confirmed = {row.split()[0] for row in out.splitlines() if row.rstrip().endswith(" confirmed")}
    assert confirmed == set(verifiable)


def test_what_goes_wrong_while_a_definition_is_followed_is_said(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprised(*_: object, **__: object) -> None:
        raise AttributeError("no such thing\nat all")

    monkeypatch.setattr("nvs_eval.diagnostics.verify.similarity.ssim", surprised)
    assert main(["verify", str(file)]) == 2
    said = "(AttributeError: no such thing), is not known here: upgrade nvs-eval."
    out = capsys.readouterr().out
    assert out.count(said) == 5
    assert "what its protocol says, {'kernel': 'valid', 'data_range': 1}" in out
    assert [row.split()[0] for row in out.splitlines() if row.rstrip().endswith(" confirmed")] == ["psnr"]


def test_a_crop_that_leaves_nothing_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(file, with_definition("crop", 999))
    assert main(["verify", str(file)]) == 2
    assert "cannot be verified: its protocol's crop 999 leaves nothing of it." in capsys.readouterr().out


def test_no_least_variance_of_ones_own_is_that_of_the_kernel(tmp_path: Path) -> None:
    text = protocol("unsaid", ssim="{kernel: dmpix, data_range: 1, variance_floor: null}")
    (file,) = score(write_scene(tmp_path, PAIRS[:2]), text)
    assert main(["verify", str(file)]) == 0


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "wanted"),
    [((), [0, 2, 5, 8, 10]), (("--views", "1"), [5]), (("--views", "3"), [0, 5, 10]), (("--all",), list(range(11)))],
)
def test_a_sample_is_spread_over_the_views(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], wanted: list[int]
) -> None:
    names = [f"{index:02}" for index in range(11)]
    for name in names:
        for seed, part in enumerate(("gt", "ours")):
            save_png(tmp_path / part / f"{name}.png", float_image(seed, 12, 12))
    (file,) = score(tmp_path, LIGHT)
    for name in names:
        (tmp_path / "ours" / f"{name}.png").unlink()
    assert main(["verify", str(file), *args]) == 2
    out = capsys.readouterr().out
    assert [name for name in names if f"View {name!r} cannot" in out] == [names[index] for index in wanted]


def test_a_folder_of_records_is_verified_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = score(write_scene(tmp_path, PAIRS[:2]), LIGHT, protocol("cropped", crop="2"))
    change(files[0], with_score("psnr", 3.0))
    assert main(["verify", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert all(f"{file}: 2 of 2 views" in out for file in files)


def test_a_record_that_cannot_be_verified_keeps_no_other_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    light, float_ = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, FLOAT)
    files = [record_file(each, tmp_path) for each in (light, float_)]
    assert main(["verify", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert f"The record {files[1]} cannot be verified: what was kept are 8-bit copies" in said.out
    assert f"{files[1]}: 0 of {len(float_.views)} views, protocol float" in said.out
    assert f"{files[0]}: {len(light.views)} of {len(light.views)} views, protocol light" in said.out
    rows = [line.split()[0] for line in said.out.splitlines() if line.rstrip().endswith(" confirmed")]
    assert rows == ["psnr", "ssim"]
    assert "Error" not in said.err
    change(files[0], with_score("psnr", 3.0))
    assert main(["verify", *map(str, files)]) == 1
    assert main(["verify", *map(str, reversed(files))]) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--views", "0"), "say how many views, at least 1"),
        (("--views", "2", "--all"), "--views is 2 beside --all"),
    ],
)
def test_contradictions_are_refused(
    file: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], said: str
) -> None:
    assert main(["verify", str(file), *args]) == 2
    assert said in capsys.readouterr().err


def test_views_without_a_record_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--all"]) == 2
    assert "none was named: `nvs-eval verify RECORD`" in capsys.readouterr().err


def test_what_is_no_record_is_refused_before_any_work(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"some": "thing"}))
    assert main(["verify", str(file), str(other)]) == 2
    said = capsys.readouterr()
    assert f"{other} is not a record of nvs-eval" in said.err
    assert said.out == ""
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 2
    assert "There is no record at" in capsys.readouterr().err


# --- The installation -----------------------------------------------------------------------------------------------


@pytest.fixture
def only_alex(monkeypatch: pytest.MonkeyPatch, lpips_of: LpipsOf) -> None:
    """An installation with the weights of one net."""
    lpips_of("alex")

    def find(net: Net, *, directory: Path | None = None) -> Found:
        lacking = Found(net, "nowhere", None, False, "no file of it here")
        return find_backbone(net, directory=directory) if net == "alex" else lacking

    monkeypatch.setattr(installation, "find_backbone", find)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_the_known_values_are_those_of_the_lpips_package(lpips_of: LpipsOf, net: Net) -> None:
    lpips_of(net)
    pair = made_pair()
    parameters = {"net": net, "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    wide = Pair(pair.reference.astype(np.float64), pair.render.astype(np.float64))
    assert lpips_distance(wide, parameters, "none", None) == pytest.approx(KNOWN_LPIPS[net], abs=1e-12)


def test_an_installation_without_all_weights_is_right_as_far_as_it_goes(
    only_alex: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--device", "cpu"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "and LPIPS (alex) can be trusted here; LPIPS (vgg, squeeze) have no weights." in out[-1]
    assert out[-1].startswith("PSNR, ")
    assert "SSIM" in out[-1]
    said = "\n".join(out)
    assert "20.000001, known 20.000000" in said or "20.000000, known 20.000000" in said
    assert "WRONG" not in said
    (row,) = [line for line in out if line.startswith("weights of vgg")]
    assert row.rstrip().endswith("not here")


def test_random_weights_are_noticed(
    only_alex: None, lpips_of: LpipsOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nvs_eval.metrics.lpips import metric as lpips

    torch.manual_seed(0)
    backbone = {name: 0.05 * torch.randn_like(tensor) for name, tensor in lpips_of("alex").backbone.weights.items()}
    monkeypatch.setattr(
        lpips, "load_lpips", lambda *_, **__: replace(lpips_of("alex"), backbone=Backbone("alex", backbone))
    )
    assert main(["verify", "--device", "cpu"]) == 1
    out = capsys.readouterr().out.splitlines()
    (row,) = [line for line in out if line.startswith("LPIPS (alex) of a made pair")]
    assert row.rstrip().endswith("WRONG")
    assert "LPIPS (alex) cannot be trusted: see the table." in out[-1]
    assert out[-1].startswith("PSNR, ")


def test_wrong_weights_and_broken_metrics_are_results_and_no_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from nvs_eval.metrics import psnr

    def find(net: Net, *, directory: Path | None = None) -> Found:
        return Found(net, "cache", tmp_path / net, False, "3 of its 10 tensors do not have the true values")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(installation, "find_backbone", find)
    monkeypatch.setattr(psnr, "mse", broken)
    assert main(["verify", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert out.count("3 of its 10 tensors do not have the true values") == 3
    assert "RuntimeError: no kernel image " in out
    assert "PSNR" in out.splitlines()[-1].partition("cannot be trusted")[0].rpartition(";")[2]


def test_a_device_that_computes_something_else_is_noticed(only_alex: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> Mapping[Any, float]:
        on_cpu = our_scores(cases, torch.device("cpu"), weights_dir)
        if device.type == "cpu":
            return on_cpu
        return {key: value + (0.001 if key[2] == "ssim" else 0) for key, value in on_cpu.items()}

    monkeypatch.setattr(installation, "our_scores", scores)
    monkeypatch.setattr(installation, "device_name", lambda device: "Accelerator 9000")
    found = verify_installation(torch.device("cuda"))
    wrong = [check for check in found.checks if check.state == "WRONG"]
    assert [check.topic for check in wrong] == ["SSIM"]
    assert wrong[0].name.startswith("ssim and Accelerator 9000, CPU, ")
    assert wrong[0].deviation == pytest.approx(0.001)
    assert "SSIM cannot be trusted" in found.trust


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_this_device_is_compared_with_the_cpu(only_alex: None) -> None:
    found = verify_installation(torch.device("cuda"))
    assert any(torch.cuda.get_device_name() in check.name for check in found.checks)
    assert found.right
