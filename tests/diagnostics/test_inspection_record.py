"""The report on a record: each finding where it is due, and not elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.inspecting import DEFINITION, scored, texts
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


def said_of(result: Record) -> Inspection:
    write_record(Path("record.json"), result)
    return inspect_record(Path("record.json"))


def with_rows(result: Record, change: Callable[[ViewRow], ViewRow]) -> Record:
    return replace(result, views=[change(each) for each in result.views])


def test_there_is_nothing_to_say_of_a_record_that_is_in_order() -> None:
    report = said_of(scored(provenance={"nvs_eval": "0.1.0", "command": ["nvs-eval", "score", "our s"]}))
    assert report.title == "fox/nerfacto"
    assert report.findings == []
    assert dict(report.facts) == {
        "record": "record.json",
        "protocol": "light (9f2c51ab)",
        "split": "test",
        "views": "2: a, b",
        "references": f"{WIDTH}x{HEIGHT}, as given",
        "in": "gt",
        "masks": "none",
        "renders": "the files that were given",
        "command": "nvs-eval score 'our s'",
    }


def test_a_record_of_training_views() -> None:
    (said,) = texts(said_of(scored(split="train")), doubtful=True)
    assert said.startswith("The views are those that were trained on: ")


def test_a_record_with_one_image_twice() -> None:
    report = said_of(scored({"a": 1, "b": 2, "c": 1}))
    assert texts(report, doubtful=True) == ["Views of one image count twice in every mean: a and c."]


def test_a_record_whose_reference_changed() -> None:
    result = scored()
    save_png(Path("gt/b.png"), image(3))
    assert texts(said_of(result), doubtful=True) == ["1 of 2 references is no longer what was scored: b."]


def test_a_record_whose_reference_is_gone() -> None:
    result = scored()
    Path("gt/b.png").unlink()
    report = said_of(result)
    assert texts(report) == ["1 of 2 references is gone, so that nothing can be scored against it again: gt/b.png."]
    assert not report.findings[0].doubtful


def test_a_record_that_names_no_files() -> None:
    result = with_rows(scored(), lambda each: replace(each, reference=None, render=None))
    report = said_of(result)
    (said,) = texts(report)
    assert said.startswith("All 2 references are known by sha256 only")
    assert dict(report.facts)["renders"] == "not kept"
    assert "in" not in dict(report.facts)


def test_a_record_whose_renders_are_gone() -> None:
    result = scored()
    Path("ours/a.png").unlink()
    assert texts(said_of(result)) == ["1 of 2 renders is gone: ours/a.png."]


def test_a_record_whose_masks_are_gone() -> None:
    result = with_rows(scored(), lambda each: replace(each, coverage=0.5, mask=f"masks/{each.name}.png"))
    save_png(Path("masks/a.png"), image(9))
    assert texts(said_of(result)) == ["1 of 2 masks is gone: masks/b.png."]


def test_a_record_of_odd_values_is_still_reported() -> None:
    definition = {**DEFINITION, "quantise": "round", "alpha": 3}
    protocol = {"name": "odd", "definition": definition, "fingerprint": "9f2c51ab"}
    provenance = {"left_out": ["c"], "command": "score", "reading": [], "kept_renders": "as scored"}
    result = with_rows(scored(protocol=protocol, provenance=provenance), lambda each: replace(each, render="a\0b"))
    assert texts(said_of(result)) == ["All 2 renders are gone: a\0b, a\0b."]


def test_a_record_with_jpeg_references_whatever_they_are_called() -> None:
    result = scored({"a": 1})
    bitmap(1).save("gt/a.png", format="JPEG")
    same = with_rows(result, lambda each: replace(each, reference_sha256=sha256_of_image(load_image(Path("gt/a.png")))))
    report = said_of(same)
    assert texts(report, doubtful=True) == ["References are of another format than their names say: a.png is JPEG."]
    assert texts(report, doubtful=False)[0].startswith("The one reference is JPEG: ")


def test_a_record_of_floats() -> None:
    result = scored({"a": 1})
    save_npy(Path("gt/a.npy"), image(1))
    report = said_of(with_rows(result, lambda each: replace(each, reference="gt/a.npy")))
    assert texts(report) == []


def test_a_record_of_images_of_several_sizes() -> None:
    result = scored()
    result = replace(result, views=[result.views[0], replace(result.views[1], width=24)])
    (said,) = texts(said_of(result))
    assert said.startswith("The references are of 2 sizes: ")


def rgba_record(reading: Any) -> Record:
    """A record of one RGBA reference, over white."""
    bitmap(1, channels=4).save("alpha.png")
    white = load_image(Path("alpha.png"), Reading(background=(1.0, 1.0, 1.0)))
    result = with_rows(
        scored({"a": 1}), lambda each: replace(each, reference="alpha.png", reference_sha256=sha256_of_image(white))
    )
    return replace(result, provenance={"nvs_eval": "0.1.0", **reading})


def test_references_are_read_as_the_record_says() -> None:
    said = {"background": [1.0, 1.0, 1.0], "grey_to_rgb": False, "exr": None}
    assert texts(said_of(rgba_record({"reading": said}))) == []
    black = {**said, "background": [0, 0, 0]}
    assert texts(said_of(rgba_record({"reading": black})), doubtful=True) == [
        "The one reference is no longer what was scored: a."
    ]


@pytest.mark.parametrize("reading", [{}, {"reading": None}, {"reading": {"background": "white", "exr": 3}}])
def test_references_that_cannot_be_read_are_information(reading: Any) -> None:
    (said,) = texts(said_of(rgba_record(reading)), doubtful=False)
    assert said.startswith(
        "The one reference is not to be compared with what was scored: alpha.png has an alpha channel"
    )


def test_views_that_were_left_out() -> None:
    report = said_of(scored(provenance={"left_out": {"c": "its mask is empty"}}))
    assert texts(report, doubtful=True) == [
        "Not every view was scored, so that the means are of the others. Left out: c (its mask is empty)."
    ]
    assert texts(said_of(scored(provenance={"left_out": {}}))) == []


def test_the_extremes_of_coverage() -> None:
    coverage = {"a": 0.5, "b": 0.25}
    report = said_of(with_rows(scored(), lambda each: replace(each, coverage=coverage[each.name])))
    assert texts(report) == []
    assert dict(report.facts)["masks"] == "2 of 2 views, valid-pixels: 25.0% (b) to 50.0% (a) count"
    few = said_of(with_rows(scored(), lambda each: replace(each, coverage={"a": 0.5, "b": 0.0012}[each.name])))
    assert texts(few, doubtful=True) == ["Masks leave few pixels to score, so that these scores say little: b (0.12%)."]


@pytest.mark.parametrize(
    ("kept", "finding", "fact"),
    [
        ("as scored", [], "kept as scored"),
        ("none", ["The renders were not kept: nothing can be scored again."], "not kept"),
        (
            "8-bit copies of what was scored",
            ["The renders are kept as 8-bit copies of what was scored: scoring them again gives other numbers."],
            "kept as 8-bit copies of what was scored",
        ),
    ],
)
def test_what_was_kept_of_the_renders(kept: str, finding: list[str], fact: str) -> None:
    report = said_of(scored(provenance={"kept_renders": kept}))
    assert texts(report) == finding
    assert dict(report.facts)["renders"] == fact
    assert "copies made in rendering" in dict(report.facts)["references"]


@pytest.mark.parametrize("protocol", [LIGHT, HALF], ids=["references rounded", "references as they are"])
@pytest.mark.parametrize("between", [True, False], ids=["between the levels", "on the levels"])
def test_a_reference_kept_by_a_run_may_be_a_copy_in_8_bits(protocol: str, between: bool) -> None:
    """What `run` keeps of a reference between the levels is another image by right, and no sign of a change."""
    step = 0.3 / 255 if between else 0
    checkpoint = FakeCheckpoint(
        1, views=("a", "b"), references=lambda index: (image(index) * 0.9 * 255).round() / 255 + step
    )
    (result,) = evaluate_checkpoints([checkpoint], Path("out"), protocol)
    file = record_file(result, Path("out"))
    report = inspect_record(file)
    assert texts(report, doubtful=True) == []
    copies = [text for text in texts(report) if "not to the last bit" in text]
    assert len(copies) == between
    # A change is one where a copy is none by right.
    (reference,) = Path("out").rglob("references/*/b.png")
    save_png(reference, image(7))
    changed = texts(inspect_record(file), doubtful=True)
    assert changed == (
        ["1 of 2 references is no longer what was scored: b."] if protocol == HALF and not between else []
    )


# --- The function -----------------------------------------------------------------------------------------------------


def test_inspect_returns_reports_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_record(Path("record.json"), scored())
    (report,) = inspect("record.json")
    assert report == inspect_record(Path("record.json"))
    assert inspect([Path("record.json")] * 2) == [report, report]
    assert capsys.readouterr() == ("", "")
