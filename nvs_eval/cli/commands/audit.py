"""`nvs-eval audit`: what every tool would have said of the same renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.options import RESULTS, AuditOptions, Callbacks

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Audit(AuditOptions, ScoringCommand):
    """Score the same renders under every protocol, and say which of the numbers may be compared.

    Takes what `score` takes, or with `--load-config` what `run` takes; the options of the other are an error. Images
    are rendered and decoded once, and what protocols share is computed once. The records are those that each protocol
    alone would give.
    """

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RENDERS ...]")] = ()
    """Folders of renders, as for `score`; its options: --reference, --background, --grey-to-rgb, --exr,
    --allow-missing."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """The same as RENDERS: the option that metrics.py of 3D Gaussian splatting has."""
    output_dir: Path = RESULTS
    """Where records and renders are written."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records."""
        from nvs_eval.evaluation.audit import audit

        by_result = audit(replace(self, renders=(*self.renders, *self.model_paths)), callbacks)
        return [(self.output_dir, record) for records in by_result for record in records]

    def show(self, records: Sequence[Record]) -> None:
        """Print a table and words for each result."""
        from nvs_eval.cli.console import put_sentences, put_tables, results
        from nvs_eval.report.audit import audit_table, audit_words
        from nvs_eval.report.tables.tables import per_view_tables

        for _, group in groupby(records, key=lambda record: record.id):
            of_result = list(group)
            put_tables([audit_table(of_result)])
            put_sentences(audit_words(of_result))
            results().print()
            put_tables(per_view_tables(of_result) if self.per_view else ())
