"""Views computed from integer formulas, equal on every machine, and their scores by signature."""

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
"""Scores by signature of the metric and name of the view."""


def picture(height: int, width: int, *, slope: int, quarters: tuple[int, int]) -> Tensor:
    """Return ramps and a texture, `[H, W, 3]`, from 0.01 to 0.7, in quarters of an 8-bit level without ties."""
    row, column, channel = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(3), indexing="ij")
    ramp = ((slope * row + 5 * column + 40 * channel + row * column // 16) % 280 - 140).abs()
    texture = (slope * row * row + 11 * column + 5 * channel) % 23
    quarter = torch.where((row + column) % 2 == 0, quarters[0], quarters[1])
    return (4 * (slope + ramp + texture) + quarter).to(torch.float32) / (4 * 255)


@cache
def views(height: int = 40, width: int = 72) -> dict[str, View]:
    """Return a view inside [0, 1], one outside, which not all protocols admit, and one with a soft-edged mask."""
    levels, between = (
        picture(height, width, slope=slope, quarters=quarters) for slope, quarters in ((3, (0, 0)), (4, (1, 3)))
    )
    odd = picture(height - 3, width + 3, slope=3, quarters=(3, 1))
    beyond = 2 * picture(height - 3, width + 3, slope=4, quarters=(1, 3)) - 0.1
    mask = torch.zeros(height, width)
    mask[6:34, 9:62] = 0.375
    mask[8:32, 12:60] = 1
    return {
        "inside": View("inside", levels, (Render(between),)),
        "beyond": View("beyond", odd, (Render(beyond),)),
        "masked": View("masked", levels, (Render(between),), mask),
    }


def signature_scores(protocol: Protocol, metrics: list[str], *, weights_dir: Path | None = None) -> Values:
    """Return the scores of some metrics of a protocol on the views that it admits, larger ones for MS-SSIM."""
    large = [d.name for d in protocol.descriptions if d.name in metrics and d.smallest > 37]
    small = [name for name in metrics if name not in large]
    # MS-SSIM is 0 for images without any likeness at one of its scales.
    like = {name: replace(view, renders=(Render(_between(view)),)) for name, view in views(164, 168).items()}
    return {**_scores(protocol, small, views(), weights_dir), **_scores(protocol, large, like, weights_dir)}


def _between(view: View) -> Tensor:
    """Return the image a quarter of the way from the reference to the render."""
    return view.reference + (view.renders[0].image - view.reference) / 4


def _scores(protocol: Protocol, metrics: list[str], pairs: dict[str, View], weights_dir: Path | None) -> Values:
    if not metrics:
        return {}
    chosen: dict[str, Any] = {name: protocol.metrics[name] for name in metrics}
    scorer = Scorer([replace(protocol, metrics=chosen)], torch.device("cpu"), weights_dir)
    values: Values = {protocol.signatures[name]: {} for name in metrics}
    for key, view in pairs.items():
        if (key == "beyond" and protocol.out_of_range == "error") or (key == "masked" and protocol.mask == "none"):
            continue
        for name, (value,) in scorer.score(view)[0].items():
            values[protocol.signatures[name]][key] = value
    return values
