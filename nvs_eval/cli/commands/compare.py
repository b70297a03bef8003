"""`nvs-eval compare`: whether the difference between results is real."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.comparison.model import Comparison
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare results on the views that they share: by how much they differ, and whether that is more than noise."""

    sides: Annotated[Positional[tuple[str, ...]], arg(metavar="A B [...]")]
    """Records, folders or patterns: each is a side, over one scene or many; B is compared with A. One alone: all the
    methods in it, each with each."""
    metrics: tuple[str, ...] = ()
    """Which; else all that both have."""
    protocol: tuple[str, ...] = ()
    """Only records of these protocols, by name or fingerprint."""
    runs: Literal["each", "mean"] = "each"
    """Of several runs of a method: sides of their own, or seeds, whose spread is part of the noise."""
    resamples: int = 10_000
    """Of the bootstrap."""
    per_view: bool = False
    """Also the difference of each view."""
    format: Literal["text", "json"] = "text"
    """Words and tables, or JSON with all numbers."""

    def run(self) -> int:
        """Compare, and say what came of it."""
        from nvs_eval.cli.console import put, say
        from nvs_eval.comparison.comparing import compared
        from nvs_eval.comparison.plain import to_plain
        from nvs_eval.comparison.sides import left_out_notes, sides_of

        groups = read_groups(self.sides, self.protocol)
        found = [
            compared(contenders, metrics=self.metrics, resamples=self.resamples)
            for contenders in sides_of(groups, runs=self.runs)
        ]
        for note in left_out_notes(groups):
            say(note)
        if self.format == "json":
            plain = {"nvs_eval_comparison": 1, "comparisons": [to_plain(each) for each in found]}
            put(json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        else:
            for each in found:
                _print(each, per_view=self.per_view, alone=len(found) == 1)
        return 0


def read_groups(names: tuple[str, ...], protocols: tuple[str, ...]) -> dict[str, list[Record]]:
    """The records of each argument, those of some protocols only.

    Raises:
        InputError: an argument was given twice, holds no record, or none of the protocols.
    """
    from nvs_eval.cli.options.layout import of_protocols
    from nvs_eval.records.files import read_record_files

    if not names:
        raise InputError("Nothing to compare was named: say which records or folders, one a side.")
    groups: dict[str, list[Record]] = {}
    places: dict[str, str] = {}
    for name in names:
        before = places.setdefault(os.path.realpath(name), name)
        if before in groups:
            also = "" if before == name else f", first as {before}"
            raise InputError(f"{name} was given twice{also}: each argument is a side.")
        records = [record for _, record in of_protocols(read_record_files((name,)), protocols)]
        say_earlier(name, records)
        groups[name] = records
    return groups


def say_earlier(name: str, records: Sequence[Record]) -> None:
    """Say it where earlier checkpoints do not take part."""
    from nvs_eval.cli.console import say
    from nvs_eval.records.groups import by_protocol, last_steps

    if any(len(last_steps(each)) < len(each) for each in by_protocol(records).values()):
        say(f"{name}: of each run the last checkpoint takes part. Name the folder of another step to take that.")


def _print(comparison: Comparison, *, per_view: bool, alone: bool) -> None:
    from nvs_eval.cli.console import results
    from nvs_eval.comparison.tables import change_table, difference_table, view_table
    from nvs_eval.comparison.words.verdicts import overview
    from nvs_eval.report.tables.numbers import printable
    from nvs_eval.report.writers.text import print_text

    out = results()
    if not alone:
        out.print(printable(f"protocol {comparison.protocol} ({comparison.fingerprint}):"), markup=False)
    if len(comparison.pairs) > 1:
        for line in overview(comparison):
            out.print(printable(line), markup=False, soft_wrap=not out.is_terminal)
        out.print()
    for pair in comparison.pairs:
        for sentence in pair.words:
            out.print(printable(sentence), markup=False, soft_wrap=not out.is_terminal)
        out.print()
        print_text(difference_table(comparison, pair), out)
        print_text(change_table(pair), out)
        if per_view:
            print_text(view_table(comparison, pair), out)
