"""`nvs-eval verify`: a second opinion on records, or on this installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError, printable


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Verify records, or without one this installation.

    The scores of some views of each record are computed again from the kept images, by scikit-image in float64 and the
    lpips package instead of nvs-eval's own metrics. Without a record, the weights, known answers and the device are
    checked on images made for it. Exits with 1 where something is not confirmed, else with 2 where something could not
    be found out.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="[RECORD|DIR|GLOB ...]")] = ()
    """Records, folders of records, or patterns; none for this installation."""
    views: int | None = None
    """How many views of each record, spread evenly over them; 5 if not said."""
    all: bool = False
    """All views."""
    weights_dir: Path | None = None
    """A folder to look for LPIPS backbones first (else the environment variable NVS_EVAL_WEIGHTS)."""
    device: str = "auto"
    """What to compare with the CPU, without a record: auto, cpu, cuda, cuda:1, ..."""

    def run(self) -> int:
        """Print the results.

        Returns:
            0 if all is confirmed, 1 if something is wrong, else 2.

        Raises:
            InputError: there is no such record, or the only one cannot be verified.
        """
        if self.views is not None and (self.all or self.views < 1):
            raise InputError(
                f"--views is {self.views}{' beside --all' if self.all else ''}: say how many views, at least 1, or "
                "`--all` in its place."
            )
        if self.records:
            return self._verify_records()
        if self.views is not None or self.all:
            raise InputError("--views and --all are about a record, and none was named: `nvs-eval verify RECORD`.")
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

    results().print(*map(printable, lines), sep="\n", markup=False, soft_wrap=True)


def _put_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, if any, whose cells are folded, never cut. A table of the report would need nvs-eval's metrics."""
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
