"""Named protocols beside the numbers of a tool, as plain values for tables, sentences and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nvs_eval.diagnostics.identify.fits import Fit, agree, distance_of
from nvs_eval.diagnostics.identify.numbers import Numbers
from nvs_eval.records.result_id import ResultId

_EQUAL = 1e-9
"""Scores that differ by less are the same number in another order of sums."""


@dataclass(frozen=True)
class Candidate:
    """A protocol beside the reported numbers.

    Attributes:
        protocol: name of the protocol.
        fingerprint: fingerprint of the protocol.
        fits: its scores beside the numbers, by the name of the metric in the file; empty if it cannot be compared.
        mends: changes of one field with which all numbers agree, nearest first; none if they agree without.
        reason: why it cannot be compared, as a phrase; "" if it can.
    """

    protocol: str
    fingerprint: str
    fits: Mapping[str, Fit] = field(default_factory=dict)
    mends: Sequence[str] = ()
    reason: str = ""

    @property
    def agrees(self) -> bool:
        """Whether every number agrees to the decimals shown."""
        return bool(self.fits) and agree(list(self.fits.values()))

    @property
    def distance(self) -> tuple[float, float]:
        """Distance from the numbers, as of `distance_of`."""
        return distance_of(list(self.fits.values()))

    def differences(self, other: Candidate) -> dict[str, float]:
        """Return the largest difference of a view between the scores of two candidates, for each metric with one."""
        largest = {
            name: max((abs(a - b) for a, b in fit.beside(other.fits[name]) if a != b), default=0.0)
            for name, fit in self.fits.items()
        }
        return {name: difference for name, difference in largest.items() if difference > _EQUAL}

    def to_plain(self) -> dict[str, Any]:
        """Return the candidate as JSON values."""
        return {
            "protocol": self.protocol,
            "fingerprint": self.fingerprint,
            "agrees": self.agrees,
            "metrics": {
                name: {"metric": fit.key, "value": _plain(fit.value), "off": _plain(fit.off), "view": fit.view or None}
                for name, fit in self.fits.items()
            },
            "agrees_with": list(self.mends),
            "reason": self.reason or None,
        }


@dataclass(frozen=True)
class Identification:
    """Named protocols beside the numbers of a tool.

    Attributes:
        result: identity of the renders.
        numbers: the numbers.
        views: number of views.
        candidates: the protocols that can be compared: those that agree, nearest first, then the others, nearest first.
        others: the protocols that cannot be compared.
    """

    result: ResultId
    numbers: Numbers
    views: int
    candidates: Sequence[Candidate]
    others: Sequence[Candidate]

    @property
    def protocols(self) -> list[str]:
        """Names of the protocols that agree with every number, nearest first."""
        return [candidate.protocol for candidate in self.agreeing]

    @cached_property
    def agreeing(self) -> list[Candidate]:
        """The protocols that agree with every number, nearest first."""
        return [candidate for candidate in self.candidates if candidate.agrees]

    @cached_property
    def groups(self) -> list[list[Candidate]]:
        """The agreeing protocols, in groups with the same scores of every view in the metrics of the numbers."""
        groups: list[list[Candidate]] = []
        for candidate in self.agreeing:
            group = next((group for group in groups if not group[0].differences(candidate)), None)
            if group is None:
                groups.append([candidate])
            else:
                group.append(candidate)
        return groups

    def to_plain(self) -> dict[str, Any]:
        """Return the identification as JSON values."""
        return {
            "result": self.result.label,
            "numbers": self.numbers.label or None,
            "protocols": self.protocols,
            "same_scores": [[one.protocol for one in group] for group in self.groups if len(group) > 1],
            "candidates": [candidate.to_plain() for candidate in (*self.candidates, *self.others)],
        }


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
