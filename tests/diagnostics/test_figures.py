"""Figures of papers: regions, layout, files and errors."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import Said
from support.pinned import Pinned
from support.scenes import image, write_images, write_pngs

import nvs_eval
from nvs_eval.diagnostics.figures.crops import Box, auto_crops, check_inside, crop_options, parse_crop
from nvs_eval.diagnostics.figures.drawing import Drawing, Place, resized, spread
from nvs_eval.diagnostics.figures.layout import Bar, Cell, Row, lay_out
from nvs_eval.diagnostics.figures.options import FigureOptions
from nvs_eval.diagnostics.figures.sheet import Score
from nvs_eval.errors import InputError

pytest.importorskip("matplotlib")


# --- Regions --------------------------------------------------------------------------------------------------------


def test_a_crop_names_a_region_and_maybe_a_view() -> None:
    assert parse_crop("1,2,30,40") == (None, Box(1, 2, 30, 40))
    assert parse_crop("cam:0/a b: 1, 2,30,40") == ("cam:0/a b", Box(1, 2, 30, 40))


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,0", "1,2,0,3", "-1,2,3,4", "1.5,2,3,4", "a,b,c,d", "1,2,3,4,5"])
def test_other_crops_are_errors(text: str) -> None:
    with pytest.raises(InputError, match="--crop must be x,y,width,height"):
        parse_crop(text)


def test_a_crop_must_lie_inside_its_view() -> None:
    check_inside(Box(8, 4, 40, 36), "0001", (48, 40))
    for box in (Box(9, 4, 40, 36), Box(8, 5, 40, 36)):
        with pytest.raises(InputError, match="must lie inside view '0001', which has 48x40 pixels"):
            check_inside(box, "0001", (48, 40))


def images_that_differ_at(*places: tuple[int, int]) -> list[np.ndarray]:
    """Return a reference and two renders, 100x60. One differs from the others in squares of 8 pixels, ever less."""
    base = np.full((60, 100, 3), 128, np.uint8)
    other = base.copy()
    for number, (x, y) in enumerate(places):
        other[y : y + 8, x : x + 8] = 228 - 30 * number
    return [base, base, other]


def test_automatic_crops_are_where_methods_differ_most() -> None:
    reference, *renders = images_that_differ_at((70, 40), (10, 10))
    first, second = auto_crops(reference, renders, 2)
    assert first.width == first.height == 13
    for box, (x, y) in ((first, (70, 40)), (second, (10, 10))):
        assert box.x <= x <= box.x + box.width - 8
        assert box.y <= y <= box.y + box.height - 8
    assert auto_crops(reference, renders, 2) == [first, second]


def test_automatic_crops_overlap_nothing() -> None:
    rng = np.random.default_rng(0)
    reference, *renders = rng.integers(0, 256, (3, 60, 100, 3), dtype=np.uint8)
    taken = Box(40, 20, 30, 30)
    boxes = auto_crops(reference, renders, 6, [taken])
    covered = np.zeros((60, 100), int)
    for box in [*boxes, taken]:
        covered[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    assert len(boxes) == 6
    assert covered.max() == 1
    assert covered.sum() == 30 * 30 + 6 * 13 * 13


def test_one_method_is_compared_with_the_reference_and_equal_ones_have_no_crops() -> None:
    base, _, other = images_that_differ_at((70, 40))
    (box,) = auto_crops(base, [other], 1)
    assert (box.width, box.height) == (22, 13)  # The image's shape.
    assert box.x <= 70 <= box.x + box.width - 8
    assert auto_crops(other, [base, base], 2) == []


def test_the_options_repeat_the_crops() -> None:
    boxes = [Box(1, 2, 3, 4), Box(5, 6, 7, 8)]
    assert crop_options({"0001": boxes}) == "--crop 1,2,3,4 --crop 5,6,7,8"
    assert crop_options({"a b": boxes[:1], "c": boxes[1:]}) == "--crop 'a b:1,2,3,4' --crop c:5,6,7,8"


# --- Layout ---------------------------------------------------------------------------------------------------------


def drawing_of(
    size: tuple[int, int], methods: int = 2, crops: tuple[Box, ...] = (), *, error: bool = False, **options: object
) -> Drawing:
    """Return the drawing of a row of flat images."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    level = np.zeros(size[::-1], np.uint8) if error else None
    cells = [
        Cell(f"cell{place}", f"m{place}", image, [Score("1.00")], level if place else None)
        for place in range(methods + 1)
    ]
    bar = Bar(np.zeros((256, 3)).astype(np.uint8), 0.2) if error else None
    chosen = FigureOptions(records=("a",), views=("b",), output=Path("c.pdf"), **options)  # type: ignore[arg-type]
    return lay_out([Row("0001", cells, crops)], chosen, bar)


CROPS = (Box(0, 0, 10, 10), Box(20, 20, 10, 5))


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (100, 100)])
@pytest.mark.parametrize("crops", [(), CROPS[:1], CROPS])
@pytest.mark.parametrize("at", ["auto", "below", "right"])
def test_pictures_do_not_overlap_and_keep_their_shape(size: tuple[int, int], crops: tuple[Box, ...], at: str) -> None:
    drawing = drawing_of(size, crops=crops, error=True, crops_at=at)
    covered = np.zeros((drawing.height, drawing.width), np.uint8)
    for picture in drawing.pictures:
        place = picture.place
        covered[place.y : place.y + place.height, place.x : place.x + place.width] += 1
        if picture.name.startswith("cell"):
            box = crops[int(picture.name[-1]) - 1] if "-crop" in picture.name else Box(0, 0, *size)
            assert place.width / place.height == pytest.approx(box.width / box.height, rel=0.03)
    assert covered.max() == 1
    pixels = sum(picture.place.width * picture.place.height for picture in drawing.pictures)
    assert covered.sum(dtype=int) == pixels  # Nothing is outside.
    assert len(drawing.pictures) == 3 * (1 + len(crops)) + 3


def test_many_methods_continue_in_a_second_line_with_their_names() -> None:
    drawing = drawing_of((160, 90), methods=12)
    tops = sorted({picture.place.y for picture in drawing.pictures})
    assert [sum(picture.place.y == top for picture in drawing.pictures) for top in tops] == [7, 6]
    assert [text.text for text in drawing.texts if text.text.startswith("m")] == [f"m{place}" for place in range(13)]


def test_a_figure_without_room_is_an_error() -> None:
    with pytest.raises(InputError, match="--width must have room"):
        drawing_of((160, 90), width=0.5)


def test_pixels_are_enlarged_to_equal_squares() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = resized(pixels, Place(0, 0, 7, 7), squares=True)
    assert large.shape == (8, 8, 3)
    assert (large[:4, 4:] == pixels[0, 1]).all()
    assert resized(pixels, Place(0, 0, 7, 5)).shape == (5, 7, 3)


def test_a_length_is_divided_by_shares() -> None:
    assert spread(104, [1, 2, 1], 2) == [(0, 25), (27, 50), (79, 25)]


# --- Files ----------------------------------------------------------------------------------------------------------

COMMAND = ("figure", "out", "--views", "0001", "0002", "--crop", "1,2,10,8", "--crop", "0002:20,20,12,12")


def test_tikz_refers_to_its_images(results: Path, cli: Callable[..., Said]) -> None:
    names = ("--names", "GT", "a_b & c", "花", "--labels", "50 %", "")
    result = cli(*COMMAND, *names, "--error", "--output", "fig.tex", "--metrics", "psnr", "ssim")
    assert result.code == 0
    assert result.err.count("Written: ") == 1
    assert "LaTeX has no letter for a character of '花'." in result.err
    text = Path("fig.tex").read_text(encoding="utf-8")
    included = set(re.findall(r"\\nvsfigures (fig-images/\S+\.png)", text))
    assert included == {path.as_posix() for path in Path("fig-images").iterdir()}
    assert len(included) == 2 * 3 + 3 + 6 + 4 + 1  # Images, crops of both views, maps, and one bar.
    for shown in (r"a\_b \& c", "{U+82B1}", r"50 \%", r"PSNR [dB] $\uparrow$", r"\textbf{"):
        assert shown in text
    assert text.count(r"\draw[") == 2 * 9
    with Image.open("fig-images/row1-reference-crop1.png") as crop:
        reference = np.asarray(Image.open("garden/gt/0001.png"))
        assert (np.asarray(crop)[0, 0] == reference[2, 1]).all()


def test_a_pdf_has_searchable_text_and_the_same_bytes(results: Path, cli: Callable[..., Said]) -> None:
    drawn = nvs_eval.figure(results, views="0001", output="fig.pdf", auto_crops=1, dpi=72, width=3)
    content = Path("fig.pdf").read_bytes()
    assert drawn.files == {Path("fig.pdf"): content}
    assert content.startswith(b"%PDF")
    assert content.count(b"/Subtype /Image") == 3 * 2
    assert b"STIXGeneral" in content
    assert drawn.size[0] == 3
    result = cli(
        "figure", "out", "--views", "0001", *drawn.crop_options.split(), "--dpi", "72", "--width", "3", "-o", "fig.pdf"
    )
    assert (result.code, result.out) == (0, "")
    assert "Unchanged: fig.pdf" in result.err


def write_postscript_font(file: Path, characters: str) -> None:
    """Write a font with PostScript outlines, in which every character is a square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.t2CharStringPen import T2CharStringPen

    pen = T2CharStringPen(600, {})
    for draw, place in (
        (pen.moveTo, (50, 0)),
        (pen.lineTo, (50, 700)),
        (pen.lineTo, (550, 700)),
        (pen.lineTo, (550, 0)),
    ):
        draw(place)
    pen.closePath()
    glyphs = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    font = FontBuilder(1000, isTTF=False)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(character): name for character, name in zip(characters, glyphs[1:], strict=True)})
    font.setupCFF("Squares", {}, dict.fromkeys(glyphs, pen.getCharString()), {})
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 50)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    font.setupPost()
    font.save(file)


def test_text_whose_font_cannot_be_embedded_is_drawn_as_shapes(results: Path, cli: Callable[..., Said]) -> None:
    write_postscript_font(Path("squares.otf"), "abc")
    command = ("figure", "out", "--views", "0001", "--font", "squares.otf", "--dpi", "72")
    result = cli(*command, "--names", "abc", "XYZ", "a", "-o", "fig.pdf")
    assert result.code == 0
    assert "Text in Squares is drawn as shapes, since PDF viewers" in result.err
    content = Path("fig.pdf").read_bytes()
    assert b"Squares" not in content
    assert content.count(b"/Type /Font") > 0  # XYZ and the scores, which Squares lacks, are still text.
    result = cli(*command, "--names", "abc", "XYZ", "a", "-o", "fig.svg")
    assert "shapes" not in result.err


def test_a_png_has_its_width_and_its_images(results: Path, cli: Callable[..., Said]) -> None:
    result = cli(
        "figure", "out", "--views", "0002", "--auto-crops", "2", "--dpi", "100", "--width", "4", "-o", "fig.png"
    )
    assert re.fullmatch(r"Regions: --crop \d+,\d+,9,9 --crop \d+,\d+,9,9\n", result.out)
    with Image.open(io.BytesIO(Path("fig.png").read_bytes())) as image:
        assert image.width == 400
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
    assert (pixels[:2, -2:] == 255).all()


def test_text_that_is_small_or_not_bold_is_noted(results: Path, cli: Callable[..., Said]) -> None:
    from matplotlib import get_data_path

    names = (
        "--names",
        "a",
        "a name that is much too long for a column",
        "--dpi",
        "72",
        "--width",
        "2",
        "-o",
        "fig.pdf",
    )
    font = Path(get_data_path(), "fonts/ttf/cmr10.ttf")
    shutil.copy(font, "alone.ttf")
    result = cli("figure", "out", "--views", "0001", *names, "--font", "alone.ttf")
    assert result.code == 0
    assert "'a name that is much too long for a column' is small" in result.err
    assert "The font cmr10 has no bold" in result.err
    assert "findfont" not in result.err


def test_columns_are_in_the_order_of_the_arguments(results: Path, cli: Callable[..., Said]) -> None:
    assert cli("figure", "out/garden/theirs", "out/garden/ours", "--views", "0001", "-o", "fig.tex").code == 0
    text = Path("fig.tex").read_text(encoding="utf-8")
    assert text.index("{Reference}") < text.index("{theirs}") < text.index("{ours}")
    assert text.count(r"\textbf{") == 1


@pytest.fixture
def two_scenes(results: Path, cli: Callable[..., Said]) -> Path:
    """Results in two scenes. Views of the second one, `tall`, have another size, and only one of its names is new."""
    for name, seed in (("gt", 0), ("ours", 1), ("theirs", 2)):
        write_images(Path("tall", name), {"0002": image(seed, 60, 30), "new": image(seed + 9, 60, 30)})
    command = ("score", "tall/ours", "tall/theirs", "--reference", "tall/gt", "--protocol", "light.yaml")
    assert cli(*command, "--output-dir", "out").code == 0
    return results


def labels_of(text: str) -> list[str]:
    """Return the texts of a TikZ figure that are turned, which are labels and titles of bars."""
    return re.findall(r"rotate=90\] .*\{(.*)\}\};", text)


def test_rows_of_several_scenes_have_their_own_size_and_name(two_scenes: Path, cli: Callable[..., Said]) -> None:
    assert cli("figure", "out", "--views", "0001", "tall/0002", "-o", "a.tex").code == 0
    assert labels_of(Path("a.tex").read_text(encoding="utf-8")) == ["garden", "tall"]
    assert cli("figure", "out", "--views", "0001", "garden/0002", "new", "-o", "b.tex").code == 0
    assert labels_of(Path("b.tex").read_text(encoding="utf-8")) == ["0001", "garden/0002", "new"]
    with Image.open("b-images/row1-method1.png") as wide, Image.open("b-images/row3-method1.png") as high:
        assert wide.width == high.width
        assert high.height == pytest.approx(2 * high.width, abs=1)
        assert wide.height == pytest.approx(wide.width * 40 / 48, abs=1)
    assert "in several scenes: garden, tall. Name one" in cli("figure", "out", "--views", "0002", "-o", "c.tex").err


@pytest.fixture
def unchecked_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check of a record's own hashes, so that tests can edit its views."""
    monkeypatch.setattr("nvs_eval.records.record._check_repeated", lambda *_: None)


@pytest.mark.usefixtures("unchecked_hashes")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"fingerprint": "', '"fingerprint": "0', "The records must be of one protocol. Got light"),
        ('"split": "test"', '"split": "train"', "The records must be of one split. Got test and train."),
        ('"width": 30', '"width": 31', "must have one size in all records. Got 31x60 in"),
        ('"reference_sha256": "', '"reference_sha256": "0', "must have one reference in all records."),
        ('"name": "new"', '"name": "newer"', "Every record must have view 'new'."),
        ('"scene": "tall"', '"scene": "else"', "ours must have a record of scene 'tall'. Got else, garden."),
    ],
)
def test_records_that_do_not_fit_are_errors(
    old: str, new: str, message: str, two_scenes: Path, cli: Callable[..., Said], *, pinned: Pinned
) -> None:
    (file,) = Path("out/tall/ours").rglob("*.json")
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    result = cli("figure", "out", "--views", "tall/new", "-o", "a.tex")
    assert result.code == 2
    assert message in result.err
    pinned("figure", result.err)


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "001"], "Unknown view '001'. Did you mean '0001'?"),
        (["--views", "0001", "0001"], "--views must name each view once. Got '0001' twice."),
        (["--views"], "--views must name at least one view."),
        (["--crop", "40,0,9,9"], "--crop must lie inside view '0001', which has 48x40 pixels. Got 40,0,9,9"),
        (["--crop", "0002:1,1,9,9"], "Unknown view of --crop '0002'. Did you mean '0001'?"),
        (["--auto-crops", "7"], "--auto-crops must be from 0 to 6. Got 7."),
        (["--auto-crops", "6", "--crop", "1,1,2,2"], "A view has room for 6 crops. Got 7 for view '0001'."),
        (["--dpi", "0"], "--dpi must be from 36 to 1200. Got 0."),
        (["--error-max", "0.5"], "Add `--error`."),
        (["--metrics", "lpips"], "Unknown metric 'lpips'."),
        (["--names", "a"], "--names must have 2 names, one for each method (ours, theirs), or one more"),
        (["--labels", "a", "b"], "--labels must have 1 text, one for each view. Got 2."),
        (["--font", "STIXGeneal"], "Did you mean 'STIXGeneral'?"),
        (["--font", "none.ttf"], "--font none.ttf cannot be read"),
        (["--names", "a", "\U0001f98a\ue000"], "No installed font has"),
        (["--output", "fig.jpg"], "--output must end in .pdf, .svg, .png, .tex. Got 'fig.jpg'."),
        (["--output", "light.yaml/fig.pdf"], "light.yaml is not a folder"),
    ],
)
def test_wrong_options_are_explained(
    options: list[str], message: str, results: Path, cli: Callable[..., Said], *, pinned: Pinned
) -> None:
    given = [name for name in ("--views", "--output") if name in options]
    defaults = {"--views": ["--views", "0001"], "--output": ["--output", "fig.pdf"]}
    result = cli(
        "figure", "out", *[part for name, parts in defaults.items() if name not in given for part in parts], *options
    )
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not Path("fig.pdf").exists()
    if not options[0].startswith("--font") and "\ue000" not in options[-1]:  # Fonts differ from machine to machine.
        pinned("figure", result.err)


def test_images_that_changed_or_are_gone_are_errors(results: Path, cli: Callable[..., Said]) -> None:
    write_pngs(Path("garden/theirs"), {"0002": 77})
    result = cli("figure", "out", "--views", "0001", "-o", "fig.png")
    assert result.code == 2
    assert "have changed since it was written" in result.err
    Path("garden/theirs/0002.png").unlink()
    assert "is no longer at" in cli("figure", "out", "--views", "0001", "-o", "fig.png").err


def test_another_file_is_not_replaced(results: Path, cli: Callable[..., Said]) -> None:
    Path("fig.tex").write_text("mine", encoding="utf-8")
    result = cli("figure", "out", "--views", "0001", "-o", "fig.tex")
    assert result.code == 2
    assert "fig.tex already exists" in result.err
    assert Path("fig.tex").read_text(encoding="utf-8") == "mine"
    assert not Path("fig-images").exists()


def test_without_matplotlib_the_extra_is_named(
    here: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = cli("figure", "out", "--views", "0001", "-o", "fig.pdf")
    assert result.code == 2
    assert "pip install 'nvs-eval[plot]'" in result.err
