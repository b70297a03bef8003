"""The options of commands that show tables: what stands in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError, unknown_name

if TYPE_CHECKING:
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.layout import Layout


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """What tables show."""

    rows: Literal["checkpoint", "method", "scene"] = "checkpoint"
    """A row a checkpoint; a method (the last checkpoint of each run), averaged over scenes; or a scene."""
    columns: Literal["metric", "scene"] = "metric"
    """A column a metric; or a scene, in a table a metric."""
    per_scene: bool = False
    """The tables of a supplement: one a metric, a row a method, a column a scene, the mean last."""
    metrics: tuple[str, ...] = ()
    """Which, in this order: metrics, and views, coverage, s/view, GB. Else all."""
    protocol: tuple[str, ...] = ()
    """Only records of these protocols, by name or fingerprint."""
    runs: Literal["each", "mean"] = "each"
    """Of several runs of a method in a scene: a row each, or seeds of which the mean counts."""
    mean: Literal["scenes", "views"] = "scenes"
    """Whether a mean over several scenes is one of the scenes' means, or one of all their views."""
    sort: str | None = None
    """Sort the rows by a metric, the best first, or by `method`."""
    decimals: tuple[str, ...] = ()
    """Of metrics: psnr=2 ssim=4 lpips=3."""
    suite: str | None = None
    """A benchmark, such as mipnerf360, or a YAML file: of whose scenes the tables are; a mean needs them all."""
    with_published: tuple[str, ...] = ()
    """Published numbers to add as rows, such as 3dgs (`nvs-eval published` lists them), or YAML files."""
    tied: bool = False
    """Mark what cannot be told from the best with the views there are."""
    allow_mixed: bool = False
    """Also print rows that may not be compared, scored on other views, references or masks, or published under other
    protocols: marked, none the best."""

    def layout(self, records: Sequence[Record]) -> Layout:
        """What was chosen, checked.

        Args:
            records: that are shown.

        Raises:
            InputError: something that was named is not there, or the choices do not go together.
        """
        from nvs_eval.report.tables.choices import layout_of

        return layout_of(
            records,
            rows=self.rows,
            columns=self.columns,
            per_scene=self.per_scene,
            metrics=self.metrics,
            runs=self.runs,
            mean=self.mean,
            sort=self.sort,
            decimals=parse_pairs("--decimals", self.decimals),
            suite=self.suite,
            with_published=self.with_published,
            tied=self.tied,
            allow_mixed=self.allow_mixed,
        )


def of_protocols(found: Sequence[tuple[Path, Record]], protocols: Sequence[str]) -> list[tuple[Path, Record]]:
    """The records of some protocols, by name or fingerprint, with their files; all if none is named.

    Raises:
        InputError: there is none of one of them.
    """
    known = [(record.protocol["name"], record.protocol_title, record.fingerprint) for _, record in found]
    for name in protocols:
        if not any(name in each for each in known):
            raise unknown_name("protocol of the records", name, {name for each in known for name in each})
    if not protocols:
        return list(found)
    return [each for each, names in zip(found, known, strict=True) if set(names) & set(protocols)]


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
