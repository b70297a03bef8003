"""`nvs-eval suite`: all scenes and methods of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options import LayoutOptions, WriteOptions, callbacks
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import SuiteOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite import SuiteRun
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.layout import Layout

EXIT_FAILED = 3


@dataclass(frozen=True, kw_only=True)
class SuiteCommand(SuiteOptions, WriteOptions, LayoutOptions):
    """Evaluate all methods of a file on all of its scenes, skip what is done already, and print the tables."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The YAML file that says which methods and scenes, and where they lie: see docs/suites.md."""
    dry_run: bool = False
    """Say what is done, what there is to do and what is missing, and do nothing."""
    per_view: bool = False
    """Also the scores of each view; with `--format csv` these alone."""
    rows: Literal["checkpoint", "method", "scene"] = "method"
    """A row a checkpoint; a method (the last checkpoint of each run), averaged over scenes; or a scene."""
    protocol: tuple[str, ...] = ()
    """Only the tables of these protocols of the file, by name or fingerprint."""
    suite: str | None = None
    """Another benchmark for the tables, such as mipnerf360-7, or a YAML file; else the scenes of the file."""

    def run(self) -> int:
        """Evaluate what there is to do, print or write the tables, say what was not done."""
        from nvs_eval.evaluation.suite import open_suite

        # The same command given again goes on with its work, and so writes its tables again.
        replace(self, overwrite=True).check_output()
        if self.output is not None and self.output.exists() and self.output.samefile(self.file):
            raise InputError(f"--output is {self.output}, the file of the suite itself: say another.")
        suite = open_suite(self)
        self._rehearse(suite)
        if not self.dry_run:
            return self._evaluate(suite)
        from nvs_eval.cli.console import put_tables

        table, cannot = suite.plan()
        put_tables([table])
        return _say_lines("Cannot be done, ", cannot)

    def _rehearse(self, suite: SuiteRun) -> None:
        """Lay the tables out for records that are made up, so that a wrong option is found before hours of work."""
        from nvs_eval.report.tables.tables import chosen_records, tables_of

        if not all(entry.protocols for entry in suite.entries):
            return  # With `auto` it is known only when runs are opened.
        made_up = [record for entry in suite.entries for record in entry.made_up_records()]
        records, layout = self._laid_out(suite, made_up)
        (chosen_records if self.long else tables_of)(records, replace(layout, tied=None))

    def _laid_out(self, suite: SuiteRun, records: Sequence[Record]) -> tuple[list[Record], Layout]:
        from nvs_eval.records.groups import of_protocols

        shown = of_protocols(records, self.protocol)
        layout = self.layout(shown)
        return shown, layout if self.suite is not None else replace(layout, suite=suite.file.suite)

    def _evaluate(self, suite: SuiteRun) -> int:
        from nvs_eval.cli.console import say
        from nvs_eval.cli.process import make_ready

        make_ready()
        _say_lines("Missing, ", suite.not_done({}), "; the others go ahead")
        result = suite.evaluate(callbacks())
        try:
            if result.records:
                self.put_chosen(*self._laid_out(suite, result.records), per_view=self.per_view)
            else:
                say(suite.no_records())
        finally:
            code = _say_lines("Not done, ", result.not_done)
        return code


def _say_lines(what: str, lines: Sequence[str], more: str = "") -> int:
    """Say what is not done, if anything is; gives the exit code."""
    from nvs_eval.cli.console import say

    if not lines:
        return 0
    say("\n  ".join([f"{what}{lines[0]}{more}:", *lines[1:]]), style="yellow")
    return EXIT_FAILED
