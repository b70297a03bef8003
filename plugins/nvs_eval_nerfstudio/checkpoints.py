"""Checkpoints of a run: finding them, reading them safely, and loading them completely.

nerfstudio's own evaluation unpickles any object in the file. If the entries of the file and the model differ, it
silently loads those that match and evaluates with random values for the rest.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.metrics.weights.pins import NETS, backbone_pins, find_fault, head_pins
from nvs_eval.system.files import file_sha256

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

_CHECKPOINT_NAME = re.compile(r"step-(\d{9,})\.ckpt")  # The group is the step.
LpipsEntries = Literal["absent", "true", "other"]
"""LPIPS network in a checkpoint, which ns-eval would use: absent, the published one, or a different one."""

_MODEL = "_model."
_MOST_NAMED = 6
_METRICS = ("psnr.", "ssim.", "lpips.")
_SPLATS = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")


def find_checkpoints(config_path: Path, config: TrainerConfig) -> dict[int, Path]:
    """Return the checkpoints of a run by step, in ascending order.

    They are searched for beside `config.yml`, then in the folder that it names.

    Raises:
        InputError: if neither folder contains a checkpoint.
    """
    beside = config_path.parent / config.relative_model_dir
    recorded = config.get_checkpoint_dir()
    for folder in (beside, recorded):
        files = folder.iterdir() if folder.is_dir() else ()
        matches = ((_CHECKPOINT_NAME.fullmatch(file.name), file) for file in files if file.is_file())
        if steps := sorted((int(name[1]), file) for name, file in matches if name):
            return dict(steps)
    raise InputError(
        f"The run {config_path} has no checkpoints: there is no step-*.ckpt in {beside} or {recorded}. "
        f"Put the folder {config.relative_model_dir} beside config.yml."
    )


def choose_steps(available: Iterable[int], wanted: Literal["last", "all"] | Sequence[int]) -> list[int]:
    """Return the requested steps in ascending order, without duplicates.

    Args:
        available: existing steps, at least one.
        wanted: last step, all steps, or these.

    Raises:
        InputError: if a step does not exist, or none was requested.
    """
    steps = sorted(set(available))
    if isinstance(wanted, str):
        return steps[-1:] if wanted == "last" else steps
    listed = ", ".join(map(str, steps))
    if missing := sorted(set(wanted) - set(steps)):
        raise InputError(f"There is no checkpoint of step {', '.join(map(str, missing))}. Existing steps: {listed}.")
    if not wanted:
        raise InputError(f"The list of steps is empty. Existing steps: {listed}.")
    return sorted(set(wanted))


def load_into(pipeline: Pipeline, checkpoint: Checkpoint, *, path: Path) -> LpipsEntries:
    """Load a checkpoint into a pipeline with nerfstudio's own code, and check that it set the whole model.

    The model's own metric networks (`psnr`, `ssim`, `lpips`) are not loaded, because they are not used. Entries of the
    data manager (camera optimiser, pixel grids) are used in training only, so those that do not fit are skipped. A
    model that grows (tensorf) must load its checkpoints in ascending order.

    Args:
        pipeline: pipeline built from the configuration of the run.
        checkpoint: checkpoint to load.
        path: file that the checkpoint was read from, for messages.

    Returns:
        The kind of LPIPS network in the checkpoint.

    Raises:
        InputError: if an entry of the model is missing, unexpected or of a different shape. The message names it.
    """
    built = pipeline.state_dict()
    entries = _renamed(checkpoint.pipeline, built)
    failure = None
    try:
        pipeline.load_pipeline(_prepared(entries, built), checkpoint.step)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError) as error:
        failure = error
    # nerfstudio silently retries with strict=False, and a model may override loading (splatfacto resizes to the
    # checkpoint's number of Gaussians). The result is therefore compared with the checkpoint after loading.
    if faults := _faults(entries, pipeline.state_dict()):
        raise InputError(f"The checkpoint {path} does not fit the model of its config.yml: {'; '.join(faults)}.")
    if failure is not None:
        raise InputError(f"The checkpoint {path} cannot be loaded into its model: {failure}") from failure
    return lpips_entries(checkpoint)


def lpips_entries(checkpoint: Checkpoint) -> LpipsEntries:
    """Compare the LPIPS network in a checkpoint, which ns-eval would use, with the published ones."""
    prefix = f"{_MODEL}lpips."
    network = {
        _published_name(key.removeprefix(prefix)): tensor.detach()
        for key, tensor in checkpoint.pipeline.items()
        if key.startswith(prefix)
    }
    if not network:
        return "absent"
    pins = (backbone_pins(net) | head_pins(net, "0.1") for net in NETS)
    return "true" if any(find_fault(network, net) is None for net in pins) else "other"


def _published_name(key: str) -> str:
    """Convert torchmetrics' name of a weight to the name in torchvision or the lpips package.

    torchmetrics stores its heads twice (`lin0`, `lins.0`). If they differ, the second is loaded last and takes effect.
    """
    key = re.sub(r"^net\.net\.slices?\.?\d+\.", "features.", key)
    return re.sub(r"^net\.lins?\.?(\d)", r"lin\1", key)


def _renamed(entries: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Gaussians that older versions of splatfacto saved without the prefix `gauss_params`."""
    new_names = {f"{_MODEL}{name}": f"{_MODEL}gauss_params.{name}" for name in _SPLATS}
    return {new_names[key] if new_names.get(key) in built else key: tensor for key, tensor in entries.items()}


def _prepared(entries: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the checkpoint's entries to load, with the metric networks of the built model."""
    model = {key: tensor for key, tensor in entries.items() if key.startswith(_MODEL) and not _is_metric(key)}
    metrics = {key: tensor for key, tensor in built.items() if _is_metric(key)}
    rest = {key: tensor for key, tensor in entries.items() if not key.startswith(_MODEL) and key in built}
    fitting = {key: tensor for key, tensor in rest.items() if tensor.shape == built[key].shape}
    return fitting | model | metrics


def _is_metric(key: str) -> bool:
    return key.removeprefix(_MODEL).startswith(_METRICS)


def _faults(entries: Mapping[str, Tensor], loaded: Mapping[str, Tensor]) -> list[str]:
    """Describe entries that are missing from the checkpoint or the model, or that differ in shape."""
    # A pipeline may have networks beside the model that are used in training only and not built here. Those that are
    # built must come from the checkpoint.
    required = [key for key in loaded if not _is_metric(key) and not key.startswith("datamanager.")]
    missing = [key for key in required if key not in entries]
    unexpected = [key for key in entries if key.startswith(_MODEL) and not _is_metric(key) and key not in loaded]
    resized = [key for key in required if key in entries and entries[key].shape != loaded[key].shape]
    shapes = [f"{key} ({_shape(entries[key])}, must be {_shape(loaded[key])})" for key in resized]
    faults = [
        *([f"it lacks {some(missing, _MOST_NAMED)}"] if missing else []),
        *([f"the model lacks {some(unexpected, _MOST_NAMED)}"] if unexpected else []),
        *([f"shapes differ: {some(shapes, _MOST_NAMED)}"] if shapes else []),
    ]
    if any("tcnn" in key for key in missing + unexpected):
        faults.append("only one of checkpoint and model uses tiny-cuda-nn (tcnn)")
    return faults


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


# --- Reading one file ---


@dataclass(frozen=True)
class Checkpoint:
    """The part of a checkpoint that is used for rendering.

    Attributes:
        step: training step at which it was saved.
        pipeline: state of the pipeline, without the prefixes that training on several GPUs adds. Tensors may be
            memory-mapped from the file.
        sha256: hash of the whole file.
    """

    step: int
    pipeline: dict[str, Tensor]
    sha256: str


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, without running any code in it.

    Raises:
        InputError: if the file is missing, damaged or not a nerfstudio checkpoint; if it contains more than weights; if
            the step in its name differs from the step in its contents; or if torch is too old to read it safely.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist.")
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise InputError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    if not zipfile.is_zipfile(path):
        raise InputError(f"The checkpoint {path} must be a zip archive. The file is incomplete or not a checkpoint.")
    try:
        with _numpy_ignored():
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        # The rest of torch's message explains how to disable the protection.
        match = re.search(r"WeightsUnpickler error: (.*?)(?: was not an allowed|$)", str(error), re.MULTILINE)
        reason = match[1] if match else str(error).split(". ", 1)[0]
        raise InputError(
            f"The checkpoint {path} is refused, because it contains more than weights or is damaged: {reason}"
        ) from error
    except InputError:
        raise
    except Exception as error:  # Damaged bytes can raise any error.
        reason = (str(error) or repr(error)).split("\n", 1)[0]
        raise InputError(f"The checkpoint {path} is damaged or not a checkpoint: {reason}") from error
    step, pipeline = _contents(path, state)
    return Checkpoint(step, _without_ddp(pipeline), sha256)


class _Ignored:
    """Placeholder for numpy scalars in a checkpoint. They are learning rates of schedulers, which are not used."""

    def __init__(self, *arguments: object) -> None:
        del arguments

    def __setstate__(self, state: object) -> None:
        del state


@contextmanager
def _numpy_ignored() -> Iterator[None]:
    """Let `torch.load` with `weights_only=True` accept numpy scalars, and replace them by placeholders.

    numpy 1 and 2 name the scalar differently, and neither knows the other's name. The placeholder serves both and runs
    no code of numpy. Other globals that this process admitted, including numpy's own, are disabled meanwhile.
    """
    if not hasattr(torch.serialization, "clear_safe_globals"):
        raise InputError(f"torch {torch.__version__} cannot read checkpoints safely. Install torch 2.5 or newer.")
    names = (("numpy", "dtype"), ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"))
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([type(name, (_Ignored,), {"__module__": module}) for module, name in names])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _contents(path: Path, state: object) -> tuple[int, dict[str, Tensor]]:
    if not isinstance(state, dict) or not isinstance(state.get("pipeline"), dict) or type(state.get("step")) is not int:
        raise InputError(f"{path} is not a nerfstudio checkpoint: it must contain 'step' and 'pipeline'.")
    step, pipeline = state["step"], state["pipeline"]
    if wrong := [key for key, value in pipeline.items() if not isinstance(key, str) or not isinstance(value, Tensor)]:
        raise InputError(f"{path} is not a nerfstudio checkpoint: {wrong[0]!r} in its pipeline is not a tensor.")
    if (name := _CHECKPOINT_NAME.fullmatch(path.name)) and int(name[1]) != step:
        raise InputError(f"The checkpoint {path} contains step {step}, which differs from its name. Rename the file.")
    return step, dict(pipeline)


def _without_ddp(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefixes of multi-GPU training, as nerfstudio does in `load_pipeline` and `load_state_dict`."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    # If only some entries have the prefix, "module" is the name of a submodule of the model.
    if all(key.startswith("_model.module.") for key in state if key.startswith("_model.")):
        state = {key.replace("_model.module.", "_model.", 1): tensor for key, tensor in state.items()}
    return state
