"""`nvs-eval audit`: what every tool would have said of the same renders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import LogOptions, PrintOptions, callbacks
from nvs_eval.evaluation.options import RESULTS, AuditOptions


@dataclass(frozen=True, kw_only=True)
class Audit(AuditOptions, PrintOptions, LogOptions):
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

    def run(self) -> int:
        """Score, write the records, print a table and words for each result."""
        from nvs_eval.cli.console import put_sentences, put_tables, results
        from nvs_eval.cli.process import make_ready

        sinks = self.sinks()
        make_ready()
        from nvs_eval.evaluation.audit import audit
        from nvs_eval.report.audit import audit_table, audit_words
        from nvs_eval.report.tables.tables import per_view_tables

        by_result = audit(replace(self, renders=(*self.renders, *self.model_paths)), callbacks())
        for records in by_result:
            put_tables([audit_table(records)])
            put_sentences(audit_words(records))
            results().print()
            put_tables(per_view_tables(records) if self.per_view else ())
        self.log_records(sinks, [(self.output_dir, record) for records in by_result for record in records])
        return 0
