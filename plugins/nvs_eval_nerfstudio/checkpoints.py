"""Checkpoints of a run: finding them, and reading them safely.

nerfstudio's own evaluation unpickles any object in the file.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nvs_eval.errors import InputError, quoted, shortened
from nvs_eval.system.hashes import remembered_sha256
from nvs_eval.system.torch_files import fault_of, load_torch

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

_CHECKPOINT_NAME = re.compile(r"step-(\d{9,})\.ckpt")  # The group is the step.


def saved_checkpoints(config_path: Path, config: TrainerConfig) -> dict[int, Path]:
    """Return the checkpoints of a run by step, in ascending order; empty if there are none.

    They are searched for beside `config.yml`, then in the folder that it names.
    """
    for folder in _folders(config_path, config):
        files = folder.iterdir() if folder.is_dir() else ()
        matches = ((_CHECKPOINT_NAME.fullmatch(file.name), file) for file in files if file.is_file())
        if steps := sorted((int(name[1]), file) for name, file in matches if name):
            return dict(steps)
    return {}


def _folders(config_path: Path, config: TrainerConfig) -> tuple[Path, Path]:
    return config_path.parent / config.relative_model_dir, config.get_checkpoint_dir()


def find_checkpoints(config_path: Path, config: TrainerConfig) -> dict[int, Path]:
    """Return the checkpoints of a run as `saved_checkpoints`.

    Raises:
        InputError: if there are none.
    """
    if found := saved_checkpoints(config_path, config):
        return found
    beside, recorded = _folders(config_path, config)
    folder = config.relative_model_dir
    advice = "relative_model_dir must be the name of a folder" if folder.is_absolute() else f"Put the folder {folder}"
    raise InputError(
        f"The run {config_path} has no checkpoints: there is no step-*.ckpt in {beside} or {recorded}. "
        f"{advice} beside config.yml."
    )


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint has the directory at its end, which is written last."""
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile):
        return False


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


def chosen_checkpoints(
    path: Path, config: TrainerConfig, steps: Literal["last", "all"] | Sequence[int], warn: Callable[[str], None]
) -> dict[int, Path]:
    """Return the checkpoints of the requested steps of a run, and warn if they are not beside its `config.yml`.

    Raises:
        InputError: if there are no checkpoints, or not of a requested step.
    """
    files = find_checkpoints(path, config)
    folder = next(iter(files.values())).parent
    if folder.parent.resolve() != path.parent.resolve():
        warn(f"There are no checkpoints beside {path}. Using those in {folder}, the folder named in it.")
    return {step: files[step] for step in choose_steps(files, steps)}


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
        sha256 = remembered_sha256(path)
    except OSError as error:
        raise InputError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    if not zipfile.is_zipfile(path):
        raise InputError(f"The checkpoint {path} must be a zip archive. The file is incomplete or not a checkpoint.")
    try:
        with _numpy_ignored():
            state = load_torch(path, checksums=True)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"The checkpoint {path} is refused, because {error}.") from error
    step, pipeline = _contents(path, state)
    return Checkpoint(step, _without_ddp(pipeline, path), sha256)


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
    for key, tensor in pipeline.items():
        if not isinstance(key, str):
            raise InputError(
                f"{path} is not a nerfstudio checkpoint: the names in its pipeline must be texts. Got {quoted(key)}."
            )
        if not isinstance(tensor, Tensor):
            raise InputError(f"{path} is not a nerfstudio checkpoint: {key[:60]!r} in its pipeline is not a tensor.")
        if fault := fault_of(tensor):
            raise InputError(f"The checkpoint {path} is refused, because its tensor {key[:60]} {fault}.")
    if (name := _CHECKPOINT_NAME.fullmatch(path.name)) and int(name[1]) != step:
        found = step if abs(step) < 10**30 else "10^30 or more"
        raise InputError(f"The checkpoint {path} contains step {found}, which differs from its name. Rename the file.")
    return step, dict(pipeline)


def _without_ddp(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Strip the prefixes of multi-GPU training, as nerfstudio does in `load_pipeline` and `load_state_dict`."""
    state = renamed(state, lambda key: key.removeprefix("module."), path)
    # If only some entries have the prefix, "module" is the name of a submodule of the model.
    if all(key.startswith("_model.module.") for key in state if key.startswith("_model.")):
        state = {key.replace("_model.module.", "_model.", 1): tensor for key, tensor in state.items()}
    return state


def renamed(state: Mapping[str, Tensor], rename: Callable[[str], str], path: Path) -> dict[str, Tensor]:
    """Rename the entries of a state.

    Raises:
        InputError: if two of them would have one name. `path` is the checkpoint, for the message.
    """
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if (name := rename(key)) in result:
            raise InputError(
                f"The checkpoint {path} contains {shortened(name)} twice, because {shortened(key)} is another name of "
                "it. Remove one of them."
            )
        result[name] = tensor
    return result
