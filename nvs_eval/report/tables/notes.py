"""Notes below tables: remarks on some of the rows, as sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from nvs_eval.errors import counted, listed, some
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.comparable import rasteriser_of
from nvs_eval.records.groups import last_steps
from nvs_eval.records.joint import Joint
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.blocks import Block
from nvs_eval.report.tables.published_rows import PublishedRow, Row, published_notes
from nvs_eval.report.tables.table import ODD, PARTIAL

_MOST_NAMED = 3


def notes_of(block: Block, rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[str]:
    """Yield the notes of a table with some rows and metrics of a block."""
    records = [record for row in rows for record in row.records_of(block.scenes)]
    yield from _odd_notes(block)
    yield from joint_notes(block.joint, block.infos, shown=metrics)
    published = [row for row in rows if isinstance(row, PublishedRow)]
    published.sort(key=lambda row: block.layout.published.index(row.published))
    yield from published_notes(published, metrics)
    if not block.ranks(rows):
        yield "Not all rows are comparable, so none is ranked."
    if block.several:
        yield from _missing_notes(block, rows, metrics)
    yield from left_out_notes(records)
    yield from infinite_notes(records, metrics)
    yield from _rasteriser_notes(rows, block.scenes)
    yield from _mask_notes(records)
    yield from _step_notes(block, rows)
    for row in rows:
        counts = {len(row.records_of([scene])) for scene in block.scenes} - {0}
        if max(counts, default=1) > 1:
            yield f"{row.name}: mean of {' or '.join(map(str, sorted(counts)))} runs per scene"


_NEUTRAL = {
    "alpha": "no image has alpha",
    "range": "all values are in [0, 1]",
    "q-reference": "the references have 8-bit levels",
    "q-render": "the renders have 8-bit levels",
    "mask": "there are no masks",
    "clamps": "no window of SSIM is clamped",
}


def joint_notes(group: Joint, infos: Mapping[str, MetricInfo], *, shown: Collection[str]) -> Iterator[str]:
    """State which columns have values of several signatures that are the same number, and which protocols are apart.

    Args:
        group: records that share a table or a comparison.
        infos: facts of the columns, by key.
        shown: keys of the columns that are shown.
    """
    for (protocols, steps), keys in group.unified.items():
        if titles := [about_of(key, infos[key]).title for key in keys if key in shown]:
            verb = "is" if len(titles) == 1 else "are"
            under = f" under {listed(protocols)}" if len(protocols) > 1 else ""
            why = listed([_NEUTRAL[step] for step in steps])
            yield f"{listed(titles)} {verb} one number{under} here: {why}"
    for (protocol, other), why in group.apart.items():
        yield f"{other} is apart from {protocol}, with which it has numbers in common: {why}"


def _odd_notes(block: Block) -> Iterator[str]:
    """Name the records that are not comparable with most of their scene, with the reason."""
    names_of: dict[tuple[str, str, str], list[str]] = {}
    for record, usual, difference in block.odd.values():
        scene = f"{record.scene}: " if block.several else ""
        names_of.setdefault((scene, difference, usual.id.name), []).append(record.id.name)
    for (scene, difference, usual), names in names_of.items():
        yield f"{ODD} {scene}{', '.join(dict.fromkeys(names))}: not comparable with {usual}: {difference}"


def _missing_notes(block: Block, rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[str]:
    """Name the rows without a mean and the missing scenes, with the metrics if only some have no mean."""
    names_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, row in {row.name: row for row in rows}.items():
        without = [m for m in metrics if row.mean(m, block.scenes, block.layout.options.mean) is None and row.has(m)]
        scenes_of = {m: tuple(scene for scene in block.scenes if row.mean(m, [scene]) is None) for m in without}
        missing = {metric: scenes for metric, scenes in scenes_of.items() if scenes}
        for scenes in dict.fromkeys(missing.values()):
            lacking = [metric for metric in missing if missing[metric] == scenes]
            titles = [about_of(metric, block.infos[metric]).title for metric in lacking]
            of_metrics = "" if lacking == list(metrics) else f" of {listed(titles)}"
            names_of.setdefault((of_metrics, scenes), []).append(name)
    for (of_metrics, scenes), names in names_of.items():
        verb = "is" if len(scenes) == 1 else "are"
        yield f"{', '.join(names)}: no mean{of_metrics}, because {some(scenes)} {verb} missing"


def left_out_notes(records: Sequence[Record], name: str = "") -> Iterator[str]:
    """Name the records that lack views, with the reasons, and with the names of the results if not all share them.

    Args:
        records: records of a table.
        name: name of all these records, or "".
    """
    reasons = [_left_out(record) for record in records]
    for reason in dict.fromkeys(filter(None, reasons)):
        concerned = [record for record, why in zip(records, reasons, strict=True) if why == reason]
        mark = f"{PARTIAL} " if concerned[0].is_part else ""
        names = name if len(concerned) == len(records) else ", ".join(_names(concerned, records))
        yield f"{mark}{names and f'{names}: '}{reason}"


def infinite_notes(records: Sequence[Record], metrics: Sequence[str]) -> Iterator[str]:
    """Name the views whose score is infinite, which makes a mean infinite."""
    for record in records:
        for metric in metrics:
            if views := [row.name for row in record.views if row.scores.get(metric) == math.inf]:
                owner = f"{_name(record, records)}: " if len(records) > 1 else ""
                verb = "equals its reference" if len(views) == 1 else "equal their references"
                noun = "view" if len(views) == 1 else "views"
                yield f"{owner}{about_of(metric, record.metrics[metric]).title} is inf: {noun} {some(views)} {verb}"


def _left_out(record: Record) -> str:
    """Return which views a record lacks and why; "" for none."""
    reasons = Counter(record.left_out.values())
    parts = [f"{counted(count, 'view')} skipped: {reason}" for reason, count in reasons.items()]
    if record.failed:
        parts.append(f"{counted(len(record.failed), 'view')} failed: {some(record.failed, _MOST_NAMED)}")
    if not record.is_part:
        return "; ".join(parts)
    count, total = len(record.views), len(record.views) + len(record.left_out) + len(record.failed)
    noun = "selected view" if record.selection and not record.left_out else "view"
    which = f"{count} of {counted(total, noun)}" if parts else f"only {counted(count, noun)}"
    return "; ".join([which, *parts])


def _rasteriser_notes(rows: Sequence[Row], scenes: Sequence[str]) -> Iterator[str]:
    """State the rasteriser of splats, with the names of the rows if not all have the same."""
    names_of: dict[str, dict[str, None]] = {}
    for row in rows:
        for record in row.records_of(scenes):
            if signature := rasteriser_of(record):
                names_of.setdefault(signature, {})[row.name] = None
    for signature, names in names_of.items():
        whose = "" if len(names) == len({row.name for row in rows}) else f"{', '.join(names)}: "
        yield f"{whose}{signature}"


def _mask_notes(records: Sequence[Record]) -> Iterator[str]:
    """Name the masks that came with renders but were not used, although they would change the scores."""
    for record in records:
        if isinstance(masks := record.provenance.get("masks_not_used"), str):
            yield f"{_name(record, records)}: the masks of the renders ({masks}) were not used"


def _names(some_records: Sequence[Record], records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(_name(record, records) for record in some_records))


def _name(record: Record, records: Sequence[Record]) -> str:
    several = len({other.scene for other in records}) > 1
    return f"{record.scene}, {record.id.name}" if several else record.id.name


def _step_notes(block: Block, rows: Sequence[Row]) -> Iterator[str]:
    """Count earlier checkpoints, which are not shown, and name the rows that mix steps."""
    if block.layout.options.rows == "checkpoint":
        return
    if earlier := len(block.records) - len(last_steps(block.records)):
        yield f"Last checkpoint of each run; {counted(earlier, 'earlier one')} not shown."
    for row in rows:
        steps = {record.step for record in row.records_of(block.scenes) if record.step is not None}
        if len(steps) > 1:
            yield f"{row.name}: different steps, {some(map(str, sorted(steps)))}"
