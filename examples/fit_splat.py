"""Fit a small splat to photographs on a CPU, and write it as INRIA's trainer, gsplat's and nerfstudio's exporter would.

python examples/fit_splat.py --data SCENE --output FOLDER

SCENE has a transforms.json of nerfstudio whose cameras share their lens. FOLDER receives

    scene/      the photographs without lens distortion, principal point in the centre, with a transforms.json
    inria/      point_cloud/iteration_<step>/point_cloud.ply, cfg_args, cameras.json, test/ours_<step>/{renders,gt}/
    gsplat/     ckpts/ckpt_<step>_rank0.pt, cfg.yml
    splat.ply   the PLY file alone

Every 8th photograph is held out. Gaussians of low opacity move to where the others are opaque, as in 3DGS-MCMC.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from plyfile import PlyData, PlyElement
from scipy.ndimage import map_coordinates
from torch import Tensor

from nvs_eval_splat.conventions import CONVENTIONS
from nvs_eval_splat.harmonics import C0
from nvs_eval_splat.models import parameters as stored
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.rasterise import rasterise
from nvs_eval_splat.torch_rasteriser import Parameters, rasterise_tensors

GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])
HOLD = 8
INRIA = CONVENTIONS["inria"]
BLACK = (0.0, 0.0, 0.0)
NAMES = ("means", "scales", "quats", "opacities", "sh0")
DEAD = 0.01
"""Opacity below which a Gaussian is moved."""


@dataclass(frozen=True)
class Photograph:
    """An image and its camera."""

    name: str
    image: NDArray[np.float32]
    """[height, width, 3], from 0 to 1."""
    camera: Pinhole


def main(arguments: Sequence[str] | None = None) -> float:
    """Fit, write all files, and return the mean PSNR of the held-out views."""
    options = parse(arguments)
    torch.manual_seed(0)
    photographs = undistort(options.data, options.output / "scene")
    test, train = photographs[::HOLD], [one for place, one in enumerate(photographs) if place % HOLD]
    splats = fit(train, options.gaussians, options.steps)
    model = as_stored(splats)
    ply = options.output / "splat.ply"
    write_ply(ply, model)
    write_gsplat(options.output / "gsplat", splats, options.steps)
    inria = options.output / "inria"
    write_ply(inria / f"point_cloud/iteration_{options.steps}/point_cloud.ply", model)
    write_inria(inria, [*test, *train], options.output / "scene")
    psnr = write_renders(inria / f"test/ours_{options.steps}", model, test)
    print(f"{psnr:.2f} dB on {len(test)} held-out views; {ply.stat().st_size / 1000:.0f} kB; see {options.output}")
    return psnr


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Fit a small splat to photographs on a CPU.")
    parser.add_argument("--data", type=Path, required=True, help="folder of a transforms.json of nerfstudio")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--gaussians", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1500)
    return parser.parse_args(arguments)


# --- The scene --------------------------------------------------------------------------------------------------------


def undistort(data: Path, output: Path) -> list[Photograph]:
    """Write a scene without lens distortion and return its photographs in the order of their names."""
    lens = json.loads((data / "transforms.json").read_text())
    frames = sorted(lens["frames"], key=lambda frame: frame["file_path"])
    rows, columns = sample_places(lens)
    height, width = rows.shape
    names = [f"images/{Path(frame['file_path']).stem}.png" for frame in frames]
    photographs = []
    (output / "images").mkdir(parents=True, exist_ok=True)
    for name, frame in zip(names, frames, strict=True):
        pixels = np.asarray(Image.open(data / frame["file_path"]).convert("RGB"), np.float64)
        channels = [map_coordinates(channel, (rows, columns), order=1) for channel in np.moveaxis(pixels, -1, 0)]
        image = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
        Image.fromarray(image).save(output / name)
        pose = np.linalg.inv(np.array(frame["transform_matrix"]) @ GL_TO_CV)
        camera = Pinhole(width, height, lens["fl_x"], lens["fl_y"], width / 2, height / 2, pose)
        photographs.append(Photograph(Path(name).stem, (image / 255).astype(np.float32), camera))
    content = {
        "camera_model": "PINHOLE",
        "fl_x": lens["fl_x"],
        "fl_y": lens["fl_y"],
        "cx": width / 2,
        "cy": height / 2,
        "w": width,
        "h": height,
        "train_filenames": [name for place, name in enumerate(names) if place % HOLD],
        **dict.fromkeys(("val_filenames", "test_filenames"), names[::HOLD]),
        "frames": [
            {"file_path": name, "transform_matrix": frame["transform_matrix"]}
            for name, frame in zip(names, frames, strict=True)
        ],
    }
    (output / "transforms.json").write_text(json.dumps(content, indent=1))
    return photographs


def sample_places(lens: dict) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns of the distorted image at the pixels of the largest undistorted one inside it."""
    for cut in range(min(lens["w"], lens["h"]) // 2):
        width, height = lens["w"] - 2 * cut, lens["h"] - 2 * cut
        x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2), (np.arange(height) + 0.5 - height / 2))
        x, y = x / lens["fl_x"], y / lens["fl_y"]
        k1, k2, p1, p2 = (lens.get(name, 0.0) for name in ("k1", "k2", "p1", "p2"))
        square = x * x + y * y
        radial = 1 + square * (k1 + square * k2)
        columns = lens["fl_x"] * (x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)) + lens["cx"] - 0.5
        rows = lens["fl_y"] * (y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)) + lens["cy"] - 0.5
        inside = (columns >= 0) & (columns <= lens["w"] - 1) & (rows >= 0) & (rows <= lens["h"] - 1)
        if inside.all():
            return rows, columns
    raise SystemExit("The lens distortion leaves no image.")


# --- The fit ----------------------------------------------------------------------------------------------------------


def fit(photographs: Sequence[Photograph], count: int, steps: int) -> dict[str, Tensor]:
    """Fit Gaussians of degree 0 by Adam, and return their parameters before activation."""
    extent, splats = start(photographs, count)
    rates = {"means": 2e-3 * extent, "scales": 2e-2, "quats": 1e-2, "opacities": 5e-2, "sh0": 2e-2}
    adam = torch.optim.Adam([{"params": [splats[name]], "lr": rates[name]} for name in NAMES], eps=1e-15)
    decay = torch.optim.lr_scheduler.ExponentialLR(adam, 0.02 ** (1 / steps))
    levels = [(4, 0.25), (2, 0.7), (1, 1.0)]
    started = time.monotonic()
    for step in range(steps):
        factor = next(factor for factor, end in levels if step < end * steps)
        one = photographs[int(torch.randint(len(photographs), ()))]
        camera, target = reduced(one, factor)
        rgb, _ = rasterise_tensors(activated(splats), camera, INRIA, background=BLACK)
        # Gaussians that no view needs fade, and are moved.
        faint = 0.005 * splats["opacities"].sigmoid().mean() + 0.005 * (splats["scales"].exp() / extent).mean()
        loss = (rgb - target).abs().mean() + faint
        adam.zero_grad()
        loss.backward()
        adam.step()
        decay.step()
        if step % 50 == 49 and step < 0.85 * steps:
            move_the_dead(splats, adam)
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return {name: tensor.detach() for name, tensor in splats.items()}


def start(photographs: Sequence[Photograph], count: int) -> tuple[float, dict[str, Tensor]]:
    """Return the distance of the cameras from what they look at, and Gaussians along random rays of pixels."""
    poses = np.stack([np.linalg.inv(one.camera.world_to_camera) for one in photographs])
    places, ahead = poses[:, :3, 3], poses[:, :3, 2]
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None, :]
    centre = np.linalg.solve(across.sum(axis=0), (across @ places[:, :, None]).sum(axis=0))[:, 0]
    extent = float(np.median(np.linalg.norm(places - centre, axis=1)))
    random = np.random.default_rng(0)
    means, colours = [], []
    for _ in range(count):
        place = int(random.integers(len(photographs)))
        one, camera = photographs[place], photographs[place].camera
        column, row = int(random.integers(camera.width)), int(random.integers(camera.height))
        ray = ((column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy, 1.0)
        means.append(places[place] + poses[place, :3, :3] @ ray * extent * random.uniform(0.5, 1.8))
        colours.append(one.image[row, column])
    arrays = {
        "means": np.stack(means),
        "scales": np.full((count, 3), np.log(0.6 * extent / count ** (1 / 2))),
        "quats": random.normal(size=(count, 4)),
        "opacities": np.full(count, -2.0),
        "sh0": ((np.stack(colours) - 0.5) / C0)[:, None],
    }
    return extent, {name: torch.tensor(arrays[name], dtype=torch.float32, requires_grad=True) for name in NAMES}


def activated(splats: dict[str, Tensor]) -> Parameters:
    """Return the parameters as the rasteriser takes them."""
    means, scales, quats, opacities, harmonics = (splats[name] for name in NAMES)
    return Parameters(means, scales.exp(), quats, opacities.sigmoid(), harmonics)


def reduced(one: Photograph, factor: int) -> tuple[Pinhole, Tensor]:
    """Return a camera and image of a fraction of the size; rows and columns that are left over are cut."""
    camera = one.camera
    height, width = (side // factor * factor for side in one.image.shape[:2])
    image = torch.from_numpy(one.image[:height, :width])
    image = image.reshape(height // factor, factor, width // factor, factor, 3).mean(dim=(1, 3))
    size = {"width": width // factor, "height": height // factor}
    return replace(camera, **size, fx=camera.fx / factor, fy=camera.fy / factor), image


@torch.no_grad()
def move_the_dead(splats: dict[str, Tensor], adam: torch.optim.Adam) -> None:
    """Put each Gaussian of low opacity onto an opaque one, so that the pair looks as the one did."""
    opacities = splats["opacities"].sigmoid()
    dead = (opacities < DEAD).nonzero()[:, 0]
    if not 0 < len(dead) < len(opacities):
        return
    weights = torch.where(opacities < DEAD, 0, opacities)
    chosen = torch.multinomial(weights, len(dead), replacement=True)
    shared = 1 - (1 - opacities[chosen]).sqrt()
    splats["opacities"][chosen] = torch.logit(shared, eps=1e-3)
    splats["scales"][chosen] -= 0.2
    spread = torch.randn(len(dead), 3) * splats["scales"][chosen].exp()
    for name in NAMES:
        splats[name][dead] = splats[name][chosen]
        for moment in ("exp_avg", "exp_avg_sq"):
            adam.state[splats[name]][moment][dead] = 0
    splats["means"][dead] += spread


# --- The files --------------------------------------------------------------------------------------------------------


def as_stored(splats: dict[str, Tensor]) -> stored.Parameters:
    """Return the parameters as files store them."""
    return stored.Parameters(*(splats[name].numpy() for name in NAMES))


def write_ply(path: Path, model: stored.Parameters) -> None:
    """Write INRIA's PLY file."""
    groups = {
        ("x", "y", "z"): model.means,
        ("nx", "ny", "nz"): np.zeros_like(model.means),
        ("f_dc_0", "f_dc_1", "f_dc_2"): model.harmonics[:, 0],
        ("opacity",): model.opacities[:, None],
        ("scale_0", "scale_1", "scale_2"): model.scales,
        ("rot_0", "rot_1", "rot_2", "rot_3"): model.rotations,
    }
    table = np.concatenate(list(groups.values()), axis=1)
    kind = [(name, "f4") for names in groups for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(np.array([tuple(row) for row in table], kind), "vertex")]).write(path)


def write_gsplat(folder: Path, splats: dict[str, Tensor], step: int) -> None:
    """Write the checkpoint and configuration of gsplat's trainer."""
    (folder / "ckpts").mkdir(parents=True, exist_ok=True)
    tensors = {**splats, "shN": torch.zeros(len(splats["means"]), 0, 3)}
    torch.save({"step": step, "splats": tensors}, folder / f"ckpts/ckpt_{step}_rank0.pt")
    values = {"data_dir": "../scene", "data_factor": 1, "test_every": HOLD, "normalize_world_space": False}
    (folder / "cfg.yml").write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items()))


def write_inria(folder: Path, photographs: Sequence[Photograph], scene: Path) -> None:
    """Write `cfg_args` and `cameras.json`."""
    text = {"sh_degree": 0, "source_path": str(scene.resolve()), "model_path": str(folder.resolve())}
    text |= {"images": "images", "resolution": -1, "white_background": False, "train_test_exp": False}
    text |= {"data_device": "cpu", "eval": True}
    (folder / "cfg_args").write_text(f"Namespace({', '.join(f'{name}={value!r}' for name, value in text.items())})")
    entries = []
    for place, one in enumerate(photographs):
        camera, pose = one.camera, np.linalg.inv(one.camera.world_to_camera)
        entry = {"id": place, "img_name": one.name, "width": camera.width, "height": camera.height}
        entry |= {"position": pose[:3, 3].tolist(), "rotation": pose[:3, :3].tolist(), "fy": camera.fy, "fx": camera.fx}
        entries.append(entry)
    (folder / "cameras.json").write_text(json.dumps(entries))


def write_renders(folder: Path, model: stored.Parameters, photographs: Sequence[Photograph]) -> float:
    """Write renders and references of views with 8 bits a channel, and return the mean PSNR."""
    gaussians = stored.activated(model, "The fit").gaussians
    values = []
    for place, one in enumerate(photographs):
        render = np.rint(rasterise(gaussians, one.camera, INRIA, background=BLACK)[0].clip(0, 1) * 255) / 255
        for name, image in (("renders", render), ("gt", one.image)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / name / f"{place:05d}.png")
        values.append(-10 * np.log10(np.mean((render - one.image) ** 2)))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
