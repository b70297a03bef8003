"""Where the references of a run or a record come from, and what about them would make its numbers doubtful.

A report only: nothing here scores, renders or changes anything. What a trained run holds out is known to the tool that
trained it, so that a plugin gives the facts; the checks need nothing but the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nvs_eval.system.plugins import load_entry

ENTRY_POINTS = "nvs_eval.inspectors"


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the references.

    Attributes:
        text: a sentence.
        doubtful: whether it makes numbers doubtful; else it is only to be known.
    """

    text: str
    doubtful: bool = False


@dataclass(frozen=True)
class Inspection:
    """A report.

    Attributes:
        title: what was inspected.
        findings: those that make numbers doubtful first.
        facts: what is so, each with its label.
    """

    title: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DataView:
    """A view as the data of a run has it.

    Attributes:
        name: of the view, as `run` calls it; of a training view, the path of its image below the data.
        file: its image, which need not be there.
        size: width and height of its camera.
        mask: its mask, or None.
    """

    name: str
    file: Path
    size: tuple[int, int]
    mask: Path | None = None


@dataclass(frozen=True)
class RunData:
    """What a trained run holds out, as the tool that trained it says.

    Attributes:
        name: scene, method and run.
        config: the run's configuration.
        data: where the data lies.
        parser: what reads it.
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


class Inspector(Protocol):
    """Says what a trained run holds out. No model is built and no image is decoded for it."""

    def __call__(self, path: Path, *, data: Path | None) -> RunData:
        """The facts of a run.

        Args:
            path: its configuration.
            data: where the data lies now, or None for where the run recorded it.

        Raises:
            InputError: the run or its data cannot be read.
        """
        ...


def find_inspector(name: str) -> Inspector:
    """The plugin that inspects the runs of a tool.

    Raises:
        InputError: it is not installed, or broken; the message names its distribution.
    """
    return load_entry(ENTRY_POINTS, name, kind="inspector")


def doubtful_first(findings: Sequence[Finding]) -> list[Finding]:
    """The findings in the order of a report."""
    return sorted(findings, key=lambda finding: not finding.doubtful)


def of_all(count: int, total: int, noun: str, verb: Literal["are", "have"] = "are") -> str:
    """How many of how many, in words: "All 4 references are", "1 of 4 references is"."""
    singular = {"are": "is", "have": "has"}[verb]
    if count == total:
        return f"The one {noun} {singular}" if total == 1 else f"All {total} {noun}s {verb}"
    return f"{count} of {total} {noun}s {singular if count == 1 else verb}"
