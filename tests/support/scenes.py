"""The one maker of images and of folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nvs_eval.images.files import save_png
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images

WIDTH, HEIGHT = 48, 40


NAMES = ("0001", "0002")


def float_image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise in [0, 1] between the levels of 8 bits."""
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise that an 8-bit file keeps exactly."""
    return (float_image(seed, height, width) * 255).round() / 255


def flat(level: int) -> Tensor:
    """An image of one grey, of which every score has a closed form."""
    return torch.full((HEIGHT, WIDTH, 3), level / 255)


def fill(folder: Path, levels: Sequence[int]) -> None:
    """A folder of two images of one grey each."""
    for name, level in zip(NAMES, levels, strict=True):
        save_png(folder / f"{name}.png", flat(level))


def write_pngs(folder: Path, seeds: dict[str, int]) -> Path:
    """A folder of one PNG of noise a name."""
    for name, seed in seeds.items():
        save_png(folder / f"{name}.png", image(seed))
    return folder


def write_masks(folder: Path, coverage: dict[str, float], *, weight: float = 1.0) -> Path:
    """A folder of masks: of each view the right part of this width counts, with this weight."""
    for name, share in coverage.items():
        mask = torch.zeros(HEIGHT, WIDTH, 3)
        mask[:, WIDTH - round(WIDTH * share) :] = weight
        save_png(folder / f"{name}.png", mask)
    return folder


def masks_in(folder: Path, coverage: dict[str, float], *, binary: bool = False) -> Masks:
    """The same, as a checkpoint has them."""
    return Masks(list_images(write_masks(folder, coverage)), binary)


def files_below(folder: Path) -> list[str]:
    """The files below a folder by their paths, hidden ones included; empty folders end in a slash."""
    return sorted(
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    )
