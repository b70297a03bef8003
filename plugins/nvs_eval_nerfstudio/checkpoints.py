"""A run's checkpoints: which there are, read without trusting them, loaded without leaving anything random.

nerfstudio's own evaluation does neither: it unpickles whatever the file says, and where the file's entries are not
those of the model it loads what fits, in silence, and scores the random rest.
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
"""A checkpoint's own LPIPS network, with which ns-eval would score: absent, the published one, or another one."""

_MODEL = "_model."
_MOST_NAMED = 6
_METRICS = ("psnr.", "ssim.", "lpips.")
_SPLATS = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")


def find_checkpoints(config_path: Path, config: TrainerConfig) -> dict[int, Path]:
    """Return a run's checkpoints by step, in ascending order: those beside its `config.yml`, or where that says.

    Raises:
        InputError: there is no checkpoint in either folder.
    """
    beside = config_path.parent / config.relative_model_dir
    recorded = config.get_checkpoint_dir()
    for folder in (beside, recorded):
        files = folder.iterdir() if folder.is_dir() else ()
        matches = ((_CHECKPOINT_NAME.fullmatch(file.name), file) for file in files if file.is_file())
        if steps := sorted((int(name[1]), file) for name, file in matches if name):
            return dict(steps)
    raise InputError(
        f"The run {config_path} has no checkpoints: looked for step-*.ckpt in {beside} and in {recorded}. "
        f"Put its folder {config.relative_model_dir} beside the config.yml."
    )


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


# --- one file ---


@dataclass(frozen=True)
class Checkpoint:
    """The part of a checkpoint that rendering needs.

    Attributes:
        step: training step at which it was saved.
        pipeline: state of the pipeline, without the prefixes that training on several GPUs adds. The tensors may be
            mapped from the file.
        sha256: hash of the whole file.
    """

    step: int
    pipeline: dict[str, Tensor]
    sha256: str


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, without running any code in it.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint of nerfstudio, holds more than weights, or names
            another step than its contents; or torch is too old to read it safely.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.")
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise InputError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    if not zipfile.is_zipfile(path):
        raise InputError(f"The checkpoint {path} is cut short, or none at all: a zip archive was needed.")
    try:
        with _numpy_ignored():
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        # torch's own text goes on to say how its protection is switched off.
        match = re.search(r"WeightsUnpickler error: (.*?)(?: was not an allowed|$)", str(error), re.MULTILINE)
        reason = match[1] if match else str(error).split(". ", 1)[0]
        raise InputError(
            f"The checkpoint {path} is refused: it holds more than weights, or is damaged: {reason}"
        ) from error
    except InputError:
        raise
    except Exception as error:  # Damaged bytes surface as whatever they happen to decode to.
        reason = (str(error) or repr(error)).split("\n", 1)[0]
        raise InputError(f"The checkpoint {path} cannot be read, it is damaged or none: {reason}") from error
    step, pipeline = _contents(path, state)
    return Checkpoint(step, _without_ddp(pipeline), sha256)


class _Ignored:
    """Stands where a checkpoint has a number of numpy's: the schedulers' learning rates, which nothing here needs."""

    def __init__(self, *arguments: object) -> None:
        del arguments

    def __setstate__(self, state: object) -> None:
        del state


@contextmanager
def _numpy_ignored() -> Iterator[None]:
    """Admit the names of numpy's scalars, in a torch that otherwise admits weights alone.

    numpy 1 and 2 name the scalar differently, and neither has the other's name; a stand-in serves both, and runs none
    of numpy's code. Whatever else was admitted in this process is set aside meanwhile: numpy's own names, too.
    """
    if not hasattr(torch.serialization, "clear_safe_globals"):
        raise InputError(f"torch {torch.__version__} cannot read checkpoints safely; install torch 2.5 or newer.")
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
        raise InputError(f"{path} is no checkpoint of nerfstudio: needed the entries 'step' and 'pipeline'.")
    step, pipeline = state["step"], state["pipeline"]
    if wrong := [key for key, value in pipeline.items() if not isinstance(key, str) or not isinstance(value, Tensor)]:
        raise InputError(f"{path} is no checkpoint of nerfstudio: {wrong[0]!r} of its pipeline is no tensor.")
    if (name := _CHECKPOINT_NAME.fullmatch(path.name)) and int(name[1]) != step:
        raise InputError(f"The checkpoint {path} is of step {step}, not of the step in its name; rename it.")
    return step, dict(pipeline)


def _without_ddp(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefixes of training on several GPUs, as nerfstudio does in `load_pipeline`, `load_state_dict`."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    # Where not all of the model's entries have it, "module" is a part of the model that is called so.
    if all(key.startswith("_model.module.") for key in state if key.startswith("_model.")):
        state = {key.replace("_model.module.", "_model.", 1): tensor for key, tensor in state.items()}
    return state
