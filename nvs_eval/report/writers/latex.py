"""Tables as LaTeX for papers. pdflatex can typeset all text without extra packages."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nvs_eval.errors import InputError, quoted
from nvs_eval.metrics.registry import about_of, label_of
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.writers.registry import PALETTES, Style

_LETTERS = {1: r"\textbf", 2: r"\underline", 3: r"\textit"}
_ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
# Characters in a column of a two-column paper, and the space around each column of a table.
_COLUMN, _SPACE = 46, 2
# Rows on a page.
_PAGE = 40
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\`{}",
    # An active character in some languages of babel.
    '"': r'\string"',
    # Prevent ligatures that make dashes and quotes.
    "-": "-{}", "'": "'{}", ",": ",{}",
}  # fmt: skip
_JOINED = "-',"
_SIGNS = {
    "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"$\S$", "¶": r"$\P$", "≈": r"$\approx$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "∞": r"$\infty$", "±": r"$\pm$",
    "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "°": r"$^{\circ}$", "²": "$^{2}$", "³": "$^{3}$",
    "µ": r"$\mu$", "ς": r"$\varsigma$", "•": r"$\bullet$", "…": r"\dots{}", "“": "``", "”": "''", "¿": "?`", "¡": "!`",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "£": r"\pounds{}", "©": r"\copyright{}", "\xa0": "~",
    # Multiplication sign, minus, the two dashes, the two single quotes and the dotless i, easily confused with others.
    "\u00d7": r"$\times$", "\u2212": "$-$", "\u2013": "--", "\u2014": "---", "\u2018": "`", "\u2019": "'",
    "\u0131": r"\i{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()


def write(tables: Sequence[Table], style: Style) -> str:
    r"""Write a `table` for each table, after comments with the packages to load and the definitions of colours.

    Raises:
        InputError: the label has characters that LaTeX does not accept.
    """
    if not re.fullmatch(r"[A-Za-z0-9:._/+-]*", style.label):
        raise InputError(f"--label must have only letters, digits and : . _ / + -. Got {quoted(style.label)}.")
    labels = _labels(tables, style.label)
    bodies = [line for table, label in zip(tables, labels, strict=True) for line in _lines(table, style, label)]
    return "".join(f"{line}\n" for line in (*_preamble(tables, style), *bodies))


def _preamble(tables: Sequence[Table], style: Style) -> Iterator[str]:
    ranked = any(cell.rank for table in tables for column in table.columns for cell in column.cells)
    palette = PALETTES.get(style.mark) if ranked else None
    yield "% Tables by nvs-eval. They need in the preamble:"
    yield r"%   \usepackage{booktabs}"
    if palette:
        yield r"%   \usepackage[table]{xcolor}"
    if any(map(_is_wide, tables)):
        yield r"%   \usepackage{graphicx}"
    if palette:
        yield "% First, second and third; a paper that defines these names before keeps its own colours."
        for name, colour in zip(palette.names, palette.light, strict=True):
            yield rf"\providecolor{{{name}}}{{HTML}}{{{colour}}}"


def _is_wide(table: Table) -> bool:
    """Return whether a table is wider than a column of a two-column paper, so that it spans the page."""
    # Headings of metrics are estimated by their keys.
    letters = [
        max(len(replace(column, title="").heading), *(len(cell.text) + len(cell.aside) for cell in column.cells), 0)
        for column in table.columns
    ]
    return sum(letters) + _SPACE * len(letters) > _COLUMN


def _lines(table: Table, style: Style, label: str) -> Iterator[str]:
    """Yield the lines of a table, in several parts if it is longer than a page."""
    rows = list(_rows(table, style))
    parts = [rows[start : start + _PAGE] for start in range(0, len(rows), _PAGE)] or [[]]
    environment = "table*" if _is_wide(table) else "table"
    for number, part in enumerate(parts):
        yield ""
        yield rf"\begin{{{environment}}}[t]"
        yield r"  \centering"
        if number == 0:
            yield from _caption(table, label)
        else:
            yield r"  \addtocounter{table}{-1}"
            yield r"  \caption{(continued)}"
        yield from _tabular(table, part)
        if number == len(parts) - 1:
            yield from _notes(table)
        yield rf"\end{{{environment}}}"


def _caption(table: Table, label: str) -> Iterator[str]:
    how = escape(table.full_caption)
    metric = table.shared.get("metric", "")
    before, label_shown, after = table.title.rpartition(label_of(metric)) if metric else ("", "", table.title)
    title = f"{escape(before)}{metric_name(metric, metric)}{escape(after)}" if label_shown else escape(table.title)
    yield rf"  \caption{{{title}. {how[:1].upper()}{how[1:]}.}}"
    yield rf"  \label{{{label}}}"
    yield from (f"  % {signature}" for signature in table.signatures)
    # Classes with captions below tables have no space below a caption above.
    yield r"  \smallskip"


def _tabular(table: Table, rows: Sequence[str]) -> Iterator[str]:
    alignment = "".join("r" if column.numeric else "l" for column in table.columns)
    wide = _is_wide(table)
    if wide:
        yield r"  \setlength{\tabcolsep}{4pt}"
        # Shrink the table to the page if necessary, but never enlarge it.
        yield r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"  \begin{{tabular}}{{{alignment}}}"
    yield r"    \toprule"
    yield f"    {' & '.join(map(heading, table.columns))} \\\\"
    yield r"    \midrule"
    yield from (f"    {row}" for row in rows)
    yield r"    \bottomrule"
    yield r"  \end{tabular}" + ("}" if wide else "")


def _rows(table: Table, style: Style) -> Iterator[str]:
    columns = [_cells(column, style) for column in table.columns]
    first_mean = len(table.rows) - table.means
    for place, cells in enumerate(zip(*columns, strict=True)):
        rule = "\\midrule\n    " if place == first_mean else ""
        yield f"{rule}{' & '.join(cells)} \\\\"


def _cells(column: Column, style: Style) -> Iterator[str]:
    if not column.numeric:
        return (f"{escape(cell.text)}{_raised(cell.mark)}" for cell in column.cells)
    fraction = _fraction(column.cells)
    return (_number(cell, fraction, style) for cell in column.cells)


def _number(cell: Cell, fraction: int, style: Style) -> str:
    """Return a number, padded to `fraction` characters from the decimal point on."""
    if cell.value is None:
        return "--"
    if isinstance(cell.value, float) and math.isinf(cell.value):
        # Bold text does not make mathematics bold.
        bold = cell.rank == 1 and style.mark == "bold"
        number, padding = (r"\boldmath$\infty$" if bold else r"$\infty$"), ""
    else:
        number, padding = escape(cell.text), _padding(cell, fraction)
    # Marks take no width, so that numbers stay aligned.
    mark = rf"\rlap{{{_raised(cell.mark)}}}" if cell.mark else ""
    aside = rf" {{\scriptsize {escape(cell.aside)}}}" if cell.aside else ""
    return f"{_ranked(number, cell.rank, style)}{mark}{padding}{aside}"


def _ranked(number: str, rank: int | None, style: Style) -> str:
    if rank is None or style.mark == "none":
        return number
    if style.mark in PALETTES:
        return rf"\cellcolor{{{PALETTES[style.mark].names[rank - 1]}}}{number}"
    return f"{_LETTERS[rank]}{{{number}}}"


def _notes(table: Table) -> Iterator[str]:
    if table.notes:
        yield r"  \par\smallskip"
        yield r"  \begin{minipage}{\linewidth}\footnotesize\raggedright"
        yield from (rf"    {escape(note)}\par" for note in table.notes)
        yield r"  \end{minipage}"


def heading(column: Column) -> str:
    """Return the heading of a column in LaTeX, with its unit and direction."""
    # In the table of one metric, columns are scenes without a direction.
    is_metric = column.metric is not None and column.higher_is_better is not None
    name = metric_name(column.metric or "", column.title or column.name) if is_metric else escape(column.name)
    unit = f" [{escape(column.unit)}]" if column.unit else ""
    return f"{name}{unit}{_ARROWS[column.higher_is_better]}"


def _raised(mark: str) -> str:
    signs = "".join(_SIGNS.get(sign, sign).strip("$") for sign in mark)
    return f"$^{{{signs}}}$" if mark else ""


def _padding(cell: Cell, fraction: int) -> str:
    """Return space for the decimals that a number lacks in its column."""
    characters = _fraction([cell])
    missing = "0" * (fraction - characters) if characters else "." + "0" * (fraction - 1)
    return rf"\phantom{{{missing}}}" if characters < fraction else ""


def _fraction(cells: Sequence[Cell]) -> int:
    """Return the largest number of characters from the decimal point on."""
    return max((len(re.sub(r"^[^.]*", "", cell.text)) for cell in cells), default=0)


def _labels(tables: Sequence[Table], prefix: str) -> list[str]:
    """Return a unique label for each table, from the values that its rows share."""
    labels: list[str] = []
    for table in tables:
        parts = [table.shared.get(name, "") for name in ("scene", "method", "metric", "protocol")]
        if table.shared.get("split", "test") != "test":
            parts.append(table.shared["split"])
        if table.columns[0].name == "view":
            parts.append("views")
        label = f"{prefix}:{'-'.join(filter(None, map(_slug, parts)))}"
        numbered = (f"{label}-{number}" for number in itertools.count(2))
        labels.append(next(name for name in itertools.chain([label], numbered) if name not in labels))
    return labels


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain.lower()).strip("-")


def escape(text: str) -> str:
    """Escape a text for LaTeX.

    A character that pdflatex has no glyph for becomes its code, such as U+82B1: an unreadable name is better than a
    paper that does not compile.
    """
    text = unicodedata.normalize("NFC", text)
    following = [*text[1:], ""][: len(text)]
    escaped = "".join(_escape(character, after) for character, after in zip(text, following, strict=True))
    # After the end of a row or a rule, a bracket would begin an option, and a star would be part of the command.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped.startswith(("[", "*")) else escaped


def metric_name(metric: str, shown: str) -> str:
    """Return the name of a metric in LaTeX.

    Args:
        metric: key of the metric.
        shown: name in other formats, for a metric without a LaTeX name.
    """
    return about_of(metric).latex or escape(shown)


def _escape(character: str, following: str) -> str:
    if character in _JOINED:
        return _SPECIAL[character] if following in _JOINED and following else character
    if character in _SPECIAL:
        return _SPECIAL[character]
    return character if character.isascii() else _beyond_ascii(character)


def _beyond_ascii(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    letter, *accents = unicodedata.normalize("NFD", character)
    if letter.isascii() and accents and all(accent in _ACCENTS for accent in accents):
        for accent in accents:
            # An accent above replaces the dot of an i or j.
            base = rf"\{letter}" if letter in "ij" and _ACCENTS[accent] not in "dcb" else letter
            letter = rf"\{_ACCENTS[accent]}{{{base}}}"
        return letter
    greek = unicodedata.name(character, "").removeprefix("GREEK ").split(" LETTER ")
    if len(greek) == 2:
        name = greek[1].lower().replace("lamda", "lambda")
        name = name if greek[0] == "SMALL" else name.capitalize()
        if name in _GREEK:
            return rf"$\{name}$"
    return f"U+{ord(character):04X}"
