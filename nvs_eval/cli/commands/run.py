"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.options import RESULTS, Callbacks, RunOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions, ScoringCommand):
    """Render the held-out views of trained nerfstudio checkpoints, score them, and print the table."""

    output_dir: Path = RESULTS
    """Where records and renders are written."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records."""
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        records = run_checkpoints(self, callbacks)
        return [(self.output_dir, record) for record in records]
