"""`nvs-eval verify`: recompute records independently, or check this installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError, printable


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Recompute records independently; without a record, check this installation.

    The scores of some views of each record are recomputed from the kept images with scikit-image in float64 and the
    lpips package. Without a record, the weights, known answers and the device are checked on generated images. The exit
    code is 1 if a number is wrong, and 2 if something could not be verified.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="[RECORD|DIR|GLOB ...]")] = ()
    """Records, folders or patterns (default: this installation)."""
    views: int | None = None
    """Number of views of each record, evenly spread (default: 5)."""
    all: bool = False
    """Verify all views of each record."""
    weights_dir: Path | None = None
    """Folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""
    device: str = "auto"
    """Without a record, the device to compare with the CPU: auto, cpu, cuda, cuda:1, ..."""

    def run(self) -> int:
        """Verify and print the results.

        Returns:
            0 if everything is confirmed, 1 if something is wrong, 2 otherwise.

        Raises:
            InputError: no record matches, or the only one cannot be verified.
        """
        if self.views is not None and (self.all or self.views < 1):
            raise InputError(
                f"--views must be at least 1 and cannot be combined with --all. Got {self.views}"
                f"{' with --all' if self.all else ''}."
            )
        if self.records:
            return self._verify_records()
        if self.views is not None or self.all:
            raise InputError("--views and --all need a record. Got none. Use `nvs-eval verify RECORD`.")
        return self._verify_installation()

    def _verify_records(self) -> int:
        from nvs_eval.cli.console import progress
        from nvs_eval.diagnostics.verify.records import SAMPLE, verify

        views = None if self.all else self.views or SAMPLE
        refuted, complete = False, True
        for report in verify(self.records, views=views, weights_dir=self.weights_dir, progress=progress):
            _put(report.title, "")
            _put_rows(("metric", "largest deviation", "view", "tolerance", "verdict"), report.rows)
            _put(*report.words, "")
            refuted, complete = refuted or report.refuted, complete and report.complete
        # A wrong number is worse than one that could not be verified.
        return 1 if refuted else 0 if complete else 2

    def _verify_installation(self) -> int:
        from nvs_eval.diagnostics.verify.installation import verify_installation
        from nvs_eval.system.devices import find_device

        installation = verify_installation(find_device(self.device), self.weights_dir)
        _put_rows(("check", "result", "deviation", "verdict"), installation.rows)
        _put(installation.trust)
        return 0 if installation.right else 1


def _put(*lines: str) -> None:
    from nvs_eval.cli.console import results

    results().print(*map(printable, lines), sep="\n", soft_wrap=True)


def _put_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, if any, with cells wrapped and never truncated, independently of nvs-eval's own tables."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from nvs_eval.cli.console import results

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    results().print(table)
