"""Shared parts of the tests of the scorer: views from tensors, and their scores under protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from support.protocols import protocol_of
from torch import Tensor

from nvs_eval.evaluation.scorer import Outcome, Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import Render, View

CPU = torch.device("cpu")


def view(reference: Tensor, *renders: Tensor, mask: Tensor | None = None) -> View:
    return View("cam/7", reference, tuple(Render(render, file=Path("their.png")) for render in renders), mask)


def scores(protocols: str | Protocol | Sequence[str | Protocol], scored: View, **options: Any) -> list[Any]:
    return _scorer(protocols, **options).score(scored)


def outcomes(protocols: str | Protocol | Sequence[str | Protocol], scored: View, **options: Any) -> list[Outcome]:
    return _scorer(protocols, **options).outcomes(scored)


def _scorer(protocols: str | Protocol | Sequence[str | Protocol], **options: Any) -> Scorer:
    items = [protocols] if isinstance(protocols, str | Protocol) else protocols
    return Scorer([protocol_of(item) if isinstance(item, str) else item for item in items], CPU, **options)
