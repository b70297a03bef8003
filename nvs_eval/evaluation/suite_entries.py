"""Entries of a suite: each method on each scene, with the options of its evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.executors.cells import Cell
from nvs_eval.evaluation.options import AUTO, RESULTS, RunOptions, ScoreOptions
from nvs_eval.evaluation.suite_file import KINDS, Method, SuiteFile
from nvs_eval.records.comparable import main_records
from nvs_eval.records.incomplete import failures as failed_views
from nvs_eval.records.record import Record, ViewRow, read_record, record_file
from nvs_eval.records.result_id import ResultId, check_names, safe_name
from nvs_eval.sources.matching import choose_views
from nvs_eval.system.folders import files_below
from nvs_eval.system.schema import convert

if TYPE_CHECKING:
    from nvs_eval.protocols import Protocol

_INPUTS = {"run": "load_config", "score": "renders"}
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
        lacking: views of the suite's index that have no render.
    """

    method: str
    scene: str
    options: RunOptions | ScoreOptions
    missing: Sequence[str] = ()
    protocols: Sequence[Protocol] = ()
    lacking: Sequence[str] = ()

    @property
    def is_missing(self) -> bool:
        """Whether an input does not exist."""
        return bool(self.missing or self.lacking)

    @property
    def is_scored(self) -> bool:
        """Whether existing renders are scored."""
        return isinstance(self.options, ScoreOptions)

    @property
    def cell(self) -> Cell:
        """Method and scene."""
        return Cell(self.method, self.scene)

    def __str__(self) -> str:
        return str(self.cell)

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

    def attempt(self, callbacks: Callbacks) -> tuple[list[Record], list[str]]:
        """Evaluate the entry; return its records, and the reasons why some or all are missing or incomplete."""
        lost: list[InputError] = []
        try:
            records = self.evaluate(replace(callbacks, on_lost=lost.append))
        except InputError as error:
            callbacks.warn(f"Error: {self}: {error}")
            return [], [str(error)]  # Earlier records may belong to other renders.
        return records, [f"the records are incomplete. {line}" for line in (*failed_views(records), *map(str, lost))]

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


def make_entry(file: SuiteFile, method: Method, scene: str, changes: Mapping[str, Any]) -> Entry:
    """Return a method on a scene, with the paths and views of the scene.

    Args:
        file: the suite file.
        method: one of its methods.
        scene: one of its scenes.
        changes: options that override those of the file.

    Raises:
        InputError: An option is invalid.
    """
    check_names(ResultId(scene, method.name))
    values = {**file.placeholders[scene], "method": method.name}
    path = partial(file.path, values=values)
    matches = {text: file.matches(text, values) for text in method.inputs}
    inputs = list(dict.fromkeys(match for paths in matches.values() for match in paths))
    given = {**method.options, _INPUTS[method.command]: inputs, "scene": scene, "method": method.name, **changes}
    if file.index is not None:
        if method.options.get("views"):
            raise InputError("views are those of the index. Got `views` and `index`. Omit one of the two.")
        given["views"] = [*file.index.views[scene]]
    if "steps" in given:
        given["steps"] = _as_texts(given["steps"])
    options = convert(given, KINDS[method.command], method.name, path=path)
    places = [name for name in _PLACES if (place := getattr(options, name, None)) and not place.exists()]
    missing = [text for text, paths in matches.items() if not paths] + [str(method.options[name]) for name in places]
    protocol = tuple(str(path(name)) if name.endswith((".yaml", ".yml")) else name for name in options.protocol)
    lacking = () if file.index is None or missing else _lacking(options)
    return Entry(method.name, scene, replace(options, protocol=protocol), missing, lacking=lacking)


def _lacking(options: RunOptions | ScoreOptions) -> list[str]:
    """Return the views that no file of the renders is named after, as far as names tell."""
    if not isinstance(options, ScoreOptions) or options.allow_missing:
        return []
    if options.renders_glob or options.match == "order" or not all(map(os.path.isdir, options.renders)):
        return []
    names: set[str] = set()
    for folder in options.renders:
        for base, _, files in os.walk(folder, followlinks=True):
            below = os.path.relpath(base, folder).split(os.sep)
            for file in files:
                stem = file.split(".")[0]
                names.update("/".join([*below[start:], stem]) for start in range(len(below) + 1))
    return [view for view in options.views if view not in names]


def _as_texts(steps: Any) -> Any:
    """Convert the step numbers of a file to strings, as on the command line."""
    if isinstance(steps, list):
        return [_as_texts(step) for step in steps]
    return str(steps) if isinstance(steps, int) and not isinstance(steps, bool) else steps


def checked_protocols(options: RunOptions | ScoreOptions) -> list[Protocol]:
    """Check the options without opening any input, and return the protocols except `auto`."""
    choose_views((), wanted=(), every=options.every)
    if isinstance(options, ScoreOptions):
        _ = options.reading
        return options.protocols()
    _ = options.chosen_steps
    named = tuple(name for name in options.protocol if name != AUTO)
    return [] if options.protocol and not named else replace(options, protocol=named).protocols()
