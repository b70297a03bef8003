"""A run's checkpoints: which there are, read without trusting them, loaded without leaving anything random.

nerfstudio's own evaluation does neither: it unpickles whatever the file says, and where the file's entries are not
those of the model it loads what fits, in silence, and scores the random rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.metrics.weights.pins import NETS, backbone_pins, find_fault, head_pins
from nvs_eval_nerfstudio.checkpoint_file import CHECKPOINT_NAME, Checkpoint

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

LpipsEntries = Literal["absent", "true", "other"]
"""A checkpoint's own LPIPS network, with which ns-eval would score: absent, the published one, or another one."""

_MODEL = "_model."
_MOST_NAMED = 6
_METRICS = ("psnr.", "ssim.", "lpips.")
_SPLATS = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")


def checkpoint_folder(config_path: Path, config: TrainerConfig) -> Path:
    """Return the folder of a run's checkpoints: beside its `config.yml`, or where the configuration says.

    Raises:
        InputError: there is no checkpoint in either.
    """
    beside = config_path.parent / config.relative_model_dir
    recorded = config.get_checkpoint_dir()
    for folder in (beside, recorded):
        if folder.is_dir() and _steps(folder):
            return folder
    raise InputError(
        f"The run {config_path} has no checkpoints: looked for step-*.ckpt in {beside} and in {recorded}. "
        f"Put its folder {config.relative_model_dir} beside the config.yml."
    )


def list_steps(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a folder by step, in ascending order; other files are ignored.

    Raises:
        InputError: the folder does not exist, or has no checkpoint.
    """
    if not folder.is_dir():
        raise InputError(f"There is no checkpoint folder {folder}; give a run that kept its checkpoints.")
    if steps := _steps(folder):
        return steps
    raise InputError(f"The folder {folder} has no checkpoint: looked for files named such as step-000002500.ckpt.")


def choose_steps(available: Iterable[int], wanted: Literal["last", "all"] | Sequence[int]) -> list[int]:
    """Return the requested steps, in ascending order, each once.

    Args:
        available: steps that exist, at least one.
        wanted: the last step, all, or these.

    Raises:
        InputError: a step does not exist, or none was requested.
    """
    steps = sorted(set(available))
    if isinstance(wanted, str):
        return steps[-1:] if wanted == "last" else steps
    listed = ", ".join(map(str, steps))
    if missing := sorted(set(wanted) - set(steps)):
        raise InputError(f"There is no checkpoint of step {', '.join(map(str, missing))}. Those that exist: {listed}.")
    if not wanted:
        raise InputError(f"No step was asked for. Those that exist: {listed}.")
    return sorted(set(wanted))


def load_into(pipeline: Pipeline, checkpoint: Checkpoint, *, path: Path) -> LpipsEntries:
    """Load a checkpoint into a pipeline by nerfstudio's own way, and check that all of the model came from it.

    The model's own metric networks (`psnr`, `ssim`, `lpips`) stay as they are, stubs or not: nothing here scores with
    them. The datamanager's entries (a camera optimiser, pixel grids) serve training, so those that do not fit are
    skipped. A model that grows (tensorf) takes its checkpoints in ascending order.

    Args:
        pipeline: pipeline built from the run's configuration.
        checkpoint: its state.
        path: file that the checkpoint was read from, for messages.

    Returns:
        The kind of the checkpoint's own LPIPS entries.

    Raises:
        InputError: an entry of the model is missing, unexpected, or of another shape; the message names them.
    """
    built = pipeline.state_dict()
    given = _renamed(checkpoint.pipeline, built)
    failure = None
    try:
        pipeline.load_pipeline(_prepared(given, built), checkpoint.step)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError) as error:
        failure = error
    # nerfstudio's loading tries again leniently, in silence, and a model may load in a way of its own (splatfacto takes
    # on the checkpoint's number of Gaussians): so the two are compared afterwards, whatever happened in between.
    if faults := _faults(given, pipeline.state_dict()):
        raise InputError(f"The checkpoint {path} does not fit the model of its config.yml: {'; '.join(faults)}.")
    if failure is not None:
        raise InputError(f"The checkpoint {path} cannot be loaded into its model: {failure}") from failure
    return lpips_entries(checkpoint)


def lpips_entries(checkpoint: Checkpoint) -> LpipsEntries:
    """Compare a checkpoint's own LPIPS network, which ns-eval loads and scores with, with the published ones."""
    prefix = f"{_MODEL}lpips."
    own = {key.removeprefix(prefix): tensor for key, tensor in checkpoint.pipeline.items() if key.startswith(prefix)}
    if not own:
        return "absent"
    named = {_published_name(key): tensor.detach() for key, tensor in own.items()}
    pins = (backbone_pins(net) | head_pins(net, "0.1") for net in NETS)
    return "true" if any(find_fault(named, net) is None for net in pins) else "other"


def _published_name(key: str) -> str:
    """torchmetrics' name of a weight to torchvision's or the lpips package's.

    torchmetrics has its heads twice (`lin0`, `lins.0`): of two that differ the second is loaded last, and counts.
    """
    key = re.sub(r"^net\.net\.slices?\.?\d+\.", "features.", key)
    return re.sub(r"^net\.lins?\.?(\d)", r"lin\1", key)


def _steps(folder: Path) -> dict[int, Path]:
    matches = ((CHECKPOINT_NAME.fullmatch(file.name), file) for file in folder.iterdir() if file.is_file())
    return dict(sorted((int(name[1]), file) for name, file in matches if name))


def _renamed(given: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gaussians under today's names: older versions of splatfacto had them without `gauss_params`."""
    old = {f"{_MODEL}{name}": f"{_MODEL}gauss_params.{name}" for name in _SPLATS}
    return {old[key] if old.get(key) in built else key: tensor for key, tensor in given.items()}


def _prepared(given: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The checkpoint's entries to load, with the metric networks of the model as it is built."""
    model = {key: tensor for key, tensor in given.items() if key.startswith(_MODEL) and not _is_metric(key)}
    metrics = {key: tensor for key, tensor in built.items() if _is_metric(key)}
    rest = {key: tensor for key, tensor in given.items() if not key.startswith(_MODEL) and key in built}
    fitting = {key: tensor for key, tensor in rest.items() if tensor.shape == built[key].shape}
    return fitting | model | metrics


def _is_metric(key: str) -> bool:
    return key.removeprefix(_MODEL).startswith(_METRICS)


def _faults(given: Mapping[str, Tensor], loaded: Mapping[str, Tensor]) -> list[str]:
    """Entries of the model that did not come from the checkpoint, and of the checkpoint that the model lacks."""
    # A pipeline's own networks, beside the model, may serve training alone: it need not have all of them here. Those
    # that it has must not be random.
    needed = [key for key in loaded if not _is_metric(key) and not key.startswith("datamanager.")]
    missing = [key for key in needed if key not in given]
    foreign = [key for key in given if key.startswith(_MODEL) and not _is_metric(key) and key not in loaded]
    other = [key for key in needed if key in given and given[key].shape != loaded[key].shape]
    shapes = [f"{key} (is {_shape(given[key])}, needed {_shape(loaded[key])})" for key in other]
    faults = [
        *([f"it lacks {some(missing, _MOST_NAMED)}"] if missing else []),
        *([f"it has, and the model has not, {some(foreign, _MOST_NAMED)}"] if foreign else []),
        *([f"of another shape: {some(shapes, _MOST_NAMED)}"] if shapes else []),
    ]
    if any("tcnn" in key for key in missing + foreign):
        faults.append("trained with or without tiny-cuda-nn (tcnn), and built here the other way")
    return faults


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
