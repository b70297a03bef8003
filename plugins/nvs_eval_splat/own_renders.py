"""The export check: how many dB a model's renders are apart from those that its tool made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, counted, some
from nvs_eval.images.files import Reading, load_image
from nvs_eval.sources.matching import natural
from nvs_eval_splat.cameras.scene import Scene
from nvs_eval_splat.conventions import CONVENTIONS
from nvs_eval_splat.frame_check import other_activations, psnr_of
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.models.parameters import Parameters
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.rendering import render
from nvs_eval_splat.settings import Settings

MOST = 100.0
"""PSNR of equal images, and the largest one."""
_CLEARLY = 6.0
_SUFFIXES = (".png", ".jpg", ".jpeg")
_READING = Reading(alpha="drop", ignore_colour_tags=True)


def own_renders(
    scene: Scene,
    names: Sequence[str],
    *,
    step: int | None,
    split: str,
    folder: Path | None,
    warn: Callable[[str], None],
) -> Mapping[str, Path]:
    """Return the tool's renders of views, by the views' names; none if there are none.

    Args:
        scene: data of the model.
        names: names of all views of the split, in the order of the data.
        step: step of the checkpoint.
        split: split of the views.
        folder: folder that the user names (default: that of the tool beside the model).
        warn: called if there are renders that do not belong to the views.

    Raises:
        InputError: the folder that the user names has no renders of these views.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"--own-renders must be a folder of renders. {folder} is none.")
    files = _files(folder) if folder is not None else _beside(scene, step, split)
    if not files and folder is None:
        return {}
    by_stem = {file.stem: file for file in files}
    if {Path(name).name for name in names} <= by_stem.keys():
        return {name: by_stem[Path(name).name] for name in names}
    if len(files) == len(names):
        return dict(zip(names, files, strict=True))
    place = folder or files[0].parent
    reason = (
        f"{place} must have a render of each of the {counted(len(names), 'view')} of the split, by name or in their "
        f"order. It has {counted(len(files), 'image')}: {some([file.name for file in files], 3) or 'none'}."
    )
    if folder is not None:
        raise InputError(reason)
    warn(f"The tool's own renders are not compared: {reason}")
    return {}


def _files(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    return sorted(files, key=lambda path: natural(path.name))


def _beside(scene: Scene, step: int | None, split: str) -> list[Path]:
    """Return the renders that the tool wrote beside a model."""
    model = scene.model.path
    if step is None or not model.is_dir():
        return []
    if scene.model.tool == "3dgs":
        folder = model / split / f"ours_{step}" / "renders"
        return _files(folder) if folder.is_dir() else []
    folder = model / "renders"
    return sorted(folder.glob(f"val_step{step}_[0-9]*.png")) if folder.is_dir() and split == "test" else []


def read_own(file: Path, size: tuple[int, int]) -> Float[Tensor, "h w 3"]:
    """Return a render of the tool; of an image of two halves, as gsplat writes them, the right one.

    Args:
        file: the image.
        size: width and height of the view.

    Raises:
        InputError: the image cannot be read, or has another size.
    """
    image = load_image(file, _READING)
    width, height = size
    if image.shape[:2] == (height, 2 * width):
        image = image[:, width:]
    if image.shape[:2] != (height, width):
        raise InputError(
            f"{file} must be {width}x{height}, the size of its view. Got {image.shape[1]}x{image.shape[0]}."
        )
    return image


def apart(render: Float[Tensor, "h w 3"], own: Float[Tensor, "h w 3"]) -> float:
    """Return the PSNR of a render against the tool's, at most `MOST` dB."""
    return min(MOST, psnr_of(render, own))


def cause_of(
    parameters: Parameters, gaussians: Gaussians, camera: Pinhole, settings: Settings, own: Float[Tensor, "h w 3"]
) -> str:
    """Return why a model does not reproduce the tool's render of a view, in words; "" if nothing explains it."""
    best, cause = apart(render(gaussians, camera, settings).rgb, own) + _CLEARLY, ""
    for words, one, other in _alternatives(parameters, gaussians, settings):
        value = apart(render(one, camera, other).rgb, own)
        if value > best:
            best, cause = value, words
    return cause


def _alternatives(
    parameters: Parameters, gaussians: Gaussians, settings: Settings
) -> Iterator[tuple[str, Gaussians, Settings]]:
    for words, other in other_activations(parameters):
        yield words, other, settings
    convention = settings.convention
    for colour, name in (((0.0, 0.0, 0.0), "black"), ((1.0, 1.0, 1.0), "white")):
        if colour != settings.background:
            yield (
                f"the tool's background is {name} (--background {name})",
                gaussians,
                replace(settings, background=colour),
            )
    flipped = replace(convention, antialiased=not convention.antialiased)
    words = "is not" if convention.antialiased else "is"
    yield f"the tool's render {words} antialiased", gaussians, replace(settings, convention=flipped)
    for name, other in CONVENTIONS.items():
        if name != convention.name:
            changed = replace(other, antialiased=convention.antialiased)
            yield (
                f"the tool's rasteriser is {name} (--convention {name})",
                gaussians,
                replace(settings, convention=changed),
            )
    if gaussians.degree:
        flat = replace(gaussians, harmonics=np.ascontiguousarray(gaussians.harmonics[:, :1]))
        yield "the tool renders without the higher degrees of the harmonics", flat, settings
