"""The scoring loop: score every view of a source under every protocol, and make one record per result and protocol."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.options import Callbacks, Refusal
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.scorer import Outcome, Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.images.pixels import AlphaRule, sha256_of_image, sha256_of_mask
from nvs_eval.metrics.lpips.precision import products
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.views import View
from nvs_eval.system.devices import memory_advice

_PACKAGES = ("torch", "torchvision", "numpy", "lpips", "pillow", "imagecodecs", "simplejpeg", "nerfstudio")


@dataclass(frozen=True)
class Session:
    """Values shared by all records of one command.

    Attributes:
        output_dir: output folder; paths in a record are relative to the record's place below it.
        command: command line, as the user typed it.
        started: time of the start.
        clock: monotonic time at the start, in seconds.
    """

    output_dir: Path
    command: tuple[str, ...] = ()
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    clock: float = field(default_factory=time.monotonic)


def evaluate(
    views: Iterable[View],
    ids: Sequence[ResultId],
    scorer: Scorer,
    session: Session,
    *,
    provenance: Sequence[Mapping[str, Any]] = (),
    on_view: Callable[[View], None] = lambda view: None,
    on_refusal: Refusal | None = None,
) -> list[Record]:
    """Score every view and make the records, one per result and protocol.

    A view whose mask is empty is skipped and listed in the record.

    Args:
        views: views, each with one render per result.
        ids: results, in the order of each view's renders.
        scorer: scores the views.
        session: values shared by all records.
        provenance: identity of the renders of each result, for its records (default: none).
        on_view: called with each view after it is scored.
        on_refusal: called once for each protocol that cannot score the views, which then gets no records (default:
            raise the error).

    Raises:
        InputError: The views or the scorer raised it, there is no view, or a view lacks a render.
    """
    refuse = on_refusal or _raise
    folders = [session.output_dir / result.folder for result in ids]
    rows_by_protocol = [_Rows(protocol, [[] for _ in ids]) for protocol in scorer.protocols]
    hash_mask = functools.lru_cache(maxsize=1)(sha256_of_mask)  # All views can share one mask.
    with ThreadPoolExecutor(1) as background:
        for view, on_scorer in on_device(views, scorer.device):
            if len(view.renders) != len(ids):
                raise InputError(
                    f"View {view.name!r} must have one render per result. Got {counted(len(view.renders), 'render')} "
                    f"for {counted(len(ids), 'result')}."
                )
            hashes = _Hashes(view, background, hash_mask)
            for rows, outcome in zip(rows_by_protocol, scorer.outcomes(on_scorer), strict=True):
                rows.add(view, hashes, outcome, folders, refuse)
            on_view(view)
    for rows in rows_by_protocol:
        rows.check_not_empty(refuse)
    return [
        Record(
            **asdict(result),
            protocol=rows.protocol.stamp,
            metrics=rows.protocol.infos,
            views=rows.rows[index],
            provenance=_provenance(scorer, rows, session, provenance[index] if provenance else {}),
        )
        for index, result in enumerate(ids)
        for rows in rows_by_protocol
        if not rows.refused
    ]


def score_files(source: ImageFiles, scorer: Scorer, session: Session, callbacks: Callbacks) -> list[Record]:
    """Score all results of image files together and show progress.

    Raises:
        InputError: An image cannot be read or scored, or memory ran out.
    """
    title = f"Scoring {len(source.sets)} x {len(source)} views"
    with callbacks.progress(title, len(source)) as advance, memory_advice():
        records = evaluate(
            source,
            source.ids,
            scorer,
            session,
            provenance=source.provenance,
            on_view=lambda _: advance(),
            on_refusal=callbacks.on_refusal,
        )
    if source.hash_file is None:
        return records
    return [_with_inputs(record, source) for record in records]


def _with_inputs(record: Record, source: ImageFiles) -> Record:
    """Return a record with the hash of its files, which identify its renders if no checkpoint does."""
    if record.provenance["checkpoint_sha256"]:
        return record
    (renders,) = [render_set for render_set in source.sets if render_set.id.folder == record.id.folder]
    inputs = source.inputs_sha256(renders, [row.name for row in record.views])
    return replace(record, provenance={**record.provenance, "inputs_sha256": inputs})


def _raise(_: Protocol, error: InputError) -> None:
    raise error


@dataclass
class _Rows:
    """Rows of one protocol for each result, and the reason and mask hash of each skipped view."""

    protocol: Protocol
    rows: list[list[ViewRow]]
    skipped: dict[str, str] = field(default_factory=dict)
    skipped_masks: dict[str, str | None] = field(default_factory=dict)
    refused: bool = False

    def add(self, view: View, hashes: _Hashes, outcome: Outcome, folders: Sequence[Path], refuse: Refusal) -> None:
        """Add the rows of a scored view."""
        if self.refused:
            return
        if isinstance(outcome.error, EmptyMask):
            self.skipped[view.name] = str(outcome.error)
            self.skipped_masks[view.name] = hashes.mask
        elif outcome.error is not None:
            self._refuse(outcome.error, refuse)
        else:
            reference = hashes.reference(self.protocol.alpha, outcome.reference)
            for index, (rows, folder) in enumerate(zip(self.rows, folders, strict=True)):
                rows.append(_row(view, index, outcome, folder, reference_sha256=reference, mask_sha256=hashes.mask))

    def check_not_empty(self, refuse: Refusal) -> None:
        """Refuse the protocol if no view was scored."""
        if not self.refused and not any(self.rows):
            reason = f" {next(iter(self.skipped.values()))}" if self.skipped else ""
            self._refuse(InputError(f"There is no view to score.{reason}"), refuse)

    def _refuse(self, error: InputError, refuse: Refusal) -> None:
        refuse(self.protocol, error)
        self.refused = True


def _row(
    view: View, index: int, outcome: Outcome, folder: Path, *, reference_sha256: str, mask_sha256: str | None
) -> ViewRow:
    """Return the row of one render of a view, with paths relative to the record's folder."""
    render, (height, width) = view.renders[index], view.reference.shape[:2]
    masked = outcome.coverage is not None
    return ViewRow(
        name=view.name,
        width=width,
        height=height,
        scores={name: values[index] for name, values in outcome.scores.items()},
        render_seconds=render.seconds,
        render=relative_path(render.file, folder),
        reference=relative_path(view.reference_file, folder),
        reference_sha256=reference_sha256,
        coverage=outcome.coverage,
        mask=relative_path(view.mask_file, folder) if masked else None,
        mask_sha256=mask_sha256 if masked else None,
        own=dict(render.own) or None,
    )


def _provenance(scorer: Scorer, rows: _Rows, session: Session, renders: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of the record of one result and protocol."""
    protocol = rows.protocol
    skipped = {"left_out": rows.skipped, "left_out_masks": rows.skipped_masks} if rows.skipped else {}
    return {
        "nvs_eval": version("nvs-eval"),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": device_name(scorer.device),
        "command": list(session.command),
        "started": session.started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - session.clock, 3),
        "checkpoint_sha256": None,
        "config_sha256": None,
        **renders,
        "weights": {net: scorer.weights[net] for net in protocol.nets},
        **_arithmetic(protocol, scorer.device),
        **skipped,
    }


def _arithmetic(protocol: Protocol, device: torch.device) -> dict[str, Any]:
    """Return the arithmetic used. Only LPIPS can run below float32."""
    arithmetic: dict[str, Any] = {"tf32": False, "precision": protocol.precision}
    if protocol.precision == "exact":
        return arithmetic
    dtypes = {products(protocol.precision, device, net) for net in protocol.nets}
    return {**arithmetic, "lpips_products": " and ".join(sorted(dtypes))}


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
    """Return the name of a device as users know it: "cpu", or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


class _Hashes:
    """Hashes of a view's mask and of its reference under each alpha rule, computed once."""

    def __init__(self, view: View, background: Executor, hash_mask: Callable[[Tensor], str]) -> None:
        self.mask = None if view.mask is None else hash_mask(view.mask)
        # Hashed in the background while the view is scored. A reference with alpha is hashed after compositing.
        self._opaque = background.submit(sha256_of_image, view.reference) if view.reference_alpha is None else None
        self._composited: dict[AlphaRule, str] = {}

    def reference(self, rule: AlphaRule, image: Tensor | None) -> str:
        """Return the hash of the reference; `image` is the reference without alpha, required if it has any."""
        if self._opaque is not None:
            return self._opaque.result()
        if rule not in self._composited:
            assert image is not None
            self._composited[rule] = sha256_of_image(image)
        return self._composited[rule]


def relative_path(file: Path | None, folder: Path) -> str | None:
    """Return a file's path relative to a folder, with forward slashes; None for no file."""
    return None if file is None else Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
