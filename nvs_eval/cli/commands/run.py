"""`nvs-eval run`: render and score the held-out views of trained checkpoints."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from nvs_eval.cli.options import ScoringCommand, callbacks, say_report
from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, RunOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions, ScoringCommand):
    """Render and score the held-out views of trained nerfstudio checkpoints and of splats."""

    load_config: Annotated[tuple[Path, ...], arg(aliases=["--load-splat"])]
    """The config.yml of nerfstudio runs, or splats: folders of models, .ply files or checkpoints."""
    output_dir: Path = RESULTS
    """Folder of records and renders."""
    watch: bool = False
    """Evaluate each checkpoint as training writes it, until training ends; `--load-config` may name folders of runs."""
    page: Path | None = None
    """With `--watch`: folder of a page that is made again after each checkpoint (`nvs-eval report`)."""

    def run(self) -> int:
        """Score, write and log the records, and print their tables; with `watch`, after each checkpoint."""
        if self.watch:
            return self._watch()
        if self.page is not None:
            raise InputError("--page requires --watch. For finished runs, use `nvs-eval report` after this command.")
        return super().run()

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Render and score the views, and write the records."""
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        records = run_checkpoints(self, callbacks)
        return [(self.output_dir, record) for record in records]

    def _watch(self) -> int:
        from nvs_eval.cli.console import say
        from nvs_eval.cli.process import make_ready
        from nvs_eval.evaluation.watching import watch_runs
        from nvs_eval.report.page.folder import check_output

        doubts: dict[str, None] = {}
        lost: list[InputError] = []
        calls = replace(callbacks(), doubt=lambda doubt: doubts.update({doubt: None}), on_lost=lost.append)
        sinks = self.sinks()
        if self.page is not None:
            check_output(self.page, single=False, overwrite=True)
        make_ready()
        records: list[tuple[Path, Record]] = []
        for found in watch_runs(self, calls):
            new = [(self.output_dir, record) for record in found]
            records += new
            self._put(records, list(doubts))
            self.log_records(sinks, new)
            self._make_page(records)
        code = self._report_failed([record for _, record in records], lost)
        if self.page is not None:
            say(f"Page: {shlex.quote(str(self.page / 'index.html'))}")
        elif code == 0:
            say_report(self.output_dir)
        return code

    def _make_page(self, records: list[tuple[Path, Record]]) -> None:
        """Make the page of records, if one was asked for. An earlier page is replaced."""
        from nvs_eval.api.page import make_page
        from nvs_eval.records.record import record_file
        from nvs_eval.report.page.options import PageOptions

        if self.page is not None:
            files = tuple(str(record_file(record, root)) for root, record in records)
            # Rows that are not comparable are marked, so that watching never ends in an error.
            options = PageOptions(records=files, output=self.page, allow_mixed=True, overwrite=True)
            make_page(options, replace(callbacks(), say=lambda message: None))
