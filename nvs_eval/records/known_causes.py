"""Causes that lie beside records, found by the scores, also of records that were merged from several protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.causes import Causes, ViewCauses, read_causes
from nvs_eval.records.joint import JOINED
from nvs_eval.records.record import Record

_SAME_VALUE = 1e-6


class KnownCauses:
    """Causes of some records."""

    def __init__(self, several: Iterable[tuple[Record, Causes]] = ()) -> None:
        self._known: dict[object, list[tuple[Record, Causes]]] = {}
        for record, causes in several:
            self._known.setdefault(record.cell, []).append((record, causes))

    @classmethod
    def beside(cls, files: Iterable[tuple[Path, Record]], warn: Callable[[str], object]) -> KnownCauses:
        """Read the causes that lie beside records.

        Args:
            files: records with their files.
            warn: called with a sentence on each file of causes that is damaged or cannot be read. It counts as none.
        """
        read = ((record, causes_if_readable(file, record, warn)) for file, record in files)
        return cls((record, causes) for record, causes in read if causes is not None)

    def __bool__(self) -> bool:
        """Return whether any causes are known."""
        return bool(self._known)

    def views(self, record: Record, metric: str) -> Mapping[str, ViewCauses]:
        """Return the causes of the views of a record; empty if they are not known.

        Args:
            record: the record, or one that was merged from it and records of other protocols.
            metric: key of the PSNR in the record, which must be that of the record that the causes belong to.
        """
        result = record.cell[0]
        values = {row.name: row.scores[metric] for row in record.views}
        for fingerprint in record.fingerprint.split(JOINED):
            for known, causes in self._known.get((result, fingerprint), ()):
                theirs = {row.name: row.scores.get("psnr", math.nan) for row in known.views}
                if all(
                    math.isclose(value, theirs.get(name, math.nan), rel_tol=_SAME_VALUE)
                    for name, value in values.items()
                ):
                    return causes.views
        return {}


def causes_if_readable(file: Path, record: Record, warn: Callable[[str], object]) -> Causes | None:
    """Return the causes of a record; None if it has none, or their file is damaged, of which `warn` gets a sentence."""
    try:
        return read_causes(file, record)
    except InputError as error:
        warn(f"The causes are not used. {error}")
        return None
