"""The one maker of images and of folders of them."""

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
    """Noise in [0, 1]."""
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def float_image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise in [0, 1] between the levels of 8 bits."""
    return noise(height, width, 3, seed=seed)


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise that an 8-bit file keeps exactly."""
    return (float_image(seed, height, width) * 255).round() / 255


def bitmap(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT), channels: int = 3) -> Image.Image:
    """Noise as an image of PIL, so that any format can be made of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def flat(level: int) -> Tensor:
    """An image of one grey, of which every score has a closed form."""
    return torch.full((HEIGHT, WIDTH, 3), level / 255)


def write_images(folder: Path, images: Mapping[str, Tensor], extension: Literal["png", "npy"] = "png") -> Path:
    """A folder of one image file a name."""
    for name, pixels in images.items():
        (save_png if extension == "png" else save_npy)(folder / f"{name}.{extension}", pixels)
    return folder


def fill(folder: Path, levels: Sequence[int]) -> Path:
    """A folder of two images of one grey each."""
    return write_images(folder, {name: flat(level) for name, level in zip(NAMES, levels, strict=True)})


def write_pngs(folder: Path, seeds: Mapping[str, int]) -> Path:
    """A folder of one PNG of noise a name."""
    return write_images(folder, {name: image(seed) for name, seed in seeds.items()})


def write_garden(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """A scene of noise, of which no two protocols say the same: references and two methods' renders of them."""
    for index, part in enumerate(("gt", "ours", "theirs")):
        write_pngs(folder / part, {name: 10 * index + int(name) for name in names})
    return folder


def write_masks(folder: Path, coverage: Mapping[str, float], *, weight: float = 1.0) -> Path:
    """A folder of masks: of each view the right part of this width counts, with this weight."""
    masks = {}
    for name, share in coverage.items():
        masks[name] = torch.zeros(HEIGHT, WIDTH, 3)
        masks[name][:, WIDTH - round(WIDTH * share) :] = weight
    return write_images(folder, masks)


def masks_in(folder: Path, coverage: Mapping[str, float], *, binary: bool = False) -> Masks:
    """The same, as a checkpoint has them."""
    return Masks(list_images(write_masks(folder, coverage)), binary)


def files_below(folder: Path) -> list[str]:
    """The files below a folder by their paths, hidden ones included; empty folders end in a slash."""
    return sorted(
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    )


FRAMES = tuple(f"images/{index:04d}.png" for index in range(1, 11))


def frame(index: int, name: str, **more: Any) -> dict[str, Any]:
    """What transforms.json says of an image."""
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
    """A scene in nerfstudio's format: an image of noise a name, and transforms.json."""
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        bitmap(index, size).save(folder / name)
    frames = [frame(index, name, **more(name)) for index, name in enumerate(names)]
    width, height = size
    intrinsics = {"fl_x": 20, "fl_y": 20, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    data = {**intrinsics, "camera_model": "OPENCV", **meta, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(data))
    return folder
