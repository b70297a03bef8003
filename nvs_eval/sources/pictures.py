"""Image files of a folder by view name. A view's image may be a whole file, part of a canvas, or in an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, decode, load_layers
from nvs_eval.images.formats import EXTENSIONS
from nvs_eval.images.pixels import by_planes, sha256_of_image
from nvs_eval.sources.archives import Unpacked, naming
from nvs_eval.system.files import file_sha256

Layers = tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]
"""Colours and alpha of an image."""


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

    def __str__(self) -> str:
        which = "" if self.parts == 1 else f" (image {self.part + 1} of {self.parts} in it)"
        return f"{self.path if self.archive is None else self.archive.named(str(self.path))}{which}"

    def size(self, probe: Callable[[Path], tuple[int, int]]) -> tuple[int, int]:
        """Return the width and height.

        Args:
            probe: function that returns the width and height of a file.

        Raises:
            InputError: `probe` raises it, or the canvas cannot be divided into its parts.
        """
        with naming(self.archive):
            width, height = probe(self.path)
            return self._part_width(width), height

    def sha256(self) -> str:
        """Return the hash of the file's bytes, or of the pixels of a part of a canvas.

        Raises:
            InputError: the file cannot be read.
        """
        with naming(self.archive):
            if self.parts > 1:
                return sha256_of_image(self._cut(decode(self.path)))
            try:
                return file_sha256(self.path)
            except OSError as error:
                raise InputError(f"{self.path} cannot be read: {error.strerror}.") from error

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


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by view name, sorted; hidden files and folders are skipped.

    A view name is the path relative to the folder, without extension.

    Raises:
        InputError: the folder is missing or has no image, or two files have the same view name.
    """
    check_folder(folder)
    images: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() not in EXTENSIONS or path.is_dir() or any(part.startswith(".") for part in below.parts):
            continue
        name = below.with_suffix("").as_posix()
        if name in images:
            raise InputError(f"{images[name]} and {path} have the same view name {name!r}. Keep one of them.")
        images[name] = path
    if not images:
        raise InputError(f"The folder {folder} has no images ({', '.join(EXTENSIONS)}).")
    return images
