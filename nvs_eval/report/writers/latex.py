"""Tables as LaTeX, to be pasted into a paper."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nvs_eval.errors import InputError
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.writers.palettes import PALETTES
from nvs_eval.report.writers.registry import Style
from nvs_eval.report.writers.shared import caption_of, split_means
from nvs_eval.report.writers.tex import escape, metric_name

_LETTERS = {1: r"\textbf", 2: r"\underline", 3: r"\textit"}
_ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
# What a column of a two-column paper holds of letters of ordinary size; each column has space around it.
_COLUMN, _SPACE = 46, 2
# What a page holds of rows.
_PAGE = 40
_IN_MATHS = {"†": r"\dagger", "‡": r"\ddagger", "§": r"\S", "≈": r"\approx"}


def write(tables: Sequence[Table], style: Style) -> str:
    r"""A `table` each, above them as comments what they need of the preamble, and the colours.

    Raises:
        InputError: the label is none for LaTeX.
    """
    if not re.fullmatch(r"[A-Za-z0-9:._/+-]*", style.label):
        raise InputError(f"--label {style.label!r} is no label for LaTeX: letters, digits and : . _ / + - are.")
    drawn = [_Drawn(table, style) for table in tables]
    labels = _labels(tables, style.label)
    bodies = [line for each, label in zip(drawn, labels, strict=True) for line in each.lines(label)]
    return "".join(f"{line}\n" for line in (*_preamble(drawn, style), *bodies))


@dataclass(frozen=True)
class _Drawn:
    """A table and how it is to look."""

    table: Table
    style: Style

    @property
    def coloured(self) -> bool:
        ranked = any(cell.rank for row in self.table.rows for cell in row)
        return ranked and self.style.mark in PALETTES

    @property
    def wide(self) -> bool:
        """Whether it is wider than a column of a two-column paper: it has the page's width then."""
        letters = [
            max(len(column.heading), *(len(cell.text) + len(cell.aside) for cell in column.cells), 0)
            for column in self.table.columns
        ]
        return sum(letters) + _SPACE * len(letters) > _COLUMN

    def lines(self, label: str) -> Iterator[str]:
        """Of the whole table, in several parts where it is longer than a page."""
        rows = list(self._rows())
        parts = [rows[start : start + _PAGE] for start in range(0, len(rows), _PAGE)] or [[]]
        environment = "table*" if self.wide else "table"
        for number, part in enumerate(parts):
            yield ""
            yield rf"\begin{{{environment}}}[t]"
            yield r"  \centering"
            yield from self._caption(label) if number == 0 else _continued()
            yield from self._tabular(part)
            if number == len(parts) - 1:
                yield from self._notes()
            yield rf"\end{{{environment}}}"

    def _caption(self, label: str) -> Iterator[str]:
        table = self.table
        how = escape(caption_of(table))
        yield rf"  \caption{{{_title(table)}. {how[:1].upper()}{how[1:]}.}}"
        yield rf"  \label{{{label}}}"
        yield from (f"  % {signature}" for signature in table.signatures)
        # Classes made for captions below tables leave no room under one above.
        yield r"  \smallskip"

    def _tabular(self, rows: Sequence[str]) -> Iterator[str]:
        alignment = "".join("r" if column.numeric else "l" for column in self.table.columns)
        if self.wide:
            yield r"  \setlength{\tabcolsep}{4pt}"
            # Shrunk where it is wider than the page, and never enlarged.
            yield r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
        yield rf"  \begin{{tabular}}{{{alignment}}}"
        yield r"    \toprule"
        yield f"    {' & '.join(map(_heading, self.table.columns))} \\\\"
        yield r"    \midrule"
        yield from (f"    {row}" for row in rows)
        yield r"    \bottomrule"
        yield r"  \end{tabular}" + ("}" if self.wide else "")

    def _rows(self) -> Iterator[str]:
        rows, means = split_means(self.table)
        fractions = [_fraction(column.cells) for column in self.table.columns]
        for part in (rows, means):
            for place, row in enumerate(part):
                rule = "\\midrule\n    " if part is means and place == 0 else ""
                cells = zip(row, self.table.columns, fractions, strict=True)
                yield f"{rule}{' & '.join(self._cell(*each) for each in cells)} \\\\"

    def _cell(self, cell: Cell, column: Column, fraction: int) -> str:
        if not column.numeric:
            return f"{escape(cell.text)}{_raised(cell.mark)}"
        if cell.value is None:
            return "--"
        if isinstance(cell.value, float) and math.isinf(cell.value):
            # What is mathematics does not become bold with the letters around it.
            bold = cell.rank == 1 and self.style.mark == "bold"
            number, padding = (r"\boldmath$\infty$" if bold else r"$\infty$"), ""
        else:
            number, padding = escape(cell.text), _padding(cell, fraction)
        # Marks hang beside the numbers, which stay below each other.
        mark = rf"\rlap{{{_raised(cell.mark)}}}" if cell.mark else ""
        aside = rf" {{\scriptsize {escape(cell.aside)}}}" if cell.aside else ""
        return f"{self._ranked(number, cell.rank)}{mark}{padding}{aside}"

    def _ranked(self, number: str, rank: int | None) -> str:
        if rank is None or self.style.mark == "none":
            return number
        if self.style.mark in PALETTES:
            return rf"\cellcolor{{{PALETTES[self.style.mark].names[rank - 1]}}}{number}"
        return f"{_LETTERS[rank]}{{{number}}}"

    def _notes(self) -> Iterator[str]:
        if self.table.notes:
            yield r"  \par\smallskip"
            yield r"  \begin{minipage}{\linewidth}\footnotesize\raggedright"
            yield from (rf"    {escape(note)}\par" for note in self.table.notes)
            yield r"  \end{minipage}"


def _preamble(drawn: Sequence[_Drawn], style: Style) -> Iterator[str]:
    coloured = any(each.coloured for each in drawn)
    yield "% Tables by nvs-eval. They need in the preamble:"
    yield r"%   \usepackage{booktabs}"
    if coloured:
        yield r"%   \usepackage[table]{xcolor}"
    if any(each.wide for each in drawn):
        yield r"%   \usepackage{graphicx}"
    if coloured:
        palette = PALETTES[style.mark]
        yield "% First, second and third; a paper that defines these names before keeps its own colours."
        for name, colour in zip(palette.names, palette.light, strict=True):
            yield rf"\providecolor{{{name}}}{{HTML}}{{{colour}}}"


def _continued() -> Iterator[str]:
    yield r"  \addtocounter{table}{-1}"
    yield r"  \caption{(continued)}"


def _title(table: Table) -> str:
    metric = table.shared.get("metric", "")
    if metric and table.title.startswith(metric):
        return metric_name(metric, metric) + escape(table.title.removeprefix(metric))
    return escape(table.title)


def _heading(column: Column) -> str:
    # In a table of one metric the columns are scenes, and have no direction of their own.
    is_metric = column.metric is not None and column.higher_is_better is not None
    name = metric_name(column.metric or "", column.title or column.name) if is_metric else escape(column.name)
    unit = f" [{escape(column.unit)}]" if column.unit else ""
    return f"{name}{unit}{_ARROWS[column.higher_is_better]}"


def _raised(mark: str) -> str:
    return f"$^{{{''.join(_IN_MATHS.get(sign, sign) for sign in mark)}}}$" if mark else ""


def _padding(cell: Cell, fraction: int) -> str:
    """As much room as the decimals take that a number has fewer than others of its column."""
    own = _fraction([cell])
    missing = "0" * (fraction - own) if own else "." + "0" * (fraction - 1)
    return rf"\phantom{{{missing}}}" if own < fraction else ""


def _fraction(cells: Sequence[Cell]) -> int:
    """How many letters stand behind the whole number, the point too, in the longest."""
    return max((len(re.sub(r"^[^.]*", "", cell.text)) for cell in cells), default=0)


def _labels(tables: Sequence[Table], prefix: str) -> list[str]:
    """A label each, no two the same: what the rows share that tells tables apart."""
    labels: list[str] = []
    for table in tables:
        parts = [table.shared.get(name, "") for name in ("scene", "method", "metric", "protocol")]
        if table.shared.get("split", "test") != "test":
            parts.append(table.shared["split"])
        if table.columns[0].name == "view":
            parts.append("views")
        label = f"{prefix}:{'-'.join(filter(None, map(_slug, parts)))}"
        labels.append(next(each for each in _numbered(label) if each not in labels))
    return labels


def _numbered(label: str) -> Iterator[str]:
    yield label
    yield from (f"{label}-{number}" for number in itertools.count(2))


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain.lower()).strip("-")
