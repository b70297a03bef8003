"""`nvs-eval compare`: paired statistics of the difference between results."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from nvs_eval.comparison.model import Comparison
    from nvs_eval.records.record import Record

# Largest number of pairs whose sentences and tables are printed. They would be thousands of lines that no one reads.
_MOST_IN_FULL = 200


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Test whether results differ by more than noise on the views that they share."""

    sides: Annotated[Positional[tuple[str, ...]], arg(metavar="A B [...]")]
    """Sides: a record, folder or pattern each. B is compared with A; one side alone compares its methods pairwise."""
    metrics: tuple[str, ...] = ()
    """Metrics to compare (default: all that both sides have)."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    runs: Literal["each", "mean"] = "each"
    """Several runs of a method: separate sides, or seeds whose spread is part of the noise."""
    resamples: int = 10_000
    """Number of bootstrap resamples."""
    per_view: bool = False
    """Also print the difference of each view."""
    format: Literal["text", "json"] = "text"
    """Output: sentences and tables, or JSON with all numbers."""

    def run(self) -> int:
        """Compare and print the result."""
        from nvs_eval.cli.console import progress_to, put_json, say
        from nvs_eval.comparison.compare import compare, count_pairs, incomplete_notes, left_out_notes
        from nvs_eval.records.known_causes import KnownCauses

        files = read_groups(self.sides, self.protocol)
        groups = {name: [record for _, record in several] for name, several in files.items()}
        pairs = count_pairs(groups, runs=self.runs)
        if pairs > _MOST_IN_FULL and (self.format == "json" or self.per_view):
            option = "--per-view" if self.per_view else "--format json"
            raise InputError(
                f"{option} lists every view of every pair, of at most {_MOST_IN_FULL} pairs. Got {pairs} pairs. Name "
                f"fewer results, or remove `{option}`."
            )
        beside = [one for several in files.values() for one in several] if pairs <= _MOST_IN_FULL else []
        causes = KnownCauses.beside(beside, say)
        with progress_to("Comparing pairs") if pairs > _MOST_IN_FULL else nullcontext(lambda *_: None) as on_pairs:
            comparisons = compare(
                groups,
                metrics=self.metrics,
                runs=self.runs,
                resamples=self.resamples,
                on_pairs=on_pairs,
                causes=causes,
            )
        for note in (*left_out_notes(groups), *incomplete_notes(groups)):
            say(note)
        if self.format == "json":
            put_json({"nvs_eval_comparison": 1, "comparisons": [one.to_plain() for one in comparisons]})
        else:
            for comparison in comparisons:
                in_full = pairs <= _MOST_IN_FULL
                _print(comparison, in_full=in_full, per_view=self.per_view, alone=len(comparisons) == 1)
            if pairs > _MOST_IN_FULL:
                say(f"{pairs} pairs: only their verdicts are printed. Name two results for numbers and reasons.")
        return 0


def read_groups(names: tuple[str, ...], protocols: tuple[str, ...]) -> dict[str, list[tuple[Path, Record]]]:
    """Read the records of each argument with their files, of some protocols or all; report skipped earlier steps.

    Raises:
        InputError: an argument is repeated, or has no record, or none of the protocols.
    """
    from nvs_eval.cli.console import say
    from nvs_eval.comparison.compare import last_step_notes
    from nvs_eval.records.files import read_record_files

    if not names:
        raise InputError("compare needs at least one record or folder. Got none. Name one per side.")
    groups: dict[str, list[tuple[Path, Record]]] = {}
    places: dict[str, str] = {}
    for name in names:
        first = places.setdefault(os.path.realpath(name), name)
        if first in groups:
            also = "" if first == name else f", first as {first}"
            raise InputError(f"{name} was named twice{also}. Each argument must be a side of its own.")
        groups[name] = read_record_files([name], protocol=protocols, on_note=say)
    for note in last_step_notes({name: [record for _, record in several] for name, several in groups.items()}):
        say(note)
    return groups


def _print(comparison: Comparison, *, in_full: bool, per_view: bool, alone: bool) -> None:
    from nvs_eval.cli.console import put_sentences, put_tables
    from nvs_eval.comparison.tables import change_table, difference_table, view_table
    from nvs_eval.comparison.verdicts import overview

    if not alone:
        put_sentences([f"protocol {comparison.protocol} ({comparison.fingerprint}):"])
    if len(comparison.pairs) > 1:
        put_sentences([*overview(comparison), ""])
    for pair in comparison.pairs if in_full else ():
        put_sentences([*pair.words, ""])
        tables = [difference_table(comparison, pair), change_table(pair)]
        put_tables([*tables, view_table(comparison, pair)] if per_view else tables)
