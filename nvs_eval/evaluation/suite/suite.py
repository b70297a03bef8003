"""Evaluate a suite: all methods of a file on all of its scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError, counted, some, unknown_name
from nvs_eval.evaluation.suite.entries import Entry, entries_of, file_options, missing_lines
from nvs_eval.evaluation.suite.file import SuiteFile, load_suite_file
from nvs_eval.evaluation.suite.options import SuiteOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Callbacks
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.table import Table

State = Literal["done", "to do", "missing", "fails"]


@dataclass(frozen=True)
class Failure:
    """An entry that cannot be evaluated, and the reason."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class SuiteResult:
    """The outcome of a suite.

    Attributes:
        records: those of all methods and scenes of the file, chosen or not, but for what failed.
        not_done: how many of the chosen ones are not done, and a line for each reason; empty where all are.
    """

    records: Sequence[Record]
    not_done: Sequence[str]


@dataclass(frozen=True)
class SuiteRun:
    """A suite file, opened: every option is checked, and nothing evaluated.

    Attributes:
        file: the suite file.
        entries: all methods on all scenes.
        chosen: those that are to be evaluated.
    """

    file: SuiteFile
    entries: Sequence[Entry]
    chosen: Sequence[Entry]

    def states(self) -> tuple[dict[tuple[str, str], State], list[Failure]]:
        """Return the state of each chosen entry, by its key, and those that would fail. Nothing is evaluated."""
        failures: list[Failure] = []
        states: dict[tuple[str, str], State] = {}
        for entry in self.chosen:
            try:
                done = not entry.missing and entry.is_done()
                states[entry.key] = "missing" if entry.missing else "done" if done else "to do"
            except InputError as error:
                failures.append(Failure(entry, str(error)))
                states[entry.key] = "fails"
        return states, failures

    def evaluate(self, callbacks: Callbacks) -> SuiteResult:
        """Evaluate the chosen entries whose inputs exist, but for what is done."""
        todo = [entry for entry in self.chosen if not entry.missing]
        records: dict[tuple[str, str], list[Record]] = {}
        failures: list[Failure] = []
        for number, entry in enumerate(todo, 1):
            callbacks.say(f"[{number}/{len(todo)}] {entry}")
            try:
                records[entry.key] = entry.evaluate(callbacks)
            except InputError as error:
                callbacks.warn(f"Error: {entry}: {error}")
                failures.append(Failure(entry, str(error)))
                records[entry.key] = []  # Earlier records may be of other renders.
        for entry in self.entries:
            if entry.key not in records:
                records[entry.key] = entry.earlier_records()
        found = [record for entry in self.entries for record in records[entry.key]]
        return SuiteResult(found, self.not_done(failures))

    def not_done(self, failures: Sequence[Failure] = ()) -> list[str]:
        """Say how many of the chosen entries are not done, and why: those of one reason on one line."""
        entries: dict[str, list[str]] = {}
        for failure in failures:
            entries.setdefault(failure.reason, []).append(str(failure.entry))
        reasons = [f"{some(names, 4)}: {reason}" for reason, names in entries.items()]
        count = len(failures) + sum(1 for entry in self.chosen if entry.missing)
        return [f"{count} of {len(self.chosen)}", *missing_lines(self.chosen), *reasons] if count else []

    def no_records(self) -> str:
        """Say why there are no records to make a table of."""
        count = sum(len(entry.earlier_records()) for entry in self.entries)
        if not count:
            return "There is no record yet, and so no table."
        verb = "is" if count == 1 else "are"
        return (
            f"There {verb} {counted(count, 'record')} of earlier, but what failed now may be of other renders, and so "
            "no table."
        )


def open_suite(options: SuiteOptions) -> SuiteRun:
    """Read a suite file and check all of it.

    Args:
        options: the file, and what is evaluated of it.

    Raises:
        InputError: the file, or an option of it, is wrong.
    """
    file = load_suite_file(options.file, file_options())
    given = {name: getattr(options, name) for name in ("device", "precision", "max_memory")}
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {"output_dir": options.output_dir or file.output_dir, "overwrite": options.overwrite}
    entries = entries_of(file, changes)
    return SuiteRun(file, entries, _chosen(file, entries, options.only))


def _chosen(file: SuiteFile, entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    methods = {method.name for method in file.methods}
    scenes = {name: scene.name for name in only if (scene := file.suite.scene(name))}
    for name in only:
        if name not in methods and name not in scenes:
            raise unknown_name("method or scene", name, {*methods, *file.suite.names})
    named = methods & set(only) or methods
    within = set(scenes.values()) or set(file.suite.names)
    return [entry for entry in entries if entry.method in named and entry.scene in within]


def states_table(file: SuiteFile, states: Mapping[tuple[str, str], State]) -> Table:
    """Return the states of methods and scenes, a row a scene and a column a method, without empty ones."""
    from nvs_eval.report.tables.columns import table_from, text_column

    scenes = [name for name in file.suite.names if any(scene == name for _, scene in states)]
    methods = [method.name for method in file.methods if any(name == method.name for name, _ in states)]
    columns = [text_column("scene", scenes)]
    columns += [text_column(method, [states.get((method, scene), "") for scene in scenes]) for method in methods]
    counts = {state: list(states.values()).count(state) for state in ("done", "to do", "missing", "fails")}
    caption = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return table_from(f"{file.suite.title}: what there is to do", columns, caption=caption)
