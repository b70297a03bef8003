"""What the tests of `verify` share: small scenes, their records, and edits of these."""

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
    """Renders in `folder/ours` and references in `folder/gt`, of the pairs of these names."""
    for index, part in enumerate(("gt", "ours")):
        images = {name: torch.from_numpy(array_pairs()[name][index]) for name in names}
        write_images(folder / part, images, extension)
    return folder


def score(folder: Path, *texts: str, **how: Any) -> list[Path]:
    """The records of a scene's renders under these protocols."""
    return evaluated(folder, [protocol_of(text) for text in texts], **how)


def evaluated(folder: Path, protocols: Sequence[Protocol], **how: Any) -> list[Path]:
    """Likewise, with what `open_folders` takes."""
    (source,) = open_folders([folder / "ours"], reference=folder / "gt", **how)
    scorer = Scorer(protocols, torch.device("cpu"))
    records = evaluate(source, source.ids, scorer, Session(folder / "out"), provenance=source.provenance)
    files = [record_file(each, folder / "out") for each in records]
    assert len(files) == len(protocols)
    for file, each in zip(files, records, strict=True):
        write_record(file, each)
    return files


def change(file: Path, changed: Callable[[Record], Record]) -> None:
    """Edit a record, its means and all that follows from its rows with it."""
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
    return {metric: max(c.deviation for c in report.compared if c.metric == metric) for metric in metrics(report)}


def metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(each.metric for each in report.compared))


def write_masks(folder: Path, names: Sequence[str]) -> Path:
    masks = {}
    for name in names:
        masks[name] = torch.zeros(*array_pairs()[name][0].shape)
        masks[name][5:-9, 3:-11] = 1
        masks[name][9:12] = 0.6
    return write_images(folder / "masks", masks)


def edited(definition: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A definition with another value at a path such as "quantise.render"; without it if the value is `ABSENT`."""
    first, _, rest = path.partition(".")
    if value is ABSENT and not rest:
        return {key: item for key, item in definition.items() if key != first}
    return {**definition, first: edited(definition[first], rest, value) if rest else value}


ABSENT = object()


def with_definition(path: str, value: object, *, follows: bool = True) -> Callable[[Record], Record]:
    """A record with an edited definition, and the fingerprint of it or the one that it had."""

    def changed(record: Record) -> Record:
        protocol = {**record.protocol, "definition": edited(record.protocol["definition"], path, value)}
        fingerprint = fingerprint_of(replace(record, protocol=protocol)) if follows else record.fingerprint
        return replace(record, protocol={**protocol, "fingerprint": fingerprint})

    return changed


def nets_here() -> list[Net]:
    return [net for net in NETS if find_backbone(net).verified]
