"""Records that lack views, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nvs_eval.errors import InputError, counted, listed, some
from nvs_eval.records.record import Record


def failures(records: Sequence[Record]) -> list[str]:
    """Return a line per result that lacks views that failed, with the protocols unless it lacks them under all."""
    results: dict[Path, list[Record]] = {}
    for record in records:
        results.setdefault(record.id.folder, []).append(record)
    return [line for result in results.values() for line in _of_result(result)]


def check_complete(records: Sequence[Record], name: str) -> None:
    """Check that no record lacks views that failed.

    Args:
        records: any number of records.
        name: name of the records at the beginning of a sentence.

    Raises:
        InputError: a record does. The message names the results and their views.
    """
    if lines := failures(records):
        raise InputError(
            f"{name} must have scores of all views. Got {some(lines, 3, whole=True)}. Score these results again."
        )


def _of_result(records: Sequence[Record]) -> Iterator[str]:
    protocols_of: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        protocols_of.setdefault(tuple(record.failed), []).append(record.protocol_title)
    for names, protocols in protocols_of.items():
        if names:
            total = max(len(record.views) + len(record.failed) for record in records)
            under = "" if len(protocols) == len(records) else f" under {listed(protocols)}"
            yield f"{records[0].id}: {len(names)} of {counted(total, 'view')} failed{under} ({some(names)})"
