"""Plan of an evaluation of checkpoints: the jobs, and which files are written meanwhile and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nvs_eval.protocols import Protocol
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.masks import Masks

Keep = Literal["all", "png", "none"]


@dataclass(frozen=True, eq=False)
class Job:
    """A checkpoint to evaluate.

    Attributes:
        checkpoint: checkpoint that renders the views.
        id: identity of the result, with the names given by the user.
        masks: masks to score with, or None.
    """

    checkpoint: Checkpoint
    id: ResultId
    masks: Masks | None = None


@dataclass(frozen=True)
class Plan:
    """Files to write while checkpoints are evaluated, and files to keep.

    Attributes:
        keep: renders to keep.
        staged: whether all checkpoints are rendered first and then scored from files.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        protocols: fingerprints of the protocols to score under.
    """

    keep: Keep
    staged: bool
    floats: bool
    pngs: bool
    protocols: tuple[str, ...]


def plan_renders(jobs: Sequence[Job], protocols: Sequence[Protocol], keep: Keep) -> Plan:
    """Choose the files to write: protocols that round to 8 bits are scored from PNGs, all others from floats."""
    staged = len(jobs) > 1
    through_png = all(protocol.exact_in_png for protocol in protocols)
    floats = keep == "all" or (staged and not through_png)
    pngs = keep == "png" or (staged and not floats)
    return Plan(keep, staged, floats, pngs, tuple(protocol.fingerprint for protocol in protocols))
