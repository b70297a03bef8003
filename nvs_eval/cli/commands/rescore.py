"""`nvs-eval rescore`: scores kept renders again under another protocol, without rendering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.options import Callbacks, RescoreOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Rescore(RescoreOptions, ScoringCommand):
    """Score the renders that records kept again under other protocols, and print the table.

    Where only 8-bit copies of float renders were kept, protocols that score floats are refused.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns; of several of one result the first that serves is taken."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records."""
        from nvs_eval.evaluation.rescoring import rescore

        return rescore(self, callbacks)
