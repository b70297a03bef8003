"""The loop: every view of a source, under every protocol, into one record a column and protocol."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nvs_eval.errors import InputError
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.evaluation.view_rows import Rows
from nvs_eval.metrics.lpips.precision import products
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record, ViewRow, record_folder
from nvs_eval.sources.views import Column, Source, View

_PACKAGES = ("torch", "torchvision", "numpy", "lpips", "imageio", "nerfstudio")


Refusal = Callable[[Protocol, InputError], None]
"""Is told what a protocol cannot score."""


def _raise(_: Protocol, error: InputError) -> None:
    raise error


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
    source: Source,
    scorer: Scorer,
    session: Session,
    *,
    on_view: Callable[[View], None] = lambda view: None,
    on_refusal: Refusal = _raise,
) -> list[Record]:
    """Score every view of a source and make the records, one a column and protocol.

    A view whose mask is empty is left out, and the record says so.

    Args:
        source: yields the views; a list of views with `columns` will do.
        scorer: scores them.
        session: what the records have in common.
        on_view: is told each view when it is scored.
        on_refusal: is told what a protocol cannot score, once; if it does not raise, there is no record of that
            protocol.

    Raises:
        InputError: as the source and the scorer; or there is no view, or one lacks a render.
    """
    results = [_Result(which, [[] for _ in source.columns]) for which in range(len(scorer.protocols))]
    with ThreadPoolExecutor(1) as background:
        for view, there in on_device(source, scorer.device):
            made = Rows(view, background)
            _add_view(results, made, source.columns, there, scorer, session=session, on_refusal=on_refusal)
            on_view(view)
    for result in results:
        if not result.refused and not any(result.rows):
            _refuse_nothing(scorer.protocols[result.protocol], result, on_refusal)
    return [
        _record(scorer, result, index, source.columns[index], session)
        for index in range(len(source.columns))
        for result in results
        if not result.refused
    ]


@dataclass
class _Result:
    """What came of one protocol: the rows of each column, and of the views that were left out why and their masks."""

    protocol: int
    rows: list[list[ViewRow]]
    left_out: dict[str, str] = field(default_factory=dict)
    left_out_masks: dict[str, str | None] = field(default_factory=dict)
    refused: bool = False


def _add_view(
    results: Sequence[_Result],
    made: Rows,
    columns: Sequence[Column],
    there: View,
    scorer: Scorer,
    *,
    session: Session,
    on_refusal: Refusal,
) -> None:
    """Score a view where it lies, and add what came of it to each protocol's result."""
    view = made.view
    if len(view.renders) != len(columns):
        raise InputError(
            f"View {view.name!r} has {len(view.renders)} renders, and one for each of the {len(columns)} columns is "
            "needed."
        )
    for result, outcome in zip(results, scorer.outcomes(there), strict=True):
        protocol = scorer.protocols[result.protocol]
        if result.refused:
            continue
        if isinstance(outcome.error, EmptyMask):
            result.left_out[view.name] = str(outcome.error)
            result.left_out_masks[view.name] = made.mask_sha256
        elif outcome.error is not None:
            on_refusal(protocol, outcome.error)
            result.refused = True
        else:
            for index, column in enumerate(columns):
                folder = record_folder(session.output_dir, column.scene, column.method, column.run, column.step)
                result.rows[index].append(made.row(index, outcome, alpha=protocol.alpha, folder=folder))


def _refuse_nothing(protocol: Protocol, result: _Result, on_refusal: Refusal) -> None:
    why = f": {next(iter(result.left_out.values()))}" if result.left_out else "."
    on_refusal(protocol, InputError(f"There is no view to score: a mean over nothing is no score{why}"))
    result.refused = True


def _record(scorer: Scorer, result: _Result, index: int, column: Column, session: Session) -> Record:
    protocol = scorer.protocols[result.protocol]
    provenance = _provenance(scorer, protocol, column, session)
    if result.left_out:
        provenance |= {"left_out": result.left_out, "left_out_masks": result.left_out_masks}
    return Record(
        scene=column.scene,
        method=column.method,
        run=column.run,
        step=column.step,
        split=column.split,
        protocol={"name": protocol.name, "definition": protocol.definition, "fingerprint": protocol.fingerprint},
        metrics=protocol.infos,
        views=result.rows[index],
        provenance=provenance,
    )


def _provenance(scorer: Scorer, protocol: Protocol, column: Column, session: Session) -> dict[str, Any]:
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
        "weights": {net: scorer.weights[net] for net in protocol.nets},
        **_arithmetic(protocol, scorer.device),
    }


def _arithmetic(protocol: Protocol, device: torch.device) -> dict[str, Any]:
    """With which bits: those of LPIPS alone can be fewer than float32's."""
    said: dict[str, Any] = {"tf32": False, "precision": protocol.precision}
    if protocol.precision == "exact":
        return said
    used = {products(protocol.precision, device, net) for net in protocol.nets}
    return {**said, "lpips_products": " and ".join(sorted(used))}


@functools.cache
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
