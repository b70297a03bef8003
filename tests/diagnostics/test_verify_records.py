"""A second opinion on records: confirmed records, and faults that it must find."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.pairs import array_pairs
from support.protocols import FLOAT, HALF, LIGHT, changed, protocol_of, rounding, variant
from support.scenes import float_image
from support.verifying import (
    FIVE,
    FLAT,
    PAIRS,
    LpipsOf,
    change,
    deviations,
    evaluated,
    metrics,
    nets_here,
    score,
    verified,
    with_score,
    write_masks,
    write_scene,
)

from nvs_eval.cli import main
from nvs_eval.diagnostics.verify.installation import (
    cases_for,
)
from nvs_eval.diagnostics.verify.records import Compared, verify
from nvs_eval.diagnostics.verify.scores import average_error
from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import Reading, save_npy, save_png
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.records.record import Record, read_record, record_file, write_record
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.masks import Masks

TRUNCATED = rounding("truncate", "truncate")
KERNELS = ("valid", "dmpix", "reflect", "zero", "uniform7-rgb")


@pytest.mark.parametrize("quantise", [rounding("round", "round"), TRUNCATED, rounding("round")])
def test_every_kernel_is_confirmed_for_8_bit_images(tmp_path: Path, quantise: dict[str, str]) -> None:
    scene = write_scene(tmp_path, (*PAIRS, *FLAT))
    ssims = {name: {"ssim": {"kernel": name, "data_range": 1}} for name in KERNELS}
    texts = [variant(name=name, metrics=ssim, quantise=quantise) for name, ssim in ssims.items()]
    for file in score(scene, *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert metrics(report) == ["psnr", "ssim"]
        assert deviations(report)["ssim"] < 1e-9


def test_every_kernel_is_confirmed_over_the_range_of_the_pair(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, PAIRS, "npy")
    ssims = {name: {"ssim": {"kernel": name, "data_range": "pair"}} for name in KERNELS}
    texts = [variant(FLOAT, name=name, metrics=ssim) for name, ssim in ssims.items()]
    for file in score(scene, *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted


@pytest.mark.parametrize("crop", [0, 3])
@pytest.mark.parametrize("rule", ["clamp", "keep"])
def test_renders_beyond_the_range_and_crops_are_confirmed(tmp_path: Path, rule: str, crop: int) -> None:
    scene = write_scene(tmp_path, PAIRS[:2], "npy")
    beyond = 1.6 * float_image(5, 48, 64) - 0.3
    save_npy(scene / "ours" / f"{PAIRS[0]}.npy", beyond)
    (file,) = score(scene, variant(out_of_range=rule, crop=crop))
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
    text = variant(alpha=rule, quantise=TRUNCATED)
    (file,) = score(tmp_path, text, reading=Reading(background=(0.25, 0.5, 1.0)))
    report = verified(file)
    assert report.complete
    assert not report.refuted
    assert deviations(report)["psnr"] < 1e-5


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_lpips_is_confirmed_in_all_variants(tmp_path: Path, weights_in_place: Callable[[Net], None], net: Net) -> None:
    weights_in_place(net)  # Skips if the weights are missing.
    variants = [
        ("0.1", "scaled", "lpips"),
        ("0.1", "unscaled", "torchmetrics"),
        ("0.0", "scaled", "lpips"),
    ]
    keys = ("version", "input", "normaliser")
    texts = [
        variant(name=f"variant{index}", metrics={f"lpips_{net}": {"net": net, **dict(zip(keys, values, strict=True))}})
        for index, values in enumerate(variants)
    ]
    for file in score(write_scene(tmp_path, PAIRS[:3]), *texts):
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert deviations(report)[f"lpips_{net}"] < 1e-6


def test_a_record_of_a_run_is_confirmed_from_its_kept_renders(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert not verified(record_file(record, tmp_path)).refuted


def test_references_kept_in_8_bits_are_confirmed(tmp_path: Path) -> None:
    checkpoint = FakeCheckpoint(1, references=lambda index: float_image(50 + index))
    (record,) = evaluate_checkpoints([checkpoint], tmp_path, LIGHT)
    file = record_file(record, tmp_path)
    report = verified(file)
    assert report.complete
    assert not report.refuted
    save_png(file.parent / str(record.views[1].reference), float_image(60))
    wrong = {value.view for value in verified(file).compared if not value.confirmed}
    assert wrong == {record.views[1].name}


def test_records_of_every_named_protocol_are_confirmed(tmp_path: Path) -> None:
    floats, beyond, _ = cases_for(nets_here())
    protocols = [*floats.protocols, *beyond.protocols]
    files = evaluated(write_scene(tmp_path, PAIRS[:1]), protocols)
    assert len(files) >= 17
    for file in files:
        report = verified(file)
        assert report.complete
        assert not report.refuted


def test_masks_are_confirmed_and_changed_ones_found(tmp_path: Path) -> None:
    scene, names = write_scene(tmp_path, PAIRS[:2]), PAIRS[:2]
    masks = write_masks(scene, names)
    meanings = ("ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck")
    protocols = [changed(name=meaning, mask=meaning) for meaning in meanings]
    files = dict(zip(meanings, evaluated(scene, protocols, masks=masks), strict=True))
    for meaning, file in files.items():
        report = verified(file)
        assert report.complete
        assert not report.refuted
        assert ("coverage" in metrics(report)) == (meaning != "ignored")
    save_png(masks / f"{names[0]}.png", torch.ones(*array_pairs()[names[0]][0].shape[:2], 3))
    for meaning, file in files.items():
        changes = verified(file).changed
        assert len(changes) == (meaning != "ignored")
        assert all(change.startswith(f"View {names[0]!r}: the mask {masks / names[0]}.png has") for change in changes)


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


def test_changed_coverage_is_found(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, PAIRS[:1])
    (file,) = evaluated(scene, [protocol_of(LIGHT)], masks=write_masks(scene, PAIRS[:1]))
    change(file, lambda record: replace(record, views=[replace(record.views[0], coverage=0.5)]))
    assert [value.metric for value in verified(file).compared if not value.confirmed] == ["coverage"]


def test_the_average_error_is_confirmed_from_its_parts(tmp_path: Path, lpips_of: LpipsOf) -> None:
    lpips_of("alex")
    scene = write_scene(tmp_path, PAIRS[:2])
    name = PAIRS[1]
    (scene / "ours" / f"{name}.png").write_bytes((scene / "gt" / f"{name}.png").read_bytes())
    (file,) = score(scene, FIVE)
    assert not verified(file).refuted
    change(file, with_score("mipnerf_average", 0.5))
    assert [value.metric for value in verified(file).compared if not value.confirmed] == ["mipnerf_average"]


def test_the_average_error_is_the_published_one() -> None:
    assert average_error(31, 0.94, 0.12) == pytest.approx(0.028582, abs=5e-7)


@pytest.mark.parametrize(("metric", "by"), [("psnr", 1.1e-4), ("psnr", -0.5), ("ssim", 1.1e-5)])
def test_changed_score_is_found(file: Path, capsys: pytest.CaptureFixture[str], metric: str, by: float) -> None:
    row = read_record(file).views[0]
    change(file, with_score(metric, row.scores[metric] + by))
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"{row.name!r}: {metric} is recorded as {row.scores[metric] + by}, but recomputed as" in out
    assert "NOT CONFIRMED" in out


def test_a_score_changed_by_less_than_the_tolerance_is_confirmed(file: Path) -> None:
    change(file, with_score("psnr", read_record(file).views[0].scores["psnr"] + 0.9e-4))
    assert main(["verify", str(file)]) == 0


def test_infinite_score_instead_of_a_number_is_found(file: Path) -> None:
    change(file, with_score("psnr", math.inf))
    (wrong,) = [value for value in verified(file).compared if not value.confirmed]
    assert (wrong.metric, wrong.recorded, wrong.deviation) == ("psnr", math.inf, math.inf)


def test_identical_images_are_confirmed_as_infinite(tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    for name in PAIRS:
        (scene / "ours" / f"{name}.png").write_bytes((scene / "gt" / f"{name}.png").read_bytes())
    (file,) = score(scene, LIGHT)
    report = verified(file)
    assert not report.refuted
    assert {value.recomputed for value in report.compared if value.metric == "psnr"} == {math.inf}


def test_changed_render_is_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = read_record(file).views[2].name
    scene = file.parents[4]
    save_png(scene / "ours" / f"{name}.png", torch.from_numpy(array_pairs()[name][0]))
    assert main(["verify", str(file), "--all"]) == 1
    assert f"View {name!r}: psnr is recorded as" in capsys.readouterr().out


def test_render_of_another_size_is_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render = file.parents[4] / "ours" / f"{read_record(file).views[0].name}.png"
    save_png(render, torch.zeros(20, 20, 3))
    assert main(["verify", str(file)]) == 1
    assert f"the render {render} has changed since scoring: its size" in capsys.readouterr().out


def test_changed_reference_is_found_and_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = read_record(file).views[0]
    reference = file.parents[4] / "gt" / f"{row.name}.png"
    pixels = torch.from_numpy(array_pairs()[row.name][0].copy())
    pixels[0, 0] = 1 - pixels[0, 0]
    save_png(reference, pixels)
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"View {row.name!r}: the reference" in out
    assert "has changed since scoring." in out


def test_broken_metric_of_nvs_eval_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.metrics.psnr import metric as psnr

    correct = psnr.mse
    monkeypatch.setattr(psnr, "mse", lambda *images, **options: correct(*images, **options) * 1.01)
    (file,) = score(write_scene(tmp_path), LIGHT)
    assert main(["verify", str(file)]) == 1
    wrong = [value for value in verified(file).compared if not value.confirmed]
    assert {value.metric for value in wrong} == {"psnr"}
    assert all(abs(value.deviation - 10 * math.log10(1.01)) < 1e-5 for value in wrong)


BROKEN = """
import sys
from nvs_eval.metrics.ssim import metric as ssim
from nvs_eval.metrics.psnr import metric as psnr
import nvs_eval.images.pixels, nvs_eval.evaluation.scorer
def broken(*_, **__): raise AssertionError("the second opinion must not call the verified code")
for module in (psnr, ssim, nvs_eval.images.pixels, nvs_eval.evaluation.scorer):
    for name in ("mse", "psnr", "ssim", "ssim_map", "quantise", "composite", "crop_border", "Scorer"):
        if hasattr(module, name): setattr(module, name, broken)
from nvs_eval.cli import main
sys.exit(main(sys.argv[1:]))
"""


WATCHED = """
import sys
from nvs_eval.cli import main
import nvs_eval.diagnostics.verify.lpips
code = main(sys.argv[1:])
ours = (
    *(f"nvs_eval.metrics.{name}" for name in ("psnr", "ssim", "lpips", "pair", "registry", "colour_correction")),
    *("nvs_eval.evaluation.scorer", "nvs_eval.protocols", "nvs_eval.evaluation.prepare"),
)
print("imported", [name for name in sys.modules if name.startswith(ours)])
sys.exit(code)
"""


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_second_opinion_does_not_call_the_verified_code(file: Path) -> None:
    done = run(BROKEN, "verify", str(file))
    assert done.returncode == 0, done.stderr


def test_verifying_a_record_does_not_import_the_verified_code(file: Path) -> None:
    done = run(WATCHED, "verify", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported []"


def test_import_of_the_verified_code_would_be_found(file: Path) -> None:
    done = run(
        WATCHED.replace("import nvs_eval.diagnostics.verify.lpips", "import nvs_eval.evaluation.scorer"),
        "verify",
        str(file),
    )
    assert "nvs_eval.metrics.registry" in done.stdout.splitlines()[-1]


def test_missing_files_are_reported_by_view(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [row.name for row in read_record(file).views]
    scene = file.parents[4]
    (scene / "ours" / f"{names[0]}.png").unlink()
    (scene / "gt" / f"{names[-1]}.png").unlink()
    assert main(["verify", str(file)]) == 2
    out = capsys.readouterr().out
    assert f"View {names[0]!r} cannot be verified: its render is missing at" in out
    assert f"View {names[-1]!r} cannot be verified: its reference is missing at" in out
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
    assert "8-bit copies of what was scored, but float scores floats" in capsys.readouterr().err
    assert main(["verify", str(record_file(light, tmp_path))]) == 0


def test_floats_that_were_kept_are_confirmed(tmp_path: Path) -> None:
    checkpoint = FakeCheckpoint(1, references=lambda index: float_image(50 + index))
    for record in evaluate_checkpoints([checkpoint], tmp_path, FLOAT, HALF, keep="all"):
        report = verified(record_file(record, tmp_path))
        assert report.complete
        assert not report.refuted


def test_image_without_a_separate_file_cannot_be_verified(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def unpacked(record: Record) -> Record:
        rows = [replace(row, render=None) for row in record.views]
        return replace(record, views=rows, provenance={**record.provenance, "renders_from": "ours.zip"})

    change(file, unpacked)
    assert main(["verify", str(file)]) == 2
    reason = "its render was not kept as a separate file (it came from ours.zip)."
    assert capsys.readouterr().out.count(reason) == 5


# --- The function -----------------------------------------------------------------------------------------------------


def test_verify_returns_reports_and_prints_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (report,) = verify(file, views=2)
    assert (report.file, report.record, report.views) == (file, read_record(file), 2)
    assert report.complete
    assert not report.refuted
    (all_views,) = verify([str(file.parent)], views=None)
    assert all_views.views == 6
    assert capsys.readouterr() == ("", "")


def test_verify_refuses_zero_views(file: Path) -> None:
    with pytest.raises(InputError, match=r"views must be at least 1, or None for all. Got 0\."):
        list(verify(file, views=0))


@pytest.mark.parametrize(
    ("recorded", "text", "verdict"),
    [
        (0.5 + 1.02e-5, "1.02e-05", "NOT CONFIRMED"),  # Two digits would show the tolerance.
        (0.5 + 9.98e-6, "1e-05", "confirmed"),
        (0.5 + 2.34e-5, "2.3e-05", "NOT CONFIRMED"),
        (0.5, "0", "confirmed"),
    ],
)
def test_a_deviation_is_shown_on_its_side_of_the_tolerance(recorded: float, text: str, verdict: str) -> None:
    compared = Compared("a", "ssim", recorded, 0.5)
    assert (compared.deviation_text, compared.verdict) == (text, verdict)
