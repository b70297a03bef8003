"""Options that several commands share, and the flow of those that score."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from nvs_eval.errors import InputError
from nvs_eval.report.tables.options import TableOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Callbacks
    from nvs_eval.records.record import Record
    from nvs_eval.report.loggers import Sink
    from nvs_eval.report.tables.layout import Layout

# Options of the same commands that choose records and metrics, and so say something of rows of scores, too.
_CHOOSING = {"metrics", "protocol", "suite", "allow_mixed"}


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How tables are written."""

    format: str = "text"
    """text, markdown, latex, csv, json, html, or what a plugin offers."""
    output: Path | None = None
    """The file to write to, in place of the terminal."""
    overwrite: bool = False
    """Replace the file if it is there already."""
    long: bool = False
    """With csv or json: a row a scene, method, run, step, view and metric, in full precision, for pandas; of what
    `--metrics`, `--protocol` and `--suite` choose."""
    mark: Literal["colour", "colour-blind", "bold", "none"] = "colour"
    """First, second and third in LaTeX and HTML: red, orange and yellow; shades of blue; or bold, underlined and italic
    letters, as which text and Markdown have them in any case but none."""
    label: str = "tab"
    """How the labels of LaTeX tables begin."""

    def check_output(self) -> None:
        """Check, before anything is read, that what is asked for can be written.

        Raises:
            InputError: it cannot.
        """
        from nvs_eval.report.writers import find_writer
        from nvs_eval.system.files import check_writable

        find_writer(self.format)
        if self.long:
            self._check_long()
        if self.output is None:
            return
        check_writable(self.output)
        check_free([self.output], overwrite=self.overwrite)

    def _check_long(self) -> None:
        if self.format not in ("csv", "json"):
            raise InputError(f"--long goes with `--format csv` or json, and the format is {self.format}.")
        of_tables = {field.name for field in fields(TableOptions)} - _CHOOSING | {"per_view", "mark", "label"}
        given = [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if field.name in of_tables and getattr(self, field.name) != field.default
        ]
        if given:
            raise InputError(
                f"--long gives every score a row, and {', '.join(given)} would lay out tables: leave that out."
            )

    def put_chosen(self, records: Sequence[Record], layout: Layout, *, per_view: bool) -> None:
        """Write the tables of records, or of `--long` a row a view and metric, to where the user wants them.

        Raises:
            InputError: the file cannot be written.
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
        """Write a text, part after part, to stdout, or to the file as a whole."""
        from nvs_eval.cli.console import put

        if self.output is None:
            for part in parts:
                put(part)
        else:
            encoded = (part.encode("utf-8", "backslashreplace") for part in parts)
            write_file(self.output, lambda file: file.writelines(encoded))


def check_free(files: Iterable[Path], *, overwrite: bool) -> None:
    """Check that no file is in the way, unless it may be replaced.

    Raises:
        InputError: naming those that are.
    """
    taken = [str(file) for file in files if file.exists()]
    if taken and not overwrite:
        raise InputError(
            f"{' and '.join(taken)} {'is' if len(taken) == 1 else 'are'} there already: say another `--output`, or "
            "`--overwrite`."
        )


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file as a whole, and say where it is.

    Raises:
        InputError: it cannot be written.
    """
    from nvs_eval.cli.console import say
    from nvs_eval.system.files import write_whole

    write_whole(path, write)
    say(f"Written: {shlex.quote(str(path))}")


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(TableOptions):
    """Rows and columns of tables, and their layout."""

    decimals: tuple[str, ...] = ()

    def layout(self, records: Sequence[Record]) -> Layout:
        """Return the checked layout of the records that are shown.

        Raises:
            InputError: something that was named is not there, or the choices do not go together.
        """
        from nvs_eval.report.tables.layout import layout_of

        if not self.tied:
            return layout_of(records, self)
        from nvs_eval.comparison.noise import Ties  # The statistics: late, as they need numpy.

        return layout_of(records, self, tied=Ties())


def callbacks() -> Callbacks:
    """Make the callbacks that print progress and messages on stderr."""
    from nvs_eval.cli.console import progress, say
    from nvs_eval.evaluation.options import Callbacks

    return Callbacks(
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),  # As the user gave it.
        progress=progress,
        say=say,
        warn=lambda message: say(message, style="yellow"),
    )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Loggers that get the scores besides their records."""

    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Log the scores to TensorBoard or Weights & Biases too, at the checkpoints' steps."""
    log_dir: Path | None = None
    """Where TensorBoard's files are written; else the folder `tensorboard` beside the scenes of the records."""

    def sinks(self) -> dict[str, Sink]:
        """Open the loggers, before any long work.

        Raises:
            InputError: what one needs is not there.
        """
        from nvs_eval.report.loggers import open_sinks

        return open_sinks(self.log)

    def log_records(self, sinks: Mapping[str, Sink], records: Iterable[tuple[Path, Record]]) -> None:
        """Log records, each with the output folder that it lies in, after they are written and shown.

        Raises:
            InputError: a sink failed, which harms no record.
        """
        from nvs_eval.cli.console import say
        from nvs_eval.report.loggers import log_runs
        from nvs_eval.report.loggers.runs import LoggedRecord, runs_of

        if sinks:
            logged = [LoggedRecord(record, self.log_dir or root / "tensorboard") for root, record in records]
            log_runs(sinks, runs_of(logged), say=say)


@dataclass(frozen=True, kw_only=True)
class ScoringCommand(LogOptions):
    """A command that scores: it prints the tables of its records, and logs them."""

    per_view: bool = False
    """Also print the scores of each view."""

    def run(self) -> int:
        """Score, write the records, print the tables."""
        from nvs_eval.cli.process import make_ready

        sinks = self.sinks()
        make_ready()
        records = self.score(callbacks())
        self.show([record for _, record in records])
        self.log_records(sinks, records)
        return 0

    def score(self, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        """Score and write the records; return each with the output folder that it lies in."""
        raise NotImplementedError

    def show(self, records: Sequence[Record]) -> None:
        """Print the records' tables.

        Rows that are not comparable are marked, so that finished work never ends in an error.
        """
        from nvs_eval.cli.console import put_tables
        from nvs_eval.report.tables.tables import per_view_tables, tables_of

        put_tables(tables_of(records) + (per_view_tables(records) if self.per_view else []))
