"""Evaluate a suite: all methods of a file on all of its scenes, each as `nvs-eval run` or `score` would."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError, counted, duration, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.executors.cells import chosen_cells, command_of
from nvs_eval.evaluation.executors.queue import Queue
from nvs_eval.evaluation.options import ScoreOptions, SuiteOptions
from nvs_eval.evaluation.suite_entries import Entry, checked_protocols, make_entry
from nvs_eval.evaluation.suite_file import SuiteFile, load_suite_file
from nvs_eval.evaluation.suite_lines import SuiteLines
from nvs_eval.records.record import Record
from nvs_eval.system.devices import find_device
from nvs_eval.system.files import check_is_folder

if TYPE_CHECKING:
    from nvs_eval.evaluation.executors.claims import Claims
    from nvs_eval.protocols import Protocol
    from nvs_eval.report.tables.table import Table

# Entries whose records exist take fewer seconds, and the time left is shown from so many seconds on.
_QUICK, _LONG = 2.0, 60.0
# More scenes than these have their records in one file, and one row in the table of work.
LARGE = 500
IN_LINES = (
    f"needs a suite of up to {LARGE} scenes without an index. The records of this one are lines of one file for each "
    "method, with one writer. Start a command for each method, with `--only METHOD`."
)
"""End of the error of an option that divides the scenes of a suite."""


@dataclass(frozen=True)
class SuiteResult:
    """Result of a suite.

    Attributes:
        records: records of all methods and scenes of the file, chosen or not, except those that failed.
        not_done: number of chosen entries that are not done, then a line per reason; empty if all are done.
    """

    records: Sequence[Record]
    not_done: Sequence[str]


@dataclass(frozen=True)
class SuiteRun:
    """Opened suite: every option is checked, nothing is evaluated yet.

    Attributes:
        file: suite file.
        entries: all methods on all scenes.
        chosen: entries to evaluate.
        options: options of the command.
        lines: scores the entries whose records are kept in one file, or None if each has a file of its own.
    """

    file: SuiteFile
    entries: Sequence[Entry]
    chosen: Sequence[Entry]
    options: SuiteOptions
    lines: SuiteLines | None = None

    @property
    def output_dir(self) -> Path:
        """Output folder of the records."""
        return self.options.output_dir or self.file.output_dir

    def plan(self) -> tuple[Table, list[str]]:
        """Return a table of the state of each chosen entry, and what cannot be done. Evaluates nothing."""
        states: dict[Entry, str] = {}
        failures: dict[str, list[Entry]] = {}
        for entry in self.chosen:
            try:
                states[entry] = "missing" if entry.is_missing else "done" if self._is_done(entry) else "to do"
            except InputError as error:
                failures.setdefault(str(error), []).append(entry)
                states[entry] = "fails"
        return _states_table(self.file, states), self.not_done(failures)

    def evaluate(self, callbacks: Callbacks, claims: Claims | None = None) -> SuiteResult:
        """Evaluate the chosen entries whose inputs exist, one after the other, and skip finished work.

        Args:
            callbacks: callbacks for progress and messages.
            claims: keep other commands from the same work, and show them what is done (default: none).
        """
        todo = [entry for entry in self.chosen if not entry.is_missing]
        by_entry: dict[Entry, list[Record]] = {}
        failures: dict[str, list[Entry]] = {}
        if self.lines is not None:
            by_entry |= self.lines.score([entry for entry in todo if entry.is_scored], failures, callbacks)
            todo = [entry for entry in todo if not entry.is_scored]
        seconds: list[float] = []
        queue = Queue(todo, claims, callbacks.say)
        for number, entry in enumerate(queue, 1):
            callbacks.say(f"[{number}/{len(todo)}] {entry}{_time_left(seconds, len(todo) + 1 - number)}")
            start = time.monotonic()
            by_entry[entry], reasons = entry.attempt(callbacks)
            for reason in reasons:
                failures.setdefault(reason, []).append(entry)
            queue.settle(entry, reasons, command_of(self.options, entry.cell))
            seconds.append(time.monotonic() - start)
        return self.result(by_entry, failures)

    def result(
        self, by_entry: Mapping[Entry, Sequence[Record]], failures: Mapping[str, Sequence[Entry]]
    ) -> SuiteResult:
        """Return the result of a suite.

        Args:
            by_entry: records of the entries that were evaluated; the earlier ones of all others are read.
            failures: failed entries by reason.
        """
        records = [by_entry[entry] if entry in by_entry else self._earlier(entry) for entry in self.entries]
        return SuiteResult([*chain(*records)], self.not_done(failures))

    def inputs(self) -> list[Any]:
        """Return the options of the entries, whose paths are inputs: for entries that share a file, common folders."""
        alone = [entry.options for entry in self.entries if self.lines is None or not entry.is_scored]
        shared: dict[str, list[ScoreOptions]] = {}
        for entry in self.entries if self.lines is not None else ():
            if isinstance(entry.options, ScoreOptions):
                shared.setdefault(entry.method, []).append(entry.options)
        return [*alone, *map(_common, shared.values())]

    def _is_done(self, entry: Entry) -> bool:
        return self.lines.is_done(entry) if self.lines is not None and entry.is_scored else entry.is_done()

    def _earlier(self, entry: Entry) -> list[Record]:
        return self.lines.earlier(entry) if self.lines is not None and entry.is_scored else entry.earlier_records()

    def not_done(self, failures: Mapping[str, Sequence[Entry]]) -> list[str]:
        """Return how many chosen entries are not done, and a line per reason.

        Args:
            failures: failed entries by reason.
        """
        failed = {entry for entries in failures.values() for entry in entries}
        count = len(failed) + sum(entry.is_missing for entry in self.chosen)
        methods = [method.name for method in self.file.methods]
        missing: dict[str, list[str]] = {}
        for entry in sorted(self.chosen, key=lambda entry: methods.index(entry.method)):
            for text in entry.missing:
                missing.setdefault(f"{entry.method}: nothing at {text}", []).append(entry.scene)
        lines = [f"{text} for {some(scenes, 9)}" for text, scenes in missing.items()]
        for method in methods:
            views = [f"{e.scene}/{view}" for e in self.chosen if e.method == method for view in e.lacking]
            if views:
                lines.append(f"{method}: {counted(len(views), 'view')} of the index without a render: {some(views, 4)}")
        lines += [f"{some(entries, 4, whole=True)}: {reason}" for reason, entries in failures.items()]
        return [f"{count} of {len(self.chosen)}", *lines] if count else []

    def no_records(self) -> str:
        """Return the reason why there is no table."""
        if count := sum(len(self._earlier(entry)) for entry in self.entries):
            earlier = counted(count, "earlier record")
            return f"No table: {earlier} may belong to other renders than those that failed now."
        return "No table: there are no records yet."


def _common(options: Sequence[ScoreOptions]) -> ScoreOptions:
    """Return options with the common folders of the paths of many scenes."""

    def common(paths: Iterable[Path | None]) -> Path | None:
        given = {os.path.abspath(path) for path in paths if path is not None}
        return Path(os.path.commonpath(given)) if given else None

    renders = common(path for one in options for path in one.renders)
    assert renders is not None
    places = {name: common(getattr(one, name) for one in options) for name in ("reference", "masks")}
    return replace(options[0], renders=(renders,), **places)


def _time_left(seconds: Sequence[float], count: int) -> str:
    """Return about how long the remaining entries take, from those that were not done before; "" for short work."""
    evaluated = [entry for entry in seconds if entry >= _QUICK]
    left = count * sum(evaluated) / max(1, len(evaluated))
    return f" (about {duration(left)} left)" if left >= _LONG else ""


def _states_table(file: SuiteFile, states: Mapping[Entry, str]) -> Table:
    """Return a table of states, with a row per scene and a column per method, without empty ones."""
    from nvs_eval.report.tables.columns import table_from, text_column

    cells = {(entry.method, entry.scene): state for entry, state in states.items()}
    counts = Counter(cells.values())
    known = [state for state in ("done", "to do", "missing", "fails") if counts[state]]
    caption = ", ".join(f"{counts[state]} {state}" for state in known)
    if len(file.suite.scenes) > LARGE:
        of_methods: dict[str, Counter[str]] = {}
        for entry, state in states.items():
            of_methods.setdefault(entry.method, Counter())[state] += 1
        columns = [text_column(state, [str(of[state]) for of in of_methods.values()]) for state in known]
        columns = [text_column("method", [*of_methods]), *columns]
        return table_from(f"{file.suite.title}: to do", columns, caption=caption)
    scenes = [name for name in file.suite.names if any(name == scene for _, scene in cells)]
    methods = [method.name for method in file.methods if any(method.name == name for name, _ in cells)]
    columns = [text_column(name, [cells.get((name, scene), "") for scene in scenes]) for name in methods]
    return table_from(f"{file.suite.title}: to do", [text_column("scene", scenes), *columns], caption=caption)


# --- From the file to its entries -------------------------------------------------------------------------------------


def open_suite(options: SuiteOptions, *, here: bool = True) -> SuiteRun:
    """Read a suite file and check all of it. Opens no other file.

    Args:
        options: the file, and the part of it to evaluate.
        here: whether this machine evaluates it, and must therefore have the devices.

    Raises:
        InputError: The file or one of its options is invalid.
    """
    file = load_suite_file(options.file)
    check_is_folder(output_dir := options.output_dir or file.output_dir)
    overrides = ((name, getattr(options, name)) for name in ("device", "precision", "max_memory"))
    changes = {name: value for name, value in overrides if value is not None}
    changes |= {"output_dir": output_dir, "overwrite": options.overwrite, "rehash": options.rehash}
    entries = []
    protocols: dict[tuple[str, Sequence[str]], Sequence[Protocol]] = {}
    for scene in file.suite.names:
        for method in file.methods:
            try:
                trust = {"trust": options.trust} if method.command == "run" else {}
                entry = make_entry(file, method, scene, {**changes, **trust})
                if here:
                    find_device(entry.options.device)
                key = (entry.method, entry.options.protocol)  # Protocols are read once per method, not per scene.
                protocols[key] = protocols[key] if key in protocols else checked_protocols(entry.options)
            except InputError as error:
                raise InputError(f"The suite file {file.file}: the method {method.name}: {error}") from error
            entries.append(replace(entry, protocols=protocols[key]))
    in_lines = file.index is not None or len(file.suite.scenes) > LARGE
    lines = SuiteLines(file, output_dir) if in_lines else None
    chosen = {*chosen_cells(file, options.only, options.shard)}
    if lines is not None and options.shard is not None:
        raise InputError(f"--shard {IN_LINES}")
    return SuiteRun(file, entries, [entry for entry in entries if entry.cell in chosen], options, lines)
