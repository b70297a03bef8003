"""`nvs-eval inspect`: held-out views, their references, and problems that may invalidate the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from nvs_eval.diagnostics.inspection import Inspection
    from nvs_eval.system.terminal import SafeConsole

DOUBTFUL, INFORMATION = "!", "·"


@dataclass(frozen=True)
class Inspect:
    """Report which views are held out, and problems that may invalidate numbers.

    For a trained run or a splat: the held-out views and the rule that selects them; views that were also trained on;
    duplicates; JPEG, alpha and sizes. For a record: the same as far as it is recorded, whether the scored files have
    changed, and renders that are paired with the wrong reference, mirrored, turned or with red and blue swapped.
    Nothing is rendered or scored. `!` may invalidate the numbers; `·` is information.
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="CONFIG|SPLAT|RECORD [...]")]
    """The config.yml of nerfstudio runs, splats (a model's folder or .ply), or records."""
    data: Path | None = None
    """Folder of the data, if it was moved (default: where the runs recorded it)."""
    trust: bool = False
    """Trust the authors of the runs, and all files of them: reading these may then run any code, as in nerfstudio."""

    def run(self) -> int:
        """Print the reports."""
        from nvs_eval.cli.console import results
        from nvs_eval.diagnostics.inspection import inspect

        out = results()
        for index, report in enumerate(inspect(self.paths, data=self.data, trust=self.trust)):
            if index:
                out.print()
            _print(report, out)
        return 0


def _print(report: Inspection, out: SafeConsole) -> None:
    """Print the title, the findings and the facts, wrapped with an indent in a terminal and one per line elsewhere."""
    from rich.table import Table
    from rich.text import Text

    from nvs_eval.errors import printable

    findings = [(DOUBTFUL if finding.doubtful else INFORMATION, finding.text) for finding in report.findings]
    if not any(mark == DOUBTFUL for mark, _ in findings):
        findings.insert(0, (INFORMATION, "Nothing here invalidates the numbers."))
    width = max(len(label) for label, _ in report.facts)
    out.print(Text(printable(report.title), style="bold"))
    for lines, style in ((findings, "yellow"), ([(label.ljust(width), text) for label, text in report.facts], "")):
        table = Table.grid(padding=(0, 1))
        for label, text in lines:
            cells = Text(label, style=style if label == DOUBTFUL else ""), Text(printable(text))
            if out.is_terminal:
                table.add_row(*cells)
            else:
                out.print(Text(" ").join(cells))
        if out.is_terminal:
            out.print(table)
