"""The entries of a suite: one for each method and scene, evaluated as `nvs-eval run` and `score` do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError, some
from nvs_eval.evaluation.options import AUTO, RESULTS, Callbacks, RunOptions, ScoreOptions
from nvs_eval.evaluation.suite.file import Command
from nvs_eval.records.record import Record, ViewRow, read_record, record_file, record_name
from nvs_eval.records.result_id import safe_name
from nvs_eval.system.schema import convert, fields_of

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite.file import Method, SuiteFile
    from nvs_eval.protocols import Protocol
    from nvs_eval.report.benchmarks import Scene

KINDS: Mapping[Command, type[RunOptions | ScoreOptions]] = {"run": RunOptions, "score": ScoreOptions}
"""Options of each command by which a method is evaluated."""
_INPUTS = {"run": "load_config", "score": "renders"}
# Set by the file's own keys, or by the command line.
_NOT_OPTIONS = ("load_config", "renders", "scene", "method", "output_dir", "overwrite")
# Paths that must exist. Where some do not, all of them are named at once.
_PLACES = ("reference", "data", "masks")


@dataclass(frozen=True)
class Entry:
    """A method on a scene.

    Attributes:
        method: its name.
        scene: its name.
        options: how it is evaluated.
        missing: paths that the command needs and that do not exist, as the file names them.
        protocols: under which it is evaluated, as far as that is known before.
    """

    method: str
    scene: str
    options: RunOptions | ScoreOptions
    missing: Sequence[str] = ()
    protocols: Sequence[Protocol] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Method and scene."""
        return self.method, self.scene

    def __str__(self) -> str:
        return f"{self.method}, {self.scene}"

    def earlier_records(self) -> list[Record]:
        """Read the records that are there under its protocols, however old."""
        output_dir = self.options.output_dir or RESULTS
        names = {record_name(protocol.name, protocol.fingerprint) for protocol in self.protocols}
        records = []
        for file in sorted((output_dir / safe_name(self.scene) / safe_name(self.method)).rglob("*.json")):
            try:
                record = read_record(file)
            except InputError:
                continue  # The command would replace it.
            # What is not in its own place is a copy that somebody made.
            in_place = record_file(record, output_dir) == file and self.key == (record.method, record.scene)
            if in_place and (not names or file.name in names):
                records.append(record)
        return records

    def check(self) -> list[Protocol]:
        """Check what can be checked before anything is opened; returns the protocols, all that are not `auto`.

        Raises:
            InputError: an option has a value that it cannot have.
        """
        options = self.options
        if isinstance(options, ScoreOptions):
            _ = options.reading
            return options.protocols()
        _ = options.chosen_steps
        named = tuple(name for name in options.protocol if name != AUTO)
        return [] if options.protocol and not named else replace(options, protocol=named).protocols()

    def is_done(self) -> bool:
        """Whether all records exist, of the inputs as they are now; nothing is rendered or decoded.

        Raises:
            InputError: something that was asked for is not available.
        """
        if isinstance(self.options, ScoreOptions):
            from nvs_eval.evaluation.score_folders import is_scored

            return is_scored(self.options)
        from nvs_eval.evaluation.run_checkpoints import is_evaluated

        return is_evaluated(self.options)

    def evaluate(self, callbacks: Callbacks) -> list[Record]:
        """Return the records; those that are up to date are kept.

        Raises:
            InputError: something that was asked for is not available, or cannot be scored.
        """
        if isinstance(self.options, ScoreOptions):
            from nvs_eval.evaluation.score_folders import score_folders

            return score_folders(self.options, callbacks, resume=True)
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        return run_checkpoints(self.options, callbacks)

    def made_up_records(self) -> list[Record]:
        """Return records as the entry will have them, but for their numbers."""
        return [_made_up_record(self, protocol) for protocol in self.protocols]


def file_options() -> dict[Command, list[str]]:
    """Return the options that a method of a file may have, by its command."""
    return {command: [name for name in fields_of(kind) if name not in _NOT_OPTIONS] for command, kind in KINDS.items()}


def entries_of(file: SuiteFile, changes: Mapping[str, Any]) -> list[Entry]:
    """Return all methods on all scenes, scene by scene, with every option checked and nothing opened.

    Args:
        file: the suite file.
        changes: options that the user gave beside the file.

    Raises:
        InputError: an option has a value that it cannot have; the message names the method.
    """
    from nvs_eval.system.devices import find_device

    entries = []
    protocols: dict[tuple[str, Sequence[str]], Sequence[Protocol]] = {}
    for scene in file.suite.scenes:
        for method in file.methods:
            try:
                entry = _entry(file, method, scene, changes)
                find_device(entry.options.device)
                # Protocols are read once for each method, not for each scene.
                key = (entry.method, entry.options.protocol)
                if key not in protocols:
                    protocols[key] = entry.check()
            except InputError as error:
                raise InputError(f"The suite file {file.file}: the method {method.name}: {error}") from error
            entries.append(replace(entry, protocols=protocols[key]))
    return entries


def _entry(file: SuiteFile, method: Method, scene: Scene, changes: Mapping[str, Any]) -> Entry:
    values = file.placeholders(method, scene)
    path = partial(file.path, values=values)
    matches = {text: file.matches(text, values) for text in method.inputs}
    inputs = list(dict.fromkeys(match for paths in matches.values() for match in paths))
    # Several folders are several steps of a method, or an error.
    names = [method.name] * (len(inputs) if method.command == "score" else 1)
    given = {**method.options, _INPUTS[method.command]: inputs, "scene": scene.name, "method": names, **changes}
    if "steps" in given:
        given["steps"] = _as_texts(given["steps"])
    options = convert(given, KINDS[method.command], method.name, path=path)
    places = [name for name in _PLACES if (place := getattr(options, name, None)) and not place.exists()]
    missing = [text for text, paths in matches.items() if not paths] + [str(method.options[name]) for name in places]
    protocol = tuple(str(path(name)) if name.endswith((".yaml", ".yml")) else name for name in options.protocol)
    return Entry(method.name, scene.name, replace(options, protocol=protocol), missing)


def _as_texts(steps: Any) -> Any:
    """Return steps of checkpoints, which are numbers in a file, as the command line has them."""
    if isinstance(steps, list):
        return [_as_texts(step) for step in steps]
    return str(steps) if isinstance(steps, int) and not isinstance(steps, bool) else steps


def _made_up_record(entry: Entry, protocol: Protocol) -> Record:
    row = ViewRow("", 1, 1, dict.fromkeys(protocol.infos, 0.0), None, None, None, "", None)
    return Record(entry.scene, entry.method, None, None, "test", protocol.stamp, protocol.infos, [row], {})


def missing_lines(entries: Sequence[Entry]) -> list[str]:
    """Say what does not exist, a line for each method and path, with the scenes."""
    scenes: dict[tuple[str, str], list[str]] = {}
    methods = list(dict.fromkeys(entry.method for entry in entries))
    for entry in sorted(entries, key=lambda entry: methods.index(entry.method)):
        for text in entry.missing:
            scenes.setdefault((entry.method, text), []).append(entry.scene)
    return [f"{method}: nothing at {text} for {some(names, 9)}" for (method, text), names in scenes.items()]
