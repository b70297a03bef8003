"""Loading of a checkpoint into the model of its run, completely or not at all.

If the entries of the file and the model differ, nerfstudio silently loads those that match and evaluates with random
values for the rest. Values of another kind of number, or that are not finite, it converts and renders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nvs_eval.errors import InputError, shortened, some
from nvs_eval.metrics.weights.pins import NETS, backbone_pins, find_fault, head_pins
from nvs_eval_nerfstudio.checkpoints import Checkpoint, renamed

if TYPE_CHECKING:
    from nerfstudio.pipelines.base_pipeline import Pipeline

LpipsEntries = Literal["absent", "true", "other"]
"""LPIPS network in a checkpoint, which ns-eval would use: absent, the published one, or a different one."""

_MODEL = "_model."
_METRICS = ("psnr.", "ssim.", "lpips.")
_SPLATS = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")


def load_into(pipeline: Pipeline, checkpoint: Checkpoint, *, path: Path, warn: Callable[[str], None]) -> LpipsEntries:
    """Load a checkpoint into a pipeline with nerfstudio's own code, and check that it set the whole model.

    The model's own metric networks (`psnr`, `ssim`, `lpips`) are not loaded, because they are not used. Entries of the
    data manager (camera optimiser, pixel grids) are used in training only, so those that do not fit are skipped. A
    model that grows (tensorf) must load its checkpoints in ascending order.

    Args:
        pipeline: pipeline built from the configuration of the run.
        checkpoint: checkpoint to load.
        path: file that the checkpoint was read from, for messages.
        warn: called with a sentence on values of less precision than the model's, or that are not finite.

    Returns:
        The kind of LPIPS network in the checkpoint.

    Raises:
        InputError: if an entry of the model is missing, unexpected, of a different shape or kind of number, or has no
            finite value. The message names it.
    """
    built = pipeline.state_dict()
    entries = _renamed(checkpoint.pipeline, built, path)
    values = ValueFaults.of({key: tensor for key, tensor in entries.items() if not _is_metric(key)}, built)
    failure = None
    try:
        pipeline.load_pipeline(_prepared(entries, built), checkpoint.step)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError) as error:
        failure = error
    # nerfstudio silently retries with strict=False, and a model may override loading (splatfacto resizes to the
    # checkpoint's number of Gaussians). The result is therefore compared with the checkpoint after loading.
    if faults := [*_faults(entries, pipeline.state_dict()), *values.errors]:
        raise InputError(f"The checkpoint {path} does not fit the model of its config.yml: {'; '.join(faults)}.")
    if failure is not None:
        raise InputError(f"The checkpoint {path} cannot be loaded into its model: {failure}") from failure
    for doubt in values.doubts:
        warn(f"The checkpoint {path}: {doubt}.")
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


def _renamed(entries: Mapping[str, Tensor], built: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename Gaussians that older versions of splatfacto saved without the prefix `gauss_params`."""
    new_names = {f"{_MODEL}{name}": f"{_MODEL}gauss_params.{name}" for name in _SPLATS}
    return renamed(entries, lambda key: new_names[key] if new_names.get(key) in built else key, path)


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
    shapes = [f"{shortened(key)} ({_shape(entries[key])}, must be {_shape(loaded[key])})" for key in resized]
    faults = [
        *([f"it lacks {some(missing, 2)}"] if missing else []),
        *([f"the model lacks {some(unexpected, 2)}"] if unexpected else []),
        *([f"shapes differ: {some(shapes, 1, whole=True)}"] if shapes else []),
    ]
    if any("tcnn" in key for key in missing + unexpected):
        faults.append("only one of checkpoint and model uses tiny-cuda-nn (tcnn)")
    return faults


@dataclass(frozen=True)
class ValueFaults:
    """Entries of a checkpoint that loading would convert, or that are not finite.

    Attributes:
        errors: what makes the checkpoint another model's, or no model's.
        doubts: what may be meant, and changes the renders.
    """

    errors: list[str]
    doubts: list[str]

    @classmethod
    def of(cls, entries: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> ValueFaults:
        """Compare entries with those of the built model, before they are loaded."""
        other, rounded, empty, partial = [], [], [], []
        for key, tensor in entries.items():
            if key not in built:
                continue
            if tensor.dtype != (dtype := built[key].dtype):
                types = f"{shortened(key)} ({_dtype(tensor.dtype)} instead of {_dtype(dtype)})"
                if tensor.is_floating_point() and dtype.is_floating_point:
                    rounded.append(types)
                elif _is_integer(tensor.dtype) != _is_integer(dtype) or not _is_integer(dtype):
                    other.append(types)
            if (count := _not_finite(tensor)) and not _not_finite(built[key]):
                (empty if count == tensor.numel() else partial).append(
                    f"{shortened(key)} ({count} of {tensor.numel()})"
                )
        return cls(
            _named("kinds of numbers differ", other) + _named("no value is finite in", empty),
            _named("types of numbers differ", rounded) + _named("values that are not finite", partial),
        )


def _named(problem: str, keys: Sequence[str]) -> list[str]:
    return [f"{problem}: {some(keys, 1, whole=True)}"] if keys else []


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_integer(dtype: torch.dtype) -> bool:
    return not dtype.is_floating_point and not dtype.is_complex and dtype is not torch.bool


def _not_finite(tensor: Tensor) -> int:
    return int((~tensor.isfinite()).sum()) if tensor.is_floating_point() else 0


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
