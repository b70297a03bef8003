"""The layout of tables: the options of a user, checked, and what they name loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.records.groups import Contender
from nvs_eval.report.benchmarks import Published, Suite, load_published, load_suite
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.report.tables.published_rows import check_published

if TYPE_CHECKING:
    from nvs_eval.records.record import Record

Tied = Callable[[Sequence[Contender], Sequence[str], str], Collection[int]]
"""Says which of some contenders cannot be told from the best over some scenes under a metric, by their places."""

# A float64 has no more.
_MOST_DECIMALS = 15


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How records become tables.

    Attributes:
        options: as they were given; rows and columns are those to lay out, `per_scene` is among them.
        suite: of whose scenes the tables are; a mean needs all of them.
        published: numbers of others to add as rows.
        decimals: of metrics, by key or by the key up to the first underscore; the metric's own where there is none.
        tied: marks what cannot be told from the best; or None.

    Raises:
        InputError: its choices do not go together.
    """

    options: TableOptions = field(default_factory=TableOptions)
    suite: Suite | None = None
    published: Sequence[Published] = ()
    decimals: Mapping[str, int] = field(default_factory=dict)
    tied: Tied | None = None

    def __post_init__(self) -> None:
        options = self.options
        if options.rows == "scene" and options.columns == "scene":
            raise InputError("Rows and columns are both scenes: say `--rows method`, or `--columns metric`.")
        if self.tied is not None and options.mean == "views":
            raise InputError("What is tied is told by the mean over scenes: leave `--tied` out, or `--mean views`.")
        if options.rows == "scene" and self.published:
            raise InputError("A table with a row a scene is of one method: published numbers need `--rows method`.")


def layout_of(records: Sequence[Record], options: TableOptions, *, tied: Tied | None = None) -> Layout:
    """The layout of some records by a user's options.

    Args:
        records: those that are shown.
        options: as they were given.
        tied: tells contenders from the best, if ties are to be marked: the statistics lie beyond this room.

    Raises:
        InputError: something that was named is not there, or the choices do not go together.
    """
    if options.per_scene:
        if options.rows == "scene" or options.columns != "metric":
            raise InputError("--per-scene is `--rows method --columns scene`: leave those out, or it.")
        options = replace(options, per_scene=False, rows="method", columns="scene")
    chosen = _checked_decimals(options.decimals, records)
    published = [load_published(name) for name in options.with_published]
    if not options.allow_mixed:
        check_published(published, records)
    return Layout(
        options=options,
        suite=None if options.suite is None else load_suite(options.suite),
        published=published,
        decimals=chosen,
        tied=tied,
    )


def _checked_decimals(given: Sequence[str] | Mapping[str, float], records: Sequence[Record]) -> dict[str, int]:
    """How many decimals metrics are shown with."""
    chosen = given if isinstance(given, Mapping) else parse_pairs("--decimals", given)
    metrics = {metric for record in records for metric in record.metrics}
    plain = {metric.removeprefix("cc_") for metric in metrics}
    names = metrics | plain | {metric.partition("_")[0] for metric in plain}
    for name, value in chosen.items():
        if name not in names:
            raise unknown_name("metric of --decimals", str(name), names)
        if not isinstance(value, Real) or isinstance(value, bool) or value not in range(_MOST_DECIMALS + 1):
            number = f"{value:g}" if isinstance(value, Real) else repr(value)
            raise InputError(
                f"--decimals of {name} is {number}, and a whole number from 0 to {_MOST_DECIMALS} is needed."
            )
    return {name: int(value) for name, value in chosen.items()}


def parse_pairs(option: str, words: Sequence[str]) -> dict[str, float]:
    """Numbers of metrics, from words such as psnr=2.

    Args:
        option: what they were given to, for the message.
        words: as they were given.

    Raises:
        InputError: a word is none such, or there are two of one metric.
    """
    pairs: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise InputError(f"{option} was given {word!r}, and a metric and a number are needed, such as psnr=2.")
        if name in pairs:
            raise InputError(f"{option} names {name} twice.")
        pairs[name] = value
    return pairs
