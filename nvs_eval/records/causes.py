"""Causes of the error of views, as plain data, and their file beside a record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import sha256_of_lines
from nvs_eval.records.schema import MOST_BYTES
from nvs_eval.system.files import read_small, write_whole

SUFFIX = ".causes"
"""Suffix of the files of causes, in place of `.json`."""

CAUSES = ("colour", "pose", "sharpness", "floaters", "noise")
"""Causes."""

_Number = float
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ColourCause(msgspec.Struct, omit_defaults=True):
    """Gain of each correction of the colours, in dB; None if the image is too small or uniform for it.

    Attributes:
        gain: of a factor per channel.
        affine: of a line per channel.
        quadratic: of a quadratic in all channels.
        chosen: simplest correction that the image supports; None if there is none above its noise.
        gains: factor of each channel of the render, for `gain` and `affine`.
    """

    gain: _Number | None = None
    affine: _Number | None = None
    quadratic: _Number | None = None
    chosen: Literal["gain", "affine", "quadratic"] | None = None
    gains: tuple[float, float, float] | None = None


class PoseCause(msgspec.Struct, omit_defaults=True):
    """Gain of a shift and of a homography, in dB, after the colours.

    Attributes:
        shift: of a shift.
        homography: of a homography.
        chosen: simplest motion that the image supports; None if there is none above its noise.
        pixels: shift of the centre in x and y, in pixels, to the right and downwards.
        largest: largest displacement of a corner, in pixels.
        rotation: angle in degrees, clockwise.
        zoom: relative size of the render, minus 1.
    """

    shift: _Number
    homography: _Number
    pixels: tuple[float, float]
    largest: float
    rotation: float
    zoom: float
    chosen: Literal["shift", "homography"] | None = None


class SharpnessCause(msgspec.Struct, omit_defaults=True):
    """Gain of a matching blur or sharpening, in dB, after colours and pose.

    Attributes:
        gain: of the matching blur or sharpening.
        chosen: which of them is above its noise; None if neither is.
        blur: standard deviation of the matching Gaussian, in pixels.
        sharpening: amount of the matching unsharp mask.
    """

    gain: _Number
    chosen: Literal["blur", "sharpening"] | None = None
    blur: float = 0.0
    sharpening: float = 0.0


class FloaterCause(msgspec.Struct):
    """Large connected error in a flat part: left, top, width and height in pixels, and share of the squared error."""

    box: tuple[int, int, int, int]
    share: _Share


class Region(msgspec.Struct):
    """Share of the squared error in a region, and share of the pixels."""

    error: _Share
    pixels: _Share


class ViewCauses(msgspec.Struct, omit_defaults=True):
    """Causes of the error of one view.

    Attributes:
        psnr: PSNR of the scored images, in dB.
        mse: mean squared error.
        decibels: dB of each named cause, the mean over all orders of taking causes off, which sum up to `total`.
        total: dB that come back if all named causes are gone.
        colour: colours.
        pose: shift and homography; None if the image is too small.
        sharpness: blur or sharpening; None if the image is too small.
        noise: standard deviation of white noise in the render, in 8-bit levels; None if the image is too small.
        floaters: floaters, the largest first.
        frequencies: shares of the squared error in low, middle and high frequencies.
        regions: shares of the squared error in regions, which overlap.
        words: sentences.
    """

    psnr: _Number | Literal["inf"]
    mse: float
    decibels: dict[str, float] = {}
    total: float = 0.0
    colour: ColourCause = msgspec.field(default_factory=ColourCause)
    pose: PoseCause | None = None
    sharpness: SharpnessCause | None = None
    noise: float | None = None
    floaters: list[FloaterCause] = []
    frequencies: dict[str, float] = {}
    regions: dict[str, Region] = {}
    words: list[str] = []


class Causes(msgspec.Struct, omit_defaults=True):
    """Causes of a record, as its file has them.

    Attributes:
        causes_version: version of the format and of the methods.
        record_sha256: hash of the images and scores of the record.
        views: causes by the names of the views.
        missing: views without causes, with the reasons.
        words: sentences on the run.
        made_by: version of nvs-eval.
    """

    causes_version: Literal[1]
    record_sha256: str
    views: dict[str, ViewCauses]
    missing: dict[str, str] = {}
    words: list[str] = []
    made_by: str = ""


def kind_of(cause: str, view: ViewCauses) -> str:
    """Return the name of a cause of a view in a sentence."""
    if cause == "colour":
        gains = view.colour.gains
        if view.colour.chosen == "gain" and gains is not None:
            spread, size = max(gains) - min(gains), max(abs(gain - 1) for gain in gains)
            return "exposure" if spread < 0.25 * size + 0.002 else "white balance"
        return "contrast and brightness" if view.colour.chosen == "affine" else "colour"
    if cause == "pose" and view.pose is not None:
        return "shift" if view.pose.chosen == "shift" else "rotation, scale or perspective"
    if cause == "sharpness" and view.sharpness is not None:
        return view.sharpness.chosen or "blur"
    return cause


def usual_kind(cause: str, views: Iterable[ViewCauses]) -> str:
    """Return the name of a cause that most of some views have, at least one."""
    kinds = [kind_of(cause, view) for view in views]
    return max(dict.fromkeys(kinds), key=kinds.count)


def causes_file(file: Path) -> Path:
    """Return the file of the causes of a record."""
    return file.with_suffix(SUFFIX)


def sha256_of_result(record: Record) -> str:
    """Return the hash of what the causes of a record depend on: its protocol, images and scores."""
    scores = (repr(sorted(row.scores.items())) for row in record.views)
    return sha256_of_lines([record.fingerprint, record.images_sha256, *scores])


def read_causes(file: Path, record: Record) -> Causes | None:
    """Return the causes of a record; None if it has none, or they are of other images or scores.

    Raises:
        InputError: the file of the causes is damaged or cannot be read.
    """
    path = causes_file(file)
    if not path.is_file():
        return None
    try:
        causes = msgspec.json.decode(read_small(path, MOST_BYTES), type=Causes)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}. Remove it and run `nvs-eval diagnose` again.") from error
    return causes if causes.record_sha256 == sha256_of_result(record) else None


def write_causes(file: Path, causes: Causes) -> Path:
    """Write causes beside their record, completely or not at all, and return their file.

    Raises:
        InputError: the file cannot be written.
    """
    path, content = causes_file(file), msgspec.json.format(msgspec.json.encode(causes), indent=1) + b"\n"
    write_whole(path, lambda stream: stream.write(content))
    return path
