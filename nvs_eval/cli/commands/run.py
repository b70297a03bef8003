"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.cli.options.loggers import LogOptions
from nvs_eval.cli.options.scoring import PrintOptions, callbacks
from nvs_eval.evaluation.options import RESULTS, RunOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Refusal
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions, PrintOptions, LogOptions):
    """Render the held-out views of trained nerfstudio checkpoints, score them, and print the table."""

    output_dir: Path = RESULTS
    """Where records and renders are written."""

    def run(self) -> int:
        """Render, score, write the records, print the table."""
        from nvs_eval.cli.console import print_tables

        sinks = self.sinks()
        records = self.records()
        print_tables(records, per_view=self.per_view)
        self.log_records(sinks, [(self.output_dir, record) for record in records])
        return 0

    def records(self, on_refusal: Refusal | None = None) -> list[Record]:
        """Render, score, write the records."""
        from nvs_eval.cli.process import make_ready

        make_ready()
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        return run_checkpoints(self, callbacks(on_refusal))
