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
from nvs_eval.system.plugins import find_plugin

_RECORD = ".json"
_NEEDED = "the config.yml of a nerfstudio run, or a record (.json), is needed"


class Inspector(Protocol):
    """Gives the facts of a trained run: an object, or a module, found by an entry point of `nvs_eval.inspectors`."""

    def knows(self, path: Path) -> bool:
        """Return whether a path is a run of this tool, quickly and without an error."""
        ...

    def inspect_run(self, path: Path, *, data: Path | None) -> RunData:
        """Return the facts of a run. Builds no model and decodes no image.

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
    if data is not None and all(path.suffix.lower() == _RECORD for path in paths):
        raise InputError("--data says where the data of a run lies, and no config.yml of a run was given.")
    return [_inspect(path, data) for path in paths]


def find_inspector(path: Path) -> Inspector:
    """Find the plugin that inspects a run.

    Raises:
        InputError: no plugin knows the run, several do, or the plugin cannot be loaded.
    """
    return find_plugin("nvs_eval.inspectors", path, kind="inspector")


def _inspect(path: Path, data: Path | None) -> Inspection:
    inside = path / "config.yml"
    if inside.is_file():
        raise InputError(f"{path} is a folder, and {_NEEDED}: say {inside}.")
    if not path.exists():
        raise InputError(f"There is no file {path}: {_NEEDED}.")
    if path.suffix.lower() == _RECORD:
        return inspect_record(path)
    return inspect_run(find_inspector(path).inspect_run(path, data=data))
