"""What the tests of the scorer share: a view made of tensors, and its scores under protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from support.helpers import LIGHT, protocol_of
from torch import Tensor

from nvs_eval.evaluation.scorer import Outcome, Scorer
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.sources.views import Render, View

CPU = torch.device("cpu")
SQUEEZE: dict[str, Any] = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
WITH_LPIPS = LIGHT.replace(
    "round_means",
    "  lpips_squeeze: {net: squeeze, version: '0.1', input: scaled, normaliser: lpips}\nround_means",
)


def view(reference: Tensor, *renders: Tensor, mask: Tensor | None = None) -> View:
    return View("cam/7", reference, tuple(Render(render, file=Path("their.png")) for render in renders), mask)


def changed(text: str = LIGHT, **changes: Any) -> Protocol:
    """A protocol with some of its fields changed; `metrics` are added to those it has."""
    protocol = protocol_of(text)
    metrics = {**protocol.metrics, **changes.pop("metrics", {})}
    return replace(protocol, **changes, metrics=metrics)


def scores(protocols: str | Protocol | Sequence[str | Protocol], scored: View, **choices: Any) -> list[Any]:
    return _scorer(protocols, **choices).score(scored)


def outcomes(protocols: str | Protocol | Sequence[str | Protocol], scored: View, **choices: Any) -> list[Outcome]:
    return _scorer(protocols, **choices).outcomes(scored)


def _scorer(protocols: str | Protocol | Sequence[str | Protocol], **choices: Any) -> Scorer:
    several = [protocols] if isinstance(protocols, str | Protocol) else protocols
    return Scorer([protocol_of(each) if isinstance(each, str) else each for each in several], CPU, **choices)
