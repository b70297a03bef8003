"""Scenes of the page as plain data, which its scripts read: columns, protocols, tables, scores and pictures.

Two entries come from the diagnosis of errors, and are None without it:

    causes of a column      {"words": [sentence, ...], "views": {view: {"words": [sentence, ...]}}}
    nearest of a view       {"distance": of the nearest training camera, in units of the scene, "angle": in degrees}
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, printable
from nvs_eval.metrics.registry import label_of
from nvs_eval.records.causes import read_causes
from nvs_eval.records.record import Record
from nvs_eval.report.page.groups import Column, SceneGroup
from nvs_eval.report.tables.columns import COUNTS
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.table import PUBLISHED, Table, decimals
from nvs_eval.report.tables.tables import tables_of

_LONG = ("kept_sha256", "reference_copies", "left_out_masks", "left_out", "failed")
"""Entries of the provenance by view, which the page does not repeat."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of a scene, as the page names them.

    Attributes:
        references: identifier of the reference of each view.
        renders: identifier of the render of each view and column.
        images: facts of each image, by identifier.
        problems: sentences on what is missing or changed, by view.
        maps: maps of the renders.
        messages: sentences on the whole scene.
        is_complete: whether all images that records name exist and are those that were scored.
    """

    references: Mapping[str, str] = field(default_factory=dict)
    renders: Mapping[tuple[str, int], str] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    maps: Sequence[Mapping[str, Any]] = ()
    messages: Sequence[str] = ()
    is_complete: bool = True


def scene_data(
    scene: SceneGroup,
    layout: Layout,
    pictures: Pictures,
    *,
    views: Sequence[str],
    table_html: Callable[[Table, Sequence[int | None]], str],
    words: Mapping[str, Mapping[str, Sequence[str]]],
    folder: Path,
) -> dict[str, Any]:
    """Return the data of a scene as JSON values.

    Args:
        scene: the results of the scene.
        layout: layout of its tables.
        pictures: its pictures.
        views: names of the views to list.
        table_html: writes a table, whose rows refer to columns by index.
        words: sentences of each comparison, by fingerprint and pair of columns.
        folder: folder of the page, to which the paths of the records are relative.
    """
    names = _distinct(views)
    return {
        "name": printable(scene.name),
        "split": printable(scene.split),
        "protocols": [
            {
                "name": records[0].protocol_title,
                "fingerprint": fingerprint,
                "definition": records[0].protocol["definition"],
                "metrics": list(_metrics(records, layout)),
                "table_html": "".join(_tables(scene, records, layout, table_html)),
                "compare": words.get(fingerprint, {}),
            }
            for fingerprint, records in scene.protocols.items()
        ],
        "columns": [_column(column, folder, names) for column in scene.columns],
        "views": [_view(scene, name, shown, pictures) for name, shown in names.items()],
        "images": pictures.images,
        "maps": pictures.maps,
        "messages": list(pictures.messages),
    }


def _metrics(records: Sequence[Record], layout: Layout) -> Iterable[dict[str, Any]]:
    infos = {name: info for record in reversed(records) for name, info in record.metrics.items()}
    for name in dict.fromkeys(name for record in records for name in record.metrics):
        info = infos[name]
        yield {
            "key": name,
            "title": printable(label_of(name, info)),
            "unit": printable(info.unit),
            "higher_is_better": info.higher_is_better,
            "decimals": decimals(name, info, layout.decimals),
            "signature": printable(info.signature),
        }


def _tables(
    scene: SceneGroup,
    records: Sequence[Record],
    layout: Layout,
    table_html: Callable[[Table, Sequence[int | None]], str],
) -> Iterable[str]:
    """Yield the tables of a protocol. Rows of published numbers have no column."""
    places = {_key(c.id.method, c.id.run, c.id.step_name or c.id.step): i for i, c in enumerate(scene.columns)}
    for table in tables_of(records, layout):
        names = {column.name: place for place, column in enumerate(table.columns[: table.identity])}
        rows = [{name: row[place] for name, place in names.items()} for row in table.rows]
        keys = [
            _key(*(cells[name].value if name in cells else None for name in ("method", "run", "step")))
            for cells in rows
        ]
        marks = [cells["method"].mark for cells in rows]
        yield table_html(table, [None if PUBLISHED in m else places.get(k) for k, m in zip(keys, marks, strict=True)])


def _key(method: object, run: object, step: object) -> tuple[str, str, str]:
    return str(method), "" if run is None else str(run), "" if step is None else str(step)


def _column(column: Column, folder: Path, names: Mapping[str, str]) -> dict[str, Any]:
    records = [record for _, record in column.records]
    provenance = {key: _plain(value) for key, value in column.record.provenance.items() if key not in _LONG}
    return {
        "name": column.name,
        "method": printable(column.id.method),
        "run": column.id.run and printable(column.id.run),
        "step": column.id.step,
        "step_name": column.id.step_name and printable(column.id.step_name),
        "published": False,
        "seconds_per_view": COUNTS["s/view"][0](records[:1]),
        "gb": COUNTS["GB"][0](records[:1]),
        "size_bytes": None,
        "train_seconds": None,
        "provenance": provenance,
        "kept": column.record.provenance.get("kept_renders"),
        "record": printable(os.path.relpath(column.file, folder)),
        "causes": _causes(column, names),
    }


def _causes(column: Column, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what `diagnose` found for the first record that has a file of it, or why the file cannot be read."""
    for file, record in column.records:
        try:
            causes = read_causes(file, record)
        except InputError as error:
            return {"words": [printable(str(error))], "views": {}}
        if causes is not None:
            views = {names[name]: _words(view.words) for name, view in causes.views.items() if name in names}
            return {**_words(causes.words), "views": views}
    return None


def _words(sentences: Sequence[str]) -> dict[str, Any]:
    return {"words": [printable(sentence) for sentence in sentences]}


def _plain(value: Any) -> Any:
    """Return an entry of the provenance, which anyone can edit, as JSON values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"


def _distinct(names: Sequence[str]) -> dict[str, str]:
    """Return what the page calls each view. Names that differ only in control characters may look like others."""
    shown: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        text = printable(name)
        candidates = itertools.chain([text], (f"{text} ({number})" for number in itertools.count(2)))
        shown[name] = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(shown[name])
    return shown


def _view(scene: SceneGroup, name: str, shown: str, pictures: Pictures) -> dict[str, Any]:
    rows = [column.rows.get(name) for column in scene.columns]
    given = [one[1] for one in rows if one is not None]
    return {
        "name": shown,
        "width": given[0].width,
        "height": given[0].height,
        "reference": pictures.references.get(name),
        "renders": [pictures.renders.get((name, place)) for place in range(len(rows))],
        "seconds": [None if one is None else one[1].render_seconds for one in rows],
        "coverage": next((row.coverage for row in given if row.coverage is not None), None),
        "nearest": None,
        "scores": {
            fingerprint: {
                metric: [_score(scores, name, metric) for scores in scene.scores[fingerprint]]
                for metric in dict.fromkeys(metric for record in records for metric in record.metrics)
            }
            for fingerprint, records in scene.protocols.items()
        },
        "problems": list(pictures.problems.get(name, ())),
    }


def _score(scores: Mapping[str, Mapping[str, float]], view: str, metric: str) -> float | str | None:
    value = scores.get(view, {}).get(metric)
    return None if value is None else _number(value)
