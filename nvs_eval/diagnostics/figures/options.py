"""Options of figures and videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Options of figures and videos: the results and views to show, and the file."""

    records: tuple[str, ...]
    """Records, folders or patterns, whose images were kept. Methods are shown in this order."""
    views: tuple[str, ...]
    output: Path
    metrics: tuple[str, ...] = ()
    """Metrics to show (default: the first one of the records)."""
    protocol: tuple[str, ...] = ()
    """Use only records of this protocol, by name or fingerprint (default: the only one)."""
    names: tuple[str, ...] = ()
    """Names of the methods; with one more, the first is that of the reference (default: those of the records)."""
    overwrite: bool = False
    """Replace the file if it exists with another content."""


@dataclass(frozen=True, kw_only=True)
class FigureOptions(PictureOptions):
    """Options of `figure`."""

    views: tuple[str, ...]
    """Views to show, a row for each: their names, such as 0001; with several scenes, garden/0001."""
    crop: tuple[str, ...] = ()
    """Region to magnify, as [VIEW:]x,y,width,height in pixels from the top left. Repeat it for several regions."""
    auto_crops: int = 0
    """Number of regions per view to choose where the methods differ most. They are printed as `--crop` options."""
    error: bool = False
    """Add a row of maps of the absolute error below each view, all with one range."""
    error_max: float | None = None
    """Largest error of the maps' range, in (0, 1] (default: from the images)."""
    output: Path
    """File to write: .pdf, .svg, .png, or .tex for TikZ, with its images in a folder beside it."""
    width: float = 6.875
    """Width in inches. CVPR's text is 6.875 wide and its columns 3.25; NeurIPS's text is 5.5."""
    dpi: int = 300
    """Resolution of the images, in pixels per inch."""
    font: str = "STIXGeneral"
    """Font of the text: the name of an installed one, or a .ttf or .otf file. TikZ uses the paper's."""
    font_size: float = 8
    """Size of the text in points. Text that is too wide for its column is smaller."""
    labels: tuple[str, ...] = ()
    """Text beside each row, "" for none (default: the view, or the scene if its rows have different ones)."""
    enlarge: Literal["nearest", "lanczos"] = "nearest"
    """Enlargement of crops: pixels as squares, or smooth."""
    crops_at: Literal["auto", "below", "right"] = "auto"
    """Place of the crops: below their image, or at its right."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions(PictureOptions):
    """Options of `video`."""

    views: tuple[str, ...] = ()
    """Views to show, in this order (default: all of the records)."""
    output: Path
    """File to write: .mp4."""
    mode: Literal["side-by-side", "wipe"] = "side-by-side"
    """All methods side by side with the reference, or a line that moves between two methods."""
    seconds: float = 1.5
    """Time that each view is shown. 1/30 plays views along a camera path as a film."""
    fps: int = 30
    """Frames per second."""
    sweep: float = 4.0
    """Time that the line of a wipe takes to the right and back, in seconds."""
    width: int = 1920
    """Largest width of the video in pixels. The height is at most 9/16 of it."""
    font: str = "DejaVu Sans"
    """Font of names and scores: the name of an installed one, or a .ttf or .otf file."""
