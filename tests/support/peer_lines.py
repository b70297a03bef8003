"""Deviations of a named protocol from its peers, and a check that enough pairs were compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.peer_protocols import Tool

AVERAGE = "mipnerf_average"
FEWEST_PAIRS = 10


@dataclass
class Deviation:
    """Largest deviations from one peer in one metric, over all pairs.

    Attributes:
        pairs: number of pairs compared.
        exact: deviation from the peer's float64 value.
        single: deviation from the peer's float32 value, if there is one.
        rounding: deviation of the peer's float32 value from its float64 value.
    """

    pairs: int = 0
    exact: float = 0.0
    single: float | None = None
    rounding: float = 0.0

    def add(self, ours: float, exact: float, single: float | None) -> None:
        self.pairs += 1
        self.exact = max(self.exact, distance(ours, exact))
        if single is not None:
            self.single = max(self.single or 0.0, distance(ours, single))
            self.rounding = max(self.rounding, distance(exact, single))

    def __str__(self) -> str:
        single = "" if self.single is None else f" (float32: {self.single:.0e}, error of the peer {self.rounding:.0e})"
        return f"{self.exact:.0e}{single}"


@dataclass
class Line:
    """Row of a protocol in the table of deviations.

    Attributes:
        name: name of the protocol.
        deviations: deviations by metric and peer.
        pairs: number of pairs compared, by metric, peer and use of a mask.
    """

    name: str
    deviations: dict[tuple[str, str], Deviation] = field(default_factory=dict)
    pairs: Counter[tuple[str, str, bool]] = field(default_factory=Counter)

    def __str__(self) -> str:
        pairs = max(deviation.pairs for deviation in self.deviations.values())
        cells = [f"{metric} {peer} {deviation}" for (metric, peer), deviation in self.deviations.items()]
        return f"{self.name} | {pairs} pairs | {'; '.join(cells)}"


def check_number_of_pairs(line: Line, tool: Tool, metrics: Sequence[str]) -> None:
    """Check that each peer was compared on enough pairs. A golden file without pairs would test nothing."""
    by_mask = {False: tool.peers} | ({} if tool.mask == "none" else {True: tool.masked or tool.peers})
    for masked, peers in by_mask.items():
        for metric in (metric for metric in metrics if metric != AVERAGE):
            assert peers[metric], f"{line.name}: {metric} has no peer, masked: {masked}"
            for peer in peers[metric]:
                compared = line.pairs[metric, peer.name, masked]
                where = f"{line.name}, {metric}, masked: {masked}"
                assert compared >= FEWEST_PAIRS, f"{where}: {compared} pairs were compared with {peer.name}"


def distance(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)
