"""Protocols of later versions, and claims that contradict a record's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pinned import Pinned
from support.protocols import protocol_of, variant
from support.verifying import (
    ABSENT,
    FIVE,
    PAIRS,
    LpipsOf,
    change,
    score,
    with_definition,
    write_scene,
)

from nvs_eval.cli import main
from nvs_eval.diagnostics.verify.definition import fingerprint_of, label_of, verifiable, wrong_claims
from nvs_eval.metrics import registry
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.records.record import MetricInfo, Record, read_record


def with_metrics(metrics: Mapping[str, MetricInfo]) -> Record:
    """Return a record that contains only metrics."""
    return Record("scene", "method", None, None, "test", {}, metrics, [], {})


def test_changed_protocol_is_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def changed(record: Record) -> Record:
        definition = {**record.protocol["definition"], "round_means": 5}
        return replace(record, protocol={**record.protocol, "definition": definition})

    change(file, changed)
    assert main(["verify", str(file)]) == 1
    assert f"fingerprint is {read_record(file).fingerprint}, but" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "claim"),
    [
        ("psnr", {"higher_is_better": False}),
        ("ssim", {"higher_is_better": False}),
        ("mae", {"higher_is_better": True}),
        ("psnr", {"unit": ""}),
        ("ssim", {"unit": "dB"}),
    ],
    ids=["psnr lower", "ssim lower", "mae higher", "psnr unit", "ssim unit"],
)
def test_wrong_direction_or_unit_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, claim: Mapping[str, Any], pinned: Pinned
) -> None:
    (file,) = score(write_scene(tmp_path, PAIRS[:2]), variant(metrics={"mae": {}}))
    assert main(["verify", str(file)]) == 0

    def claimed(record: Record) -> Record:
        return replace(record, metrics={**record.metrics, metric: replace(record.metrics[metric], **claim)})

    change(file, claimed)
    capsys.readouterr()
    assert main(["verify", str(file)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "by hand" in line]
    pinned("verify", line)


def test_directions_and_units_of_all_metrics_are_right() -> None:
    """Covers every named protocol, the colour-corrected metrics and the average error."""
    protocols = [load_protocol(name) for name in named_protocols()]
    protocols.append(protocol_of(FIVE))
    protocols += [protocol.colour_corrected("affine") for protocol in protocols if protocol.colour_correction == "none"]
    names = {name for protocol in protocols for name in protocol.infos}
    assert {"psnr", "ssim", "lpips_alex", "lpips_vgg", "mipnerf_average", "cc_psnr", "cc_lpips_vgg"} <= names
    for protocol in protocols:
        infos = protocol.infos
        assert list(wrong_claims(with_metrics(infos))) == []
        inverted = {name: replace(info, higher_is_better=not info.higher_is_better) for name, info in infos.items()}
        assert len(list(wrong_claims(with_metrics(inverted)))) == len(verifiable(infos))


@pytest.mark.parametrize("metric", ["sharpness", "flip", "cc_mipnerf_average"])
def test_metric_without_second_opinion_is_listed(file: Path, capsys: pytest.CaptureFixture[str], metric: str) -> None:
    """A record does not show whether a metric is a plugin's or nvs-eval's own."""

    def with_metric(record: Record) -> Record:
        definition = record.protocol["definition"]
        definition = {**definition, "metrics": {**definition["metrics"], metric: {}}}
        changed = replace(
            record,
            metrics={**record.metrics, metric: MetricInfo("", True, f"{metric}|v1")},
            views=[replace(row, scores={**row.scores, metric: 0.5}) for row in record.views],
            protocol={**record.protocol, "definition": definition},
        )
        fingerprint = fingerprint_of(changed)
        return replace(changed, protocol={**changed.protocol, "fingerprint": fingerprint})

    change(file, with_metric)
    assert main(["verify", str(file)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(label_of(metric))]
    assert row.rstrip().endswith("not verified: no independent implementation")


@pytest.mark.parametrize(
    ("field", "value"), [("region", "left-half"), ("metrics", {"psnr": {"data_range": 1}, "ssim": {"kernel": "new"}})]
)
def test_parts_of_a_later_protocol_are_unknown(
    file: Path, capsys: pytest.CaptureFixture[str], field: str, value: object
) -> None:
    def later(record: Record) -> Record:
        definition = {**record.protocol["definition"], field: value}
        changed = replace(record, protocol={**record.protocol, "definition": definition})
        protocol = {**changed.protocol, "fingerprint": fingerprint_of(changed)}
        return replace(changed, protocol=protocol)

    change(file, later)
    assert main(["verify", str(file)]) == 2
    assert ". Upgrade nvs-eval." in capsys.readouterr().out


@pytest.fixture
def lpips_file(tmp_path: Path, lpips_of: LpipsOf) -> Path:
    """Return the record of one view under a protocol of five metrics."""
    lpips_of("alex")
    (file,) = score(write_scene(tmp_path, PAIRS[:1]), FIVE)
    return file


METRICS = ("psnr", "ssim", "lpips_alex", "mae", "mipnerf_average")


WITHOUT = {metric: [name for name in METRICS if name != metric] for metric in METRICS}


@pytest.mark.parametrize("follows", [True, False], ids=["fingerprint follows", "fingerprint stays"])
@pytest.mark.parametrize(
    "edit",
    [
        ("quantise.render", "floor", "Unknown quantise.render 'floor'. Known: none, round, truncate.", []),
        ("metrics.lpips_alex.net", "resnet", "Unknown net 'resnet'. Known: alex, squeeze, vgg.", WITHOUT["lpips_alex"]),
        ("metrics.ssim", 3, "metrics.ssim must be a mapping with the fields kernel, ", WITHOUT["ssim"]),
        ("crop", "x", "crop must be a whole number of at least 0. Got 'x'.", []),
        ("region", ABSENT, "its protocol lacks region: ", []),
        ("quantise.mask", ABSENT, "quantise lacks mask: ", []),
        ("crop", -1, "crop must be a whole number of at least 0. Got -1.", []),
        ("crop", True, "crop must be a whole number of at least 0. Got True.", []),
        ("mask", ["fill"], "mask must be 'none', 'ignored', ", []),
        ("gamma", 2.2, "Unknown field of its protocol 'gamma'.", []),
        ("metrics.psnr.data_range", "x", "data_range must be a number above 0. Got 'x'.", WITHOUT["psnr"]),
        ("metrics.ssim.data_range", 0, "data_range must be a number above 0 or 'pair'. Got 0.", WITHOUT["ssim"]),
        ("metrics.mae", {"root": True}, "Unknown field of metrics.mae 'root'.", WITHOUT["mae"]),
        ("metrics.ssim.kernel", ABSENT, "metrics.ssim lacks kernel: ", WITHOUT["ssim"]),
        ("metrics.mae", ABSENT, "its protocol does not define it.", WITHOUT["mae"]),
    ],
)
def test_unknown_rule_is_reported_with_its_record(
    lpips_file: Path, capsys: pytest.CaptureFixture[str], edit: tuple[str, object, str, Sequence[str]], follows: bool
) -> None:
    path, value, message, verifiable = edit
    change(lpips_file, with_definition(path, value, follows=follows))
    assert main(["verify", str(lpips_file)]) == 2
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "Upgrade nvs-eval" in line]
    assert f"ecord {lpips_file} cannot be verified: {message}" in line
    assert line.rstrip().endswith(". Upgrade nvs-eval.")
    assert ("its fingerprint is" in out) != follows
    confirmed = {row.split("  ")[0] for row in out.splitlines() if row.rstrip().endswith(" confirmed")}
    assert confirmed == set(map(label_of, verifiable))


def test_error_while_computing_a_score_is_reported(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AttributeError("no such thing\nat all")

    monkeypatch.setattr("nvs_eval.diagnostics.verify.scores.ssim", broken)
    assert main(["verify", str(file)]) == 2
    part = "{'kernel': 'valid', 'data_range': 1} (AttributeError: no such thing). Upgrade nvs-eval."
    out = capsys.readouterr().out
    assert out.count(part) == 5
    assert [row.split()[0] for row in out.splitlines() if row.rstrip().endswith(" confirmed")] == ["PSNR"]


def test_crop_that_leaves_no_pixels_is_reported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(file, with_definition("crop", 999))
    assert main(["verify", str(file)]) == 2
    assert "cannot be verified: its protocol's crop 999 leaves no pixels." in capsys.readouterr().out


def test_default_least_variance_is_the_kernels(tmp_path: Path) -> None:
    text = variant(metrics={"ssim": {"kernel": "dmpix", "data_range": 1, "variance_floor": None}})
    (file,) = score(write_scene(tmp_path, PAIRS[:2]), text)
    assert main(["verify", str(file)]) == 0


def test_metrics_without_a_second_opinion_are_named_and_not_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = variant(metrics={"flip": {}, "dssim_range2": {"kernel": "zero"}})
    (file,) = score(write_scene(tmp_path, PAIRS[:1]), text)
    assert main(["verify", str(file)]) == 0
    rows = [row.split("  ")[0] for row in capsys.readouterr().out.splitlines() if "not verified: no indep" in row]
    assert rows == ["FLIP", "D-SSIM (range 2)"]


def test_labels_are_those_of_other_tables() -> None:
    keys = [*registry.known_metrics(), "cc_psnr", "cc_lpips_vgg", "ssim_reflect", "cc_ssim_reflect"]
    assert [label_of(key) for key in keys] == [registry.label_of(key) for key in keys]
