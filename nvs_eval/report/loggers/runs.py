"""Records as those tools see them that draw curves, runs and scalars at steps; and logging runs to all tools."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record


@dataclass(frozen=True)
class LoggedRecord:
    """A record, and the folder below which a tool that writes files has its own."""

    record: Record
    folder: Path

    @property
    def step(self) -> int:
        """The checkpoint's; 0 where there is none."""
        return self.record.step or 0

    @property
    def label(self) -> str:
        """What stands before the slash in the names of its scalars: as the hook has it while nerfstudio trains."""
        record = self.record
        parts = [record.protocol["name"], *(["fast"] if record.fast else [])]
        return "-".join(parts if record.split == "test" else [*parts, record.split])

    @property
    def scalars(self) -> dict[str, float]:
        """The means by `<protocol>/<metric>`."""
        return {f"{self.label}/{metric}": mean for metric, mean in self.record.means.items()}


@dataclass(frozen=True)
class LoggedRun:
    """What becomes one run of a tool: the records of a training, or of a folder of renders.

    Attributes:
        scene: its name.
        method: its name.
        run: which training of the method, or None.
        records: in the order of their steps.
    """

    scene: str
    method: str
    run: str | None
    records: Sequence[LoggedRecord]

    @property
    def name(self) -> str:
        """With slashes between its parts."""
        return "/".join(part for part in (self.scene, self.method, self.run) if part)


def runs_of(records: Iterable[LoggedRecord]) -> list[LoggedRun]:
    """The runs, in the order in which they come first.

    Raises:
        InputError: two records would be the same point of the same curve.
    """
    groups: dict[tuple[str, str, str | None], list[LoggedRecord]] = {}
    for logged in records:
        record = logged.record
        groups.setdefault((record.scene, record.method, record.run or None), []).append(logged)
    runs = [LoggedRun(*key, sorted(group, key=lambda logged: logged.step)) for key, group in groups.items()]
    for run in runs:
        _check_distinct(run)
    return runs


def _check_distinct(run: LoggedRun) -> None:
    seen: dict[tuple[int, str], LoggedRecord] = {}
    for logged in run.records:
        other = seen.setdefault((logged.step, logged.label), logged)
        if other is not logged:
            fingerprints = f"{other.record.fingerprint} and {logged.record.fingerprint}"
            raise InputError(
                f"Two records of {run.name} would be logged as {logged.label} at step {logged.step}, those of the "
                f"fingerprints {fingerprints}. All records are there: log one of the two, with `nvs-eval table RECORDS "
                f"--protocol {other.record.fingerprint} --log ...`."
            )


Sink = Callable[[Sequence[LoggedRun]], list[str]]
"""Logs runs; gives a line for each thing that a user should know of where."""


def open_sinks(names: Sequence[str]) -> dict[str, Sink]:
    """The sinks of these names, each once. To be opened before any long work.

    Raises:
        InputError: what one needs is not installed, or cannot be used; the message says what to do.
    """
    return {
        name: importlib.import_module(f"nvs_eval.report.loggers.{name}").open_sink() for name in dict.fromkeys(names)
    }


def log_runs(sinks: Mapping[str, Sink], runs: Sequence[LoggedRun], *, say: Callable[[str], None]) -> None:
    """Log runs to all sinks, whatever becomes of one of them.

    Args:
        sinks: by name.
        runs: of `runs_of`.
        say: is given a line at a time.

    Raises:
        InputError: after all of them, naming those that failed and why.
    """
    failed = []
    for name, sink in sinks.items():
        try:
            lines = sink(runs)
        except Exception as error:  # Whatever another tool raises: the records are written, and it must not hide them.
            failed.append(f"{name}: {str(error).strip() or type(error).__name__}")
        else:
            for line in lines:
                say(line)
    if failed:
        raise InputError(
            f"The records are there, but could not be logged to {'; '.join(failed)}\n"
            f"To log them again: nvs-eval table RECORDS --log {' '.join(sinks)}"
        )


def missing_package(name: str, error: ImportError) -> InputError:
    """The error that a tool is not installed, or is broken."""
    return InputError(
        f"Logging to {name} needs its package, which cannot be imported ({error}): "
        f"pip install 'nvs-eval[{name}]', or leave `--log {name}` out."
    )
