"""`nvs-eval run`: render and score the held-out views of trained checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, RunOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions, ScoringCommand):
    """Render and score the held-out views of trained nerfstudio checkpoints."""

    output_dir: Path = RESULTS
    """Folder of records and renders."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Render and score the views, and write the records."""
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        records = run_checkpoints(self, callbacks)
        return [(self.output_dir, record) for record in records]
