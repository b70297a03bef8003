"""From the file of a suite to commands: one for each method and scene, as `nvs-eval run` and `score` have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nvs_eval.cli.commands.run import Run
from nvs_eval.cli.commands.score import Score
from nvs_eval.errors import InputError, counted, some
from nvs_eval.system.schema import convert, fields_of

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite.file import Method, SuiteFile
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record
    from nvs_eval.report.benchmarks.suites import Scene

_KINDS: Mapping[str, type[Run | Score]] = {"run": Run, "score": Score}
_INPUTS = {"run": "load_config", "score": "renders"}
# The file's own, or the command line's.
_NOT_OPTIONS = ("load_config", "renders", "model_paths", "scene", "method", "output_dir", "overwrite", "per_view")
# What must be there before a command can be given: where anything of it is not, that is said of all at once.
_PLACES = ("reference", "data", "masks")


@dataclass(frozen=True)
class Entry:
    """A method on a scene.

    Attributes:
        method: its name.
        scene: its name.
        command: evaluates it.
        missing: what the command needs and is not there, as the file names it.
        protocols: under which it is evaluated, as far as that is known before.
    """

    method: str
    scene: str
    command: Run | Score
    missing: Sequence[str] = ()
    protocols: Sequence[Protocol] = field(default=())

    @property
    def key(self) -> tuple[str, str]:
        """Which entry it is."""
        return self.method, self.scene

    def __str__(self) -> str:
        return f"{self.method}, {self.scene}"

    def found_records(self) -> list[Record]:
        """The records that are there, under its protocols, however old."""
        from nvs_eval.records.record import read_record, record_file, record_name, safe_name

        output_dir = self.command.output_dir
        known = {record_name(protocol.name, protocol.fingerprint) for protocol in self.protocols}
        found = []
        for file in sorted((output_dir / safe_name(self.scene) / safe_name(self.method)).rglob("*.json")):
            try:
                record = read_record(file)
            except InputError:
                continue  # The command would replace it.
            # What is not in its own place is a copy that somebody made.
            in_place = record_file(record, output_dir) == file and self.key == (record.method, record.scene)
            if in_place and (not known or file.name in known):
                found.append(record)
        return found


def file_options() -> dict[Any, list[str]]:
    """The options that a method of a file may have, by its command."""
    return {command: [name for name in fields_of(kind) if name not in _NOT_OPTIONS] for command, kind in _KINDS.items()}


def entries_of(file: SuiteFile, changes: Mapping[str, Any]) -> list[Entry]:
    """All methods on all scenes, scene by scene, every option checked.

    Args:
        file: that says which.
        changes: options of the commands that the user gave beside the file.

    Raises:
        InputError: an option has a value that it cannot have; the message names the method.
    """
    entries = []
    for scene in file.suite.scenes:
        for method in file.methods:
            try:
                entries.append(_entry(file, method, scene, changes))
            except InputError as error:
                raise _in_file(file, method.name, error) from error
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
    command = convert(given, _KINDS[method.command], method.name, path=path)
    places = [name for name in _PLACES if (place := getattr(command, name, None)) and not place.exists()]
    missing = [text for text, paths in matches.items() if not paths] + [str(method.options[name]) for name in places]
    command = replace(command, protocol=tuple(_protocol(name, path) for name in command.protocol))
    return Entry(method.name, scene.name, command, missing)


def _in_file(file: SuiteFile, method: str, error: InputError) -> InputError:
    return InputError(f"The suite file {file.file}: the method {method}: {error}")


def _as_texts(steps: Any) -> Any:
    """Steps of checkpoints, which are numbers in a file."""
    if isinstance(steps, list):
        return [_as_texts(step) for step in steps]
    return str(steps) if isinstance(steps, int) and not isinstance(steps, bool) else steps


def _protocol(name: str, path: Any) -> str:
    """A protocol's name, or where its file is."""
    return str(path(name)) if name.endswith((".yaml", ".yml")) else name


def with_protocols(file: SuiteFile, entries: Sequence[Entry]) -> list[Entry]:
    """The entries with their protocols, what else can be checked before any work being checked.

    Raises:
        InputError: it is wrong; the message names the method.
    """
    from nvs_eval.system.devices import find_device

    known: dict[tuple[Any, ...], Sequence[Protocol]] = {}
    checked = []
    for entry in entries:
        try:
            find_device(entry.command.device)
            # Protocols are read once for each method, not for each scene.
            key = (entry.method, entry.command.protocol)
            if key not in known:
                known[key] = entry.command.check()
        except InputError as error:
            raise _in_file(file, entry.method, error) from error
        checked.append(replace(entry, protocols=known[key]))
    return checked


def missing_lines(entries: Sequence[Entry]) -> list[str]:
    """What is not there, a line a method and path, with the scenes."""
    together: dict[tuple[str, str], list[str]] = {}
    methods = list(dict.fromkeys(entry.method for entry in entries))
    for entry in sorted(entries, key=lambda entry: methods.index(entry.method)):
        for text in entry.missing:
            together.setdefault((entry.method, text), []).append(entry.scene)
    return [f"{method}: nothing at {text} for {some(scenes, 9)}" for (method, text), scenes in together.items()]


def no_records(entries: Sequence[Entry]) -> str:
    """Why none of the records of some entries may stand in a table."""
    count = sum(len(entry.found_records()) for entry in entries)
    if not count:
        return "There is no record yet"
    verb = "is" if count == 1 else "are"
    return f"There {verb} {counted(count, 'record')} of earlier, but what failed now may be of other renders"
