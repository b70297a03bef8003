"""Report on a record: every finding appears when it should, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.inspecting import DEFINITION, scored, texts
from support.pinned import Pinned
from support.profiles import exif_data, icc_profile
from support.protocols import HALF, LIGHT
from support.scenes import HEIGHT, WIDTH, bitmap, image

from nvs_eval.diagnostics.inspection import Inspection, inspect
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.images.files import Reading, load_image, save_npy, save_png
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import Record, ViewRow, record_file, write_record


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report_on(result: Record) -> Inspection:
    write_record(Path("record.json"), result)
    return inspect_record(Path("record.json"))


def with_rows(result: Record, change: Callable[[ViewRow], ViewRow]) -> Record:
    return replace(result, views=[change(row) for row in result.views])


def facts(report: Inspection) -> str:
    return "\n".join(f"{label}: {text}" for label, text in report.facts)


def test_record_without_findings(pinned: Pinned) -> None:
    report = report_on(scored(provenance={"nvs_eval": "0.1.0", "command": ["nvs-eval", "score", "our s"]}))
    assert report.title == "fox/nerfacto"
    assert report.findings == []
    assert dict(report.facts)["references"].startswith(f"{WIDTH}x{HEIGHT}, ")
    pinned("inspect", facts(report))


def test_record_of_training_views(pinned: Pinned) -> None:
    (finding,) = texts(report_on(scored(split="train")), doubtful=True)
    pinned("inspect", finding)


def test_record_with_the_same_image_twice(pinned: Pinned) -> None:
    report = report_on(scored({"a": 1, "b": 2, "c": 1}))
    (finding,) = texts(report, doubtful=True)
    pinned("inspect", finding)


def test_record_whose_reference_changed(pinned: Pinned) -> None:
    result = scored()
    save_png(Path("gt/b.png"), image(3))
    (finding,) = texts(report_on(result), doubtful=True)
    pinned("inspect", finding)


def test_record_whose_reference_is_missing(pinned: Pinned) -> None:
    result = scored()
    Path("gt/b.png").unlink()
    (finding,) = texts(report_on(result), doubtful=False)
    pinned("inspect", finding)


def test_record_that_names_no_files(pinned: Pinned) -> None:
    result = with_rows(scored(), lambda row: replace(row, reference=None, render=None))
    report = report_on(result)
    (finding,) = texts(report)
    pinned("inspect", finding)
    assert dict(report.facts)["renders"] == "not kept"
    assert "folder" not in dict(report.facts)


def test_record_whose_renders_are_missing(pinned: Pinned) -> None:
    result = scored()
    Path("ours/a.png").unlink()
    (finding,) = texts(report_on(result))
    pinned("inspect", finding)


def test_record_whose_masks_are_missing(pinned: Pinned) -> None:
    result = with_rows(scored(), lambda row: replace(row, coverage=0.5, mask=f"masks/{row.name}.png"))
    save_png(Path("masks/a.png"), image(9))
    (finding,) = texts(report_on(result))
    pinned("inspect", finding)


def test_record_with_unexpected_values_is_still_reported() -> None:
    definition = {**DEFINITION, "quantise": "round", "alpha": 3}
    protocol = {"name": "odd", "definition": definition, "fingerprint": "9f2c51ab"}
    provenance = {"inputs_sha256": ["c"], "command": "score", "reading": [], "kept_renders": "as scored"}
    result = with_rows(scored(protocol=protocol, provenance=provenance), lambda row: replace(row, render="a\0b"))
    (finding,) = texts(report_on(result))
    assert finding.endswith(r": a\x00b, a\x00b.")


def test_jpeg_references_are_found_by_content(pinned: Pinned) -> None:
    result = scored({"a": 1})
    bitmap(1).save("gt/a.png", format="JPEG")
    unchanged = with_rows(
        result, lambda row: replace(row, reference_sha256=sha256_of_image(load_image(Path("gt/a.png"))))
    )
    pinned("inspect", "\n".join(texts(report_on(unchanged))))


def test_record_of_floats() -> None:
    result = scored({"a": 1})
    save_npy(Path("gt/a.npy"), image(1))
    report = report_on(with_rows(result, lambda row: replace(row, reference="gt/a.npy")))
    assert texts(report) == []


def test_record_of_several_sizes() -> None:
    result = scored()
    result = replace(result, views=[result.views[0], replace(result.views[1], width=24)])
    (finding,) = texts(report_on(result))
    assert "2 sizes" in finding


def rgba_record(reading: Any) -> Record:
    """Return a record of one RGBA reference over white."""
    bitmap(1, channels=4).save("alpha.png")
    white = load_image(Path("alpha.png"), Reading(background=(1.0, 1.0, 1.0)))
    result = with_rows(
        scored({"a": 1}), lambda row: replace(row, reference="alpha.png", reference_sha256=sha256_of_image(white))
    )
    return replace(result, provenance={"nvs_eval": "0.1.0", **reading})


def test_references_are_read_like_the_scored_ones() -> None:
    reading = {"background": [1.0, 1.0, 1.0], "grey_to_rgb": False, "exr": None}
    assert texts(report_on(rgba_record({"reading": reading}))) == []
    black = {**reading, "background": [0, 0, 0]}
    (finding,) = texts(report_on(rgba_record({"reading": black})), doubtful=True)
    assert finding.startswith("The only reference has changed")


@pytest.mark.parametrize("reading", [{}, {"reading": None}, {"reading": {"background": "white", "exr": 3}}])
def test_unreadable_references_are_information(reading: Any) -> None:
    (finding,) = texts(report_on(rgba_record(reading)), doubtful=False)
    assert finding.startswith("The only reference is unreadable")
    assert "alpha.png has an alpha channel" in finding


def test_skipped_views(pinned: Pinned) -> None:
    report = report_on(scored(provenance={"left_out": {"c": "its mask is empty"}}))
    (finding,) = texts(report, doubtful=True)
    pinned("inspect", finding)
    assert texts(report_on(scored(provenance={"left_out": {}}))) == []


def test_range_of_coverage(pinned: Pinned) -> None:
    coverage = {"a": 0.5, "b": 0.25}
    report = report_on(with_rows(scored(), lambda row: replace(row, coverage=coverage[row.name])))
    assert texts(report) == []
    pinned("inspect", dict(report.facts)["masks"])
    small = {"a": 0.5, "b": 0.0012}
    (finding,) = texts(
        report_on(with_rows(scored(), lambda row: replace(row, coverage=small[row.name]))), doubtful=True
    )
    pinned("inspect", finding)


@pytest.mark.parametrize("kept", ["as scored", "none", "8-bit copies of what was scored"])
def test_kept_renders(kept: str, pinned: Pinned) -> None:
    report = report_on(scored(provenance={"kept_renders": kept}))
    pinned("inspect", "\n".join([*texts(report), dict(report.facts)["renders"], dict(report.facts)["references"]]))


@pytest.mark.parametrize("protocol", [LIGHT, HALF], ids=["references rounded", "references unchanged"])
@pytest.mark.parametrize("between", [True, False], ids=["between the levels", "on the levels"])
def test_reference_kept_by_a_run_may_be_an_8_bit_copy(protocol: str, between: bool) -> None:
    """The copy that `run` keeps of a reference between the levels differs, which is no sign of a change."""
    step = 0.3 / 255 if between else 0
    checkpoint = FakeCheckpoint(
        1, views=("a", "b"), references=lambda index: (image(index) * 0.9 * 255).round() / 255 + step
    )
    (result,) = evaluate_checkpoints([checkpoint], Path("out"), protocol)
    file = record_file(result, Path("out"))
    report = inspect_record(file)
    assert texts(report, doubtful=True) == []
    copies = [text for text in texts(report) if "not bit-identical" in text]
    assert len(copies) == between
    # A different image is a change only if it cannot be a copy.
    (reference,) = Path("out").rglob("references/*/b.png")
    save_png(reference, image(7))
    changes = texts(inspect_record(file), doubtful=True)
    assert len(changes) == (protocol == HALF and not between)
    assert all("changed" in text and text.endswith(": b.") for text in changes), changes


# --- The function -----------------------------------------------------------------------------------------------------


def test_inspect_returns_reports_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_record(Path("record.json"), scored())
    (report,) = inspect("record.json")
    assert report == inspect_record(Path("record.json"))
    assert inspect([Path("record.json")] * 2) == [report, report]
    assert capsys.readouterr() == ("", "")


def test_files_whose_tags_were_not_applied(tmp_path: Path) -> None:
    """A rotated photograph in Display P3, scored by its stored values."""
    values = (255 * image(1)).round().to(torch.uint8).numpy()
    exif, profile = exif_data(6), icc_profile("Display P3", "Display P3")
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    Image.fromarray(values).save(tmp_path / "b.png")
    reading = Reading(ignore_colour_tags=True, ignore_orientation=True)
    sha256 = sha256_of_image(load_image(tmp_path / "a.png", reading))
    result = scored({"a": 1, "b": 2})
    report = report_on(
        with_rows(
            result,
            lambda row: replace(row, reference=f"{row.name}.png", render=f"{row.name}.png", reference_sha256=sha256),
        )
    )
    found = texts(report)
    for noun in ("reference", "render"):
        assert f"1 of 2 {noun}s has an EXIF orientation. Stored pixels are used, not rotated: a (6)." in found
        assert (
            f"1 of 2 {noun}s has colours other than sRGB. Stored values are used, not converted: a (the ICC "
            "profile 'Display P3')." in texts(report, doubtful=True)
        )
