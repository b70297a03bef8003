"""One checkpoint file, read without trusting it."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.system.files import file_sha256

CHECKPOINT_NAME = re.compile(r"step-(\d{9,})\.ckpt")
"""Name of a nerfstudio checkpoint; the group is the step."""


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
    if (name := CHECKPOINT_NAME.fullmatch(path.name)) and int(name[1]) != step:
        raise InputError(f"The checkpoint {path} is of step {step}, not of the step in its name; rename it.")
    return step, dict(pipeline)


def _without_ddp(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefixes of training on several GPUs, as nerfstudio does in `load_pipeline`, `load_state_dict`."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    # Where not all of the model's entries have it, "module" is a part of the model that is called so.
    if all(key.startswith("_model.module.") for key in state if key.startswith("_model.")):
        state = {key.replace("_model.module.", "_model.", 1): tensor for key, tensor in state.items()}
    return state
