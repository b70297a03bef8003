"""The checks of an installation, and what they say together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["right", "WRONG", "not here"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: what.
        topic: what it is that can be trusted if this is right: "PSNR", "LPIPS (vgg)".
        result: what came out.
        state: the verdict; `not here` for what this installation lacks, which is nothing wrong.
        deviation: from what it should be, where that is a number.
    """

    name: str
    topic: str
    result: str
    state: State
    deviation: float | None = None


@dataclass(frozen=True)
class Installation:
    """All checks of an installation."""

    checks: Sequence[Check]

    @property
    def right(self) -> bool:
        """Whether all that could be checked is right."""
        return all(check.state != "WRONG" for check in self.checks)

    @property
    def trust(self) -> str:
        """What to trust, in a sentence."""
        topics = list(dict.fromkeys(check.topic for check in self.checks))
        wrong = [topic for topic in topics if self._has(topic, "WRONG")]
        lacking = [topic for topic in topics if self._has(topic, "not here") and topic not in wrong]
        trusted = [topic for topic in topics if topic not in wrong and topic not in lacking]
        parts = [f"{_listed(trusted)} can be trusted here"] if trusted else ["Nothing can be trusted here"]
        if lacking:
            parts.append(f"{_listed(lacking)} {'have' if len(lacking) > 1 else 'has'} no weights")
        if wrong:
            parts.append(f"{_listed(wrong)} cannot be trusted: see the table")
        return f"{'; '.join(parts)}."

    def _has(self, topic: str, state: State) -> bool:
        return any(check.topic == topic and check.state == state for check in self.checks)


def _listed(topics: Sequence[str]) -> str:
    """The topics in a sentence, the nets of LPIPS together: "PSNR, SSIM and LPIPS (alex, vgg)"."""
    said = list(_without_repeats(topics))
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _without_repeats(topics: Sequence[str]) -> Iterator[str]:
    nets = [topic.removeprefix("LPIPS (").removesuffix(")") for topic in topics if topic.startswith("LPIPS (")]
    for topic in topics:
        if not topic.startswith("LPIPS ("):
            yield topic
    if nets:
        yield f"LPIPS ({', '.join(nets)})"
