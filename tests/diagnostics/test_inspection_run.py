"""The report on a trained run: each finding where it is due, and not elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.inspecting import SIZE, put, run_data, texts, view
from support.scenes import HEIGHT, WIDTH, bitmap

from nvs_eval.diagnostics.inspection import DataView, Finding
from nvs_eval.diagnostics.inspection import run as run_module
from nvs_eval.diagnostics.inspection.findings import of_all
from nvs_eval.diagnostics.inspection.run import inspect_run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clean() -> list[DataView]:
    """Two held-out views of which there is nothing to say."""
    return [view(put("a.png", bitmap(1))), view(put("b.png", bitmap(2)))]


def test_there_is_nothing_to_say_of_what_is_in_order() -> None:
    report = inspect_run(run_data(clean()))
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
    report = inspect_run(run_data([]))
    assert texts(report) == ["No view is held out: there is nothing to evaluate but the training views."]
    assert dict(report.facts)["held out"] == "none"


def test_every_view_that_is_evaluated_was_trained_on() -> None:
    views = clean()
    (said,) = texts(inspect_run(run_data(views, training=[*views, view(put("c.png", bitmap(3)))])), doubtful=True)
    assert said.startswith("Every view that is evaluated was trained on: ")


def test_a_held_out_view_in_the_training_list_by_whatever_path() -> None:
    views = clean()
    again = DataView("images/../images/b.png", Path("images/../images/b.png"), SIZE)
    report = inspect_run(run_data(views, training=[again, view(put("c.png", bitmap(3)))]))
    assert texts(report) == ["1 of 2 held-out views is in the training list, too: b."]


def test_a_copy_in_the_training_list_by_its_bytes() -> None:
    views = clean()
    Path("images/c.png").write_bytes(Path("images/b.png").read_bytes())
    report = inspect_run(run_data(views, training=[view(Path("images/c.png")), view(put("d.png", bitmap(3)))]))
    assert texts(report) == ["1 of 2 held-out views is trained on under another name: b (c, the same bytes)."]
    assert report.findings[0].doubtful


def test_a_copy_in_the_training_list_by_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    views = clean()
    run = run_data(views, training=[view(put("c.png", bitmap(2), dpi=(72, 72))), view(put("d.png", bitmap(3)))])
    assert Path("images/c.png").stat().st_size != Path("images/b.png").stat().st_size
    report = inspect_run(run)
    assert texts(report) == ["1 of 2 held-out views is trained on under another name: b (c, the same pixels)."]
    # Not where that would take long, which is said.
    monkeypatch.setattr(run_module, "CHEAP_PIXELS", 4 * WIDTH * HEIGHT - 1)
    report = inspect_run(run)
    assert texts(report) == []
    assert dict(report.facts)["compared"].startswith("files and bytes; pixels not, ")


def test_files_of_one_length_are_not_taken_for_copies() -> None:
    views = [view(put("a.bmp", bitmap(1))), view(put("b.bmp", bitmap(2)))]
    report = inspect_run(run_data(views, training=[view(put("c.bmp", bitmap(3)))]))
    assert len({path.stat().st_size for path in Path("images").iterdir()}) == 1
    assert texts(report) == []


def test_an_image_that_is_held_out_twice() -> None:
    twice = [*clean(), view(put("c.png", bitmap(1), dpi=(72, 72))), DataView("a2", Path("images/a.png"), SIZE)]
    assert texts(inspect_run(run_data(twice)), doubtful=True) == [
        "Held-out views of one image count twice in every mean: a and c (the same pixels), a and a2 (the same file)."
    ]


def test_alike_but_for_their_alpha_is_not_alike() -> None:
    opaque = bitmap(1)
    sheer = opaque.copy()
    sheer.putalpha(128)
    report = inspect_run(run_data([view(put("a.png", opaque)), view(put("b.png", sheer))]))
    assert texts(report, doubtful=True) == []


def test_pixels_of_16_bits_are_compared_as_they_are() -> None:
    for name, level in (("a", 60_000), ("b", 50_000)):
        put(f"{name}.png", Image.fromarray(np.full((HEIGHT, WIDTH), level, dtype=np.uint16)))
    views = [view(Path("images/a.png")), view(Path("images/b.png"))]
    assert texts(inspect_run(run_data(views))) == []


def test_a_palette_is_compared_by_its_colours() -> None:
    plain = bitmap(1).quantize(16)
    views = [view(put("a.png", plain)), view(put("b.png", plain.remap_palette(list(range(15, -1, -1)))))]
    assert texts(inspect_run(run_data(views))) == [
        "Held-out views of one image count twice in every mean: a and b (the same pixels)."
    ]


def test_missing_and_unreadable_images() -> None:
    Path("images").mkdir()
    Path("images/broken.png").write_bytes(b"no image")
    lost = [*clean(), view(Path("images/gone.png")), view(Path("images/broken.png"))]
    assert texts(inspect_run(run_data(lost)), doubtful=True) == [
        "1 of 4 held-out images is missing: images/gone.png.",
        "1 of 4 held-out images is unreadable: images/broken.png cannot be read as an image: it is empty, damaged or "
        "of another format.",
    ]
    assert texts(inspect_run(run_data(clean(), training=lost[2:3]))) == [
        "The one training image is missing: images/gone.png."
    ]


def test_damaged_pixels_are_no_ones_copy() -> None:
    whole = put("a.png", bitmap(1)).read_bytes()
    for name in ("b.png", "c.png"):
        (Path("images") / name).write_bytes(whole[: len(whole) // (2 if name == "b.png" else 3)])
    assert texts(inspect_run(run_data([view(Path("images/b.png")), view(Path("images/c.png"))]))) == []


def test_an_image_that_is_not_of_its_cameras_size() -> None:
    small = view(put("c.png", bitmap(3, (24, 20))))
    report = inspect_run(run_data([*clean(), small]))
    assert texts(report, doubtful=True) == [
        f"1 of 3 held-out images is not of the camera's size: c is 24x20, its camera {WIDTH}x{HEIGHT}."
    ]
    report = inspect_run(run_data(clean(), training=[small]))
    assert texts(report) == [
        f"The one training image is not of the camera's size: c is 24x20, its camera {WIDTH}x{HEIGHT}."
    ]


def test_references_of_several_sizes() -> None:
    report = inspect_run(run_data([*clean(), view(put("c.png", bitmap(3, (24, 20))), (24, 20))]))
    assert texts(report) == [
        f"The references are of 2 sizes: 2 of {WIDTH}x{HEIGHT}, 1 of 24x20. In a mean each view counts as one, "
        "whatever its size."
    ]
    assert not report.findings[0].doubtful
    assert dict(report.facts)["references"] == f"PNG, 24x20 to {WIDTH}x{HEIGHT}"


def test_references_that_are_jpeg() -> None:
    report = inspect_run(run_data([view(put("a.jpg", bitmap(1))), view(put("b.JPG", bitmap(2)))]))
    (said,) = texts(report, doubtful=False)
    assert said.startswith("All 2 references are JPEG: what the compression changed counts as truth, ")
    assert dict(report.facts)["references"] == f"JPEG, {WIDTH}x{HEIGHT}"
    # Those that are trained on do not matter to a score.
    assert texts(inspect_run(run_data(clean(), training=[view(put("c.jpg", bitmap(3)))]))) == []


def test_references_of_several_formats() -> None:
    report = inspect_run(run_data([*clean(), view(put("c.jpg", bitmap(3)))]))
    jpeg, mixed = texts(report)
    assert jpeg.startswith("1 of 3 references is JPEG (c): ")
    assert mixed == "The references are of several formats (1 JPEG, 2 PNG): their errors are not alike."


def test_jpeg_under_the_name_of_png() -> None:
    report = inspect_run(run_data([view(put("a.png", bitmap(1), format="JPEG"))]))
    assert texts(report, doubtful=True) == ["References are of another format than their names say: a.png is JPEG."]
    assert texts(report, doubtful=False)[0].startswith("The one reference is JPEG: ")
    # Doubts come first, whatever was looked at first.
    assert [finding.doubtful for finding in report.findings] == [True, False]


def test_references_with_alpha() -> None:
    report = inspect_run(run_data([*clean(), view(put("c.png", bitmap(3, channels=4)))]))
    assert texts(report) == ["1 of 3 references has an alpha channel (c): each method does as it likes."]


def test_masks_that_fit_and_masks_that_do_not() -> None:
    mask, small = put("mask.png", bitmap(9).convert("L")), put("small.png", bitmap(9, (24, 20)).convert("L"))
    first, second = clean()
    fits = inspect_run(run_data([replace(first, mask=mask), second]))
    assert texts(fits) == []
    assert dict(fits.facts)["masks"].startswith("1 of 2 held-out views have one; ")
    wrong = [replace(first, mask=small), replace(second, mask=Path("images/gone.png"))]
    assert texts(inspect_run(run_data(wrong)), doubtful=True) == [
        f"Masks that do not fit: that of a is 24x20, its camera {WIDTH}x{HEIGHT}, images/gone.png cannot be read as an "
        "image: No such file or directory."
    ]


def test_what_a_plugin_says_of_the_preparation_is_passed_on() -> None:
    report = inspect_run(run_data(clean(), preparation=["The images are resized."]))
    assert report.findings == [Finding("The images are resized.", doubtful=False)]


def test_how_many_of_how_many_is_said_in_words() -> None:
    assert of_all(2, 5, "view", "have") == "2 of 5 views have"
    assert of_all(1, 5, "view", "have") == "1 of 5 views has"
