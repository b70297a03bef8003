"""`nvs-eval score`: scores folders of renders, of any tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.options import RESULTS, Callbacks, ScoreOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Score(ScoreOptions, ScoringCommand):
    """Score folders of renders against their references, all together, and print the table."""

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="RENDERS [RENDERS ...]")]
    """Folders of renders; or what 3DGS, NerfBaselines, gsplat or ns-eval left with references; or zip, tar.gz."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """The same as RENDERS: the option that metrics.py of 3D Gaussian splatting has."""
    output_dir: Path = RESULTS
    """Where records and renders are written."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records."""
        from nvs_eval.evaluation.score_folders import score_folders

        records = score_folders(replace(self, renders=(*self.renders, *self.model_paths)), callbacks)
        return [(self.output_dir, record) for record in records]
