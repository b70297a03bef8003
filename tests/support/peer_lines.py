"""What was found of a named protocol's peers, and that it was enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.peer_protocols import Tool

AVERAGE = "mipnerf_average"
FEWEST_PAIRS = 10


@dataclass
class Deviation:
    """The largest of one peer's metric over all pairs.

    Attributes:
        pairs: how many were compared.
        exact: of ours from its float64 number.
        single: of ours from its float32 number.
        own: of its float32 number from its own float64 one.
    """

    pairs: int = 0
    exact: float = 0.0
    single: float | None = None
    own: float = 0.0

    def add(self, ours: float, exact: float, single: float | None) -> None:
        self.pairs += 1
        self.exact = max(self.exact, distance(ours, exact))
        if single is not None:
            self.single = max(self.single or 0.0, distance(ours, single))
            self.own = max(self.own, distance(exact, single))

    def __str__(self) -> str:
        single = "" if self.single is None else f" (its float32 {self.single:.0e}, own error {self.own:.0e})"
        return f"{self.exact:.0e}{single}"


@dataclass
class Line:
    """The table's line of a protocol.

    Attributes:
        name: the protocol's.
        found: by metric and peer.
        pairs: how many were compared with a mask or without one, by metric, peer and whether there was one.
    """

    name: str
    found: dict[tuple[str, str], Deviation] = field(default_factory=dict)
    pairs: Counter[tuple[str, str, bool]] = field(default_factory=Counter)

    def __str__(self) -> str:
        pairs = max(deviation.pairs for deviation in self.found.values())
        told = [f"{metric} {peer} {deviation}" for (metric, peer), deviation in self.found.items()]
        return f"{self.name} | {pairs} pairs | {'; '.join(told)}"


def check_that_enough_was_compared(line: Line, tool: Tool, metrics: Sequence[str]) -> None:
    """A comparison that answers too little, such as a golden file without its pairs, is one that tests nothing."""
    named = {False: tool.peers} | ({} if tool.mask == "none" else {True: tool.masked or tool.peers})
    for masked, peers in named.items():
        for metric in (metric for metric in metrics if metric != AVERAGE):
            assert peers[metric], f"{line.name}: nobody says {metric}, masked: {masked}"
            for peer in peers[metric]:
                compared = line.pairs[metric, peer.name, masked]
                where = f"{line.name}, {metric}, masked: {masked}"
                assert compared >= FEWEST_PAIRS, f"{where}: {compared} pairs were compared with {peer.name}"


def distance(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)
