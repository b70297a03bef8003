"""A small scene that is rendered from a splat, and models of it as the tools write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from support.splat_scenes import NAMES, ring, write_colmap
from support.splats import write_gsplat, write_inria, write_ply

from nvs_eval_splat.conventions import CONVENTIONS
from nvs_eval_splat.models.parameters import Parameters, activated
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.rasterise import rasterise

SIZE = (40, 32)
FOCAL = (44.0, 45.0)


class Splat(NamedTuple):
    """A scene and its models.

    Attributes:
        scene: folder of the data.
        inria: folder of INRIA's model, of step 7, with its own renders.
        gsplat: folder of gsplat's results, of step 6.
        ply: a PLY file.
        parameters: the parameters of all three.
    """

    scene: Path
    inria: Path
    gsplat: Path
    ply: Path
    parameters: Parameters


def parameters(count: int = 300, seed: int = 0) -> Parameters:
    """Return a ball of Gaussians, dense enough to cover the images of a ring of cameras, and of smooth colours."""
    draw = np.random.default_rng(seed)
    directions = draw.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    means = directions * draw.uniform(0.3, 1.7, (count, 1))
    harmonics = draw.normal(0, 0.05, (count, 4, 3))
    harmonics[:, 0] = np.sin(2 * means) * 2.5
    arrays = {
        "means": means,
        "scales": draw.normal(-1.3, 0.3, (count, 3)),
        "rotations": draw.normal(size=(count, 4)),
        "opacities": draw.normal(1.0, 1.0, count),
        "harmonics": harmonics,
    }
    return Parameters(**{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})


def draw(parameters: Parameters, pose: np.ndarray, convention: str = "inria") -> np.ndarray:
    """Return the render of a view, `[H, W, 3]` in [0, 1]."""
    camera = Pinhole(*SIZE, *FOCAL, SIZE[0] / 2, SIZE[1] / 2, np.linalg.inv(pose))
    gaussians = activated(parameters, "the model").gaussians
    rgb, _ = rasterise(gaussians, camera, CONVENTIONS[convention], background=(0.0, 0.0, 0.0), threads=1)
    return rgb.clip(0, 1)


def save(path: Path, image: np.ndarray) -> None:
    """Save an image of values in [0, 1] with 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 255).round().astype(np.uint8)).save(path)


def write_scene(folder: Path, model: Parameters, names: Sequence[str] = NAMES, *, noise: float = 0.05) -> Path:
    """Write the data of a scene: renders of a model with noise, and the cameras of COLMAP."""
    random = np.random.default_rng(3)
    poses = ring(len(names))
    for name, pose in zip(names, poses, strict=True):
        image = draw(model, pose)
        save(folder / "images" / name, (image + random.normal(0, noise, image.shape)).clip(0, 1))
    write_colmap(folder, poses, names, size=SIZE, values=(*FOCAL, SIZE[0] / 2, SIZE[1] / 2))
    return folder


def write_splat(folder: Path) -> Splat:
    """Write a scene and its models, which are in the frame of the data."""
    model = parameters()
    scene = write_scene(folder / "ball", model)
    arguments = f"source_path={str(scene)!r}, images='images', eval=True, resolution=-1, white_background=False"
    inria = write_inria(folder / "first", {7: model}, arguments)
    for place, pose in enumerate(ring()[::8]):
        save(inria / "test" / "ours_7" / "renders" / f"{place:05d}.png", draw(model, pose))
    configuration = f"data_dir: {scene}\ndata_factor: 1\ntest_every: 8\nnormalize_world_space: false\n"
    gsplat = write_gsplat(folder / "second", {6: model}, configuration)
    return Splat(scene, inria, gsplat, write_ply(folder / "third.ply", model), model)


def changed(model: Parameters, **arrays: np.ndarray) -> Parameters:
    """Return a model with other arrays."""
    return replace(model, **{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})
