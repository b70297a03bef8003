"""Models of 3D Gaussian splatting and its forks: `point_cloud/iteration_<step>/point_cloud.ply` and `cfg_args`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, quoted
from nvs_eval.system.files import read_small
from nvs_eval_splat.models.model import Model, Training
from nvs_eval_splat.models.parameters import Parameters
from nvs_eval_splat.models.splat_ply import read_splat_ply

CLOUDS, CLOUD, ARGUMENTS = "point_cloud", "point_cloud.ply", "cfg_args"
_ITERATION = re.compile(r"iteration_(\d{1,18})")
_LARGEST = 2**16
_HOLD = 8


def step_of(file: Path) -> int | None:
    """Return the step of `iteration_<step>/<file>`, or None."""
    match = _ITERATION.fullmatch(file.resolve().parent.name)
    return int(match[1]) if match else None


def open_inria(folder: Path, *, only: Path | None = None) -> Model:
    """Open a folder of a model.

    Args:
        folder: folder with `point_cloud/`.
        only: its only PLY file to use (default: all steps).

    Raises:
        InputError: there is no PLY file, or `cfg_args` is not what train.py writes.
    """
    files = {step: (file,) for step, file in _clouds(folder)} if only is None else {step_of(only): (only,)}
    if not files:
        raise InputError(
            f"{folder} has no model: there is no {CLOUDS}/iteration_<step>/{CLOUD}. Pass the folder that train.py "
            "wrote (its --model_path)."
        )
    arguments = folder / ARGUMENTS
    values = read_arguments(arguments) if arguments.is_file() else {}
    notes = [
        f"{folder}: {name} is not applied. The scores are of the model without {words}."
        for name, words in (("exposure.json", "the exposure of each image"),)
        if (folder / name).is_file()
    ]
    if values.get("train_test_exp"):
        notes.append(f"{folder} was trained with --train_test_exp, whose exposures and half images are not applied.")
    configuration = (arguments,) if values else ()
    return Model(folder, "3dgs", dict(sorted(files.items())), _read, _training(arguments, values), configuration, notes)


def _read(files: Sequence[Path]) -> Parameters:
    (file,) = files
    return read_splat_ply(file)


def _clouds(folder: Path) -> list[tuple[int, Path]]:
    base = folder / CLOUDS
    found = [(_ITERATION.fullmatch(path.name), path / CLOUD) for path in base.iterdir()] if base.is_dir() else []
    return [(int(match[1]), file) for match, file in found if match and file.is_file()]


def read_arguments(file: Path) -> Mapping[str, Any]:
    """Return the literals of `cfg_args`, which is the text of a Namespace. Nothing in it is evaluated.

    Raises:
        InputError: it is not such a text.
    """
    refusal = f"{file} must be the Namespace(...) that train.py writes."
    try:
        text = read_small(file, _LARGEST).decode("utf-8").strip()
        call = ast.parse(text, mode="eval").body
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise InputError(f"{refusal} Remove the file to pass the options by hand.") from error
    named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Namespace"
    if not named or not isinstance(call, ast.Call) or call.args:
        raise InputError(f"{refusal} Got {quoted(text)}.")
    values = {}
    for keyword in call.keywords:
        try:
            values[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue  # Such as a device, which is not needed.
    return values


def _training(file: Path, values: Mapping[str, Any]) -> Training:
    def value(name: str, kind: type) -> Any:
        given = values.get(name)
        if given is not None and type(given) is not kind:
            raise InputError(f"{file}: {name} must be a {kind.__name__}. Got {quoted(given)}.")
        return given

    white, held_out = value("white_background", bool), value("eval", bool)
    kernel: Any = values.get("kernel_size")
    low_pass = float(kernel) if type(kernel) in (int, float) and 0 <= kernel < 100 else None
    source = value("source_path", str)
    return Training(
        convention="inria",
        data=_place(file.parent, source) if source else None,
        images=value("images", str),
        resolution=value("resolution", int),
        hold=None if held_out is None else _HOLD if held_out else 0,
        background=None if white is None else (1.0, 1.0, 1.0) if white else (0.0, 0.0, 0.0),
        antialiased=None
        if low_pass is None
        else True,  # Mip-Splatting's 2D filter, whose size is an option of its own.
        low_pass=low_pass,
    )


def _place(model: Path, source: str) -> Path | None:
    """Return the folder of the data: as recorded, or seen from the model."""
    try:
        return next((path for path in (Path(source), model / source) if path.is_dir()), Path(source))
    except (OSError, ValueError):  # Too long, or with a NUL.
        return None
