"""Curves as a table with sparklines, as sentences and as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from nvs_eval.errors import counted, listed, some
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.record import Record
from nvs_eval.report.curves import Curve, SceneCurves
from nvs_eval.report.tables.columns import number_columns, score_cell, table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals, metric_column, shown
from nvs_eval.report.writers.json import plain_value

_BLOCKS = "▁▂▃▄▅▆▇█"
_LEVEL, _INFINITE = "▄", "∞"
_MOST_STEPS, _MOST_NAMED, _MOST_DECIMALS = 12, 3, 8
_UNKNOWN, _WORSE = "?", "!"
_HOW = "improving until: the first step that no later one beats beyond the noise of the views (95 %)"


def curve_table(curves: SceneCurves) -> Table:
    """Return the table of a scene under a protocol, with a row per run and metric."""
    rows = curves.curves
    columns = [text_column("method", [curve.method for curve in rows])]
    if any(curve.run for curve in rows):
        columns.append(text_column("run", [curve.run or "" for curve in rows]))
    scores = {
        "first": [curve.values[0] for curve in rows],
        "last": [curve.values[-1] for curve in rows],
        "best": [curve.best_value for curve in rows],
    }
    digits = [_digits(curve) for curve in rows]
    headings = [metric_column(curve.metric, curve.info).heading for curve in rows]
    columns += [
        text_column("metric", headings),
        *(Column(name, cells=list(map(score_cell, values, digits))) for name, values in scores.items()),
        *number_columns("at step", [curve.best for curve in rows], "d"),
        Column("improving", numeric=False, cells=[_progress(curve) for curve in rows]),
        # Sparklines may be long: the last column does not shift others, and numeric columns are never folded.
        Column("curve", cells=[Cell(line := sparkline(curve.values), line) for curve in rows]),
    ]
    return table_from(
        f"{curves.scene}, {curves.split} views, over the steps",
        columns,
        notes=[*_steps_notes(rows), _HOW, *_progress_notes(rows), *curves.notes],
        caption=f"protocol {curves.protocol} ({curves.fingerprint})",
        shared={name: getattr(curves, name) for name in ("scene", "split", "protocol", "fingerprint")},
        signatures=[info.signature for info in curves.infos.values()],
    )


def _digits(curve: Curve) -> int:
    """Return the usual number of decimals, or as many as tell the last value from the best if the last is worse."""
    usual = decimals(curve.metric, curve.info)
    if curve.steps[-1] not in curve.worse:
        return usual
    ends = curve.best_value, curve.values[-1]
    return next((n for n in range(usual, _MOST_DECIMALS) if len({shown(end, n) for end in ends}) > 1), _MOST_DECIMALS)


def sparkline(values: Sequence[float]) -> str:
    """Return one character per value: blocks from the lowest to the highest finite value, ∞ for inf.

    Equal values are drawn at half height.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)

    def block(value: float) -> str:
        if not math.isfinite(value):
            return _INFINITE
        return _BLOCKS[round((value - low) / (high - low) * (len(_BLOCKS) - 1))] if high > low else _LEVEL

    return "".join(map(block, values))


def _progress(curve: Curve) -> Cell:
    """Return the step until which a curve improved, marked if it got worse afterwards."""
    if curve.stopped is None:
        return Cell(_UNKNOWN)
    text = "still" if curve.still_improving else f"until {curve.stopped}"
    return Cell(text, curve.stopped, mark=_WORSE if curve.worse else "")


def _progress_notes(curves: Sequence[Curve]) -> Iterator[str]:
    """Explain the marks of the column `improving`."""
    for why in dict.fromkeys(_why_unknown(curve) for curve in curves if curve.stopped is None):
        yield f"{_UNKNOWN} cannot be told {why}"
    worse: dict[str, list[str]] = {}
    for curve in curves:
        if curve.worse:
            steps = some(map(str, curve.worse), _MOST_NAMED)
            worse.setdefault(f"{curve.name}: worse after {curve.best} (at {steps})", []).append(
                about_of(curve.metric, curve.info).title
            )
    for where, metrics in worse.items():
        yield f"{_WORSE} {where} in {listed(metrics)}"


def _why_unknown(curve: Curve) -> str:
    finite = all(map(math.isfinite, curve.values))
    return f"with {counted(curve.views, 'view')}" if finite else "if a value is inf"


def _steps_notes(curves: Sequence[Curve]) -> Iterator[str]:
    """List the steps of the sparklines."""
    together: dict[tuple[int, ...], list[str]] = {}
    for curve in curves:
        together.setdefault(tuple(curve.steps), []).append(curve.name)
    if len(together) == 1:
        yield f"curve: one character per checkpoint, in the order of the steps: {_steps(curves[0].steps)}"
        return
    yield "curve: one character per checkpoint, in the order of the steps"
    for steps, names in together.items():
        yield f"steps of {some(dict.fromkeys(names), _MOST_NAMED)}: {_steps(steps)}"


def _steps(steps: Sequence[int]) -> str:
    if len(steps) <= _MOST_STEPS:
        return listed([str(step) for step in steps])
    return f"{len(steps)} from {steps[0]} to {steps[-1]}"


def left_out_notes(left_out: Sequence[Record]) -> Iterator[str]:
    """List the records that are not part of any curve, with the reason.

    Args:
        left_out: the records that `runs_of` returns as not used.
    """
    together: dict[tuple[str, str], list[str]] = {}
    for record in left_out:
        name = "/".join(filter(None, (record.scene, record.method, record.run)))
        why = "no step" if record.step is None else f"{record.step} is its only step"
        together.setdefault((name, why), []).append(record.protocol_title)
    for (name, why), protocols in together.items():
        yield f"{name} is skipped: {why} ({some(dict.fromkeys(protocols), _MOST_NAMED)})."


def to_plain(curves: SceneCurves) -> dict[str, Any]:
    """Return curves as plain JSON values in full precision. Infinity is "inf", as in a record."""
    return {
        "scene": curves.scene,
        "split": curves.split,
        "protocol": {"name": curves.protocol, "fingerprint": curves.fingerprint},
        "curves": [
            {
                "method": curve.method,
                "run": curve.run,
                "metric": curve.metric,
                "unit": curve.info.unit,
                "higher_is_better": curve.info.higher_is_better,
                "signature": curve.info.signature,
                "views": curve.views,
                "steps": list(curve.steps),
                "values": list(map(plain_value, curve.values)),
                "best": {"step": curve.best, "value": plain_value(curve.best_value)},
                "stopped_improving": None if curve.still_improving else curve.stopped,
                "still_improving": curve.still_improving,
                "worse_after_best": list(curve.worse),
            }
            for curve in curves.curves
        ],
    }
