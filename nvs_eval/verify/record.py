"""Whether what a record says of its views is what independent implementations say of the kept images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records import Record, ViewRow
from nvs_eval.verify.files import Changed, read_pair
from nvs_eval.verify.scores import AVERAGE, Independent, average_error, family_of

COVERAGE, _COVERAGE_TOLERANCE = "coverage", 1e-6
SAMPLE = 5


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
        views: how many were asked for.
        compared: the numbers, view by view.
        changed: of views whose files are not what was scored: what changed.
        unsupported: of views that cannot be verified: why.
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
    changed: list[str] = []
    unsupported: list[str] = []
    rows = spread(record.views, views)
    for row in rows:
        try:
            pair = read_pair(record, row, path.parent)
        except Changed as error:
            changed.append(f"View {row.name!r}: {error}.")
        except InputError as error:
            unsupported.append(f"View {row.name!r} cannot be verified: {str(error).rstrip('.')}.")
        else:
            compared += _compare(record, row, Independent(pair, record.protocol["definition"], weights_dir))
        on_view()
    foreign = [name for name in record.metrics if family_of(name) is None]
    return Report(len(rows), compared, changed, unsupported, foreign)


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


def _compare(record: Record, row: ViewRow, independent: Independent) -> list[Compared]:
    compared = []
    for metric in record.metrics:
        family = family_of(metric)
        if family is None:
            continue
        if family == AVERAGE:
            # Of the recorded parts, each of which is compared by itself: where all three are next to nothing, the root
            # of their rounding errors is not.
            parts = record.protocol["definition"]["metrics"][AVERAGE]
            value = average_error(*(row.scores[parts[part]] for part in ("psnr", "ssim", "lpips")))
        else:
            value = independent.score(metric)
        compared.append(Compared(row.name, metric, row.scores[metric], value, tolerance_of(metric)))
    coverage = independent.coverage
    if row.coverage is not None and coverage is not None:
        compared.append(Compared(row.name, COVERAGE, row.coverage, coverage, _COVERAGE_TOLERANCE))
    return compared
