"""Results of gsplat's simple_trainer.py: `ckpts/ckpt_<step>_rank<rank>.pt` and `cfg.yml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from nvs_eval.errors import InputError, counted, quoted, some
from nvs_eval.system.bounded_yaml import BoundedLoader, read_yaml
from nvs_eval.system.torch_files import fault_of, load_torch
from nvs_eval_splat.models.model import Model, Training
from nvs_eval_splat.models.parameters import DEGREES, Floats, Parameters

FOLDER, CONFIGURATION = "ckpts", "cfg.yml"
NAME = re.compile(r"ckpt_(\d{1,18})(?:_rank(\d{1,6}))?\.pt")
_NEEDED = ("means", "scales", "quats", "opacities", "sh0", "shN")
_APPEARANCE = ("features", "colors")


class _PlainLoader(BoundedLoader):
    """Loader that builds plain values only: objects of Python, such as the strategy, become None."""

    def skip(self, node: yaml.Node) -> None:
        """Build nothing for a tag that is not plain."""


_PlainLoader.add_constructor(None, _PlainLoader.skip)  # pyright: ignore[reportArgumentType]: PyYAML's "any other"


def open_gsplat(folder: Path, *, only: int | None = None) -> Model:
    """Open a folder of results.

    Args:
        folder: folder with `ckpts/`.
        only: its only step to use (default: all).

    Raises:
        InputError: there is no checkpoint, the files of a rank are missing, or `cfg.yml` cannot be read or names
            cameras that are no pinholes.
    """
    ranks: dict[int, dict[int, Path]] = {}
    place = folder / FOLDER
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if match := NAME.fullmatch(path.name):
            ranks.setdefault(int(match[1]), {})[int(match[2] or 0)] = path
    ranks = {step: files for step, files in sorted(ranks.items()) if only in (None, step)}
    if not ranks:
        raise InputError(f"{folder} has no checkpoints of gsplat: there is no ckpt_<step>_rank<rank>.pt in {place}.")
    for step, files in ranks.items():
        if missing := sorted(set(range(max(files) + 1)) - files.keys()):
            raise InputError(
                f"{place} lacks rank {some(missing)} of step {step}. Each rank has a part of the Gaussians. Copy all "
                "of them."
            )
    configuration = folder / CONFIGURATION
    values = _configuration(configuration) if configuration.is_file() else {}
    steps: dict[int | None, Sequence[Path]] = {
        step: tuple(files[rank] for rank in sorted(files)) for step, files in ranks.items()
    }
    training, sources = _training(configuration, values), (configuration,) if values else ()
    return Model(folder, "gsplat", steps, read_checkpoints, training, sources, _notes(folder, values))


def _configuration(file: Path) -> Mapping[str, Any]:
    try:
        values = _PlainLoader(read_yaml(file, f"The configuration {file}")).load()
    except ValueError as error:
        raise InputError(f"{file} is not the cfg.yml of gsplat's trainer: {error}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file} is not the cfg.yml of gsplat's trainer.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{file} is not the cfg.yml of gsplat's trainer: it must be a mapping.")
    return values


def _notes(folder: Path, values: Mapping[str, Any]) -> list[str]:
    unused = {
        "app_opt": "its appearance network",
        "use_bilateral_grid": "its bilateral grids",
        "post_processing": "its post-processing",
    }
    used = {name: words for name, words in unused.items() if values.get(name)}
    return [f"{folder} was trained with {name}: {words} is not applied." for name, words in used.items()]


def _training(file: Path, values: Mapping[str, Any]) -> Training:
    def value(name: str, *kinds: type) -> Any:
        given = values.get(name)
        if given is not None and type(given) not in kinds:
            raise InputError(f"{file}: {name} must be a {kinds[-1].__name__}. Got {quoted(given)}.")
        return given

    if (camera := value("camera_model", str)) not in (None, "pinhole"):
        raise InputError(f"{file}: the cameras of the model must be pinholes. Got {quoted(camera)}.")
    if value("with_ut", bool) or value("with_eval3d", bool):
        raise InputError(
            f"{file}: the model was trained with 3DGUT (with_ut, with_eval3d), which projects otherwise. Render it "
            "with gsplat and pass the images to `nvs-eval score`."
        )
    data, near = value("data_dir", str), value("near_plane", int, float)
    return Training(
        convention=_convention(values),
        data=None if data is None else Path(data),
        factor=value("data_factor", int),
        hold=value("test_every", int),
        background=(0.0, 0.0, 0.0),
        antialiased=value("antialiased", bool),
        near=None if near is None else float(near),
        normalised=value("normalize_world_space", bool),
    )


def _convention(values: Mapping[str, Any]) -> str:
    """Return the convention of the version of gsplat whose trainer has these options."""
    if "post_processing" in values or "data_type" in values:
        return "gsplat-main"
    return "gsplat-1.5" if "with_ut" in values or not values else "gsplat-1.4"


def read_checkpoints(files: Sequence[Path]) -> Parameters:
    """Read the parameters in the checkpoints of all ranks of a step.

    Raises:
        InputError: a file is damaged, contains more than tensors, or is not a checkpoint of a plain splat.
    """
    parts = [_read(file) for file in files]
    if len({part.harmonics.shape[1] for part in parts}) > 1:
        raise InputError(f"The ranks of {files[0]} must have spherical harmonics of one degree.")
    if len(parts) == 1:
        return parts[0]
    names = ("means", "scales", "rotations", "opacities", "harmonics")
    return Parameters(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _read(file: Path) -> Parameters:
    try:
        content = load_torch(file, checksums=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"The checkpoint {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The checkpoint {file} is refused, because {error}.") from error
    splats = content.get("splats") if isinstance(content, dict) else None
    match = NAME.fullmatch(file.name)
    if not isinstance(splats, dict) or not isinstance(content, dict):
        raise InputError(f"{file} is not a checkpoint of gsplat's trainer: it must contain 'splats'.")
    if match and type(step := content.get("step")) is int and step != int(match[1]):
        raise InputError(
            f"The checkpoint {file} contains step {quoted(step)}, which differs from its name. Rename the file."
        )
    return _parameters(file, splats)


def _parameters(file: Path, splats: Mapping[Any, Any]) -> Parameters:
    if any(name in splats for name in _APPEARANCE):
        raise InputError(
            f"{file} has the features of an appearance network (app_opt) in place of spherical harmonics, which "
            "nvs-eval does not draw. Render it with gsplat and pass the images to `nvs-eval score`."
        )
    if missing := [name for name in _NEEDED if name not in splats]:
        raise InputError(f"{file} lacks {counted(len(missing), 'tensor')} of a splat: {some(missing)}.")
    if other := [name for name in splats if name not in _NEEDED]:
        raise InputError(
            f"{file} has {some(map(str, other))}, which a plain splat does not have. Render it with its own code and "
            "pass the images to `nvs-eval score`."
        )
    arrays: dict[str, Floats] = {}
    for name in _NEEDED:
        tensor = splats[name]
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            raise InputError(f"{file}: {name} must be a tensor of floats.")
        if fault := fault_of(tensor):
            raise InputError(f"The checkpoint {file} is refused, because its tensor {name} {fault}.")
        arrays[name] = tensor.detach().to(torch.float32).numpy()
    count = len(arrays["means"]) if arrays["means"].ndim else 0
    above = arrays["shN"].shape[1] if arrays["shN"].ndim == 3 else -1
    expected = {"means": (3,), "scales": (3,), "quats": (4,), "opacities": (), "sh0": (1, 3), "shN": (above, 3)}
    for name, shape in expected.items():
        if arrays[name].shape != (count, *shape):
            shown = [*arrays[name].shape]
            surfels = " It has surfels (2DGS)." if name == "scales" and shown == [count, 2] else ""
            raise InputError(f"{file}: {name} must have the shape {[count, *shape]}. Got {shown}.{surfels}")
    if 3 * above not in DEGREES:
        raise InputError(f"{file}: shN must have 0, 3, 8 or 15 coefficients. Got {above}.")
    harmonics = np.concatenate([arrays["sh0"], arrays["shN"]], axis=1)
    return Parameters(arrays["means"], arrays["scales"], arrays["quats"], arrays["opacities"], harmonics)
