"""Evaluate a suite: all methods of a file on all of its scenes, each as `nvs-eval run` or `score` would."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError, counted, duration, some, unknown_name
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import AUTO, RESULTS, RunOptions, ScoreOptions, SuiteOptions
from nvs_eval.evaluation.suite_file import KINDS, Method, SuiteFile, load_suite_file
from nvs_eval.records.comparable import main_records
from nvs_eval.records.incomplete import failures as failed_views
from nvs_eval.records.record import Record, ViewRow, read_record, record_file
from nvs_eval.records.result_id import ResultId, check_names, safe_name
from nvs_eval.sources.matching import choose_views
from nvs_eval.system.devices import find_device
from nvs_eval.system.files import check_is_folder
from nvs_eval.system.folders import files_below
from nvs_eval.system.schema import convert

if TYPE_CHECKING:
    from nvs_eval.protocols import Protocol
    from nvs_eval.report.tables.table import Table

_INPUTS = {"run": "load_config", "score": "renders"}
# Entries whose records exist take fewer seconds, and the time left is shown from so many seconds on.
_QUICK, _LONG = 2.0, 60.0
_PLACES = ("reference", "data", "masks")  # Paths that must exist; all missing ones are reported together.


@dataclass(frozen=True, eq=False)
class Entry:
    """Method on a scene.

    Attributes:
        method: name of the method.
        scene: name of the scene.
        options: options of the evaluation.
        missing: required paths that do not exist, as written in the file.
        protocols: protocols to score under; without `auto`, which is resolved later.
    """

    method: str
    scene: str
    options: RunOptions | ScoreOptions
    missing: Sequence[str] = ()
    protocols: Sequence[Protocol] = ()

    def __str__(self) -> str:
        return f"{self.method}, {self.scene}"

    def is_done(self) -> bool:
        """Return whether all records exist and match the current inputs. Renders and decodes nothing.

        Raises:
            InputError: An input is not available.
        """
        if isinstance(self.options, ScoreOptions):
            from nvs_eval.evaluation.score_folders import is_scored

            return is_scored(self.options)
        from nvs_eval.evaluation.run_checkpoints import is_evaluated

        return is_evaluated(self.options)

    def evaluate(self, callbacks: Callbacks) -> list[Record]:
        """Evaluate the entry and return its records; up-to-date records are kept.

        Raises:
            InputError: An input is not available or cannot be scored.
        """
        if isinstance(self.options, ScoreOptions):
            from nvs_eval.evaluation.score_folders import score_folders

            return score_folders(self.options, callbacks)
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        return run_checkpoints(self.options, callbacks)

    def earlier_records(self) -> list[Record]:
        """Read the existing records under the entry's protocols, even if outdated or incomplete.

        Records of a part of the views come first if the entry asks for a part, and last if it does not.
        """
        output_dir = self.options.output_dir or RESULTS
        fingerprints = {protocol.fingerprint for protocol in self.protocols}
        records = []
        for file in files_below(output_dir / safe_name(self.scene) / safe_name(self.method), ".json"):
            try:
                record = read_record(file)
            except InputError:
                continue  # Unreadable; the command would replace it.
            # A record outside its own place is a copy that a user made.
            in_place = record_file(record, output_dir) == file
            matches = (self.method, self.scene) == (record.method, record.scene)
            if in_place and matches and (not fingerprints or record.fingerprint in fingerprints):
                records.append((file, record))
        part = bool(self.options.views) or self.options.every > 1
        asked = {record.cell for _, record in records if bool(record.selection) == part}
        chosen, _ = main_records([one for one in records if bool(one[1].selection) == part or one[1].cell not in asked])
        return [record for _, record in chosen]

    def made_up_records(self) -> list[Record]:
        """Return the records that the entry will have, with made-up numbers."""
        records = []
        for protocol in self.protocols:
            row = ViewRow("", 1, 1, dict.fromkeys(protocol.infos, 0.0), None, None, None, "", None)
            names = (self.scene, self.method, None, None, "test")
            records.append(Record(*names, protocol.stamp, protocol.infos, [row], {}))
        return records


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
    """

    file: SuiteFile
    entries: Sequence[Entry]
    chosen: Sequence[Entry]

    def plan(self) -> tuple[Table, list[str]]:
        """Return a table of the state of each chosen entry, and what cannot be done. Evaluates nothing."""
        states: dict[Entry, str] = {}
        failures: dict[str, list[Entry]] = {}
        for entry in self.chosen:
            try:
                states[entry] = "missing" if entry.missing else "done" if entry.is_done() else "to do"
            except InputError as error:
                failures.setdefault(str(error), []).append(entry)
                states[entry] = "fails"
        return _states_table(self.file, states), self.not_done(failures)

    def evaluate(self, callbacks: Callbacks) -> SuiteResult:
        """Evaluate the chosen entries whose inputs exist, and skip finished work."""
        todo = [entry for entry in self.chosen if not entry.missing]
        by_entry: dict[Entry, list[Record]] = {}
        failures: dict[str, list[Entry]] = {}
        seconds: list[float] = []
        for number, entry in enumerate(todo, 1):
            callbacks.say(f"[{number}/{len(todo)}] {entry}{_time_left(seconds, len(todo) + 1 - number)}")
            start = time.monotonic()
            try:
                lost: list[InputError] = []
                by_entry[entry] = entry.evaluate(replace(callbacks, on_lost=lost.append))
                for line in (*failed_views(by_entry[entry]), *map(str, lost)):
                    failures.setdefault(f"the records are incomplete. {line}", []).append(entry)
            except InputError as error:
                callbacks.warn(f"Error: {entry}: {error}")
                failures.setdefault(str(error), []).append(entry)
                by_entry[entry] = []  # Earlier records may belong to other renders.
            seconds.append(time.monotonic() - start)
        records = [by_entry[entry] if entry in by_entry else entry.earlier_records() for entry in self.entries]
        return SuiteResult([*chain(*records)], self.not_done(failures))

    def not_done(self, failures: Mapping[str, Sequence[Entry]]) -> list[str]:
        """Return how many chosen entries are not done, and a line per reason.

        Args:
            failures: failed entries by reason.
        """
        failed = {entry for entries in failures.values() for entry in entries}
        count = len(failed) + sum(bool(entry.missing) for entry in self.chosen)
        methods = [method.name for method in self.file.methods]
        missing: dict[str, list[str]] = {}
        for entry in sorted(self.chosen, key=lambda entry: methods.index(entry.method)):
            for text in entry.missing:
                missing.setdefault(f"{entry.method}: nothing at {text}", []).append(entry.scene)
        lines = [f"{text} for {some(scenes, 9)}" for text, scenes in missing.items()]
        lines += [f"{some(entries, 4, whole=True)}: {reason}" for reason, entries in failures.items()]
        return [f"{count} of {len(self.chosen)}", *lines] if count else []

    def no_records(self) -> str:
        """Return the reason why there is no table."""
        if count := sum(len(entry.earlier_records()) for entry in self.entries):
            earlier = counted(count, "earlier record")
            return f"No table: {earlier} may belong to other renders than those that failed now."
        return "No table: there are no records yet."


def _time_left(seconds: Sequence[float], count: int) -> str:
    """Return about how long the remaining entries take, from those that were not done before; "" for short work."""
    evaluated = [entry for entry in seconds if entry >= _QUICK]
    left = count * sum(evaluated) / max(1, len(evaluated))
    return f" (about {duration(left)} left)" if left >= _LONG else ""


def _states_table(file: SuiteFile, states: Mapping[Entry, str]) -> Table:
    """Return a table of states, with a row per scene and a column per method, without empty ones."""
    from nvs_eval.report.tables.columns import table_from, text_column

    cells = {(entry.method, entry.scene): state for entry, state in states.items()}
    scenes = [name for name in file.suite.names if any(name == scene for _, scene in cells)]
    methods = [method.name for method in file.methods if any(method.name == name for name, _ in cells)]
    columns = [text_column(name, [cells.get((name, scene), "") for scene in scenes]) for name in methods]
    counts = Counter(cells.values())
    caption = ", ".join(f"{counts[state]} {state}" for state in ("done", "to do", "missing", "fails") if counts[state])
    return table_from(f"{file.suite.title}: to do", [text_column("scene", scenes), *columns], caption=caption)


# --- From the file to its entries -------------------------------------------------------------------------------------


def open_suite(options: SuiteOptions) -> SuiteRun:
    """Read a suite file and check all of it. Opens no other file.

    Args:
        options: the file, and the part of it to evaluate.

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
                entry = _entry(file, method, scene, {**changes, **trust})
                find_device(entry.options.device)
                key = (entry.method, entry.options.protocol)  # Protocols are read once per method, not per scene.
                protocols[key] = protocols[key] if key in protocols else _checked_protocols(entry.options)
            except InputError as error:
                raise InputError(f"The suite file {file.file}: the method {method.name}: {error}") from error
            entries.append(replace(entry, protocols=protocols[key]))
    return SuiteRun(file, entries, _chosen(file, entries, options.only))


def _entry(file: SuiteFile, method: Method, scene: str, changes: Mapping[str, Any]) -> Entry:
    check_names(ResultId(scene, method.name))
    values = {**file.placeholders[scene], "method": method.name}
    path = partial(file.path, values=values)
    matches = {text: file.matches(text, values) for text in method.inputs}
    inputs = list(dict.fromkeys(match for paths in matches.values() for match in paths))
    given = {**method.options, _INPUTS[method.command]: inputs, "scene": scene, "method": method.name, **changes}
    if "steps" in given:
        given["steps"] = _as_texts(given["steps"])
    options = convert(given, KINDS[method.command], method.name, path=path)
    places = [name for name in _PLACES if (place := getattr(options, name, None)) and not place.exists()]
    missing = [text for text, paths in matches.items() if not paths] + [str(method.options[name]) for name in places]
    protocol = tuple(str(path(name)) if name.endswith((".yaml", ".yml")) else name for name in options.protocol)
    return Entry(method.name, scene, replace(options, protocol=protocol), missing)


def _as_texts(steps: Any) -> Any:
    """Convert the step numbers of a file to strings, as on the command line."""
    if isinstance(steps, list):
        return [_as_texts(step) for step in steps]
    return str(steps) if isinstance(steps, int) and not isinstance(steps, bool) else steps


def _checked_protocols(options: RunOptions | ScoreOptions) -> list[Protocol]:
    """Check the options without opening any input, and return the protocols except `auto`."""
    choose_views((), wanted=(), every=options.every)
    if isinstance(options, ScoreOptions):
        _ = options.reading
        return options.protocols()
    _ = options.chosen_steps
    named = tuple(name for name in options.protocol if name != AUTO)
    return [] if options.protocol and not named else replace(options, protocol=named).protocols()


def _chosen(file: SuiteFile, entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    methods = {method.name for method in file.methods}
    scenes = {name: scene.name for name in only if (scene := file.suite.scene(name))}
    for name in only:
        if name not in methods and name not in scenes:
            raise unknown_name("method or scene", name, {*methods, *file.suite.names})
    of_methods, of_scenes = methods & set(only) or methods, {*scenes.values()} or {*file.suite.names}
    return [entry for entry in entries if entry.method in of_methods and entry.scene in of_scenes]
