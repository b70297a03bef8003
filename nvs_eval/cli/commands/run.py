"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nvs_eval.cli.options import LogOptions, PrintOptions, callbacks
from nvs_eval.evaluation.options import RESULTS, RunOptions


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions, PrintOptions, LogOptions):
    """Render the held-out views of trained nerfstudio checkpoints, score them, and print the table."""

    output_dir: Path = RESULTS
    """Where records and renders are written."""

    def run(self) -> int:
        """Render, score, write the records, print the table."""
        from nvs_eval.cli.console import print_records
        from nvs_eval.cli.process import make_ready

        sinks = self.sinks()
        make_ready()
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        records = run_checkpoints(self, callbacks())
        print_records(records, per_view=self.per_view)
        self.log_records(sinks, [(self.output_dir, record) for record in records])
        return 0
