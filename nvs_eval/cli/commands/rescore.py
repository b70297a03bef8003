"""`nvs-eval rescore`: score kept renders under other protocols, without rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringCommand
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RescoreOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Rescore(RescoreOptions, ScoringCommand):
    """Score kept renders of records under other protocols, without rendering.

    If only 8-bit copies of float renders were kept, protocols that do not round to 8 bits are refused.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders or patterns. Among several records of one result, the first usable one is scored."""

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score the kept renders and write the records."""
        from nvs_eval.evaluation.rescoring import rescore

        return rescore(self, callbacks)

    def show(self, records: Sequence[Record]) -> None:
        """Print the tables of records; of several selections of views that were named, that of most views."""
        from nvs_eval.records.comparable import main_records
        from nvs_eval.records.record import record_file

        super().show([record for _, record in main_records([(record_file(one, Path()), one) for one in records])[0]])
