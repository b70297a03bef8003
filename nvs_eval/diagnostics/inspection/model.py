"""A report, and the facts of a trained run that a plugin gives for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A sentence on the references: one that makes numbers doubtful, or else information."""

    text: str
    doubtful: bool = False


@dataclass(frozen=True)
class Inspection:
    """A report.

    Attributes:
        title: name of what was inspected.
        findings: those that make numbers doubtful first.
        facts: each with its label.
    """

    title: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DataView:
    """A view in the data of a run.

    Attributes:
        name: of the view, as `run` calls it; of a training view, the path of its image below the data.
        file: its image, which may be missing.
        size: width and height of its camera.
        mask: its mask, or None.
    """

    name: str
    file: Path
    size: tuple[int, int]
    mask: Path | None = None


@dataclass(frozen=True)
class RunData:
    """The views that a trained run holds out, as the tool that trained it has them.

    Attributes:
        name: scene, method and run.
        config: the run's configuration.
        data: folder or file of the data.
        parser: name of its reader.
        rule: which views are held out and why, in words.
        training: the views that are trained on.
        held_out: the views that are evaluated.
        alpha: what becomes of an alpha channel, in words.
        preparation: what else is done to references before they are scored, a sentence each.
    """

    name: str
    config: Path
    data: Path
    parser: str
    rule: str
    training: Sequence[DataView]
    held_out: Sequence[DataView]
    alpha: str
    preparation: Sequence[str] = ()


def doubtful_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings for a report."""
    return sorted(findings, key=lambda finding: not finding.doubtful)


def of_all(count: int, total: int, noun: str, verb: Literal["are", "have"] = "are") -> str:
    """Part of a total in words, with a verb: "All 4 references are", "1 of 4 references is"."""
    singular = {"are": "is", "have": "has"}[verb]
    if count == total:
        return f"The one {noun} {singular}" if total == 1 else f"All {total} {noun}s {verb}"
    return f"{count} of {total} {noun}s {singular if count == 1 else verb}"
