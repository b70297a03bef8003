"""Layout of tables: the user's options, checked, with the files that they name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, quoted, unknown_name
from nvs_eval.records.groups import Contender
from nvs_eval.report.benchmarks import Published, Suite, load_published, load_suite
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.report.tables.published_rows import check_published

if TYPE_CHECKING:
    from nvs_eval.records.record import Record

Tied = Callable[[Sequence[Contender], Sequence[str], str], Collection[int]]
"""Returns the indices of the contenders that cannot be told from the best, over some scenes under a metric."""

# Significant decimals of a float64.
_MOST_DECIMALS = 15


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How records become tables.

    Attributes:
        options: the user's options, with `per_scene` replaced by its rows and columns.
        suite: suite whose scenes are shown; a mean needs all of them.
        published: published numbers to add as rows.
        decimals: number of decimals by key, or by the key up to the first underscore (default: the metric's).
        tied: test for numbers that cannot be told from the best, or None.

    Raises:
        InputError: options contradict each other.
    """

    options: TableOptions = field(default_factory=TableOptions)
    suite: Suite | None = None
    published: Sequence[Published] = ()
    decimals: Mapping[str, int] = field(default_factory=dict)
    tied: Tied | None = None

    def __post_init__(self) -> None:
        options = self.options
        if options.rows == "scene" and options.columns == "scene":
            raise InputError(
                "--rows and --columns must differ. Got scene for both. Use `--rows method` or `--columns metric`."
            )
        if self.tied is not None and options.mean == "views":
            raise InputError("--tied compares means over scenes. Got `--mean views`. Omit one of the two options.")
        if options.rows == "scene" and self.published:
            raise InputError(
                "--with-published must not be used with `--rows scene`, whose tables have a single method. Use "
                "`--rows method`."
            )


def layout_of(records: Sequence[Record], options: TableOptions, *, tied: Tied | None = None) -> Layout:
    """Return the layout of some records for the user's options.

    Args:
        records: records to show.
        options: the user's options.
        tied: test for numbers that cannot be told from the best (its statistics are not part of this package), or None.

    Raises:
        InputError: a name is unknown, or options contradict each other.
    """
    if options.per_scene:
        if options.rows == "scene" or options.columns != "metric":
            raise InputError(
                "--per-scene means `--rows method --columns scene`. Omit `--rows` and `--columns`, or `--per-scene`."
            )
        options = replace(options, per_scene=False, rows="method", columns="scene")
    chosen = _checked_decimals(options.decimals, records)
    published = [load_published(name) for name in options.with_published]
    if not options.allow_mixed:
        check_published(published, records)
    return Layout(
        options=options,
        suite=None if options.suite is None else _suite(options.suite, records),
        published=published,
        decimals=chosen,
        tied=tied,
    )


def _suite(name: str, records: Sequence[Record]) -> Suite:
    """Load a suite; one that has an index consists of the scenes of the records that were scored with it.

    Raises:
        InputError: the suite is unknown, or the records do not have all scenes of its index.
    """
    suite = load_suite(name).with_scenes_of(records)
    if suite.index is not None and not suite.is_whole:
        raise InputError(
            f"{suite.name} is the mean of the {suite.index.scenes} scenes of its evaluation index "
            f"({suite.index.source}). Got records of {len(suite.scenes)} of them. Score the others with `nvs-eval "
            "suite`, or omit `--suite`."
        )
    return suite


def _checked_decimals(option: Sequence[str] | Mapping[str, float], records: Sequence[Record]) -> dict[str, int]:
    """Check the numbers of decimals by metric, and return them."""
    chosen = option if isinstance(option, Mapping) else parse_pairs("--decimals", option)
    metrics = {metric for record in records for metric in record.metrics}
    plain = {metric.removeprefix("cc_") for metric in metrics}
    names = metrics | plain | {metric.partition("_")[0] for metric in plain}
    for name, value in chosen.items():
        if name not in names:
            raise unknown_name("metric of --decimals", str(name), names)
        if not isinstance(value, Real) or isinstance(value, bool) or value not in range(_MOST_DECIMALS + 1):
            number = f"{value:g}" if isinstance(value, Real) else repr(value)
            raise InputError(f"--decimals of {name} must be a whole number from 0 to {_MOST_DECIMALS}. Got {number}.")
    return {name: int(value) for name, value in chosen.items()}


def parse_pairs(option: str, words: Sequence[str]) -> dict[str, float]:
    """Parse numbers by metric, from words such as psnr=2.

    Args:
        option: name of the option, for errors.
        words: the words.

    Raises:
        InputError: a word is not METRIC=NUMBER, or a metric is named twice.
    """
    pairs: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise InputError(f"{option} needs METRIC=NUMBER, such as psnr=2. Got {quoted(word)}.")
        if name in pairs:
            raise InputError(f"{option} must name each metric once. Got {name} twice.")
        pairs[name] = value
    return pairs
