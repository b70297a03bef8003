"""Inspection of files by their kind: configurations of trained runs, which plugins read, and records."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Protocol

from nvs_eval.diagnostics.inspection.findings import Inspection
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.diagnostics.inspection.run import RunData, inspect_run
from nvs_eval.errors import InputError
from nvs_eval.system.plugins import load_entry

_CONFIGS = (".yml", ".yaml")
_NEEDED = "the config.yml of a nerfstudio run, or a record (.json), is needed"


class Inspector(Protocol):
    """Gives the facts of a trained run. It builds no model and decodes no image."""

    def __call__(self, path: Path, *, data: Path | None) -> RunData:
        """Return the facts of a run.

        Args:
            path: its configuration.
            data: new place of the data (default: where the run recorded it).

        Raises:
            InputError: the run or its data cannot be read.
        """
        ...


def inspect(
    files: str | PathLike[str] | Sequence[str | PathLike[str]], *, data: Path | None = None
) -> list[Inspection]:
    """Report on the references of trained runs and records.

    Args:
        files: the config.yml of nerfstudio runs, and records.
        data: new place of the runs' data (default: where they recorded it).

    Raises:
        InputError: no file is given, one is neither, or cannot be read.
    """
    paths = [Path(file) for file in ([files] if isinstance(files, str | PathLike) else files)]
    if not paths:
        raise InputError("Nothing was given to inspect: say the config.yml of a run, or a record.")
    if data is not None and not any(path.suffix.lower() in _CONFIGS for path in paths):
        raise InputError("--data says where the data of a run lies, and no config.yml of a run was given.")
    return [_inspect(path, data) for path in paths]


def find_inspector(name: str) -> Inspector:
    """Return the plugin that inspects the runs of a tool.

    Raises:
        InputError: it is not installed, or broken; the message names its distribution.
    """
    return load_entry("nvs_eval.inspectors", name, kind="inspector")


def _inspect(path: Path, data: Path | None) -> Inspection:
    if path.is_dir():
        inside = path / "config.yml"
        raise InputError(f"{path} is a folder, and {_NEEDED}{f': say {inside}' if inside.is_file() else ''}.")
    if not path.exists():
        raise InputError(f"There is no file {path}: {_NEEDED}.")
    if path.suffix.lower() == ".json":
        return inspect_record(path)
    if path.suffix.lower() in _CONFIGS:
        return inspect_run(find_inspector("nerfstudio")(path, data=data))
    raise InputError(f"{path} is neither of what can be inspected: {_NEEDED}.")
