"""Findings and reports, and the findings on image files that both kinds of report share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from nvs_eval.errors import InputError, some
from nvs_eval.images.files import Header
from nvs_eval.images.formats import check_format
from nvs_eval.system.files import file_sha256, open_file

_READ = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP", "PPM")
_NPY, _EXR = b"\x93NUMPY", b"\x76\x2f\x31\x01"
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JPEG = (
    "{count} JPEG{which}: compression artefacts count as truth, so even a perfect render of the scene would differ, "
    "which limits PSNR above all."
)
LOSSY = ("JPEG", "MPO")
"""Lossy formats. MPO is written by some cameras: a JPEG followed by further ones."""


@dataclass(frozen=True)
class Finding:
    """Sentence on the references. It either makes numbers doubtful or is information."""

    text: str
    doubtful: bool = False


@dataclass(frozen=True)
class Inspection:
    """Report on a run or a record.

    Attributes:
        title: name of the run or record.
        findings: findings, doubtful ones first.
        facts: pairs of label and text.
    """

    title: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]


def findings_on(
    names: Sequence[object],
    text: str,
    total: int = 0,
    *,
    noun: str = "reference",
    verb: Literal["are", "have"] = "are",
    doubtful: bool = False,
    whole: bool = False,
    **values: str,
) -> Iterator[Finding]:
    """Yield a finding on the named items, if any.

    In `text`, `{count}` becomes a phrase such as "1 of 4 references is" (with `total`, `noun` and `verb`), `{names}`
    the first names, and `{which}` the names in parentheses unless they are all. `values` are further fields. Names
    that are `whole` sentences are not truncated.
    """
    if names:
        shown = some(names, whole=whole)
        which = "" if len(names) == total else f" ({shown})"
        count = of_all(len(names), total, noun, verb)
        yield Finding(text.format(count=count, names=shown, which=which, **values), doubtful)


def of_all(count: int, total: int, noun: str, verb: Literal["are", "have"] = "are") -> str:
    """Return part of a total with a verb, such as "Both references are" or "1 of 4 references is"."""
    singular = {"are": "is", "have": "has"}[verb]
    if count == total:
        if total == 1:
            return f"The only {noun} {singular}"
        return f"{'Both' if total == 2 else f'All {total}'} {noun}s {verb}"
    return f"{count} of {total} {noun}s {singular if count == 1 else verb}"


# --- Image files by their headers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredImage:
    """Header of a view's image file: format (by content, not by name), width and height, and whether it has alpha.

    Bytes and pixels are read only on demand. A transparent colour counts as alpha.
    """

    name: str
    file: Path
    format: str
    size: tuple[int, int]
    alpha: bool

    @cached_property
    def path(self) -> Path:
        """Path of the file after following links."""
        return self.file.resolve()

    @cached_property
    def bytes(self) -> int:
        """Size of the file in bytes."""
        return self.file.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return file_sha256(self.file)

    @cached_property
    def pixels_sha256(self) -> str | None:
        """SHA-256 of size and decoded pixels; None if they are damaged."""
        try:
            with _opened(self.file) as image:
                # Only palettes are converted: RGBA would clip 16 bits to 8.
                pixels = image.convert("RGBA") if image.mode == "P" else image.copy()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        return hashlib.sha256(repr((pixels.mode, pixels.size)).encode() + pixels.tobytes()).hexdigest()


def _opened(file: Path) -> Image.Image:
    """Open an image with Pillow, which would pass other formats to programs that run code, such as Ghostscript."""
    check_format(file)
    return Image.open(file, formats=_READ)


def stored_image(name: str, file: Path) -> StoredImage:
    """Read the header of an image file.

    Raises:
        InputError: the file cannot be read as an image.
    """
    try:
        with _opened(file) as image:
            alpha = "A" in image.getbands() or "transparency" in image.info
            return StoredImage(name, file, image.format or "unknown", image.size, alpha)
    except InputError:
        raise
    except UnidentifiedImageError:
        reason = "it is empty, damaged or of an unknown format"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
    raise InputError(f"{file} cannot be read as an image: {reason}.")


def stored_format(file: Path) -> str | None:
    """Return the format of an image file by its content; None if unknown."""
    try:
        with open_file(file) as opened:
            start = opened.read(8)
        if start.startswith((_NPY, _EXR)):
            return "NPY" if start.startswith(_NPY) else "EXR"
        return stored_image("", file).format
    except (OSError, ValueError):  # A path from a record may contain a null byte; an InputError is a ValueError, too.
        return None


_LIKENESSES = {
    "the same file": ("path", "path"),
    "the same bytes": ("bytes", "sha256"),
    "the same pixels": ("size", "pixels_sha256"),
}
"""For each kind of copy: an attribute that is quick to compare, and the one that decides."""


class Lookalikes:
    """Finds the image that another image is a copy of.

    Bytes are compared only between files of the same length, pixels only between images of the same size and only with
    `pixels`.
    """

    def __init__(self, images: Iterable[StoredImage], *, pixels: bool) -> None:
        self._likenesses = list(_LIKENESSES)[: None if pixels else -1]
        self._similar: dict[object, list[StoredImage]] = {}
        for image in images:
            self.add(image)

    def add(self, image: StoredImage) -> None:
        """Add an image that `find` may return."""
        for quick, _ in _LIKENESSES.values():
            self._similar.setdefault((quick, getattr(image, quick)), []).append(image)

    def find(self, image: StoredImage) -> tuple[StoredImage, str] | None:
        """Return the first image with the same file, bytes or pixels, in this order, and which of these it is."""
        for likeness in self._likenesses:
            quick, decisive = _LIKENESSES[likeness]
            for candidate in self._similar.get((quick, getattr(image, quick)), ()):
                if (value := getattr(image, decisive)) is not None and value == getattr(candidate, decisive):
                    return candidate, likeness
        return None


def format_findings(formats: Sequence[tuple[str, Path, str]]) -> Iterator[Finding]:
    """Yield findings on lossy, mixed and misnamed formats of references, given as (name, file, format)."""
    lossy = [name for name, _, format in formats if format in LOSSY]
    yield from findings_on(lossy, _JPEG, len(formats))
    counts = Counter(format for _, _, format in formats)
    if len(counts) > 1:
        mixed = ", ".join(f"{count} {format}" for format, count in sorted(counts.items()))
        yield Finding(f"The references have several formats ({mixed}), with different compression errors.")
    misnamed = [
        f"{file.name} is {format}"
        for _, file, format in formats
        if _SUFFIXES.get(file.suffix.lower(), format) != ("JPEG" if format in LOSSY else format)
    ]
    yield from findings_on(
        misnamed, "Some references have a format that differs from their file name: {names}.", doubtful=True
    )


def tag_findings(headers: Sequence[tuple[str, Header]], *, noun: str = "reference") -> Iterator[Finding]:
    """Yield findings on images, given by name, whose tags declare another orientation or other colours than sRGB."""
    turned = [f"{name} ({header.orientation})" for name, header in headers if header.orientation != 1]
    coloured = [f"{name} ({header.colours})" for name, header in headers if header.colours]
    text = "{count} an EXIF orientation. Stored pixels are used, not rotated: {names}."
    yield from findings_on(turned, text, len(headers), noun=noun, verb="have")
    text = "{count} colours other than sRGB. Stored values are used, not converted: {names}."
    yield from findings_on(coloured, text, len(headers), noun=noun, verb="have", doubtful=True)


def size_findings(sizes: Iterable[tuple[int, int]]) -> Iterator[Finding]:
    """Yield a finding on references of several sizes."""
    counts = Counter(sizes)
    if len(counts) > 1:
        common = ", ".join(f"{count} with {in_pixels(size)}" for size, count in counts.most_common(3))
        yield Finding(
            f"The references have {len(counts)} sizes: {common}{', ...' if len(counts) > 3 else ''}. Every view has "
            "the same weight in a mean, whatever its size."
        )


def sizes_in_words(sizes: Sequence[tuple[int, int]]) -> str:
    """Return the size of images, or the range of their sizes."""
    counts = Counter(sizes)
    return in_pixels(sizes[0]) if len(counts) == 1 else f"{in_pixels(min(counts))} to {in_pixels(max(counts))}"


def in_pixels(size: tuple[int, int]) -> str:
    """Return width and height as text."""
    return f"{size[0]}x{size[1]}"
