"""Steps that changed nothing in a view. Without them, a score is also that of other protocols (`same_number`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch

from nvs_eval.metrics.describe import family_of
from nvs_eval.metrics.ssim.formula import KERNELS, Constants
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View


def neutral_steps(
    view: View, bounds: Sequence[tuple[float, float]], levels: Sequence[float], protocol: Protocol
) -> list[frozenset[str]]:
    """Return the steps that changed nothing in the score of each render, named as in records.

    Args:
        view: the view.
        bounds: minimum and maximum of the reference and of each render, after their alpha is removed.
        levels: whether each of them had only 8-bit levels (1 or 0).
        protocol: the protocol.
    """
    inside = [low >= 0 and high <= 1 for low, high in bounds]
    shared = set()
    if view.mask is None:
        shared.add("mask")
    if _clamps_are_idle(protocol) and (view.mask is None or protocol.mask != "dycheck"):
        shared.add("clamps")
    clamped = protocol.out_of_range != "keep"
    if levels[0] and (clamped or inside[0]):
        shared.add("q-reference")
    steps = []
    for render, is_inside, is_quantised in zip(view.renders, inside[1:], levels[1:], strict=True):
        own = {
            "alpha": view.reference_alpha is None and render.alpha is None,
            "range": inside[0] and is_inside,
            "q-render": bool(is_quantised) and (clamped or is_inside),
        }
        steps.append(frozenset(shared | {step for step, is_neutral in own.items() if is_neutral}))
    return steps


def _clamps_are_idle(protocol: Protocol) -> bool:
    """Return whether clamps change no window of any SSIM without dycheck's masks, but for rounding errors."""
    ssims = [parameters for name, parameters in protocol.metrics.items() if family_of(name) == "ssim"]
    return bool(ssims) and all(_is_idle(tuple(sorted(parameters.items()))) for parameters in ssims)


@cache
def _is_idle(parameters: tuple[tuple[str, Any], ...]) -> bool:
    given: Mapping[str, Any] = dict(parameters)
    how = KERNELS[given["kernel"]]
    floor = given.get("variance_floor", how.variance_floor)
    if given["data_range"] == "pair":
        return not floor  # The range of a pair, and so C2, may be as small as any floor.
    constants = Constants.of(torch.tensor(float(given["data_range"]), dtype=torch.float64), how)
    return not Constants(constants.c1, constants.c2, floor, clamp_covariance=True).clamped
