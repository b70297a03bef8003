"""Images and folders of images for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from support.agreement import generator
from torch import Tensor

from nvs_eval.images.files import save_npy, save_png
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images

WIDTH, HEIGHT = 48, 40


NAMES = ("0001", "0002")


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return noise in [0, 1]."""
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def float_image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return an image of noise in [0, 1], not limited to 8-bit levels."""
    return noise(height, width, 3, seed=seed)


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return an image of noise at 8-bit levels."""
    return (float_image(seed, height, width) * 255).round() / 255


def bitmap(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT), channels: int = 3) -> Image.Image:
    """Return noise as a PIL image, which can be saved in any format."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def flat(level: int) -> Tensor:
    """Return an image of a single grey, for which all scores have a closed form."""
    return torch.full((HEIGHT, WIDTH, 3), level / 255)


def write_images(folder: Path, images: Mapping[str, Tensor], extension: Literal["png", "npy"] = "png") -> Path:
    """Write a folder with an image file for each name."""
    for name, pixels in images.items():
        (save_png if extension == "png" else save_npy)(folder / f"{name}.{extension}", pixels)
    return folder


def fill(folder: Path, levels: Sequence[int]) -> Path:
    """Write a folder of two flat grey images."""
    return write_images(folder, {name: flat(level) for name, level in zip(NAMES, levels, strict=True)})


def write_pngs(folder: Path, seeds: Mapping[str, int]) -> Path:
    """Write a folder with a PNG of noise for each name."""
    return write_images(folder, {name: image(seed) for name, seed in seeds.items()})


def write_garden(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """Write a scene of noise, with references and two methods' renders. Protocols differ in their scores."""
    for index, part in enumerate(("gt", "ours", "theirs")):
        write_pngs(folder / part, {name: 10 * index + int(name) for name in names})
    return folder


def write_masks(folder: Path, coverage: Mapping[str, float], *, weight: float = 1.0) -> Path:
    """Write a folder of masks. The right part of each mask, of this share of the width, has this weight."""
    masks = {}
    for name, share in coverage.items():
        masks[name] = torch.zeros(HEIGHT, WIDTH, 3)
        masks[name][:, WIDTH - round(WIDTH * share) :] = weight
    return write_images(folder, masks)


def masks_in(folder: Path, coverage: Mapping[str, float], *, binary: bool = False) -> Masks:
    """Write a folder of masks, and return them as a checkpoint would."""
    return Masks(list_images(write_masks(folder, coverage)), binary)


def files_below(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, including hidden ones. Empty folders end in a slash."""
    return sorted(
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    )


FRAMES = tuple(f"images/{index:04d}.png" for index in range(1, 11))


def frame(index: int, name: str, **more: Any) -> dict[str, Any]:
    """Return the entry of an image in transforms.json."""
    pose = np.eye(4)
    pose[:3, 3] = np.cos(index), np.sin(index), 0.1 * index
    return {"file_path": name, "transform_matrix": pose.tolist(), **more}


def nerfstudio_scene(
    folder: Path,
    names: Sequence[str] = FRAMES,
    *,
    size: tuple[int, int] = (16, 12),
    more: Callable[[str], dict[str, Any]] = lambda name: {},
    **meta: Any,
) -> Path:
    """Write a scene in nerfstudio's format: an image of noise for each name, and transforms.json."""
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        bitmap(index, size).save(folder / name)
    frames = [frame(index, name, **more(name)) for index, name in enumerate(names)]
    width, height = size
    intrinsics = {"fl_x": 20, "fl_y": 20, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    data = {**intrinsics, "camera_model": "OPENCV", **meta, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(data))
    return folder
