"""The options of commands that write tables: in which format, and where."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError
from nvs_eval.report.tables.options import TableOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.table import Table


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

    def put(self, tables: Sequence[Table]) -> None:
        """Write tables to where the user wants them.

        Raises:
            InputError: the file cannot be written.
        """
        from nvs_eval.cli.console import results
        from nvs_eval.report.writers import Style, find_writer

        if self.format == "text" and self.output is None:
            from nvs_eval.report.writers.text import print_text

            out = results()
            for table in tables:
                print_text(table, out, ranks=self.mark != "none")
        else:
            self._put_parts([find_writer(self.format)(tables, Style(mark=self.mark, label=self.label))])

    def put_long(self, records: Sequence[Record]) -> None:
        """Write a row a view and metric.

        Args:
            records: those that were chosen, with the metrics that were.

        Raises:
            InputError: the file cannot be written.
        """
        from nvs_eval.report.frames import LONG

        self._put_parts(LONG[self.format](records))

    def _put_parts(self, parts: Iterable[str]) -> None:
        """Write a text, part after part, to stdout, or to the file as a whole."""
        from nvs_eval.cli.console import put, say
        from nvs_eval.system.files import write_whole

        if self.output is None:
            for part in parts:
                put(part)
            return
        write_whole(
            self.output, lambda file: file.writelines(part.encode("utf-8", "backslashreplace") for part in parts)
        )
        say(f"Written: {shlex.quote(str(self.output))}")


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
