"""Image files of a folder by view name, and where a view's image lies: in a file, in a part of one, in an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.files import EXTENSIONS, Reading, decode, load_layers
from nvs_eval.images.pixels import by_planes, sha256_of_image
from nvs_eval.sources.archives import Unpacked, naming
from nvs_eval.system.files import file_sha256

Layers = tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]
"""Colours and alpha of an image."""


@dataclass(frozen=True)
class Picture:
    """One image: a file, or one of several of equal width that lie side by side in a canvas.

    Attributes:
        path: the file.
        part: index of the image in its canvas, from the left.
        parts: number of images in the file.
        archive: archive that the file was unpacked from; its folder lasts as long as any picture in it.
    """

    path: Path
    part: int = 0
    parts: int = 1
    archive: Unpacked | None = None

    @property
    def file(self) -> Path | None:
        """The user's file that holds exactly this image; None where there is none."""
        return self.path if self.parts == 1 and self.archive is None else None

    def __str__(self) -> str:
        which = "" if self.parts == 1 else f" (image {self.part + 1} of {self.parts} in it)"
        return f"{self.path if self.archive is None else self.archive.named(str(self.path))}{which}"

    def size(self, probe: Callable[[Path], tuple[int, int]]) -> tuple[int, int]:
        """Width and height.

        Args:
            probe: returns those of a file.

        Raises:
            InputError: as `probe`; or a canvas has no such parts.
        """
        with naming(self.archive):
            width, height = probe(self.path)
            return self._part_width(width), height

    def sha256(self) -> str:
        """Hash of the file's bytes, or of the pixels of a part: equal for pictures of the same image.

        Raises:
            InputError: it cannot be read.
        """
        with naming(self.archive):
            if self.parts > 1:
                return sha256_of_image(self._cut(decode(self.path)))
            try:
                return file_sha256(self.path)
            except OSError as error:
                raise InputError(f"{self.path} cannot be read: {error.strerror}.") from error

    def load_file(self, reading: Reading) -> Layers:
        """Colours and alpha of the whole file.

        Raises:
            InputError: as `load_layers`.
        """
        with naming(self.archive):
            return load_layers(self.path, reading)

    def cut_out(self, layers: Layers) -> Layers:
        """Cut this picture out of the layers of its file.

        Raises:
            InputError: the canvas has no such parts.
        """
        colours, alpha = layers
        with naming(self.archive):
            return self._cut(colours), None if alpha is None else self._cut(alpha)

    def _cut(self, pixels: Tensor) -> Tensor:
        width = self._part_width(pixels.shape[1])
        # A copy where it is a part, so that the canvas need not stay in memory with it.
        return by_planes(pixels[:, self.part * width : (self.part + 1) * width])

    def _part_width(self, width: int) -> int:
        if width % self.parts:
            raise InputError(
                f"{self.path} is {width} pixels wide, and {self.parts} images of one width side by side are needed."
            )
        return width // self.parts


def whole_files(files: Mapping[str, Path]) -> dict[str, Picture]:
    """Pictures of files that hold one image each, by view name."""
    return {name: Picture(path) for name, path in files.items()}


def check_folder(folder: Path, what: str = "") -> None:
    """Check that a folder exists.

    Args:
        folder: its path.
        what: content of the folder, for the message.

    Raises:
        InputError: it does not.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {what}{folder} {'is no folder' if folder.exists() else 'does not exist'}.")


def list_images(folder: Path) -> dict[str, Path]:
    """The images below a folder by view name: the path below it without extension, sorted; nothing hidden is one.

    Raises:
        InputError: the folder is missing or has no image, or two files would be the same view.
    """
    check_folder(folder)
    images: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() not in EXTENSIONS or path.is_dir() or any(part.startswith(".") for part in below.parts):
            continue
        name = below.with_suffix("").as_posix()
        if name in images:
            raise InputError(f"{images[name]} and {path} would both be view {name!r}: keep one of them.")
        images[name] = path
    if not images:
        raise InputError(f"The folder {folder} has no images ({', '.join(EXTENSIONS)}).")
    return images
