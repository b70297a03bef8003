"""Videos of views: all methods side by side, or a line that moves between two of them."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.diagnostics.figures.crops import Pixels
from nvs_eval.diagnostics.figures.fonts import font_families
from nvs_eval.diagnostics.figures.frames import Grid, Tile, Typeface, frame_of, grid_of, wipe_of
from nvs_eval.diagnostics.figures.options import VideoOptions
from nvs_eval.diagnostics.figures.sheet import Score, Sheet, Shown, read_sheet
from nvs_eval.errors import InputError, quoted, shortened, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.report.curve_plot import import_matplotlib
from nvs_eval.report.tables.table import metric_column, printable
from nvs_eval.system.files import check_writable, write_whole

_SUFFIX = ".mp4"
_RANGES = {"seconds": (0.001, 3600), "fps": (1, 240), "sweep": (0.1, 3600), "width": (64, 7680)}
# H.264 that every player reads, visually without loss, in the colours of HD video.
_ENCODING = (
    *("-c:v", "libx264", "-crf", "17", "-preset", "medium", "-pix_fmt", "yuv420p"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
    *("-movflags", "+faststart", "-fflags", "+bitexact", "-f", "mp4"),
)
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Video:
    """A video that was written.

    Attributes:
        file: its file.
        size: width and height in pixels.
        views: number of views.
        frames: number of frames.
        seconds: length in seconds.
    """

    file: Path
    size: tuple[int, int]
    views: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class _Stage:
    """Everything that the frames of all views share."""

    sheet: Sheet
    grid: Grid
    typeface: Typeface
    options: VideoOptions


def make_video(options: VideoOptions, callbacks: Callbacks) -> Video:
    """Make a video and write it.

    Raises:
        InputError: an option is wrong, a package is missing, an image was not kept or has changed, or ffmpeg fails.
    """
    ffmpeg = _checked_ffmpeg(options)
    sheet = read_sheet(options)
    stage = _Stage(sheet, _grid(sheet, options), _typeface(sheet, options), options)
    for view in sheet.views:
        view.check()
    ends = _ends(len(sheet.views), options)
    with callbacks.progress("Encoding views", len(sheet.views)) as advance:

        def frames() -> Iterator[Pixels]:
            for number, (start, end) in enumerate(itertools.pairwise([0, *ends])):
                yield from _frames(stage, number, [frame / options.fps for frame in range(start, end)])
                advance()

        size = stage.grid.size
        write_whole(options.output, lambda file: _encode(ffmpeg, frames(), size, options.fps, Path(file.name)))
    return Video(options.output, size, len(sheet.views), ends[-1], ends[-1] / options.fps)


def _checked_ffmpeg(options: VideoOptions) -> str:
    """Check the options that need no record, and return the path of ffmpeg."""
    if options.output.suffix.lower() != _SUFFIX:
        raise InputError(f"--output must end in {_SUFFIX}. Got {quoted(str(options.output))}.")
    for name, (least, most) in _RANGES.items():
        if not least <= (value := getattr(options, name)) <= most:
            raise InputError(f"--{name} must be from {least:g} to {most:g}. Got {value:g}.")
    if options.seconds * options.fps < 1:
        least = f"1/{options.fps}"
        raise InputError(f"--seconds must be at least {least}, one frame. Got {options.seconds:g}. Or raise `--fps`.")
    import_matplotlib("A video", "video")
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports]: an extra

        ffmpeg = get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"A video needs ffmpeg. imageio-ffmpeg does not give it ({error}). Run `pip install 'nvs-eval[video]'`."
        ) from error
    if options.output.exists() and not options.overwrite:
        raise InputError(f"{options.output} already exists. Use another --output, or --overwrite.")
    check_writable(options.output)
    return ffmpeg


def _grid(sheet: Sheet, options: VideoOptions) -> Grid:
    largest = max(view.size[0] for view in sheet.views), max(view.size[1] for view in sheet.views)
    methods = len(sheet.names) - 1
    if options.mode == "wipe" and methods > 2:
        raise InputError(
            f"--mode wipe must have one method, shown beside the reference, or two. Got {methods}: "
            f"{some(sheet.names[1:])}. Name the records of two."
        )
    return grid_of(1 if options.mode == "wipe" else methods + 1, largest, options.width)


def _typeface(sheet: Sheet, options: VideoOptions) -> Typeface:
    headings = [_heading(sheet)]
    titles = [printable(view.title) for view in sheet.views]
    return Typeface(font_families(options.font, [*sheet.names, *titles, *headings, "0123456789.-inf/…"]))


def _heading(sheet: Sheet) -> str:
    """Return the headings of the scores, in the order of the scores of a tile."""
    return "   ".join(metric_column(metric, info).heading for metric, info in sheet.infos.items())


def _ends(views: int, options: VideoOptions) -> list[int]:
    """Return the number of frames up to the end of each view."""
    return [round((number + 1) * options.seconds * options.fps) for number in range(views)]


def _tiles(sheet: Sheet, view: Shown) -> list[Tile]:
    """Read a view as tiles: the reference, then the methods with their scores."""
    of_metrics = [view.scores(metric, info) for metric, info in sheet.infos.items()]
    scores = [
        Score("   ".join(one.text for one in several), all(one.best for one in several))
        for several in zip(*of_metrics, strict=True)
    ]
    images = [view.reference(), *view.renders()]
    return [Tile(*tile) for tile in zip(sheet.names, images, [Score(""), *scores], strict=True)]


def _frames(stage: _Stage, number: int, times: Sequence[float]) -> Iterator[Pixels]:
    """Yield the frames of a view, at some times in seconds."""
    sheet, options = stage.sheet, stage.options
    view = sheet.views[number]
    place = f"{number + 1}/{len(sheet.views)}"
    footer = f"{printable(view.title)}   {place}", _heading(sheet)
    tiles = _tiles(sheet, view)
    if options.mode == "side-by-side":
        frame = frame_of(tiles, stage.grid, footer, stage.typeface)
        yield from (frame for _ in times)
        return
    left, right = tiles[-2:]
    name, score = f"{left.name}   {left.score.text}".rstrip(), Score(f"{right.score.text}   {right.name}")
    first, second = (
        frame_of([Tile(name, one.image, score)], stage.grid, footer, stage.typeface) for one in (left, right)
    )
    for time in times:
        yield wipe_of(first, second, stage.grid, 0.5 - 0.5 * math.cos(2 * math.pi * time / options.sweep))


def _encode(ffmpeg: str, frames: Iterator[Pixels], size: tuple[int, int], fps: int, file: Path) -> None:
    """Encode frames with ffmpeg.

    Raises:
        InputError: ffmpeg fails.
    """
    given = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-")
    with tempfile.TemporaryFile() as log:
        command = [ffmpeg, "-y", "-v", "error", *given, "-an", *_ENCODING, str(file)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # The code and the output of ffmpeg tell why it ended.
                for frame in frames:
                    process.stdin.write(frame.data)
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if code:
            log.seek(0)
            words = log.read().decode(errors="replace").split("\n")
            ended = f"exit code {code}" if code > 0 else f"signal {-code} ended it"
            last = re.sub(r"^\[[^]]*\] ", "", next(filter(None, reversed(words)), ended))
            reason = shortened(last.rstrip("."), _LONGEST_REASON)
            raise InputError(
                f"ffmpeg could not encode the video: {reason}. Free some space, or choose another --output."
            )
