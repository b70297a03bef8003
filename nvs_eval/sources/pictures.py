"""Where the image of a render or a reference lies: in a file, in a part of one, or in an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.files import EXTENSIONS, Reading, decode, load_layers, probe_image
from nvs_eval.images.pixels import by_planes, sha256_of_image
from nvs_eval.sources.archives import Unpacked, naming
from nvs_eval.system.files import file_sha256

Layers = tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]


@dataclass(frozen=True)
class Picture:
    """One image: a file, or one of several of equal width that lie side by side in a canvas.

    Attributes:
        path: the file.
        part: which of its images, from the left, counted from 0.
        parts: how many it holds.
        archive: what the file was unpacked from, whose folder lasts as long as any picture in it.
    """

    path: Path
    part: int = 0
    parts: int = 1
    archive: Unpacked | None = None

    @property
    def file(self) -> Path | None:
        """The file that holds exactly this image and is the user's; None where there is none."""
        return self.path if self.parts == 1 and self.archive is None else None

    def __str__(self) -> str:
        which = "" if self.parts == 1 else f" (image {self.part + 1} of {self.parts} in it)"
        return f"{self.path if self.archive is None else self.archive.named(str(self.path))}{which}"

    def probe(self, reading: Reading) -> tuple[int, int]:
        """Width and height, from the file's header alone where the format has one.

        Raises:
            InputError: as `probe_image`; or a canvas has no such parts.
        """
        with naming(self.archive):
            width, height = probe_image(self.path, reading)
            return self._part_width(width), height

    def sha256(self) -> str:
        """What two pictures that are the same image have in common: of a file its bytes, of a part its pixels.

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

    def of_file(self, layers: Layers) -> Layers:
        """This picture's share of what `load_file` gave.

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


def loading(pictures: Sequence[Picture], reading: Reading) -> list[Callable[[], Layers]]:
    """What reads the files that pictures lie in, one call a file; each raises InputError if its file cannot be read."""
    files = {picture.path: picture for picture in reversed(pictures)}
    return [partial(files[path].load_file, reading) for path in _paths(pictures)]


def cut_out(pictures: Sequence[Picture], loaded: Sequence[Layers]) -> list[Layers]:
    """Colours and alpha of each picture, out of what the calls of `loading` gave.

    Raises:
        InputError: a canvas has no such parts.
    """
    whole = dict(zip(_paths(pictures), loaded, strict=True))
    return [picture.of_file(whole[picture.path]) for picture in pictures]


def _paths(pictures: Sequence[Picture]) -> list[Path]:
    """The files that pictures lie in, each once."""
    return list(dict.fromkeys(picture.path for picture in pictures))


def whole_files(files: Mapping[str, Path]) -> dict[str, Picture]:
    """The pictures of files that hold one image each, by view name."""
    return {name: Picture(path) for name, path in files.items()}


def check_folder(folder: Path, what: str = "") -> None:
    """Check that a folder is there.

    Args:
        folder: it.
        what: what it is a folder of, for the message.

    Raises:
        InputError: it is not.
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
