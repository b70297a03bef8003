"""`nvs-eval published`: the published numbers that tables can be held against, or those of one source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nvs_eval.report.benchmarks import Published
    from nvs_eval.report.tables.table import Table


@dataclass(frozen=True)
class PublishedCommand:
    """List the published numbers for `nvs-eval table --with-published`, or show those of one source."""

    name: Annotated[Positional[str | None], arg(metavar="NAME|FILE.yaml")] = None
    """One of them, or a YAML file of your own."""

    def run(self) -> int:
        """Print the list, or the one."""
        from nvs_eval.cli.console import results
        from nvs_eval.report.benchmarks import load_published, named_published
        from nvs_eval.report.writers.text import print_text

        if self.name is None:
            print_text(_list([load_published(name) for name in named_published()]), results())
        else:
            print_text(_numbers(load_published(self.name)), results())
        return 0


def _list(found: Sequence[Published]) -> Table:
    from nvs_eval.report.tables.columns import table_from, text_column

    columns = [
        text_column("name", [each.name for each in found]),
        text_column("protocol", [each.protocol.name for each in found]),
        text_column("suites", [", ".join(each.suites) for each in found]),
    ]
    return table_from("published numbers", columns, notes=[], caption="`nvs-eval published NAME` shows one")


def _numbers(published: Published) -> Table:
    from nvs_eval.report.tables.columns import table_from, text_column
    from nvs_eval.report.tables.table import Cell, Column

    rows = {**published.scores, **{f"mean of {suite}": means for suite, means in published.means.items()}}
    columns = [text_column("scene", rows)]
    for metric in published.metrics:
        numbers = [row.get(metric) for row in rows.values()]
        cells = [Cell("") if digits is None else Cell(digits, float(digits)) for digits in numbers]
        columns.append(Column(metric, cells=cells))
    steps = [f"{published.steps} steps"] if published.steps else []
    differs = [f"{metric} is not that of the protocol: {reason}" for metric, reason in published.differs.items()]
    return table_from(
        f"{published.title}: {published.source}",
        columns,
        notes=[*steps, *differs, *([published.note] if published.note else [])],
        caption=f"protocol {published.protocol.name} ({published.protocol.fingerprint})",
        means=len(published.means),
    )
