"""Options that commands share, and the common flow of scoring commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError, listed
from nvs_eval.report.tables.options import TableOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.callbacks import Callbacks
    from nvs_eval.records.record import Record
    from nvs_eval.report.loggers import Sink
    from nvs_eval.report.tables.layout import Layout

# Options of tables that select records and metrics, and so apply to --long as well.
_CHOOSING = {"metrics", "protocol", "suite", "allow_mixed"}


EXIT_FAILED = 3
"""Exit code of a command that could not do all of its work."""


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """Options of writing tables."""

    format: str = "text"
    """Output format: text, markdown, latex, html, csv, json, or one of a plugin."""
    output: Path | None = None
    """File to write to (default: the terminal)."""
    overwrite: bool = False
    """Replace the file if it exists with another content."""
    long: bool = False
    """Write one row per view and metric in full precision, for pandas (csv and json only)."""
    mark: Literal["colour", "colour-blind", "bold", "none"] = "colour"
    """Marks of the best three in LaTeX and HTML: red to yellow, shades of blue, letter styles, or none."""
    label: str = "tab"
    """Prefix of the labels of LaTeX tables."""

    def check_output(self) -> None:
        """Check the format and the output file before records are read.

        Raises:
            InputError: the format is unknown, the options conflict, or the file cannot be written.
        """
        from nvs_eval.report.writers import find_writer
        from nvs_eval.system.files import check_writable

        find_writer(self.format)
        if self.long:
            self._check_long()
        if self.output is not None:
            check_writable(self.output)

    def _check_long(self) -> None:
        if self.format not in ("csv", "json"):
            raise InputError(f"--long needs --format csv or json. Got --format {self.format}.")
        table_options = {field.name for field in fields(TableOptions)} - _CHOOSING | {"per_view", "mark", "label"}
        conflicting = [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if field.name in table_options and getattr(self, field.name) != field.default
        ]
        if conflicting:
            raise InputError(
                f"--long writes one row per score and cannot be combined with {listed(conflicting)}, which "
                f"{'applies' if len(conflicting) == 1 else 'apply'} to tables. Remove one or the other."
            )

    def put_chosen(self, records: Sequence[Record], layout: Layout, *, per_view: bool) -> None:
        """Write the tables of records, or the rows of `--long`, to stdout or to the file.

        Raises:
            InputError: the file cannot be written, or has another content and may not be replaced.
        """
        from nvs_eval.cli.console import put_tables
        from nvs_eval.report.tables.tables import chosen_records, shown_tables
        from nvs_eval.report.writers import Style, find_writer

        if self.long:
            from nvs_eval.report.frames import LONG

            self._put_parts(LONG[self.format](chosen_records(records, layout)))
            return
        tables = shown_tables(records, layout, per_view=per_view, format=self.format)
        if self.format == "text" and self.output is None:
            put_tables(tables, ranks=self.mark != "none")
        else:
            self._put_parts([find_writer(self.format)(tables, Style(mark=self.mark, label=self.label))])

    def _put_parts(self, parts: Iterable[str]) -> None:
        """Write the parts of a text to stdout, or to the file in one piece."""
        from nvs_eval.cli.console import put

        if self.output is None:
            for part in parts:
                put(part)
        else:
            encoded = b"".join(part.encode("utf-8", "backslashreplace") for part in parts)
            write_files({self.output: encoded}, overwrite=self.overwrite)


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool, main: Path | None = None) -> None:
    """Write files, each in one piece, and print their paths. A file that has its content already is left as it is.

    Args:
        contents: contents by path.
        overwrite: whether to write all files, also in place of others.
        main: the only file whose path is printed, if the others belong to it (default: all are printed).

    Raises:
        InputError: a file has another content and may not be replaced, or cannot be written.
    """
    from nvs_eval.cli.console import say
    from nvs_eval.system.files import write_new

    for path, written in write_new(contents, overwrite=overwrite):
        if main in (None, path):
            say(f"{'Written' if written else 'Unchanged'}: {shlex.quote(str(path))}")


def say_report(output_dir: Path) -> None:
    """Print the command that makes a page of the records of a folder."""
    from nvs_eval.cli.console import say

    say(f"To look at the images: nvs-eval report {shlex.quote(str(output_dir))}")


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(TableOptions):
    """Options of the rows, columns and layout of tables."""

    decimals: tuple[str, ...] = ()

    def layout(self, records: Sequence[Record]) -> Layout:
        """Return the checked layout of records.

        Raises:
            InputError: a named metric, suite or source does not exist, or the options conflict.
        """
        from nvs_eval.report.tables.layout import layout_of

        if not self.tied:
            return layout_of(records, self)
        from nvs_eval.comparison.noise import Ties  # Imported late because it needs numpy.

        return layout_of(records, self, tied=Ties())


def callbacks() -> Callbacks:
    """Make the callbacks that print progress and messages on stderr."""
    from nvs_eval.cli.console import progress, say, wait
    from nvs_eval.evaluation.callbacks import Callbacks

    return Callbacks(
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),  # The command line as typed.
        progress=progress,
        say=say,
        wait=wait,
        warn=lambda message: say(message, style="yellow"),
        doubt=lambda message: say(message, style="yellow"),
    )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Options of loggers, which receive the scores in addition to the records."""

    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Also log the scores to TensorBoard or Weights & Biases, at the checkpoints' steps."""
    log_dir: Path | None = None
    """Folder of TensorBoard's files (default: `tensorboard` in the folder of the records)."""

    def sinks(self) -> dict[str, Sink]:
        """Open the loggers. Call this before any long work.

        Raises:
            InputError: a logger is not installed or not configured.
        """
        from nvs_eval.report.loggers import open_sinks

        return open_sinks(self.log)

    def log_records(self, sinks: Mapping[str, Sink], records: Iterable[tuple[Path, Record]]) -> None:
        """Log records, each paired with its output folder, after they are written and printed.

        Raises:
            InputError: a logger failed. The records are not affected.
        """
        from nvs_eval.cli.console import say
        from nvs_eval.report.loggers import log_runs
        from nvs_eval.report.loggers.runs import LoggedRecord, runs_of

        if sinks:
            logged = [LoggedRecord(record, self.log_dir or root / "tensorboard") for root, record in records]
            log_runs(sinks, runs_of(logged), say=say)


@dataclass(frozen=True, kw_only=True)
class ScoringCommand(LogOptions):
    """Base of the scoring commands: score, print the tables of the records and log them."""

    per_view: bool = False
    """Also print the scores of each view."""

    def run(self) -> int:
        """Score, write and log the records, print their tables, and name the command that shows their images."""
        code, folder = self.evaluate()
        if code == 0:
            say_report(folder)
        return code

    def evaluate(self) -> tuple[int, Path]:
        """Score, write and log the records, and print their tables; return the exit code and a folder of records."""
        from nvs_eval.cli.receipts import Receipt

        doubts: list[str] = []
        lost: list[InputError] = []
        calls = replace(callbacks(), doubt=doubts.append, on_lost=lost.append)
        receipt = Receipt(self)
        sinks = self.sinks()
        if finished := receipt.find(calls):
            self._put(finished, doubts)
            self.log_records(sinks, finished)
            return 0, finished[0][0]
        from nvs_eval.cli.process import make_ready

        make_ready()
        records = self.score(calls)
        self._put(records, doubts)
        self.log_records(sinks, records)
        code = self._report_failed([record for _, record in records], lost)
        if code == 0:
            receipt.write(type(self).score)
        return code, records[0][0]

    def _put(self, records: Sequence[tuple[Path, Record]], doubts: Sequence[str]) -> None:
        from nvs_eval.cli.console import put_sentences

        self.show([record for _, record in records])
        put_sentences(f"! {doubt}" for doubt in doubts)

    @staticmethod
    def _report_failed(records: Sequence[Record], lost: Sequence[InputError]) -> int:
        """Print which results lack views that failed or have no record, and return the exit code."""
        from nvs_eval.cli.console import say
        from nvs_eval.records.incomplete import failures

        if not (lines := [*failures(records), *map(str, lost)]):
            return 0
        advice = "Fix the causes and run the command again, which writes complete records."
        say("Incomplete:", *(f"  {line}" for line in (*lines, advice)), style="yellow")
        return EXIT_FAILED

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records; return each with its output folder."""
        raise NotImplementedError

    def show(self, records: Sequence[Record]) -> None:
        """Print the tables of records.

        Rows that are not comparable are marked, so that finished work never ends in an error.
        """
        from nvs_eval.cli.console import put_tables
        from nvs_eval.report.tables.tables import per_view_tables, tables_of

        put_tables(tables_of(records) + (per_view_tables(records) if self.per_view else []))
