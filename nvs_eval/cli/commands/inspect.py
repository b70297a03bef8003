"""`nvs-eval inspect`: where references come from, and what about them would make numbers doubtful."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from nvs_eval.diagnostics.inspection import Inspection

DOUBTFUL, TO_BE_KNOWN = "!", "·"
_CONFIGS, _RECORDS = (".yml", ".yaml"), (".json",)


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

        if not self.given:
            raise InputError("Nothing was given to inspect: say the config.yml of a run, or a record.")
        if self.data is not None and not any(_is_config(path) for path in self.given):
            raise InputError("--data says where the data of a run lies, and no config.yml of a run was given.")
        # Before anything is printed: wrong input prints nothing.
        reports = [self._inspect(path) for path in self.given]
        out = results()
        for index, report in enumerate(reports):
            if index:
                out.print()
            _print(report, out)
        return 0

    def _inspect(self, path: Path) -> Inspection:
        _check_kind(path)
        if _is_config(path):
            from nvs_eval.diagnostics.inspection import find_inspector
            from nvs_eval.diagnostics.inspection.data import inspect_data

            return inspect_data(find_inspector("nerfstudio")(path, data=self.data))
        from nvs_eval.diagnostics.inspection.record import inspect_record

        return inspect_record(path)


def _is_config(path: Path) -> bool:
    return path.suffix.lower() in _CONFIGS


def _check_kind(path: Path) -> None:
    needed = "the config.yml of a nerfstudio run, or a record (.json), is needed"
    if path.is_dir():
        inside = path / "config.yml"
        raise InputError(f"{path} is a folder, and {needed}{f': say {inside}' if inside.is_file() else ''}.")
    if not path.exists():
        raise InputError(f"There is no file {path}: {needed}.")
    if path.suffix.lower() not in _CONFIGS + _RECORDS:
        raise InputError(f"{path} is neither of what can be inspected: {needed}.")


def _print(report: Inspection, out: Console) -> None:
    """The title, the findings, then the facts: in a terminal folded below themselves, elsewhere a line each."""
    from rich.table import Table
    from rich.text import Text

    from nvs_eval.report.tables.numbers import printable

    findings = [(DOUBTFUL if each.doubtful else TO_BE_KNOWN, each.text) for each in report.findings]
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
