"""Views made by a formula of whole numbers, the same on every machine, and what protocols say of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import Render, View

Values = dict[str, dict[str, float]]
"""Of each view, by the metric's signature."""


def picture(height: int, width: int, *, slope: int, quarters: tuple[int, int]) -> Tensor:
    """Ramps and a texture, `[H, W, 3]`, from 0.01 to 0.7, by quarters of a level of 8 bits, of which none is a tie."""
    row, column, channel = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(3), indexing="ij")
    ramp = ((slope * row + 5 * column + 40 * channel + row * column // 16) % 280 - 140).abs()
    texture = (slope * row * row + 11 * column + 5 * channel) % 23
    quarter = torch.where((row + column) % 2 == 0, quarters[0], quarters[1])
    return (4 * (slope + ramp + texture) + quarter).to(torch.float32) / (4 * 255)


@cache
def views() -> dict[str, View]:
    """One within [0, 1], one beyond it, which not all protocols admit, and one with a mask that is soft at its edge."""
    levels, between = picture(40, 72, slope=3, quarters=(0, 0)), picture(40, 72, slope=4, quarters=(1, 3))
    odd = picture(37, 75, slope=3, quarters=(3, 1))
    beyond = 2 * picture(37, 75, slope=4, quarters=(1, 3)) - 0.1
    mask = torch.zeros(40, 72)
    mask[6:34, 9:62] = 0.375
    mask[8:32, 12:60] = 1
    return {
        "inside": View("inside", levels, (Render(between),)),
        "beyond": View("beyond", odd, (Render(beyond),)),
        "masked": View("masked", levels, (Render(between),), mask),
    }


def said(protocol: Protocol, metrics: list[str], *, weights_dir: Path | None = None) -> Values:
    """What some of a protocol's metrics say of the views that it admits."""
    if not metrics:
        return {}
    chosen: dict[str, Any] = {name: protocol.metrics[name] for name in metrics}
    scorer = Scorer([replace(protocol, metrics=chosen)], torch.device("cpu"), weights_dir)
    values: Values = {protocol.signatures[name]: {} for name in metrics}
    for which, view in views().items():
        if (which == "beyond" and protocol.out_of_range == "error") or (which == "masked" and protocol.mask == "none"):
            continue
        for name, (value,) in scorer.score(view)[0].items():
            values[protocol.signatures[name]][which] = value
    return values
