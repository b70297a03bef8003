"""The loop: every view of a source, under every protocol, into one record a column and protocol."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nvs_eval.errors import InputError
from nvs_eval.images import sha256_of_image
from nvs_eval.records import MetricInfo, Record, ViewRow, record_folder
from nvs_eval.scorer import Scorer
from nvs_eval.views import Column, Source, View

_PACKAGES = ("torch", "torchvision", "numpy", "lpips", "imageio", "nerfstudio")


@dataclass(frozen=True)
class Session:
    """What every record of one command has in common.

    Attributes:
        output_dir: where records are written; the paths in them are relative to where they will lie.
        command: as the user gave it.
        started: when.
        clock: the monotonic time at the start, in seconds.
    """

    output_dir: Path
    command: tuple[str, ...] = ()
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    clock: float = field(default_factory=time.monotonic)


def evaluate(
    source: Source, scorer: Scorer, session: Session, *, on_view: Callable[[View], None] = lambda view: None
) -> list[Record]:
    """Score every view of a source and make the records, one a column and protocol.

    Args:
        source: yields the views; a list of views with `columns` will do.
        scorer: scores them.
        session: what the records have in common.
        on_view: is told each view when it is scored.

    Raises:
        InputError: as the source and the scorer; or there is no view, or one lacks a render.
    """
    rows: list[list[list[ViewRow]]] = [[[] for _ in source.columns] for _ in scorer.protocols]
    for view in source:
        if len(view.renders) != len(source.columns):
            raise InputError(
                f"View {view.name!r} has {len(view.renders)} renders, and one for each of the {len(source.columns)} "
                "columns is needed."
            )
        reference_sha256 = sha256_of_image(view.reference)
        for protocol_rows, scores in zip(rows, scorer.score(view), strict=True):
            for index, column in enumerate(source.columns):
                folder = record_folder(session.output_dir, column.scene, column.method, column.run, column.step)
                own = {name: values[index] for name, values in scores.items()}
                protocol_rows[index].append(_row(view, index, own, reference_sha256, folder))
        on_view(view)
    if rows and not any(rows[0]):
        raise InputError("There is no view to score: a mean over nothing is no score.")
    return [
        _record(scorer, which, column, rows[which][index], session)
        for index, column in enumerate(source.columns)
        for which in range(len(scorer.protocols))
    ]


def _row(view: View, index: int, scores: Mapping[str, float], reference_sha256: str, folder: Path) -> ViewRow:
    render = view.renders[index]
    height, width = view.reference.shape[:2]
    return ViewRow(
        name=view.name,
        width=width,
        height=height,
        scores=scores,
        render_seconds=render.seconds,
        render=relative_path(render.file, folder),
        reference=relative_path(view.reference_file, folder),
        reference_sha256=reference_sha256,
        coverage=None if view.mask is None else float(view.mask.mean()),
    )


def relative_path(file: Path | None, folder: Path) -> str | None:
    """A file's path from a folder, with forward slashes; None for no file."""
    return None if file is None else Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()


def _record(scorer: Scorer, which: int, column: Column, rows: list[ViewRow], session: Session) -> Record:
    protocol = scorer.protocols[which]
    return Record(
        scene=column.scene,
        method=column.method,
        run=column.run,
        step=column.step,
        split=column.split,
        protocol={"name": protocol.name, "definition": protocol.definition, "fingerprint": protocol.fingerprint},
        metrics={
            d.name: MetricInfo(d.unit, d.higher_is_better, protocol.signatures[d.name]) for d in protocol.descriptions
        },
        views=rows,
        provenance=_provenance(scorer, column, session),
    )


def _provenance(scorer: Scorer, column: Column, session: Session) -> dict[str, Any]:
    return {
        "nvs_eval": version("nvs-eval"),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": device_name(scorer.device),
        "command": list(session.command),
        "started": session.started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - session.clock, 3),
        "checkpoint_sha256": None,
        "config_sha256": None,
        **column.provenance,
        "weights": dict(scorer.weights),
        "tf32": False,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def device_name(device: torch.device) -> str:
    """What a user calls a device: "cpu", or the name of the graphics card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
