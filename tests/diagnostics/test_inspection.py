"""What `inspect` says of the references of a run and of a record: each finding where it is due, and not elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.protocols import HALF, LIGHT
from support.records import record, row
from support.scenes import HEIGHT, WIDTH, image

from nvs_eval.cli import main
from nvs_eval.diagnostics.inspection import DataView, Finding, Inspection, RunData, find_inspector, of_all
from nvs_eval.diagnostics.inspection import data as data_module
from nvs_eval.diagnostics.inspection.data import inspect_data
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, load_image, save_npy, save_png
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import Record, ViewRow, record_file, write_record

ENTRY_POINTS = "nvs_eval.system.plugins.entry_points"
SIZE = (WIDTH, HEIGHT)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts(report: Inspection, *, doubtful: bool | None = None) -> list[str]:
    return [each.text for each in report.findings if doubtful is None or each.doubtful is doubtful]


def noise(seed: int, size: tuple[int, int] = SIZE, channels: int = 3) -> Image.Image:
    """Noise as an image of PIL, so that any format can be made of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def put(name: str, picture: Image.Image, **options: Any) -> Path:
    """An image file, of the format that its name says unless the options say another."""
    path = Path("images") / name
    path.parent.mkdir(exist_ok=True)
    picture.save(path, **options)
    return path


# --- A run's data ---------------------------------------------------------------------------------------------------


def view(file: Path, size: tuple[int, int] = SIZE, mask: Path | None = None) -> DataView:
    return DataView(file.stem, file, size, mask)


def run_data(held_out: Sequence[DataView], training: Sequence[DataView] = (), **changes: Any) -> RunData:
    values: dict[str, Any] = {
        "name": "fox/nerfacto/base",
        "config": Path("config.yml"),
        "data": Path(),
        "parser": "Nerfstudio",
        "rule": "interval 8",
        "training": training or [view(put("t1.png", noise(101))), view(put("t2.png", noise(102)))],
        "held_out": held_out,
        "alpha": "each method does as it likes",
    }
    return RunData(**{**values, **changes})


def clean() -> list[DataView]:
    """Two held-out views of which there is nothing to say."""
    return [view(put("a.png", noise(1))), view(put("b.png", noise(2)))]


def test_there_is_nothing_to_say_of_what_is_in_order() -> None:
    report = inspect_data(run_data(clean()))
    assert report.title == "fox/nerfacto/base"
    assert report.findings == []
    assert dict(report.facts) == {
        "config": "config.yml",
        "data": "., read by Nerfstudio",
        "split": "interval 8",
        "training": "2 views",
        "held out": "2 of 4: a, b",
        "references": f"PNG, {WIDTH}x{HEIGHT}",
        "masks": "none with the held-out views",
        "compared": "files, bytes and pixels; near duplicates are not looked for",
    }


def test_no_view_held_out() -> None:
    report = inspect_data(run_data([]))
    assert texts(report) == ["No view is held out: there is nothing to evaluate but the training views."]
    assert dict(report.facts)["held out"] == "none"


def test_every_view_that_is_evaluated_was_trained_on() -> None:
    views = clean()
    (said,) = texts(inspect_data(run_data(views, training=[*views, view(put("c.png", noise(3)))])), doubtful=True)
    assert said.startswith("Every view that is evaluated was trained on: ")


def test_a_held_out_view_in_the_training_list_by_whatever_path() -> None:
    views = clean()
    again = DataView("images/../images/b.png", Path("images/../images/b.png"), SIZE)
    report = inspect_data(run_data(views, training=[again, view(put("c.png", noise(3)))]))
    assert texts(report) == ["1 of 2 held-out views is in the training list, too: b."]


def test_a_copy_of_a_held_out_view_in_the_training_list_by_its_bytes() -> None:
    views = clean()
    Path("images/c.png").write_bytes(Path("images/b.png").read_bytes())
    report = inspect_data(run_data(views, training=[view(Path("images/c.png")), view(put("d.png", noise(3)))]))
    assert texts(report) == ["1 of 2 held-out views is trained on under another name: b (c, the same bytes)."]
    assert report.findings[0].doubtful


def test_a_copy_of_a_held_out_view_in_the_training_list_by_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    views = clean()
    run = run_data(views, training=[view(put("c.png", noise(2), dpi=(72, 72))), view(put("d.png", noise(3)))])
    assert Path("images/c.png").stat().st_size != Path("images/b.png").stat().st_size
    report = inspect_data(run)
    assert texts(report) == ["1 of 2 held-out views is trained on under another name: b (c, the same pixels)."]
    # Not where that would take long, which is said.
    monkeypatch.setattr(data_module, "CHEAP_PIXELS", 4 * WIDTH * HEIGHT - 1)
    report = inspect_data(run)
    assert texts(report) == []
    assert dict(report.facts)["compared"].startswith("files and bytes; pixels not, ")


def test_files_of_one_length_are_not_taken_for_copies() -> None:
    views = [view(put("a.bmp", noise(1))), view(put("b.bmp", noise(2)))]
    report = inspect_data(run_data(views, training=[view(put("c.bmp", noise(3)))]))
    assert len({path.stat().st_size for path in Path("images").iterdir()}) == 1
    assert texts(report) == []


def test_an_image_that_is_held_out_twice() -> None:
    twice = [*clean(), view(put("c.png", noise(1), dpi=(72, 72))), DataView("a2", Path("images/a.png"), SIZE)]
    assert texts(inspect_data(run_data(twice)), doubtful=True) == [
        "Held-out views of one image count twice in every mean: a and c (the same pixels), a and a2 (the same file)."
    ]


def test_alike_but_for_their_alpha_is_not_alike() -> None:
    opaque = noise(1)
    sheer = opaque.copy()
    sheer.putalpha(128)
    report = inspect_data(run_data([view(put("a.png", opaque)), view(put("b.png", sheer))]))
    assert texts(report, doubtful=True) == []


def test_pixels_of_16_bits_are_compared_as_they_are() -> None:
    for name, level in (("a", 60_000), ("b", 50_000)):
        put(f"{name}.png", Image.fromarray(np.full((HEIGHT, WIDTH), level, dtype=np.uint16)))
    views = [view(Path("images/a.png")), view(Path("images/b.png"))]
    assert texts(inspect_data(run_data(views))) == []


def test_a_palette_is_compared_by_its_colours() -> None:
    plain = noise(1).quantize(16)
    views = [view(put("a.png", plain)), view(put("b.png", plain.remap_palette(list(range(15, -1, -1)))))]
    assert texts(inspect_data(run_data(views))) == [
        "Held-out views of one image count twice in every mean: a and b (the same pixels)."
    ]


def test_missing_and_unreadable_images() -> None:
    Path("images").mkdir()
    Path("images/broken.png").write_bytes(b"no image")
    lost = [*clean(), view(Path("images/gone.png")), view(Path("images/broken.png"))]
    assert texts(inspect_data(run_data(lost)), doubtful=True) == [
        "1 of 4 held-out images is missing: images/gone.png.",
        "1 of 4 held-out images is unreadable: images/broken.png cannot be read as an image: it is empty, damaged or "
        "of another format.",
    ]
    assert texts(inspect_data(run_data(clean(), training=lost[2:3]))) == [
        "The one training image is missing: images/gone.png."
    ]


def test_damaged_pixels_are_no_ones_copy() -> None:
    whole = put("a.png", noise(1)).read_bytes()
    for name in ("b.png", "c.png"):
        (Path("images") / name).write_bytes(whole[: len(whole) // (2 if name == "b.png" else 3)])
    assert texts(inspect_data(run_data([view(Path("images/b.png")), view(Path("images/c.png"))]))) == []


def test_an_image_that_is_not_of_its_cameras_size() -> None:
    small = view(put("c.png", noise(3, (24, 20))))
    report = inspect_data(run_data([*clean(), small]))
    assert texts(report, doubtful=True) == [
        f"1 of 3 held-out images is not of the camera's size: c is 24x20, its camera {WIDTH}x{HEIGHT}."
    ]
    report = inspect_data(run_data(clean(), training=[small]))
    assert texts(report) == [
        f"The one training image is not of the camera's size: c is 24x20, its camera {WIDTH}x{HEIGHT}."
    ]


def test_references_of_several_sizes() -> None:
    report = inspect_data(run_data([*clean(), view(put("c.png", noise(3, (24, 20))), (24, 20))]))
    assert texts(report) == [
        f"The references are of 2 sizes: 2 of {WIDTH}x{HEIGHT}, 1 of 24x20. In a mean each view counts as one, "
        "whatever its size."
    ]
    assert not report.findings[0].doubtful
    assert dict(report.facts)["references"] == f"PNG, 24x20 to {WIDTH}x{HEIGHT}"


def test_references_that_are_jpeg() -> None:
    report = inspect_data(run_data([view(put("a.jpg", noise(1))), view(put("b.JPG", noise(2)))]))
    (said,) = texts(report, doubtful=False)
    assert said.startswith("All 2 references are JPEG: what the compression changed counts as truth, ")
    assert dict(report.facts)["references"] == f"JPEG, {WIDTH}x{HEIGHT}"
    # Those that are trained on do not matter to a score.
    assert texts(inspect_data(run_data(clean(), training=[view(put("c.jpg", noise(3)))]))) == []


def test_references_of_several_formats() -> None:
    report = inspect_data(run_data([*clean(), view(put("c.jpg", noise(3)))]))
    jpeg, mixed = texts(report)
    assert jpeg.startswith("1 of 3 references is JPEG (c): ")
    assert mixed == "The references are of several formats (1 JPEG, 2 PNG): their errors are not alike."


def test_jpeg_under_the_name_of_png() -> None:
    report = inspect_data(run_data([view(put("a.png", noise(1), format="JPEG"))]))
    assert texts(report, doubtful=True) == ["References are of another format than their names say: a.png is JPEG."]
    assert texts(report, doubtful=False)[0].startswith("The one reference is JPEG: ")
    # Doubts come first, whatever was looked at first.
    assert [finding.doubtful for finding in report.findings] == [True, False]


def test_references_with_alpha() -> None:
    report = inspect_data(run_data([*clean(), view(put("c.png", noise(3, channels=4)))]))
    assert texts(report) == ["1 of 3 references has an alpha channel (c): each method does as it likes."]


def test_masks_that_fit_and_masks_that_do_not() -> None:
    mask, small = put("mask.png", noise(9).convert("L")), put("small.png", noise(9, (24, 20)).convert("L"))
    first, second = clean()
    fits = inspect_data(run_data([replace(first, mask=mask), second]))
    assert texts(fits) == []
    assert dict(fits.facts)["masks"].startswith("1 of 2 held-out views have one; ")
    wrong = [replace(first, mask=small), replace(second, mask=Path("images/gone.png"))]
    assert texts(inspect_data(run_data(wrong)), doubtful=True) == [
        f"Masks that do not fit: that of a is 24x20, its camera {WIDTH}x{HEIGHT}, images/gone.png cannot be read as an "
        "image: No such file or directory."
    ]


def test_what_a_plugin_says_of_the_preparation_is_passed_on() -> None:
    report = inspect_data(run_data(clean(), preparation=["The images are resized."]))
    assert report.findings == [Finding("The images are resized.", doubtful=False)]


def test_how_many_of_how_many_is_said_in_words() -> None:
    assert of_all(2, 5, "view", "have") == "2 of 5 views have"
    assert of_all(1, 5, "view", "have") == "1 of 5 views has"


# --- A record -------------------------------------------------------------------------------------------------------

DEFINITION = {"alpha": "composite", "quantise": {"reference": "round"}, "mask": "valid-pixels", "round_means": None}


def scored(seeds: dict[str, int] | None = None, **changes: Any) -> Record:
    """The record of a folder of PNGs, which it writes."""
    rows = []
    for name, seed in (seeds or {"a": 1, "b": 2}).items():
        for folder in ("gt", "ours"):
            save_png(Path(folder) / f"{name}.png", image(seed))
        rows.append(
            replace(
                row(name, psnr=20.0),
                reference=f"gt/{name}.png",
                render=f"ours/{name}.png",
                reference_sha256=sha256_of_image(image(seed)),
            )
        )
    protocol = {"name": "light", "definition": DEFINITION, "fingerprint": "9f2c51ab"}
    return record(rows, **{"protocol": protocol, **changes})


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
    noise(1).save("gt/a.png", format="JPEG")
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
    noise(1, channels=4).save("alpha.png")
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
def test_references_that_cannot_be_read_without_more_are_said_to_be_so(reading: Any) -> None:
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
def test_a_reference_that_was_rendered_beside_may_be_a_copy_in_8_bits(protocol: str, between: bool) -> None:
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


# --- The command ----------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*args: str) -> Said:
        capsys.readouterr()
        code = main(["inspect", *args])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


class Entry(NamedTuple):
    name: str
    inspect: Callable[..., RunData]
    dist: Any = None

    def load(self) -> Callable[..., RunData]:
        return self.inspect


def plugin(monkeypatch: pytest.MonkeyPatch, inspect: Callable[..., RunData]) -> None:
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", inspect)])


def test_reports_of_runs_and_records(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def inspect(path: Path, *, data: Path | None) -> RunData:
        asked.append((path, data))
        views = [view(put("a.jpg", noise(1), format="PNG"))]
        return run_data(views, config=path, name="fox\x1b[31m", training=[view(put("t.png", noise(101)))])

    plugin(monkeypatch, inspect)
    write_record(Path("record.json"), scored())
    Path("config.yml").touch()
    said = cli("config.yml", "record.json", "--data", "elsewhere")
    assert (said.code, said.err) == (0, "")
    assert asked == [(Path("config.yml"), Path("elsewhere"))]
    assert said.out.splitlines()[:12] == [
        "fox\\x1b[31m",
        "! References are of another format than their names say: a.jpg is PNG.",
        "config     config.yml",
        "data       ., read by Nerfstudio",
        "split      interval 8",
        "training   1 view",
        "held out   1 of 2: a",
        f"references PNG, {WIDTH}x{HEIGHT}",
        "masks      none with the held-out views",
        "compared   files, bytes and pixels; near duplicates are not looked for",
        "",
        "fox/nerfacto",
    ]
    assert said.out.splitlines()[12] == "· Nothing was found that makes the numbers doubtful."


def test_a_terminal_has_the_text_folded_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    for name, value in {"TERM": "xterm", "COLUMNS": "50", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    write_record(Path("record.json"), scored(split="train"))
    assert main(["inspect", "record.json"]) == 0
    lines = [line.rstrip() for line in terminal.getvalue().splitlines()]
    assert lines[1:3] == [
        "! The views are those that were trained on: the",
        "  scores say how well training images are",
    ]


def test_wrong_input_is_said_to_be_so(cli: Callable[..., Said]) -> None:
    needed = "the config.yml of a nerfstudio run, or a record (.json), is needed"
    Path("run").mkdir()
    Path("image.png").touch()
    Path("results.json").write_text("{}")
    cases = {
        ("gone.yml",): f"There is no file gone.yml: {needed}.",
        ("run",): f"run is a folder, and {needed}.",
        ("image.png",): f"image.png is neither of what can be inspected: {needed}.",
        ("results.json",): "results.json is not a record of nvs-eval: it has no schema_version.",
        (): "Nothing was given to inspect: say the config.yml of a run, or a record.",
        ("results.json", "--data", "x"): (
            "--data says where the data of a run lies, and no config.yml of a run was given."
        ),
    }
    for given, message in cases.items():
        assert cli(*given) == (2, "", f"Error: {message}\n")
    Path("run/config.yml").touch()
    assert cli("run").err == f"Error: run is a folder, and {needed}: say run/config.yml.\n"


def test_nothing_is_printed_before_all_was_read(cli: Callable[..., Said]) -> None:
    write_record(Path("record.json"), scored())
    said = cli("record.json", "gone.json")
    assert (said.code, said.out) == (2, "")


def test_the_plugin_is_missing_or_broken(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yml").touch()
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [])
    assert cli("config.yml").err == "Error: Unknown inspector 'nerfstudio'. Known: none.\n"

    class Broken(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise ImportError("No module named 'something'")

    class Distribution(NamedTuple):
        name: str

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Broken("nerfstudio", Distribution("a-plugin"))])
    with pytest.raises(InputError, match="'nerfstudio' of a-plugin cannot be loaded: No module named 'something'"):
        find_inspector("nerfstudio")
