"""`nvs-eval suite`: evaluate all methods of a file on all of its scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options import EXIT_FAILED, LayoutOptions, WriteOptions, callbacks, say_report
from nvs_eval.errors import InputError, printable
from nvs_eval.evaluation.executors.options import ExecutorOptions
from nvs_eval.evaluation.options import SuiteOptions

if TYPE_CHECKING:
    from nvs_eval.cli.receipts import Receipt, Records
    from nvs_eval.evaluation.callbacks import Callbacks
    from nvs_eval.evaluation.suite import SuiteRun
    from nvs_eval.evaluation.suite_file import SuiteFile
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.layout import Layout


# Number of scenes whose tables are laid out before they are evaluated.
_REHEARSED = 500


@dataclass(frozen=True, kw_only=True)
class SuiteCommand(SuiteOptions, ExecutorOptions, WriteOptions, LayoutOptions):
    """Evaluate all methods in a file on all of its scenes, skipping finished work."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """YAML file of methods, scenes and their paths (docs/suites.md)."""
    dry_run: bool = False
    """Only list finished, remaining and missing work."""
    status: bool = False
    """Only list what is done, running, failed and left, from the output folder alone; workers go on."""
    per_view: bool = False
    """Also print the scores of each view; with `--format csv`, only these."""
    rows: Literal["checkpoint", "method", "scene"] = "method"
    """One row per checkpoint, per method (last checkpoint of each run, averaged over scenes), or per scene."""
    protocol: tuple[str, ...] = ()
    """Print only the tables of these protocols of the file, by name or fingerprint (default: all)."""
    suite: str | None = None
    """Benchmark of the tables, such as mipnerf360-7, or YAML file (default: the scenes of the file)."""

    def run(self) -> int:
        """Evaluate the remaining work, print or write the tables, and report unfinished work."""
        from nvs_eval.cli.receipts import Receipt
        from nvs_eval.evaluation.suite_file import load_suite_file

        if self.status:
            return put_status(self)
        # Repeating the command continues its work, and therefore replaces its tables.
        replace(self, overwrite=True).check_output()
        self.check_executor()
        if self.output is not None and self.output.exists() and self.output.samefile(self.file):
            raise InputError(f"--output must not be the suite file. Got {self.output}. Name another file.")
        receipt = Receipt(self)
        if not self.dry_run and (finished := receipt.find(callbacks())):
            file = load_suite_file(self.file)
            chosen = {(method.name, scene) for method in file.methods for scene in file.suite.names}
            self._put(file, [record for _, record in finished if (record.method, record.scene) in chosen])
            say_report(self.output_dir or file.output_dir)
            return 0
        from nvs_eval.cli.console import say
        from nvs_eval.evaluation.suite import open_suite

        suite = open_suite(self, here=self.executor in (None, "local"))
        if suite.file.note:
            say(suite.file.note, style="yellow")
        self._rehearse(suite)
        if not self.dry_run:
            return self._evaluate(suite, receipt)
        from nvs_eval.cli.console import put_tables

        table, impossible = suite.plan()
        put_tables([table])
        return _warn("Cannot be done, ", impossible)

    def _rehearse(self, suite: SuiteRun) -> None:
        """Lay out the tables of made-up records, so that a wrong option is an error before hours of work."""
        from nvs_eval.report.tables.tables import chosen_records, tables_of

        if not all(entry.protocols for entry in suite.entries):
            return  # The protocol `auto` is resolved only when runs are opened.
        # The first scenes show all columns.
        scenes = {*suite.file.suite.names[:_REHEARSED]}
        entries = [entry for entry in suite.entries if entry.scene in scenes]
        made_up = [record for entry in entries for record in entry.made_up_records()]
        records, layout = self._laid_out(suite.file, made_up)
        (chosen_records if self.long else tables_of)(records, replace(layout, tied=None))

    def _laid_out(self, file: SuiteFile, records: Sequence[Record]) -> tuple[list[Record], Layout]:
        from nvs_eval.records.groups import of_protocols

        shown = of_protocols(records, self.protocol)
        layout = self.layout(shown)
        return shown, layout if self.suite is not None else replace(layout, suite=file.suite)

    def _put(self, file: SuiteFile, records: Sequence[Record]) -> None:
        replace(self, overwrite=True).put_chosen(*self._laid_out(file, records), per_view=self.per_view)

    def _evaluate(self, suite: SuiteRun, receipt: Receipt) -> int:
        from nvs_eval.cli.console import say
        from nvs_eval.cli.process import make_ready
        from nvs_eval.evaluation.executors.claims import new_claims

        make_ready()
        _warn("Missing, ", suite.not_done({}), "; the others are evaluated")
        if self.executor is None:
            result = suite.evaluate(callbacks(), new_claims(suite.output_dir))
        else:
            from nvs_eval.cli.live import live_table
            from nvs_eval.evaluation.executors.run import evaluate_spread

            with live_table() as show:
                result = evaluate_spread(suite, self, callbacks(), make_ready, show)
        try:
            if result.records:
                self._put(suite.file, result.records)
            else:
                say(suite.no_records())
        finally:
            code = _warn("Not done, ", result.not_done)
        if (
            code == 0 and not self.only and self.shard is None
        ):  # Other commands may write records of entries that are not chosen but shown.
            receipt.write(_again, suite.inputs())
        if code == 0:
            say_report(suite.output_dir)
        return code


def put_status(options: SuiteOptions) -> int:
    """Print the state of a suite on stdout, and return the exit code: 3 if something failed."""
    from nvs_eval.cli.console import results
    from nvs_eval.evaluation.executors.status import status_of

    status = status_of(options)
    counts = {"done": status.done, "running": status.running, "failed": status.failed, "left": status.left}
    lines = [f"{status.title}: {', '.join(f'{len(cells)} {state}' for state, cells in counts.items())}"]
    lines += [f"  running: {cell} ({claim}, since {claim.started})" for cell, claim in status.running.items()]
    for cell, failure in status.failed.items():
        lines += [f"  failed: {cell} (on {failure.host}): {failure.error}", f"    again: {failure.command}"]
    for line in lines:
        results().print(printable(line), soft_wrap=True)
    return EXIT_FAILED if status.failed else 0


def _again(command: SuiteCommand, callbacks: Callbacks) -> Records:
    """Evaluate a finished suite again; return its records with their folders."""
    from nvs_eval.evaluation.options import RESULTS
    from nvs_eval.evaluation.suite import open_suite

    suite = open_suite(command)
    if suite.file.note:
        callbacks.warn(suite.file.note)
    result, root = suite.evaluate(callbacks), command.output_dir or suite.file.output_dir or RESULTS
    return [] if result.not_done else [(root, record) for record in result.records]


def _warn(title: str, lines: Sequence[str], more: str = "") -> int:
    """Print a warning that lists unfinished work, if there is any, and return the exit code."""
    from nvs_eval.cli.console import say

    if not lines:
        return 0
    say(f"{title}{lines[0]}{more}:", *(f"  {line}" for line in lines[1:]), style="yellow")
    return EXIT_FAILED
