"""Small splats and their files: INRIA's model folder, PLY files and gsplat's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nvs_eval_splat.models.parameters import Parameters


def random_parameters(count: int = 5, degree: int = 3, seed: int = 0) -> Parameters:
    """Return parameters of Gaussians in the cube [-1, 1]."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return draw.normal(size=(count, *shape)).astype(np.float32)

    means = draw.uniform(-1, 1, (count, 3)).astype(np.float32)
    harmonics = normal((degree + 1) ** 2, 3) * np.float32(0.3)
    return Parameters(means, normal(3) * np.float32(0.2) - 2, normal(4), normal(), harmonics)


def columns(parameters: Parameters) -> dict[str, NDArray[np.float32]]:
    """Return the properties of INRIA's PLY by name, in its order."""
    count, bands, _ = parameters.harmonics.shape
    above = parameters.harmonics[:, 1:].transpose(0, 2, 1).reshape(count, 3 * (bands - 1))
    named = dict(zip("xyz", parameters.means.T, strict=True))
    named |= dict.fromkeys(("nx", "ny", "nz"), np.zeros(count, np.float32))
    named |= {f"f_dc_{index}": parameters.harmonics[:, 0, index] for index in range(3)}
    named |= {f"f_rest_{index}": column for index, column in enumerate(above.T)}
    named["opacity"] = parameters.opacities
    named |= {f"scale_{index}": column for index, column in enumerate(parameters.scales.T)}
    named |= {f"rot_{index}": column for index, column in enumerate(parameters.rotations.T)}
    if parameters.filter_3d is not None:
        named["filter_3D"] = parameters.filter_3d
    return named


def write_columns(
    path: Path,
    named: Mapping[str, NDArray[np.float32]],
    *,
    format: str = "binary_little_endian",
    count: int | None = None,
    comments: Sequence[str] = (),
) -> Path:
    """Write a PLY file of vertices.

    Args:
        path: file to write.
        named: values of each property.
        format: format as the header names it.
        count: number of vertices in the header (default: the true one).
        comments: comments of the header.
    """
    rows = np.stack(list(named.values()), axis=1)
    lines = ["ply", f"format {format} 1.0", *(f"comment {text}" for text in comments)]
    lines += [f"element vertex {len(rows) if count is None else count}", *(f"property float {name}" for name in named)]
    if format == "ascii":
        body = "".join(" ".join(map(repr, map(float, row))) + "\n" for row in rows).encode()
    else:
        body = rows.astype("<f4" if "little" in format else ">f4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*lines, "end_header", ""]).encode() + body)
    return path


def write_ply(path: Path, parameters: Parameters) -> Path:
    """Write INRIA's PLY."""
    return write_columns(path, columns(parameters))


def write_inria(folder: Path, steps: Mapping[int, Parameters], arguments: str | None = None) -> Path:
    """Write a model folder, with a `cfg_args` if its arguments are given."""
    for step, parameters in steps.items():
        write_ply(folder / "point_cloud" / f"iteration_{step}" / "point_cloud.ply", parameters)
    if arguments is not None:
        (folder / "cfg_args").write_text(f"Namespace({arguments})", encoding="utf-8")
    return folder


def splats_of(parameters: Parameters) -> dict[str, torch.Tensor]:
    """Return the tensors of gsplat's checkpoint."""
    arrays = {
        "means": parameters.means,
        "scales": parameters.scales,
        "quats": parameters.rotations,
        "opacities": parameters.opacities,
        "sh0": parameters.harmonics[:, :1],
        "shN": parameters.harmonics[:, 1:],
    }
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def write_gsplat(
    folder: Path, steps: Mapping[int, Parameters], configuration: str | None = None, *, ranks: int = 1
) -> Path:
    """Write results of gsplat's trainer, the Gaussians divided among ranks as it divides them."""
    (folder / "ckpts").mkdir(parents=True, exist_ok=True)
    for step, parameters in steps.items():
        for rank in range(ranks):
            splats = {name: tensor[rank::ranks].clone() for name, tensor in splats_of(parameters).items()}
            torch.save({"step": step, "splats": splats}, folder / "ckpts" / f"ckpt_{step}_rank{rank}.pt")
    if configuration is not None:
        (folder / "cfg.yml").write_text(configuration, encoding="utf-8")
    return folder
