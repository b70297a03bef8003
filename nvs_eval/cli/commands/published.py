"""`nvs-eval published`: list the sources of published numbers, or print the numbers of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from nvs_eval.report.benchmarks import Published
    from nvs_eval.report.tables.table import Table


@dataclass(frozen=True)
class PublishedCommand:
    """List sources of published numbers for tables, or show the numbers of one."""

    name: Annotated[Positional[str | None], arg(metavar="[NAME|FILE.yaml]")] = None
    """Source to show: a name or a YAML file (default: list all)."""

    def run(self) -> int:
        """Print the list or the numbers."""
        from nvs_eval.cli.console import put_tables
        from nvs_eval.report.benchmarks import load_published, named_published

        if self.name is None:
            put_tables([_list([load_published(name) for name in named_published()])])
        else:
            put_tables([_numbers(load_published(self.name))])
        return 0


def _list(sources: Sequence[Published]) -> Table:
    from nvs_eval.report.tables.columns import table_from, text_column

    columns = [
        text_column("name", [source.name for source in sources]),
        text_column("protocol", [source.protocol.name for source in sources]),
        text_column("suites", [", ".join(source.suites) for source in sources]),
    ]
    return table_from("published numbers", columns, notes=[], caption="`nvs-eval published NAME` shows the numbers")


def _numbers(published: Published) -> Table:
    from nvs_eval.metrics.registry import about_of
    from nvs_eval.report.tables.columns import table_from, text_column
    from nvs_eval.report.tables.table import Cell, metric_column

    rows = {**published.scores, **{f"mean of {suite}": means for suite, means in published.means.items()}}
    columns = [text_column("scene", rows)]
    for metric in published.metrics:
        numbers = [row.get(metric) for row in rows.values()]
        cells = [Cell("") if digits is None else Cell(digits, float(digits)) for digits in numbers]
        columns.append(metric_column(metric, about_of(metric), cells))
    steps = [f"{published.steps} steps"] if published.steps else []
    differs = [
        f"{about_of(metric).title} is not computed as the protocol defines: {reason}"
        for metric, reason in published.differs.items()
    ]
    return table_from(
        f"{published.title}: {published.source}",
        columns,
        notes=[*steps, *differs, *([published.note] if published.note else [])],
        caption=f"protocol {published.protocol.name} ({published.protocol.fingerprint})",
        means=len(published.means),
    )
