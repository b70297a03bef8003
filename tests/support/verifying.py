"""Shared parts of the tests of `verify`: small scenes, their records, and edits of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from support.pairs import array_pairs
from support.protocols import ALEX, protocol_of, variant
from support.scenes import write_images

from nvs_eval.diagnostics.verify.definition import fingerprint_of
from nvs_eval.diagnostics.verify.records import Report, verify
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.metrics.weights.pins import NETS, Net
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record, record_file, write_record
from nvs_eval.sources.folders import open_folders

LpipsOf = Callable[..., Lpips]
PAIRS = ("photograph and noise", "photograph and its blur", "odd sizes", "low contrast", "white background", "dark")
FLAT = ("flat and noise", "flat and flat")
FIVE = variant(
    metrics={
        "lpips_alex": ALEX,
        "mae": {},
        "mipnerf_average": {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_alex"},
    }
)
"""A protocol of five metrics."""


def write_scene(folder: Path, names: Sequence[str] = PAIRS, extension: Literal["png", "npy"] = "png") -> Path:
    """Write the renders of some pairs to `folder/ours`, and their references to `folder/gt`."""
    for index, part in enumerate(("gt", "ours")):
        images = {name: torch.from_numpy(array_pairs()[name][index]) for name in names}
        write_images(folder / part, images, extension)
    return folder


def score(folder: Path, *texts: str, **options: Any) -> list[Path]:
    """Score the renders of a scene under protocols given as text, and return the files of the records."""
    return evaluated(folder, [protocol_of(text) for text in texts], **options)


def evaluated(folder: Path, protocols: Sequence[Protocol], **options: Any) -> list[Path]:
    """Score the renders of a scene under protocols, and return the files of the records.

    Args:
        folder: folder of the scene.
        protocols: protocols to score under.
        options: options of `open_folders`.
    """
    (source,) = open_folders([folder / "ours"], reference=folder / "gt", **options)
    scorer = Scorer(protocols, torch.device("cpu"))
    records = evaluate(source, source.ids, scorer, Session(folder / "out"), provenance=source.provenance)
    files = [record_file(record, folder / "out") for record in records]
    assert len(files) == len(protocols)
    for file, record in zip(files, records, strict=True):
        write_record(file, record)
    return files


def change(file: Path, changed: Callable[[Record], Record]) -> None:
    """Edit a record and write it, with the means and hashes of its new rows."""
    write_record(file, changed(read_record(file)))


def with_score(metric: str, value: float, view: int = 0) -> Callable[[Record], Record]:
    def changed(record: Record) -> Record:
        rows = list(record.views)
        rows[view] = replace(rows[view], scores={**rows[view].scores, metric: value})
        return replace(record, views=rows)

    return changed


def verified(file: Path) -> Report:
    (report,) = verify(file, views=None)
    return report


def deviations(report: Report) -> Mapping[str, float]:
    """Return the largest deviation of each metric."""
    return {metric: max(c.deviation for c in report.compared if c.metric == metric) for metric in metrics(report)}


def metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(comparison.metric for comparison in report.compared))


def write_masks(folder: Path, names: Sequence[str]) -> Path:
    masks = {}
    for name in names:
        masks[name] = torch.zeros(*array_pairs()[name][0].shape)
        masks[name][5:-9, 3:-11] = 1
        masks[name][9:12] = 0.6
    return write_images(folder / "masks", masks)


def edited(definition: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a definition with a new value at a path such as "quantise.render". `ABSENT` removes the field."""
    first, _, rest = path.partition(".")
    if value is ABSENT and not rest:
        return {key: item for key, item in definition.items() if key != first}
    return {**definition, first: edited(definition[first], rest, value) if rest else value}


ABSENT = object()


def with_definition(path: str, value: object, *, follows: bool = True) -> Callable[[Record], Record]:
    """Return an edit of a record's definition. With `follows`, the fingerprint is updated."""

    def changed(record: Record) -> Record:
        protocol = {**record.protocol, "definition": edited(record.protocol["definition"], path, value)}
        fingerprint = fingerprint_of(replace(record, protocol=protocol)) if follows else record.fingerprint
        return replace(record, protocol={**protocol, "fingerprint": fingerprint})

    return changed


def nets_here() -> list[Net]:
    """Return the nets whose pretrained weights are on this machine."""
    return [net for net in NETS if find_backbone(net).verified]
