"""`nvs-eval audit`: the numbers that other tools would report for the same renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, AuditOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Audit(AuditOptions, ScoringCommand):
    """Score the same renders under every protocol and explain the differences.

    Name folders of renders as for `score`, or trained runs with --load-config as for `run`. An option
    that does not apply to the kind of input is an error. Images are rendered and decoded once; the records equal those
    of each protocol alone.
    """

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RENDERS ...]")] = ()
    """Folders of renders, as for `score`."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """Same as RENDERS, as in metrics.py of 3D Gaussian splatting."""
    output_dir: Path = RESULTS
    """Folder of records and renders."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score the renders under all protocols and write the records."""
        from nvs_eval.evaluation.audit import audit

        by_result = audit(replace(self, renders=(*self.renders, *self.model_paths)), callbacks)
        return [(self.output_dir, record) for records in by_result for record in records]

    def show(self, records: Sequence[Record]) -> None:
        """Print a table and its explanation for each result."""
        from nvs_eval.cli.console import put_sentences, put_tables, results
        from nvs_eval.report.audit import audit_table, audit_words
        from nvs_eval.report.tables.tables import per_view_tables

        for _, group in groupby(records, key=lambda record: record.id.folder):
            result = list(group)
            put_tables([audit_table(result)])
            put_sentences(audit_words(result))
            results().print()
            put_tables(per_view_tables(result) if self.per_view else ())
