"""Results as they are written to disk: raw numbers from which everything else is derived."""

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
    """Measurements of one contender of a case.

    Attributes:
        owner: nvs-eval (`ours`), a peer, or a limit of the machine.
        values: value of each round; times are seconds per render.
        renders: number of renders scored together.
        error: largest difference from the exact values, defined like the tolerance.
        tolerance: largest error allowed.
        failed: why it was not measured or does not count; None if it counts.
        target: target that applies.
        needs: operations and bytes for one render, if known.
        more: additional numbers of each round.
        fast: whether its precision is below float32.
        off: largest relative error of a fast contender in timed rounds.
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
        """Whether it was measured and its values were correct."""
        return bool(self.values) and self.failed is None


@dataclass
class CaseResult:
    """Contenders of a case by name, and the revision of the code (None if unknown)."""

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
        started: date of the start.
        machine: description of the machine and of all versions.
        options: options of the run.
        finished: whether all cases were measured.
        cases: results by name of the case.
    """

    started: str
    machine: dict[str, Any]
    options: dict[str, Any]
    finished: bool = False
    cases: dict[str, CaseResult] = field(default_factory=dict)


def write_results(file: Path, results: Results) -> None:
    """Write the results so far."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=1)
    write_whole(file, lambda out: out.write(text + b"\n"))


def read_results(file: Path) -> Results:
    """Read a file of results.

    Raises:
        InputError: if the file is not a file of results.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Results)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{file} is not a file of benchmark results: {error}") from error


QUICK = "-quick"
"""Ending of the file names of quick runs, which do not count as results."""


def files_of_results(folder: Path = RESULTS, *, quick: bool = False) -> list[Path]:
    """Return the files of all runs, the latest first: either of quick runs or of all others.

    Raises:
        InputError: if there is none.
    """
    files = [file for file in folder.glob("*.json") if file.stem.endswith(QUICK) == quick]
    files.sort(key=lambda file: (read_results(file).started, file.name), reverse=True)
    if not files:
        raise InputError(f"There are no results in {folder}. Run `make bench` first.")
    return files


class Spread(NamedTuple):
    """Median and quartiles of some rounds."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


class Compared(NamedTuple):
    """Comparison of a contender of nvs-eval with the best peer, or with the peer named by its target.

    Attributes:
        peer: name of the peer, None if no peer counts.
        ratio: value of the peer divided by the value of nvs-eval, over rounds.
        limit: fraction of the machine's measured limit that nvs-eval reaches.
    """

    peer: str | None
    ratio: Spread | None
    limit: float | None


def peers_of(case: CaseResult, name: str) -> dict[str, Measured]:
    """Return the peers of a contender, including failed ones. A fast peer is not compared with an exact contender."""
    ours = case.contenders[name]
    target_peer = None if ours.target is None else ours.target.peer
    return {
        key: measured
        for key, measured in case.contenders.items()
        if measured.owner == "peer" and (ours.fast or not measured.fast) and target_peer in (None, key)
    }


def compare(case: CaseResult, name: str) -> Compared:
    """Compare a contender of a case with the limit and with its best peer, the one with the lowest median."""
    ours = case.contenders[name]
    peers = {key: peer for key, peer in peers_of(case, name).items() if peer.counts}
    limit = _limit_fraction(ours, case.contenders)
    if not peers or not ours.counts:
        return Compared(None, None, limit)
    best = min(peers, key=lambda key: statistics.median(peers[key].values))
    rounds = zip(peers[best].values, ours.values, strict=False)
    return Compared(best, spread([peer / value for peer, value in rounds]), limit)


def _limit_fraction(ours: Measured, contenders: Mapping[str, Measured]) -> float | None:
    """Return the time at the machine's best measured rates, divided by the time taken."""
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
    """Return whether a target is met. It is not met by a failed contender, and None if it does not apply."""
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
    """Return whether the processor has the flag that the target requires."""
    return target.needs is None or target.needs in flags
