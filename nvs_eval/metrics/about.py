"""The facts of a metric that people read: unit, direction, decimals, names and words. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class About:
    """Everything about a metric except how it is computed.

    Attributes:
        title: its name in a sentence.
        words: a noun phrase that explains the name; "" where the title says enough.
        higher_is_better: the direction; None where nothing is known of the metric.
        unit: of its values, "" for none.
        decimals: number of decimals in tables.
        latex: its name in LaTeX; "" for its escaped key.
        bounds: lowest and highest plausible mean of a published table; None where tables do not publish it.
        phrases: each part of its signature as a predicate. `*` at the end of a part stands for a value, which takes
            the place of `{}` in the phrase.
        absences: the predicate where a signature lacks a part, by the part's name.
    """

    title: str
    words: str = ""
    higher_is_better: bool | None
    unit: str = ""
    decimals: int = 4
    latex: str = ""
    bounds: tuple[float, float] | None = None
    phrases: Mapping[str, str] = field(default_factory=dict)
    absences: Mapping[str, str] = field(default_factory=dict)


class Recorded(Protocol):
    """The facts of a metric in a record. Title and decimals are those of a plugin's metric."""

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def higher_is_better(self) -> bool: ...  # noqa: D102

    @property
    def title(self) -> str | None: ...  # noqa: D102

    @property
    def decimals(self) -> int | None: ...  # noqa: D102
