"""Scenes of a large suite: their records are lines of one file for each method and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import ScoreOptions
from nvs_eval.evaluation.suite_entries import Entry
from nvs_eval.evaluation.suite_file import SuiteFile
from nvs_eval.records.comparable import main_records
from nvs_eval.records.files import read_file
from nvs_eval.records.record import LINES, PARTIAL, Record
from nvs_eval.records.result_id import safe_name
from nvs_eval.system.folders import files_below

if TYPE_CHECKING:
    from nvs_eval.evaluation.score_scenes import ScenePass, SceneWork


class SuiteLines:
    """Scores entries of a suite in one pass, and finds their earlier records.

    Args:
        file: the suite file.
        output_dir: output folder.
    """

    def __init__(self, file: SuiteFile, output_dir: Path) -> None:
        self._suite = file.suite.name
        self._folder = output_dir / safe_name(self._suite)
        self._provenance: Mapping[str, Any] = {} if file.index is None else {"index_sha256": file.index.sha256}

    def score(
        self, entries: Sequence[Entry], failures: dict[str, list[Entry]], callbacks: Callbacks
    ) -> dict[Entry, list[Record]]:
        """Score entries; return their records, and add those that are not done to `failures`, by reason."""
        if not entries:
            return {}
        outcomes = self._pass(callbacks).score([_work(entry) for entry in entries])
        by_entry = {}
        for entry, outcome in zip(entries, outcomes, strict=True):
            for error in outcome.errors:
                failures.setdefault(error, []).append(entry)
            for line in outcome.incomplete:
                failures.setdefault(f"the records are incomplete. {line}", []).append(entry)
            by_entry[entry] = outcome.records
        return by_entry

    def is_done(self, entry: Entry) -> bool:
        """Return whether all records exist and match the current inputs.

        Raises:
            InputError: An input is not available.
        """
        return self._quiet.is_done(_work(entry))

    def earlier(self, entry: Entry) -> list[Record]:
        """Return the existing records under the entry's protocols, even if outdated or incomplete."""
        fingerprints = {protocol.fingerprint for protocol in entry.protocols}
        part = bool(entry.options.every > 1)
        found = [
            (file, record)
            for file, record in self._earlier.get((entry.method, entry.scene), ())
            if record.fingerprint in fingerprints and (not part or record.selection)
        ]
        return [record for _, record in main_records(found)[0]]

    @cached_property
    def _earlier(self) -> dict[tuple[str, str], list[tuple[Path, Record]]]:
        found: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
        for file in files_below(self._folder, LINES):
            if file.parent.name == PARTIAL:
                continue
            try:
                records = read_file(file)
            except InputError:
                continue  # Unreadable; a scene that is scored reports it.
            for record in records:
                found.setdefault((record.method, record.scene), []).append((file, record))
        return found

    @cached_property
    def _quiet(self) -> ScenePass:
        return self._pass(Callbacks())

    def _pass(self, callbacks: Callbacks) -> ScenePass:
        from nvs_eval.evaluation.score_scenes import ScenePass

        return ScenePass(self._suite, self._provenance, callbacks)


def _work(entry: Entry) -> SceneWork:
    from nvs_eval.evaluation.score_scenes import SceneWork

    assert isinstance(entry.options, ScoreOptions)
    return SceneWork(entry.options, entry.protocols)
