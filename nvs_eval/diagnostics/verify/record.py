"""Whether what a record says of its views is what independent implementations say of the kept images."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.diagnostics.verify.claims import wrong_claims
from nvs_eval.diagnostics.verify.definition import check_metric, check_preparation, interpreting
from nvs_eval.diagnostics.verify.files import Changed, read_pair
from nvs_eval.diagnostics.verify.prepare import Unknown
from nvs_eval.diagnostics.verify.scores import AVERAGE, Independent, average_error, family_of
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, ViewRow

_COVERAGE, _COVERAGE_TOLERANCE = "coverage", 1e-6
SAMPLE = 5


# How far fast LPIPS may lie from exact: this part of its value, plus this.
_FAST = (0.005, 2e-4)


def tolerance_of(metric: str) -> float:
    """How far a number may lie from its second opinion: 1e-4 dB for PSNR, 1e-5 for all else."""
    return 1e-4 if family_of(metric) == "psnr" else 1e-5


@dataclass(frozen=True)
class Compared:
    """A number of a record beside its second opinion.

    Attributes:
        view: whose number it is.
        metric: its key, or `coverage`.
        recorded: what the record says.
        recomputed: what the independent implementation says.
        tolerance: how far apart they may be.
    """

    view: str
    metric: str
    recorded: float
    recomputed: float
    tolerance: float

    @property
    def deviation(self) -> float:
        """How far apart they are: 0 for two infinities, infinity for one or for no number at all."""
        if self.recorded == self.recomputed:
            return 0.0
        difference = abs(self.recorded - self.recomputed)
        return math.inf if math.isnan(difference) else difference

    @property
    def confirmed(self) -> bool:
        """Whether that is within the tolerance."""
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Report:
    """What became of the verification of one record.

    Attributes:
        views: how many were asked for; 0 where the protocol prepares images in a way that is not known here.
        compared: the numbers, view by view.
        changed: what is not as it was: the protocol, what is said of a metric, or files of views.
        unsupported: of what cannot be verified, the record, a metric or a view: why.
        foreign: the metrics that are a plugin's, which have no second opinion here.
    """

    views: int
    compared: Sequence[Compared]
    changed: Sequence[str]
    unsupported: Sequence[str]
    foreign: Sequence[str]

    @property
    def refuted(self) -> bool:
        """Whether anything that the record says is not so."""
        return bool(self.changed) or any(not each.confirmed for each in self.compared)

    @property
    def complete(self) -> bool:
        """Whether every view that was asked for was looked at, and something of it compared."""
        return bool(self.compared) and not self.unsupported


def verify_record(
    record: Record,
    path: Path,
    *,
    views: int | None = SAMPLE,
    weights_dir: Path | None = None,
    on_view: Callable[[], None] = lambda: None,
) -> Report:
    """Compute the numbers of some views of a record again, and compare.

    Args:
        record: as read from its file, which has checked that it agrees with itself.
        path: of that file.
        views: how many of its views, spread evenly over them; None for all.
        weights_dir: a folder to look for LPIPS backbones first.
        on_view: is called after each view.

    Raises:
        InputError: nothing of the record can be verified, or the weights cannot be had.
    """
    check_supported(record, path)
    compared: list[Compared] = []
    changed = list(wrong_claims(record))
    foreign = [name for name in record.metrics if family_of(name) is None]
    unsupported, metrics = _check_definition(record, path)
    # Of a definition that is not understood, nothing says what its fingerprint is made of.
    (unsupported if unsupported else changed).extend(_wrong_fingerprint(record))
    rows = spread(record.views, views) if metrics is not None else []
    for row in rows:
        try:
            pair = read_pair(record, row, path.parent)
        except Changed as error:
            changed.append(f"View {row.name!r}: {error}.")
        except InputError as error:
            unsupported.append(f"View {row.name!r} cannot be verified: {str(error).rstrip('.')}.")
        else:
            independent = Independent(pair, record.protocol["definition"], weights_dir)
            compared += _compare(record, row, metrics or [], independent, unsupported)
        on_view()
    return Report(len(rows), compared, changed, unsupported, foreign)


def _check_definition(record: Record, path: Path) -> tuple[list[str], Sequence[str] | None]:
    """What of a record's protocol is not known here, and the metrics that are; None for them if images are not."""
    definition = record.protocol["definition"]
    try:
        check_preparation(definition)
    except Unknown as error:
        return [f"The record {path} cannot be verified: {error}."], None
    unsupported, metrics = [], []
    for metric in record.metrics:
        try:
            check_metric(definition, metric)
        except Unknown as error:
            unsupported.append(f"The {metric} of the record {path} cannot be verified: {error}.")
        else:
            metrics.append(metric)
    return unsupported, metrics


def _wrong_fingerprint(record: Record) -> list[str]:
    """What to say of a record whose protocol is not the one that its fingerprint stands for."""
    fingerprint = _fingerprint(record)
    if fingerprint == record.fingerprint:
        return []
    return [
        f"The fingerprint is recorded as {record.fingerprint}, and the definition and signatures have {fingerprint}: "
        "the record was changed by hand."
    ]


def check_supported(record: Record, path: Path) -> None:
    """Check that the images that were scored were kept.

    Raises:
        InputError: they were not, with what to do.
    """
    kept = record.provenance.get("kept_renders", "as scored")
    name = record.protocol["name"]
    if kept == "none":
        raise InputError(
            f"The record {path} cannot be verified: its renders were not kept. Run it again with `--keep-renders all`, "
            "or `png` where the protocol rounds renders to 8 bits."
        )
    if kept != "as scored":
        raise InputError(
            f"The record {path} cannot be verified: what was kept are {kept}, and {name} scored floats. With such "
            "copies only a protocol that rounds to 8 bits can be verified; run it again with `--keep-renders all`."
        )


def spread(rows: Sequence[ViewRow], count: int | None) -> Sequence[ViewRow]:
    """So many of the rows, the first and the last among them, evenly apart; the same ones each time."""
    if count is None or count >= len(rows):
        return rows
    if count == 1:
        return [rows[len(rows) // 2]]
    return [rows[round(index * (len(rows) - 1) / (count - 1))] for index in range(count)]


def _compare(
    record: Record, row: ViewRow, metrics: Sequence[str], independent: Independent, unsupported: list[str]
) -> Iterator[Compared]:
    definition = record.protocol["definition"]
    for metric in metrics:
        try:
            with interpreting(definition["metrics"].get(metric)):
                value = _recompute(record, row, metric, independent)
        except Unknown as error:
            unsupported.append(f"The {metric} of view {row.name!r} cannot be verified: {error}.")
            continue
        if value is not None:
            tolerance = _tolerance(metric, value, definition["metrics"].get(metric, {}))
            yield Compared(row.name, metric, row.scores[metric], value, tolerance)
    if row.coverage is None:
        return
    try:
        with interpreting(definition["mask"]):
            coverage = independent.coverage
    except Unknown as error:
        unsupported.append(f"The {_COVERAGE} of view {row.name!r} cannot be verified: {error}.")
        return
    if coverage is not None:
        yield Compared(row.name, _COVERAGE, row.coverage, coverage, _COVERAGE_TOLERANCE)


def _tolerance(metric: str, value: float, parameters: Mapping[str, Any]) -> float:
    """How far a recorded number may lie from a recomputed one: fast LPIPS by 0.5 % of it plus 2e-4."""
    exact = tolerance_of(metric)
    return _FAST[0] * value + _FAST[1] if parameters.get("precision") == "fast" else exact


def _recompute(record: Record, row: ViewRow, metric: str, independent: Independent) -> float | None:
    """A score again, or None for that of a plugin's metric."""
    family = family_of(metric)
    if family is None:
        return None
    if family != AVERAGE:
        return independent.score(metric)
    # Of the recorded parts, each of which is compared by itself: where all three are next to nothing, the root of
    # their rounding errors is not.
    parts = record.protocol["definition"]["metrics"][AVERAGE]
    return average_error(*(row.scores[parts[part]] for part in ("psnr", "ssim", "lpips")))


def _fingerprint(record: Record) -> str:
    """What the fingerprint must be: of the definition, its numbers as floats, and the signatures, as canonical JSON."""
    signatures = {name: info.signature for name, info in record.metrics.items()}
    hashed = {"definition": _as_floats(record.protocol["definition"]), "signatures": signatures}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
