"""`nvs-eval rescore`: scores kept renders again under another protocol, without rendering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import LogOptions, PrintOptions, callbacks
from nvs_eval.evaluation.options import RescoreOptions


@dataclass(frozen=True, kw_only=True)
class Rescore(RescoreOptions, PrintOptions, LogOptions):
    """Score the renders that records kept again under other protocols, and print the table.

    Where only 8-bit copies of float renders were kept, protocols that score floats are refused.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns; of several of one result the first that serves is taken."""

    def run(self) -> int:
        """Score, write the records, print the table."""
        from nvs_eval.cli.console import print_records
        from nvs_eval.cli.process import make_ready

        sinks = self.sinks()
        make_ready()
        from nvs_eval.evaluation.rescoring import rescore

        records = rescore(self, callbacks())
        print_records([record for _, record in records], per_view=self.per_view)
        self.log_records(sinks, records)
        return 0
