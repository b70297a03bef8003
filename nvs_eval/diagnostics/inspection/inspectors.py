"""Inspection of files by kind: records, and configurations of trained runs, which plugins read."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Protocol

from nvs_eval.diagnostics.inspection.findings import Inspection
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.diagnostics.inspection.run import RunData, inspect_run
from nvs_eval.errors import InputError
from nvs_eval.records.record import LINES
from nvs_eval.system.plugins import find_plugin, is_known

_RECORD = ".json"
_RULE = "Pass the config.yml of a run, a splat, or a record (.json)."
_GROUP = "nvs_eval.inspectors"


class Inspector(Protocol):
    """Reads the facts of a trained run: an object or module that is an entry point of `nvs_eval.inspectors`."""

    def knows(self, path: Path) -> bool:
        """Return whether a path is a run of this tool, quickly and without an error."""
        ...

    def inspect_run(self, path: Path, *, data: Path | None, trust: bool) -> RunData:
        """Return the facts of a run. Builds no model and decodes no image.

        Args:
            path: configuration of the run.
            data: new location of the data (default: the location that the run recorded).
            trust: whether the user trusts the author of the run, so that its files may run code.

        Raises:
            InputError: the run or its data cannot be read.
        """
        ...


def inspect(
    files: str | PathLike[str] | Sequence[str | PathLike[str]], *, data: Path | None = None, trust: bool = False
) -> list[Inspection]:
    """Report on the references of trained runs and records.

    Args:
        files: config.yml files of nerfstudio runs, splats, and records.
        data: new location of the runs' data (default: the location that they recorded).
        trust: whether the user trusts the authors of the runs, so that their files may run code.

    Raises:
        InputError: there is no file, or one is neither a run nor a record or cannot be read.
    """
    paths = [Path(file) for file in ([files] if isinstance(files, str | PathLike) else files)]
    if not paths:
        raise InputError(f"Nothing to inspect. {_RULE}")
    if data is not None and all(path.suffix.lower() == _RECORD for path in paths):
        raise InputError("--data (`data` in Python) is only for a run or a splat. Got only records.")
    return [_inspect(path, data, trust) for path in paths]


def find_inspector(path: Path) -> Inspector:
    """Find the plugin that inspects a run.

    Raises:
        InputError: no plugin knows the run, several do, or the plugin cannot be loaded.
    """
    return find_plugin(_GROUP, path, kind="inspector")


def _inspect(path: Path, data: Path | None, trust: bool) -> Inspection:
    if path.is_dir() and not is_known(_GROUP, path):
        config = path / "config.yml"
        raise InputError(f"{_RULE} {path} is a folder.{f' Use {config}.' if config.is_file() else ''}")
    if not path.exists():
        raise InputError(f"{_RULE} {path} does not exist.")
    if path.suffix.lower() == _RECORD:
        return inspect_record(path)
    if path.suffix.lower() == LINES:
        raise InputError(f"{_RULE} {path} has the records of many scenes.")
    return inspect_run(find_inspector(path).inspect_run(path, data=data, trust=trust))
