"""`nvs-eval inspect`: where references come from, and what about them would make numbers doubtful."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from rich.console import Console

    from nvs_eval.diagnostics.inspection import Inspection

DOUBTFUL, TO_BE_KNOWN = "!", "·"


@dataclass(frozen=True)
class Inspect:
    """Say which views are held out and why, and what about their references makes numbers doubtful.

    Of a trained run: which views are held out, by which rule; held-out views that were trained on; duplicates; JPEG,
    alpha, sizes. Of a record: the same as far as it knows, and whether its files are still what was scored. Nothing is
    rendered or scored. Findings marked `!` make numbers doubtful, those marked `·` are to be known.
    """

    given: Annotated[Positional[tuple[Path, ...]], arg(metavar="CONFIG|RECORD [...]")]
    """The config.yml of nerfstudio runs, and records."""
    data: Path | None = None
    """Where the data of the runs lies now, if not where they recorded it."""

    def run(self) -> int:
        """Print the reports."""
        from nvs_eval.cli.console import results
        from nvs_eval.diagnostics.inspection import inspect

        out = results()
        for index, report in enumerate(inspect(self.given, data=self.data)):
            if index:
                out.print()
            _print(report, out)
        return 0


def _print(report: Inspection, out: Console) -> None:
    """Print the title, the findings, then the facts: in a terminal folded below themselves, elsewhere a line each."""
    from rich.table import Table
    from rich.text import Text

    from nvs_eval.errors import printable

    findings = [(DOUBTFUL if finding.doubtful else TO_BE_KNOWN, finding.text) for finding in report.findings]
    if not any(mark == DOUBTFUL for mark, _ in findings):
        findings.insert(0, (TO_BE_KNOWN, "Nothing was found that makes the numbers doubtful."))
    width = max(len(label) for label, _ in report.facts)
    out.print(Text(printable(report.title), style="bold"))
    for lines, style in ((findings, "yellow"), ([(label.ljust(width), text) for label, text in report.facts], "")):
        table = Table.grid(padding=(0, 1))
        for first, text in lines:
            cells = Text(first, style=style if first == DOUBTFUL else ""), Text(printable(text))
            if out.is_terminal:
                table.add_row(*cells)
            else:
                out.print(Text(" ").join(cells))
        if out.is_terminal:
            out.print(table)
