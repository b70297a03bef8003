"""`nvs-eval score`: score folders of renders from any tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, ScoreOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Score(ScoreOptions, ScoringCommand):
    """Score folders of renders against their references."""

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="RENDERS [RENDERS ...]")]
    """Folders or archives of renders; the output of many tools includes references (docs/folders.md)."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """Same as RENDERS, as in metrics.py of 3D Gaussian splatting."""
    output_dir: Path = RESULTS
    """Folder of records and renders."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score the renders and write the records."""
        from nvs_eval.evaluation.score_folders import score_folders

        records = score_folders(replace(self, renders=(*self.renders, *self.model_paths)), callbacks)
        return [(self.output_dir, record) for record in records]
