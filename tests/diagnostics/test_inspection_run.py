"""Report on a trained run: every finding appears when it should, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.inspecting import SIZE, put, run_data, texts, view
from support.pinned import Pinned
from support.profiles import exif_data, icc_profile
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
    """Return two held-out views without findings."""
    return [view(put("a.png", bitmap(1))), view(put("b.png", bitmap(2)))]


def test_trained_run_without_findings(pinned: Pinned) -> None:
    report = inspect_run(run_data(clean()))
    assert report.title == "fox/nerfacto/base"
    assert report.findings == []
    assert dict(report.facts)["references"] == f"PNG, {WIDTH}x{HEIGHT}"
    pinned("inspect", "\n".join(f"{label}: {text}" for label, text in report.facts))


def test_no_view_held_out(pinned: Pinned) -> None:
    report = inspect_run(run_data([]))
    (finding,) = texts(report)
    pinned("inspect", finding)
    assert dict(report.facts)["held out"] == "none"


def test_every_evaluated_view_is_a_training_view(pinned: Pinned) -> None:
    views = clean()
    (finding,) = texts(inspect_run(run_data(views, training=[*views, view(put("c.png", bitmap(3)))])), doubtful=True)
    pinned("inspect", finding)


def test_held_out_view_in_the_training_list_by_another_path(pinned: Pinned) -> None:
    views = clean()
    again = DataView("images/../images/b.png", Path("images/../images/b.png"), SIZE)
    report = inspect_run(run_data(views, training=[again, view(put("c.png", bitmap(3)))]))
    (finding,) = texts(report)
    pinned("inspect", finding)


def test_copy_in_the_training_list_by_bytes(pinned: Pinned) -> None:
    views = clean()
    Path("images/c.png").write_bytes(Path("images/b.png").read_bytes())
    report = inspect_run(run_data(views, training=[view(Path("images/c.png")), view(put("d.png", bitmap(3)))]))
    (finding,) = texts(report)
    pinned("inspect", finding)
    assert report.findings[0].doubtful


def test_copy_in_the_training_list_by_pixels(monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    views = clean()
    run = run_data(views, training=[view(put("c.png", bitmap(2), dpi=(72, 72))), view(put("d.png", bitmap(3)))])
    assert Path("images/c.png").stat().st_size != Path("images/b.png").stat().st_size
    report = inspect_run(run)
    (finding,) = texts(report)
    assert finding.endswith(": b (c, the same pixels).")
    # Many pixels are not compared, and the report says so.
    monkeypatch.setattr(run_module, "CHEAP_PIXELS", 4 * WIDTH * HEIGHT - 1)
    report = inspect_run(run)
    assert texts(report) == []
    pinned("inspect", dict(report.facts)["compared"])


def test_files_of_the_same_length_are_not_copies() -> None:
    views = [view(put("a.bmp", bitmap(1))), view(put("b.bmp", bitmap(2)))]
    report = inspect_run(run_data(views, training=[view(put("c.bmp", bitmap(3)))]))
    assert len({path.stat().st_size for path in Path("images").iterdir()}) == 1
    assert texts(report) == []


def test_image_that_is_held_out_twice(pinned: Pinned) -> None:
    twice = [*clean(), view(put("c.png", bitmap(1), dpi=(72, 72))), DataView("a2", Path("images/a.png"), SIZE)]
    (finding,) = texts(inspect_run(run_data(twice)), doubtful=True)
    pinned("inspect", finding)


def test_images_that_differ_only_in_alpha_are_not_copies() -> None:
    opaque = bitmap(1)
    transparent = opaque.copy()
    transparent.putalpha(128)
    report = inspect_run(run_data([view(put("a.png", opaque)), view(put("b.png", transparent))]))
    assert texts(report, doubtful=True) == []


def test_pixels_with_16_bits_are_compared_without_clipping() -> None:
    for name, level in (("a", 60_000), ("b", 50_000)):
        put(f"{name}.png", Image.fromarray(np.full((HEIGHT, WIDTH), level, dtype=np.uint16)))
    views = [view(Path("images/a.png")), view(Path("images/b.png"))]
    assert texts(inspect_run(run_data(views))) == []


def test_palettes_are_compared_by_colour() -> None:
    plain = bitmap(1).quantize(16)
    views = [view(put("a.png", plain)), view(put("b.png", plain.remap_palette(list(range(15, -1, -1)))))]
    (finding,) = texts(inspect_run(run_data(views)))
    assert finding.endswith(": a and b (the same pixels).")


def test_missing_and_unreadable_images(pinned: Pinned) -> None:
    Path("images").mkdir()
    Path("images/broken.png").write_bytes(b"no image")
    views = [*clean(), view(Path("images/gone.png")), view(Path("images/broken.png"))]
    pinned("inspect", "\n".join(texts(inspect_run(run_data(views)), doubtful=True)))
    pinned("inspect", "\n".join(texts(inspect_run(run_data(clean(), training=views[2:3])))))


def test_damaged_images_are_not_copies() -> None:
    intact = put("a.png", bitmap(1)).read_bytes()
    for name in ("b.png", "c.png"):
        (Path("images") / name).write_bytes(intact[: len(intact) // (2 if name == "b.png" else 3)])
    assert texts(inspect_run(run_data([view(Path("images/b.png")), view(Path("images/c.png"))]))) == []


def test_image_whose_size_is_not_the_cameras(pinned: Pinned) -> None:
    small = view(put("c.png", bitmap(3, (24, 20))))
    report = inspect_run(run_data([*clean(), small]))
    (finding,) = texts(report, doubtful=True)
    pinned("inspect", finding)
    (finding,) = texts(inspect_run(run_data(clean(), training=[small])))
    pinned("inspect", finding)


def test_references_of_several_sizes(pinned: Pinned) -> None:
    report = inspect_run(run_data([*clean(), view(put("c.png", bitmap(3, (24, 20))), (24, 20))]))
    (finding,) = texts(report)
    pinned("inspect", finding)
    assert not report.findings[0].doubtful
    assert dict(report.facts)["references"] == f"PNG, 24x20 to {WIDTH}x{HEIGHT}"


def test_references_that_are_jpeg(pinned: Pinned) -> None:
    report = inspect_run(run_data([view(put("a.jpg", bitmap(1))), view(put("b.JPG", bitmap(2)))]))
    (finding,) = texts(report, doubtful=False)
    pinned("inspect", finding)
    assert dict(report.facts)["references"] == f"JPEG, {WIDTH}x{HEIGHT}"
    # Formats of training images do not affect a score.
    assert texts(inspect_run(run_data(clean(), training=[view(put("c.jpg", bitmap(3)))]))) == []


def test_references_of_several_formats(pinned: Pinned) -> None:
    report = inspect_run(run_data([*clean(), view(put("c.jpg", bitmap(3)))]))
    jpeg, mixed = texts(report)
    assert jpeg.startswith("1 of 3 references is JPEG (c): ")
    pinned("inspect", mixed)


def test_jpeg_with_the_name_of_a_png(pinned: Pinned) -> None:
    report = inspect_run(run_data([view(put("a.png", bitmap(1), format="JPEG"))]))
    (finding,) = texts(report, doubtful=True)
    pinned("inspect", finding)
    assert texts(report, doubtful=False)[0].startswith("The only reference is JPEG: ")
    # Doubtful findings come first.
    assert [finding.doubtful for finding in report.findings] == [True, False]


def test_references_with_alpha() -> None:
    report = inspect_run(run_data([*clean(), view(put("c.png", bitmap(3, channels=4)))]))
    assert texts(report) == ["1 of 3 references has an alpha channel (c): each method composites differently."]


def test_orientation_and_colours_of_references() -> None:
    turned = put("c.png", bitmap(3), exif=exif_data(6))
    coloured = put("d.png", bitmap(4), icc_profile=icc_profile("Display P3", "Display P3"))
    report = inspect_run(run_data([*clean(), view(turned), view(coloured)]))
    assert texts(report, doubtful=True) == [
        "1 of 4 references has colours other than sRGB. Stored values are used, not converted: d (the ICC profile "
        "'Display P3')."
    ]
    assert texts(report, doubtful=False) == [
        "1 of 4 references has an EXIF orientation. Stored pixels are used, not rotated: c (6)."
    ]


def test_masks_that_fit_and_masks_that_do_not(pinned: Pinned) -> None:
    mask, small = put("mask.png", bitmap(9).convert("L")), put("small.png", bitmap(9, (24, 20)).convert("L"))
    first, second = clean()
    fits = inspect_run(run_data([replace(first, mask=mask), second]))
    assert texts(fits) == []
    pinned("inspect", dict(fits.facts)["masks"])
    wrong = [replace(first, mask=small), replace(second, mask=Path("images/gone.png"))]
    (finding,) = texts(inspect_run(run_data(wrong)), doubtful=True)
    pinned("inspect", finding)


def test_preparation_from_a_plugin_is_reported() -> None:
    report = inspect_run(run_data(clean(), preparation=["The images are resized."]))
    assert report.findings == [Finding("The images are resized.", doubtful=False)]


def test_parts_of_a_total_are_phrases() -> None:
    assert of_all(2, 5, "view", "have") == "2 of 5 views have"
    assert of_all(1, 5, "view", "have") == "1 of 5 views has"
