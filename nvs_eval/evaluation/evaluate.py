"""The loop: every view of a source, under every protocol, into one record a result and protocol."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import Refusal
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.scorer import Outcome, Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.images.pixels import AlphaRule, sha256_of_image, sha256_of_mask
from nvs_eval.metrics.lpips.precision import products
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import View

_PACKAGES = ("torch", "torchvision", "numpy", "lpips", "pillow", "nerfstudio")


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
    views: Iterable[View],
    ids: Sequence[ResultId],
    scorer: Scorer,
    session: Session,
    *,
    provenance: Sequence[Mapping[str, Any]] = (),
    on_view: Callable[[View], None] = lambda view: None,
    on_refusal: Refusal | None = None,
) -> list[Record]:
    """Score every view and make the records, one a result and protocol.

    A view whose mask is empty is skipped, and the record says so.

    Args:
        views: the views, each with one render a result.
        ids: the results, in the order of each view's renders.
        scorer: scores the views.
        session: what the records have in common.
        provenance: what identifies the renders of each result, for its records (default: nothing).
        on_view: called with each view after it is scored.
        on_refusal: called once for a protocol that cannot score the views, which then has no records (default: raise).

    Raises:
        InputError: raised by the views or the scorer; or there is no view, or a view lacks a render.
    """
    refuse = on_refusal or _raise
    folders = [session.output_dir / result.folder for result in ids]
    rows_by_protocol = [_Rows(protocol, [[] for _ in ids]) for protocol in scorer.protocols]
    with ThreadPoolExecutor(1) as background:
        for view, on_scorer in on_device(views, scorer.device):
            _check_renders(view, len(ids))
            maker = RowMaker(view, background)
            for rows, outcome in zip(rows_by_protocol, scorer.outcomes(on_scorer), strict=True):
                rows.add(maker, outcome, folders, refuse)
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


@dataclass
class _Rows:
    """Rows of one protocol for each result, and the reason and mask hash of each skipped view."""

    protocol: Protocol
    rows: list[list[ViewRow]]
    skipped: dict[str, str] = field(default_factory=dict)
    skipped_masks: dict[str, str | None] = field(default_factory=dict)
    refused: bool = False

    def add(self, maker: RowMaker, outcome: Outcome, folders: Sequence[Path], on_refusal: Refusal) -> None:
        """Add the rows of a scored view."""
        if self.refused:
            return
        if isinstance(outcome.error, EmptyMask):
            self.skipped[maker.view.name] = str(outcome.error)
            self.skipped_masks[maker.view.name] = maker.mask_sha256
        elif outcome.error is not None:
            self._refuse(outcome.error, on_refusal)
        else:
            for index, (rows, folder) in enumerate(zip(self.rows, folders, strict=True)):
                rows.append(maker.row(index, outcome, alpha=self.protocol.alpha, folder=folder))

    def check_not_empty(self, on_refusal: Refusal) -> None:
        """Refuse a mean over nothing."""
        if not self.refused and not any(self.rows):
            why = f": {next(iter(self.skipped.values()))}" if self.skipped else "."
            error = InputError(f"There is no view to score: a mean over nothing is no score{why}")
            self._refuse(error, on_refusal)

    def _refuse(self, error: InputError, on_refusal: Refusal) -> None:
        on_refusal(self.protocol, error)
        self.refused = True


def _check_renders(view: View, results: int) -> None:
    if len(view.renders) != results:
        raise InputError(
            f"View {view.name!r} has {len(view.renders)} renders, and one for each of the {results} results is needed."
        )


def _provenance(scorer: Scorer, rows: _Rows, session: Session, of_renders: Mapping[str, Any]) -> dict[str, Any]:
    """How the records of one result and protocol came about."""
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
        **of_renders,
        "weights": {net: scorer.weights[net] for net in protocol.nets},
        **_arithmetic(protocol, scorer.device),
        **skipped,
    }


def _arithmetic(protocol: Protocol, device: torch.device) -> dict[str, Any]:
    """Arithmetic used. Only LPIPS can run below float32."""
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
    """What a user calls a device: "cpu", or the name of the graphics card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


class RowMaker:
    """Makes a view's rows; its reference, by what becomes of its alpha, and its mask are hashed once.

    Args:
        view: whose rows.
        background: hashes while the view is scored, what is known before.

    Attributes:
        view: it.
        mask_sha256: of the view's mask, if it has one.
    """

    def __init__(self, view: View, background: Executor) -> None:
        self.view = view
        self._references: dict[AlphaRule, str] = {}
        self._begun = background.submit(sha256_of_image, view.reference) if view.is_opaque else None
        self.mask_sha256 = None if view.mask is None else sha256_of_mask(view.mask)

    def row(self, index: int, outcome: Outcome, *, alpha: AlphaRule, folder: Path) -> ViewRow:
        """The row of the render at an index.

        Args:
            index: of the render.
            outcome: its scores.
            alpha: what the protocol does with alpha.
            folder: of the record.
        """
        view, render = self.view, self.view.renders[index]
        height, width = view.reference.shape[:2]
        masked = outcome.coverage is not None
        return ViewRow(
            name=view.name,
            width=width,
            height=height,
            scores={name: values[index] for name, values in outcome.scores.items()},
            render_seconds=render.seconds,
            render=relative_path(render.file, folder),
            reference=relative_path(view.reference_file, folder),
            reference_sha256=self._reference_sha256(alpha),
            coverage=outcome.coverage,
            mask=relative_path(view.mask_file, folder) if masked else None,
            mask_sha256=self.mask_sha256 if masked else None,
        )

    def _reference_sha256(self, rule: AlphaRule) -> str:
        if rule not in self._references:
            if self._begun is not None:
                self._references[rule] = self._begun.result()
            else:
                self._references[rule] = sha256_of_image(self.view.opaque_reference(rule))
        return self._references[rule]


def relative_path(file: Path | None, folder: Path) -> str | None:
    """A file's path from a folder, with forward slashes; None for no file."""
    return None if file is None else Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
