"""Image files of a folder by view name. A view's image may be a whole file, part of a canvas, or in an archive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, counted, quoted, some
from nvs_eval.images.files import Header, Reading, decode, load_layers
from nvs_eval.images.formats import ALL_EXTENSIONS, EXTENSIONS, OTHER_EXTENSIONS
from nvs_eval.images.pixels import by_planes, sha256_of_image
from nvs_eval.sources.archives import Unpacked, naming
from nvs_eval.system.folders import shown, walk
from nvs_eval.system.hashes import remembered_sha256

T = TypeVar("T")
Layers = tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]
"""Colours and alpha of an image."""
FileHash = Callable[[Path], str]
"""Returns the sha256 of a file's bytes, possibly from memory."""


@dataclass(frozen=True)
class Picture:
    """One image: a file, or one of several images of equal width side by side in a canvas.

    Attributes:
        path: path of the file.
        part: index of the image in its canvas, from the left.
        parts: number of images in the file.
        archive: archive that the file was unpacked from. Its temporary folder exists as long as any of its pictures.
    """

    path: Path
    part: int = 0
    parts: int = 1
    archive: Unpacked | None = None

    @property
    def file(self) -> Path | None:
        """The user's file if it contains exactly this image, or None."""
        return self.path if self.parts == 1 and self.archive is None else None

    @property
    def source(self) -> Path:
        """The user's folder or archive that contains the image."""
        return self.path.parent if self.archive is None else self.archive.archive

    def __str__(self) -> str:
        which = "" if self.parts == 1 else f" (image {self.part + 1} of {self.parts} in it)"
        return f"{self.path if self.archive is None else self.archive.named(str(self.path))}{which}"

    def header(self, probe: Callable[[Path], Header]) -> Header:
        """Return the header of the file, with the size of this image.

        Args:
            probe: function that reads the header of a file.

        Raises:
            InputError: `probe` raises it, or the canvas cannot be divided into its parts.
        """
        with naming(self.archive):
            header = probe(self.path)
            width, height = header.size
            return replace(header, size=(self._part_width(width), height))

    def sha256(self, hash_file: FileHash = remembered_sha256) -> str:
        """Return the hash of the file's bytes, or of the pixels of a part of a canvas.

        Raises:
            InputError: the file cannot be read.
        """
        if self.parts == 1:
            return self.identity(hash_file)
        with naming(self.archive):
            return sha256_of_image(self._cut(decode(self.path)))

    def identity(self, hash_file: FileHash = remembered_sha256) -> str:
        """Return the hash of the file's bytes, followed by the part of a canvas.

        Raises:
            InputError: the file cannot be read.
        """
        with naming(self.archive):
            try:
                digest = hash_file(self.path)
            except OSError as error:
                raise InputError(f"{shown(self.path)} cannot be read: {error.strerror}.") from error
        return digest if self.parts == 1 else f"{digest} {self.part + 1}/{self.parts}"

    def load_file(self, reading: Reading) -> Layers:
        """Read the colours and alpha of the whole file.

        Raises:
            InputError: the file cannot be read (see `load_layers`).
        """
        with naming(self.archive):
            return load_layers(self.path, reading)

    def cut_out(self, layers: Layers) -> Layers:
        """Crop this picture from the layers of its file.

        Raises:
            InputError: the canvas cannot be divided into its parts.
        """
        colours, alpha = layers
        with naming(self.archive):
            return self._cut(colours), None if alpha is None else self._cut(alpha)

    def _cut(self, pixels: Tensor) -> Tensor:
        width = self._part_width(pixels.shape[1])
        # A part is copied, so that the canvas can be freed.
        return by_planes(pixels[:, self.part * width : (self.part + 1) * width])

    def _part_width(self, width: int) -> int:
        if width % self.parts:
            raise InputError(
                f"{self.path} must contain {self.parts} images of equal width side by side. Got a width of {width} "
                "pixels."
            )
        return width // self.parts


def whole_files(files: Mapping[str, Path]) -> dict[str, Picture]:
    """Return pictures of files that contain one image each, by view name."""
    return {name: Picture(path) for name, path in files.items()}


def check_folder(folder: Path, what: str = "") -> None:
    """Check that a folder exists.

    Args:
        folder: path of the folder.
        what: content of the folder, for the message, such as "of renders ".

    Raises:
        InputError: the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {what}{folder} {'is not a folder' if folder.exists() else 'does not exist'}.")


def list_images(folder: Path, globs: Sequence[str] = (), *, option: str = "") -> dict[str, Path]:
    """Return the images below a folder by view name, sorted; hidden files and folders are skipped, links are followed.

    A view name is the path relative to the folder, without extension.

    Args:
        folder: path of the folder.
        globs: patterns of the paths relative to the folder, whose extension may be omitted (default: all). The part
            that `*` matches is the view name. A pattern that begins with `!` excludes files.
        option: option of the command line that sets `globs`, for messages.

    Raises:
        InputError: the folder is missing or has no image or one of a format that is not read, two files have the same
            view name, or a pattern is invalid.
    """
    check_folder(folder)
    view_name = _view_name(globs, option)
    images: dict[str, Path] = {}
    unread: list[Path] = []
    for path in sorted(image_files(folder)):
        below, suffix = path.relative_to(folder), path.suffix.lower()
        if (name := view_name(below)) is None:
            continue
        if suffix in OTHER_EXTENSIONS:
            unread.append(below)
            continue
        if name in images:
            advice = _one_of(images[name], path, globs, option) if option else ""
            raise InputError(
                f"{images[name]} and {path} have the same view name {quoted(name)}. Keep one of them{advice}."
            )
        images[name] = path
    if unread:
        format = OTHER_EXTENSIONS[unread[0].suffix.lower()]
        advice = f" If it is no view, exclude it: `{option} '!*{unread[0].suffix}'`." if option else ""
        raise InputError(
            f"{counted(len(unread), 'image')} in {folder} cannot be read: {some(unread)}. The format is "
            f"{format.name}. {format.remedy}{advice}"
        )
    if not images:
        which = f" that match {option} {' '.join(map(repr, globs))}" if globs else f" ({', '.join(EXTENSIONS)})"
        files = some(sorted(path.relative_to(folder) for path in _files(folder)))
        raise InputError(f"The folder {folder} has no images{which}.{files and f' Its files are {files}.'}")
    return images


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that have the suffix of an image; hidden files and folders are skipped."""
    return (path for path in _files(folder) if path.suffix.lower() in ALL_EXTENSIONS)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden.

    Links to folders are followed, except to a folder that contains the link.

    Raises:
        InputError: a folder cannot be read.
    """
    for base, folders, files in walk(folder, follow_links=True):
        walked = (path for path in (Path(base), *Path(base).parents) if path.is_relative_to(folder))
        above = {*map(os.path.realpath, walked), *map(str, Path(os.path.realpath(base)).parents)}
        folders[:] = [
            name for name in folders if not name.startswith(".") and os.path.realpath(Path(base, name)) not in above
        ]
        yield from (Path(base, name) for name in files if not name.startswith("."))


def _one_of(first: Path, second: Path, globs: Sequence[str], option: str) -> str:
    """Return the advice to choose one of two files of a view by a pattern, if a pattern can."""
    if first.suffix.lower() != second.suffix.lower() and not globs:
        return f", or say which files are views, such as `{option} '*{second.suffix}'`"
    return f", or change {option} so that it matches one of them" if globs else ""


def _view_name(globs: Sequence[str], option: str) -> Callable[[Path], str | None]:
    """Return the function of a relative path that returns its view name, or None if the patterns exclude it."""
    excluded = [_compiled(glob[1:]) for glob in globs if glob.startswith("!")]
    included = [_compiled(glob) for glob in globs if not glob.startswith("!")]
    if any(pattern.groups != 1 for pattern in included):
        raise InputError(f"{option} must have one *, which matches the view's name. Got {' '.join(map(repr, globs))}.")

    def view_name(path: Path) -> str | None:
        forms = (path.with_suffix("").as_posix(), path.as_posix())
        if any(pattern.fullmatch(form) for pattern in excluded for form in forms):
            return None
        if not included:
            return forms[0]
        matches = (pattern.fullmatch(form) for pattern in included for form in forms)
        # The extension is never part of a name.
        return next((match[1] for match in matches if match and not match[1].endswith(path.suffix)), None)

    return view_name


def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(map(re.escape, glob.split("*"))))


def named_like(files: Mapping[str, T], views: Iterable[str]) -> dict[str, T]:
    """Return files by the names of the views that they belong to.

    A file belongs to the view of its name, or of its name without a second extension of an image: `0001.jpg.png`, whose
    name is `0001.jpg`, belongs to the view `0001`. The extension may also be the view's. Other files keep their names.

    Raises:
        InputError: two files belong to the same view.
    """
    names = set(views)
    by_stem = {_without_extension(view): view for view in names}
    by_view: dict[str, T] = {}
    for name, file in files.items():
        view = name if name in names else by_stem.get(_without_extension(name), name)
        if view in by_view:
            raise InputError(f"{by_view[view]} and {file} both belong to the view {quoted(view)}. Keep one of them.")
        by_view[view] = file
    return by_view


def _without_extension(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in ALL_EXTENSIONS else name
