"""Deviations of a named protocol from its peers, and a check that enough pairs were compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from support.peer_protocols import Tool

AVERAGE = "mipnerf_average"
FEWEST_PAIRS = 10

Kind = Literal["8-bit", "float", "masked"]
"""Pairs of images with 8-bit levels, pairs with other values, and pairs with a mask."""


@dataclass
class Deviation:
    """Largest deviations from one peer in one metric, over all pairs.

    Attributes:
        pairs: number of pairs compared.
        exact: deviation from the peer's float64 value.
        rounding: deviation of the peer's float32 value from its float64 value, if there is one.
    """

    pairs: int = 0
    exact: float = 0.0
    rounding: float | None = None

    def add(self, ours: float, exact: float, single: float | None) -> None:
        self.pairs += 1
        self.exact = max(self.exact, distance(ours, exact))
        if single is not None:
            self.rounding = max(self.rounding or 0.0, distance(exact, single))


@dataclass
class Line:
    """Rows of a protocol in the table of deviations.

    Attributes:
        name: name of the protocol.
        deviations: deviations by metric, peer and kind of pairs.
    """

    name: str
    deviations: dict[tuple[str, str, Kind], Deviation] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(" | ".join(row) for row in self.rows)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Protocol, metric, peer, largest deviation in each kind of pairs, rounding error of the peer in float32."""
        rows = []
        for metric, peer in dict.fromkeys((metric, peer) for metric, peer, _ in self.deviations):
            by_kind = [self.deviations.get((metric, peer, kind)) for kind in get_args(Kind)]
            rounding = [one.rounding for one in by_kind if one is not None and one.rounding is not None]
            cells = [None if one is None else one.exact for one in by_kind]
            numbers = [*cells, max(rounding, default=None)]
            rows.append((self.name, metric, peer, *("" if number is None else f"{number:.1e}" for number in numbers)))
        return rows

    def pairs(self, metric: str, peer: str, *, masked: bool) -> int:
        """Return the number of pairs compared with a peer, with masks or without."""
        return sum(
            deviation.pairs
            for (one, name, kind), deviation in self.deviations.items()
            if (one, name, kind == "masked") == (metric, peer, masked)
        )


def check_number_of_pairs(line: Line, tool: Tool, metrics: Sequence[str]) -> None:
    """Check that each peer was compared on enough pairs. A golden file without pairs would test nothing."""
    by_mask = {False: tool.peers} | ({} if tool.mask == "none" else {True: tool.masked or tool.peers})
    for masked, peers in by_mask.items():
        for metric in (metric for metric in metrics if metric != AVERAGE):
            assert peers[metric], f"{line.name}: {metric} has no peer, masked: {masked}"
            for peer in peers[metric]:
                compared = line.pairs(metric, peer.name, masked=masked)
                where = f"{line.name}, {metric}, masked: {masked}"
                assert compared >= FEWEST_PAIRS, f"{where}: {compared} pairs were compared with {peer.name}"


def distance(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)
