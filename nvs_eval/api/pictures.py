"""Pictures of records: the functions `figure` and `video`. They print nothing, and import what is heavy when called."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal

from nvs_eval.api.scoring import filled
from nvs_eval.diagnostics.figures.options import FigureOptions, VideoOptions
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.system.arguments import checked, documented

if TYPE_CHECKING:
    from nvs_eval.diagnostics.figures.figure import Figure
    from nvs_eval.diagnostics.figures.video import Video

FilePath = str | PathLike[str]


@checked
@documented(FigureOptions)
def figure(
    records: FilePath | Sequence[FilePath],
    *,
    views: str | Sequence[str],
    output: FilePath,
    crop: str | Sequence[str] = (),
    auto_crops: int = 0,
    error: bool = False,
    error_max: float | None = None,
    metrics: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
    names: str | Sequence[str] = (),
    labels: str | Sequence[str] = (),
    width: float = 6.875,
    dpi: int = 300,
    font: str = "STIXGeneral",
    font_size: float = 8,
    enlarge: Literal["nearest", "lanczos"] = "nearest",
    crops_at: Literal["auto", "below", "right"] = "auto",
    overwrite: bool = False,
) -> Figure:
    """Draw views of several methods side by side, with magnified regions and scores, as `nvs-eval figure` does.

    Returns:
        The figure, which was written: `.files` has the content of each file, `.size` its width and height in inches,
        `.crops` the regions of each view, and `.crop_options` the values of `crop` that repeat them.

    Raises:
        InputError: A record, view or font does not exist, an image was not kept or has changed, a region is outside its
            view, matplotlib is missing, or the file cannot be written.
    """
    options = filled(FigureOptions, locals())
    from nvs_eval.diagnostics.figures.figure import draw_figure
    from nvs_eval.system.files import write_new

    drawn = draw_figure(options)
    for _ in write_new(drawn.files, overwrite=overwrite):
        pass
    return drawn


@checked
@documented(VideoOptions)
def video(
    records: FilePath | Sequence[FilePath],
    *,
    output: FilePath,
    views: str | Sequence[str] = (),
    mode: Literal["side-by-side", "wipe"] = "side-by-side",
    metrics: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
    names: str | Sequence[str] = (),
    seconds: float = 1.5,
    fps: int = 30,
    sweep: float = 4.0,
    width: int = 1920,
    font: str = "DejaVu Sans",
    overwrite: bool = False,
) -> Video:
    """Show views of several methods side by side, or two of them with a line between, as `nvs-eval video` does.

    Returns:
        The video, which was written: its `.file`, `.size` in pixels, `.views`, `.frames` and `.seconds`.

    Raises:
        InputError: A record, view or font does not exist, an image was not kept or has changed, ffmpeg or matplotlib is
            missing or fails, or the file exists or cannot be written.
    """
    options = filled(VideoOptions, locals())
    from nvs_eval.diagnostics.figures.video import make_video

    return make_video(options, Callbacks(command=("nvs_eval.video",)))
