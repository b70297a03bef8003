"""The form of a metric's facts for people: title, unit and descriptions. Each metric's folder has its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class About:
    """Facts of a metric, except its computation.

    Attributes:
        title: name in tables and sentences.
        words: noun phrase that explains the name; "" if the title suffices.
        higher_is_better: direction of the metric; None if unknown.
        unit: unit of the values, "" for none.
        decimals: number of decimals in tables.
        latex: name in LaTeX; "" for the escaped key.
        bounds: lowest and highest plausible mean in a published table; None if papers do not report the metric.
        phrases: predicates by part of a signature. `*` at the end of a part stands for a value, which replaces `{}` in
            the predicate.
        absences: predicates of signatures that lack a part, by the topic of the part.
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
