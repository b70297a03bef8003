"""Findings and reports, and what both kinds of report find out from the headers of image files."""

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
from nvs_eval.system.files import file_sha256

_ARRAY, _LIGHT = b"\x93NUMPY", b"\x76\x2f\x31\x01"
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JPEG = (
    "{count} JPEG{which}: what the compression changed counts as truth, so that even a perfect render of the scene "
    "would differ from it, which bounds PSNR above all."
)
# MPO is what some cameras write: a JPEG with further ones behind it.
_LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True)
class Finding:
    """A sentence on the references: one that makes numbers doubtful, or else information."""

    text: str
    doubtful: bool = False


@dataclass(frozen=True)
class Inspection:
    """A report.

    Attributes:
        title: name of what was inspected.
        findings: those that make numbers doubtful first.
        facts: each with its label.
    """

    title: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]


def findings_on(
    names: Sequence[str],
    text: str,
    total: int = 0,
    *,
    noun: str = "reference",
    verb: Literal["are", "have"] = "are",
    doubtful: bool = False,
    **values: str,
) -> Iterator[Finding]:
    """A finding on things of these names, of so many of their kind, if there are any.

    In the text `{count}` is "1 of 4 references is", `{names}` are the first names, `{which}` these in parentheses
    unless they are all, and further fields are among `values`.
    """
    if names:
        which = "" if len(names) == total else f" ({some(names)})"
        count = of_all(len(names), total, noun, verb)
        yield Finding(text.format(count=count, names=some(names), which=which, **values), doubtful)


def of_all(count: int, total: int, noun: str, verb: Literal["are", "have"] = "are") -> str:
    """Part of a total in words, with a verb: "All 4 references are", "1 of 4 references is"."""
    singular = {"are": "is", "have": "has"}[verb]
    if count == total:
        return f"The one {noun} {singular}" if total == 1 else f"All {total} {noun}s {verb}"
    return f"{count} of {total} {noun}s {singular if count == 1 else verb}"


# --- Image files by their headers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredImage:
    """A view's image file by its header: format (whatever its name says), width and height, and whether it has alpha.

    Its bytes and pixels are read only where something else depends on them. A transparent colour counts as alpha.
    """

    name: str
    file: Path
    format: str
    size: tuple[int, int]
    alpha: bool

    @cached_property
    def place(self) -> Path:
        """The file itself, links followed."""
        return self.file.resolve()

    @cached_property
    def bytes(self) -> int:
        """The length of the file."""
        return self.file.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return file_sha256(self.file)

    @cached_property
    def pixels_sha256(self) -> str | None:
        """Of its size and decoded pixels; None where they are damaged."""
        try:
            with Image.open(self.file) as image:
                # Other modes keep what they hold: that of 16 bits would be clipped to 8.
                pixels = image.convert("RGBA") if image.mode == "P" else image.copy()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        return hashlib.sha256(repr((pixels.mode, pixels.size)).encode() + pixels.tobytes()).hexdigest()


def stored_image(name: str, file: Path) -> StoredImage:
    """Read the header of an image file.

    Raises:
        InputError: it cannot be read as an image.
    """
    try:
        with Image.open(file) as image:
            alpha = "A" in image.getbands() or "transparency" in image.info
            return StoredImage(name, file, image.format or "unknown", image.size, alpha)
    except UnidentifiedImageError:
        reason = "it is empty, damaged or of another format"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
    raise InputError(f"{file} cannot be read as an image: {reason}.")


def stored_format(file: Path) -> str | None:
    """The format of an image file by its first bytes; None where it is none that is known."""
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
        if start.startswith((_ARRAY, _LIGHT)):
            return "NPY" if start.startswith(_ARRAY) else "EXR"
        return stored_image("", file).format
    except (OSError, InputError):
        return None


_LIKENESSES = {
    "the same file": ("place", "place"),
    "the same bytes": ("bytes", "sha256"),
    "the same pixels": ("size", "pixels_sha256"),
}
"""What is quickly compared of two images, and what decides."""


class Lookalikes:
    """Finds the image among others that a given one is a copy of.

    Bytes are read only of files of one length, and pixels only of images of one size, and only if asked for.
    """

    def __init__(self, images: Iterable[StoredImage], *, pixels: bool) -> None:
        self._likenesses = list(_LIKENESSES)[: None if pixels else -1]
        self._similar: dict[object, list[StoredImage]] = {}
        for image in images:
            self.add(image)

    def add(self, image: StoredImage) -> None:
        """One more to find."""
        for quick, _ in _LIKENESSES.values():
            self._similar.setdefault((quick, getattr(image, quick)), []).append(image)

    def find(self, image: StoredImage) -> tuple[StoredImage, str] | None:
        """The first that is the same file, else of the same bytes, else of the same pixels, and which of these."""
        for likeness in self._likenesses:
            quick, decisive = _LIKENESSES[likeness]
            for other in self._similar.get((quick, getattr(image, quick)), ()):
                if (value := getattr(image, decisive)) is not None and value == getattr(other, decisive):
                    return other, likeness
        return None


def format_findings(formats: Sequence[tuple[str, Path, str]]) -> Iterator[Finding]:
    """Warn of lossy, mixed and misnamed formats of references: name, file and format by the header of each."""
    lossy = [name for name, _, format in formats if format in _LOSSY]
    yield from findings_on(lossy, _JPEG, len(formats))
    counts = Counter(format for _, _, format in formats)
    if len(counts) > 1:
        mixed = ", ".join(f"{count} {format}" for format, count in sorted(counts.items()))
        yield Finding(f"The references are of several formats ({mixed}): their errors are not alike.")
    misnamed = [
        f"{file.name} is {format}"
        for _, file, format in formats
        if _SUFFIXES.get(file.suffix.lower(), format) != ("JPEG" if format in _LOSSY else format)
    ]
    yield from findings_on(misnamed, "References are of another format than their names say: {names}.", doubtful=True)


def size_findings(sizes: Iterable[tuple[int, int]]) -> Iterator[Finding]:
    """Tell references of several sizes."""
    counts = Counter(sizes)
    if len(counts) > 1:
        common = ", ".join(f"{count} of {in_pixels(size)}" for size, count in counts.most_common(3))
        yield Finding(
            f"The references are of {len(counts)} sizes: {common}{', ...' if len(counts) > 3 else ''}. In a mean each "
            "view counts as one, whatever its size."
        )


def sizes_in_words(sizes: Sequence[tuple[int, int]]) -> str:
    """The size of images, or the range of their sizes."""
    counts = Counter(sizes)
    return in_pixels(sizes[0]) if len(counts) == 1 else f"{in_pixels(min(counts))} to {in_pixels(max(counts))}"


def in_pixels(size: tuple[int, int]) -> str:
    """Width and height, as they are written."""
    return f"{size[0]}x{size[1]}"
