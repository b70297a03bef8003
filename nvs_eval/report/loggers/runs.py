"""Records as runs with scalars at steps, as tracking tools see them, and logging of runs to all tools."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId


@dataclass(frozen=True)
class LoggedRecord:
    """A record, and the folder for files of tools that write some."""

    record: Record
    folder: Path

    @property
    def run(self) -> ResultId:
        """The run of the record: scene, method and training run. A checkpoint without a step number is on its own."""
        record = self.record
        return ResultId(record.scene, record.method, record.run or None, step_name=record.step_name)

    @property
    def step(self) -> int:
        """Step of the checkpoint; 0 without one."""
        return self.record.step or 0

    @property
    def label(self) -> str:
        """Prefix of the names of scalars, before the slash, as in the nerfstudio hook; with a split other than test,
        and with the selection if the record is of a part of the views, and if views failed."""
        return self._label(incomplete=bool(self.record.failed))

    @property
    def label_of_incomplete(self) -> str:
        """The label that the record would have if views had failed."""
        return self._label(incomplete=True)

    def _label(self, *, incomplete: bool) -> str:
        record = self.record
        split = None if record.split == "test" else record.split
        parts = (record.protocol["name"], "fast" if record.fast else None, split, record.selection)
        return "-".join(filter(None, (*parts, "incomplete" if incomplete else None)))

    @property
    def scalars(self) -> dict[str, float]:
        """Means by `<protocol>/<metric>`."""
        return {f"{self.label}/{metric}": mean for metric, mean in self.record.means.items()}


Sink = Callable[[Sequence[Sequence[LoggedRecord]]], list[str]]
"""Logs runs from `runs_of`. Returns lines for the user on where to find them."""


def runs_of(records: Iterable[LoggedRecord]) -> list[list[LoggedRecord]]:
    """Group records into runs, sorted by step. Runs keep the order of their first record.

    A run is a training run, or a folder of renders.

    Raises:
        InputError: two records would be the same point of a curve.
    """
    runs: dict[ResultId, list[LoggedRecord]] = {}
    points: dict[tuple[ResultId, int, str], Record] = {}
    for logged in records:
        run, record = logged.run, logged.record
        other = points.setdefault((run, logged.step, logged.label), record)
        if other is not record:
            raise InputError(
                f"Records to log must have distinct names and steps. Got {logged.label} of {run} at step {logged.step} "
                f"twice, with the fingerprints {other.fingerprint} and {record.fingerprint}. The records are written. "
                f"Log one of them with `nvs-eval table RECORDS --protocol {other.fingerprint} --log ...`."
            )
        runs.setdefault(run, []).append(logged)
    return [sorted(run, key=lambda logged: logged.step) for run in runs.values()]


def open_sinks(names: Sequence[str]) -> dict[str, Sink]:
    """Open the sinks with these names, each once. Call this before any long work.

    Raises:
        InputError: a tool is not installed or cannot be used. The message states what to do.
    """
    return {
        name: importlib.import_module(f"nvs_eval.report.loggers.{name}").open_sink() for name in dict.fromkeys(names)
    }


def log_runs(sinks: Mapping[str, Sink], runs: Sequence[Sequence[LoggedRecord]], *, say: Callable[[str], None]) -> None:
    """Log runs to all sinks, even if some of them fail.

    Args:
        sinks: sinks by name.
        runs: runs from `runs_of`.
        say: called with each line for the user.

    Raises:
        InputError: some sinks failed. The message names them and the reasons, after all others are done.
    """
    failed = []
    for name, sink in sinks.items():
        try:
            lines = sink(runs)
        except Exception as error:  # Tools may raise anything. The records are written, and the user must learn that.
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            failed.append(f"{name}: {reason}")
        else:
            for line in lines:
                say(line)
    if failed:
        raise InputError(
            f"The records are written, but could not be logged to {'; '.join(failed)}. "
            f"Log them again with: nvs-eval table RECORDS --log {' '.join(sinks)}"
        )


def missing_package(name: str, error: ImportError) -> InputError:
    """Return the error for a tool that is not installed, or broken."""
    return InputError(
        f"--log {name} needs the package {name}. It cannot be imported ({error}). Run "
        f"`pip install 'nvs-eval[{name}]'`, or omit `--log {name}`."
    )
