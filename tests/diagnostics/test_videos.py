"""Videos: the grid, frames, encoding and errors."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import Said
from support.pinned import Pinned

from nvs_eval.diagnostics.figures.frames import Grid, Tile, Typeface, frame_of, grid_of, wipe_of
from nvs_eval.diagnostics.figures.sheet import Score

pytest.importorskip("matplotlib")
TYPEFACE = Typeface(["DejaVu Sans"])


@pytest.mark.parametrize(
    ("tiles", "size", "across", "tile"),
    [
        (3, (135, 240), 3, (540, 960)),  # Enlarged by a whole factor.
        (3, (1920, 1080), 2, (820, 461)),
        (6, (1920, 1080), 3, (637, 358)),
        (1, (1000, 700), 1, (1000, 700)),
    ],
)
def test_tiles_are_shown_largest(tiles: int, size: tuple[int, int], across: int, tile: tuple[int, int]) -> None:
    grid = grid_of(tiles, size, 1920)
    assert (grid.across, grid.tile) == (across, tile)
    assert grid.size[0] <= 1920
    assert grid.size[1] <= 1080
    assert grid.size[0] % 2 == grid.size[1] % 2 == 0


def test_a_frame_has_the_images_in_place_and_text_above() -> None:
    grid = Grid(2, 1, (60, 40), 14)
    images = [np.full((20, 30, 3), level, np.uint8) for level in (50, 250)]
    tiles = [Tile("花 a long name", images[0], Score("")), Tile("b", images[1], Score("25.00", best=True))]
    frame = frame_of(tiles, grid, ("0001", "PSNR"), TYPEFACE)
    assert frame.shape == (grid.size[1], grid.size[0], 3)
    for column, level in ((0, 50), (64, 250)):
        assert (frame[grid.strip : grid.strip + 40, column : column + 60] == level).all()
    strip = frame[: grid.strip]
    assert strip[:, :60].max() > 200  # The name, which is cut before the next tile.
    assert (strip[:, 60:64] == 16).all()
    assert frame[-grid.strip :].max() > 100


def test_a_character_that_the_bold_font_lacks_is_drawn() -> None:
    families = Typeface(["STIXGeneral", "DejaVu Sans"])
    parts = families.parts("a\u2713 b", 14, bold=True)  # STIX has a check mark, but no bold one.
    assert [(part, Path(str(font.path)).name) for part, font in parts] == [
        ("a", "STIXGeneralBol.ttf"),
        ("\u2713 ", "STIXGeneral.ttf"),
        ("b", "STIXGeneralBol.ttf"),
    ]
    assert [part for part, _ in families.parts("a\u10e5", 14, bold=False)] == ["a", "\u10e5"]


def test_a_name_that_ends_with_arabic_begins_at_the_left() -> None:
    grid = Grid(1, 1, (300, 40), 14)

    def strip(name: str) -> np.ndarray:
        tile = Tile(name, np.zeros((40, 300, 3), np.uint8), Score(""))
        return frame_of([tile], grid, ("", ""), TYPEFACE)[: grid.strip]

    left = strip("&")[:, :20]
    assert left.max() > 200
    assert (strip("& \u0637\u0631\u064a\u0642\u0629")[:, :20] == left).all()


def test_a_wipe_has_one_image_left_of_the_line_and_the_other_right_of_it() -> None:
    grid = Grid(1, 1, (100, 40), 14)
    left, right = (
        frame_of([Tile("a", np.full((40, 100, 3), level, np.uint8), Score("b"))], grid, ("", ""), TYPEFACE)
        for level in (50, 150)
    )
    for share, line in ((0.0, 0), (0.3, 30), (1.0, 100)):
        row = wipe_of(left, right, grid, share)[grid.strip + 20, :, 0]
        assert (row[: max(0, line - 3)] == 50).all()
        assert (row[line + 3 :] == 150).all()
    assert (right[grid.strip + 20, :100] == 150).all()  # The frame itself is unchanged.


def encoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Replace ffmpeg by a list of the frames that it would get."""
    frames: list[np.ndarray] = []

    def encode(ffmpeg: str, given: Any, size: tuple[int, int], fps: int, file: Path) -> None:
        frames.extend(given)
        file.write_bytes(b"video")

    monkeypatch.setattr("nvs_eval.diagnostics.figures.video._encode", encode)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", SimpleNamespace(get_ffmpeg_exe=lambda: "ffmpeg"))
    return frames


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace ffmpeg, which need not be installed."""
    encoded(monkeypatch)


@pytest.mark.parametrize(("mode", "different"), [("side-by-side", 2), ("wipe", 8)])
def test_each_view_is_shown_for_its_time(
    mode: str, different: int, results: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = encoded(monkeypatch)
    options = ("--seconds", "0.4", "--fps", "10", "--sweep", "1.6", "--width", "320", "--mode", mode)
    result = cli("video", "out", "-o", "v.mp4", *options)
    assert (result.code, result.out) == (0, "")
    assert len(frames) == 8
    assert len({frame.tobytes() for frame in frames}) == different
    height, width = frames[0].shape[:2]
    assert f"Written: v.mp4\n{width} x {height} pixels, 0.8 s" in result.err
    assert Path("v.mp4").read_bytes() == b"video"


def test_ffmpeg_encodes_the_frames(results: Path, cli: Callable[..., Said]) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    assert cli("video", "out", "-o", "v.mp4", "--seconds", "0.2", "--fps", "10", "--width", "320").code == 0
    command = [ffmpeg.get_ffmpeg_exe(), "-i", "v.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    width, height = map(int, re.findall(rb"h264 .*yuv420p\(tv, bt709.* (\d+)x(\d+)", done.stderr)[0])
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    assert len(frames) == 4
    reference = np.asarray(Image.open("garden/gt/0001.png"))
    shown = frames[0][24:104, :96]  # Below the strip of text, enlarged by 2.
    assert np.abs(shown.mean(axis=(0, 1)) - reference.mean(axis=(0, 1))).max() < 3
    before = Path("v.mp4").read_bytes()
    assert "already exists" in cli("video", "out", "-o", "v.mp4").err
    assert Path("v.mp4").read_bytes() == before


def test_images_that_are_gone_are_found_before_encoding(
    results: Path, cli: Callable[..., Said], no_ffmpeg: None
) -> None:
    Path("garden/theirs/0002.png").rename("kept.png")
    result = cli("video", "out", "-o", "v.mp4")
    assert result.code == 2
    assert "the render of view '0002' is no longer at" in result.err
    assert "Encoding" not in result.err
    Path("kept.png").rename("garden/theirs/0002.png")
    Path("garden/gt/0002.png").unlink()
    result = cli("video", "out", "-o", "v.mp4")
    assert "the reference of view '0002' is no longer at" in result.err
    assert "Encoding" not in result.err


def test_a_failure_of_ffmpeg_is_explained_and_leaves_nothing(
    results: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path("ffmpeg.sh").absolute()
    script.write_text("#!/bin/sh\necho '[out#0 @ 0x5] Unknown encoder libx264.' >&2\nexit 1\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", SimpleNamespace(get_ffmpeg_exe=lambda: str(script)))
    result = cli("video", "out", "-o", "new/v.mp4")
    assert result.code == 2
    assert "ffmpeg could not encode the video: Unknown encoder libx264." in result.err
    assert list(Path("new").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "v.avi"], "--output must end in .mp4. Got 'v.avi'."),
        (["--fps", "0"], "--fps must be from 1 to 240. Got 0."),
        (["--seconds", "0.01"], "--seconds must be at least 1/30, one frame. Got 0.01."),
        (["--views", "1"], "Unknown view '1'."),
        (["--mode", "wipe", "garden-3"], "--mode wipe must have one method, shown beside the reference, or two. Got 3"),
    ],
)
def test_wrong_options_are_explained(
    options: list[str], message: str, results: Path, cli: Callable[..., Said], *, pinned: Pinned, no_ffmpeg: None
) -> None:
    if "garden-3" in options:
        (file,) = Path("out/garden/ours").rglob("*.json")
        text = file.read_text(encoding="utf-8").replace('"method": "ours"', '"method": "third"')
        Path(file.parent, "third.json").write_text(text, encoding="utf-8")
        options = options[:-1]
    result = cli("video", "out", *options, *([] if "-o" in options else ["-o", "v.mp4"]))
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not Path("v.mp4").exists()
    pinned("video", result.err)


@pytest.mark.parametrize("missing", ["imageio_ffmpeg", "matplotlib"])
def test_without_a_package_the_extra_is_named(
    missing: str, here: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    result = cli("video", "out", "-o", "v.mp4")
    assert result.code == 2
    assert "pip install 'nvs-eval[video]'" in result.err
