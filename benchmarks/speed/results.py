"""What was measured, as it is written: raw numbers, from which everything else is derived."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from benchmarks.speed.contenders import Target
from benchmarks.speed.places import RESULTS
from nvs_eval.errors import InputError
from nvs_eval.system.files import write_whole

Unit = Literal["s", "bytes"]


@dataclass
class Measured:
    """One contender of a case.

    Attributes:
        owner: whose it is; `limit` is the machine's own.
        values: in each round; seconds are those of one render.
        renders: how many it scored together.
        error: the largest difference of its values from the exact ones, as its tolerance counts it.
        tolerance: that it was held to.
        failed: why it was not measured, or does not count.
        target: what was promised.
        needs: operations and bytes of one render, where they are known.
        more: other numbers of each round.
        fast: its precision is less than float32.
        off: the largest difference of what is fast relative to the exact value, where it was timed.
    """

    owner: Literal["ours", "peer", "limit"]
    values: list[float] = field(default_factory=list)
    renders: int = 1
    error: float | None = None
    tolerance: float | None = None
    failed: str | None = None
    target: Target | None = None
    needs: tuple[float, float] | None = None
    more: dict[str, list[float]] = field(default_factory=dict)
    fast: bool = False
    off: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it was measured, and was right."""
        return bool(self.values) and self.failed is None


@dataclass
class CaseResult:
    """All contenders of a case, by name; and the revision of the code, None where it is not known."""

    work: str
    size: str
    images: str
    threads: int
    unit: Unit
    contenders: dict[str, Measured]
    revision: str | None = None


@dataclass
class Results:
    """A run of the benchmark, on one machine.

    Attributes:
        started: the date.
        machine: what is said of it, and of the versions of everything.
        options: the run was made with.
        finished: whether all cases were measured.
        cases: by name.
    """

    started: str
    machine: dict[str, Any]
    options: dict[str, Any]
    finished: bool = False
    cases: dict[str, CaseResult] = field(default_factory=dict)


def write_results(file: Path, results: Results) -> None:
    """Write all that there is so far."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=1)
    write_whole(file, lambda out: out.write(text + b"\n"))


def read_results(file: Path) -> Results:
    """Read a file of results.

    Raises:
        InputError: it is none.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Results)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{file} is no file of the benchmark's results: {error}") from error


QUICK = "-quick"
"""How the files of quick runs end, which are nobody's results."""


def newest_results(folder: Path = RESULTS, *, quick: bool = False) -> Path:
    """The file of the latest run, of those that were quick or of those that were not.

    Raises:
        InputError: there is none.
    """
    alike = [file for file in folder.glob("*.json") if file.stem.endswith(QUICK) == quick]
    files = sorted(alike, key=lambda file: (read_results(file).started, file.name))
    if not files:
        raise InputError(f"There are no results in {folder}: run `make bench` first.")
    return files[-1]


class Spread(NamedTuple):
    """The median of some rounds, and their quartiles."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


class Compared(NamedTuple):
    """A contender of ours beside the best peer, or the one that its target names.

    Attributes:
        peer: its name, None where no peer counts.
        ratio: how many times its value ours is, by rounds.
        limit: the fraction of the machine's measured limit that ours reaches.
    """

    peer: str | None
    ratio: Spread | None
    limit: float | None


def peers_of(case: CaseResult, name: str) -> dict[str, Measured]:
    """Who a contender is compared with, failed ones among them: what is fast is no peer of what is exact."""
    ours = case.contenders[name]
    named = None if ours.target is None else ours.target.peer
    return {
        key: each
        for key, each in case.contenders.items()
        if each.owner == "peer" and (ours.fast or not each.fast) and named in (None, key)
    }


def compare(case: CaseResult, name: str) -> Compared:
    """One of a case's contenders beside its best peer, the one with the lowest median, and the limit."""
    ours = case.contenders[name]
    peers = {key: each for key, each in peers_of(case, name).items() if each.counts}
    limit = _limit_fraction(ours, case.contenders)
    if not peers or not ours.counts:
        return Compared(None, None, limit)
    best = min(peers, key=lambda key: statistics.median(peers[key].values))
    rounds = zip(peers[best].values, ours.values, strict=False)
    return Compared(best, spread([theirs / own for theirs, own in rounds]), limit)


def _limit_fraction(ours: Measured, contenders: Mapping[str, Measured]) -> float | None:
    """What the work would take at the best rates of the same rounds, of what it took."""
    product, copy = contenders.get("matrix product"), contenders.get("memory copy")
    if ours.needs is None or not ours.counts or product is None or copy is None or not product.needs or not copy.needs:
        return None
    operations, moved = ours.needs
    least = max(
        operations * min(product.values) / product.needs[0],
        moved * min(copy.values) / copy.needs[1],
    )
    return least / statistics.median(ours.values)


def met(target: Target, measured: Measured, compared: Compared, flags: Sequence[str]) -> bool | None:
    """Whether a target is met, never by who failed; None where it says nothing here, or nothing was measured."""
    if measured.failed is not None:
        return False
    if not measured.values or not applies(target, flags):
        return None
    if target.error is not None and not (measured.error is not None and measured.error <= target.error):
        return False
    reached = []
    if target.below is not None:
        reached.append(statistics.median(measured.values) < target.below)
    if target.ratio is not None and compared.ratio is not None:
        reached.append(compared.ratio.median >= target.ratio)
    if target.limit is not None and compared.limit is not None:
        reached.append(compared.limit >= target.limit)
    return any(reached) if reached else None


def applies(target: Target, flags: Sequence[str]) -> bool:
    """Whether the processor has what the target was promised with."""
    return target.needs is None or target.needs in flags
