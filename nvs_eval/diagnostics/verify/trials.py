"""Images made for this installation, scored under every named protocol by nvs-eval and by the second opinion.

They are made by integer arithmetic, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from nvs_eval.diagnostics.verify.definition import AVERAGE
from nvs_eval.diagnostics.verify.prepare import Array, Pair
from nvs_eval.diagnostics.verify.scores import SecondOpinion, average_error
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import DEFAULT, Protocol, load_protocol, named_protocols, parse_protocol
from nvs_eval.sources.views import Render, View

# The right half is still large enough for every network.
_HEIGHT, _WIDTH = 40, 72

KNOWN_LPIPS: Mapping[Net, float] = {
    "alex": 0.36047149819410046,
    "vgg": 0.44446772446403005,
    "squeeze": 0.3151539167923155,
}
"""LPIPS of the made pair by the lpips package 0.1.4 in float64, fed [-1, 1], with the pinned weights.

A randomly initialised network gives 0.05 to 0.14, so that missing weights show.
"""

Key = tuple[str, str, str]
"""Identity of a score: protocol, case, metric."""


# --- The images -------------------------------------------------------------------------------------------------------


def made_pair() -> Pair:
    """Rings that grow finer, and the same with every three by two pixels made one and a little brighter."""
    y, x, channel = np.mgrid[:_HEIGHT, :_WIDTH, :3]
    return Pair(_image(_rings(y, x, channel)), _image(_rings(y // 2 * 2, x // 3 * 3, channel) + 9))


def _rings(y: Array, x: Array, channel: Array) -> Array:
    return (5 * x * x + 7 * y * y + 3 * x * y) // (8 + 4 * channel) % 200 + 28


def _image(levels: Array) -> Array:
    return levels.clip(0, 255).astype(np.float32) / np.float32(255)


def with_floats(pair: Pair) -> Pair:
    """The pair with values between the levels, and a render that leaves [0, 1] on either side."""
    level = np.float32(1 / 255)
    return Pair(pair.reference * np.float32(0.9), (pair.render - 40 * level) * np.float32(1.4))


def with_mask(pair: Pair) -> Pair:
    """The pair with an oval mask, soft at its lower half."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    distance = ((x - _WIDTH // 2) * _HEIGHT) ** 2 + ((y - _HEIGHT // 2) * _WIDTH) ** 2
    inside = distance < (_HEIGHT * _WIDTH // 2) ** 2 * 3 // 4
    return replace(pair, mask=(inside * np.where(y > _HEIGHT // 2, 0.4, 1.0)).astype(np.float32))


# --- The protocols ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A pair and the protocols that it is scored under."""

    name: str
    pair: Pair
    protocols: Sequence[Protocol]


def cases_for(nets: Collection[Net]) -> list[Case]:
    """The made pairs with the protocols that take them, as far as the weights of these nets go."""
    named = [_without_weights(load_protocol(name), nets) for name in named_protocols()]
    protocols = [protocol for protocol in named if protocol] + _squeezed(nets)
    floats = with_floats(made_pair())
    in_range = replace(floats, render=floats.render.clip(0, 1))
    return [
        Case("floats", in_range, [protocol for protocol in protocols if protocol.out_of_range == "error"]),
        Case("out of range", floats, [protocol for protocol in protocols if protocol.out_of_range != "error"]),
        Case("masked", with_mask(made_pair()), [protocol for protocol in protocols if protocol.mask != "none"]),
    ]


def _without_weights(protocol: Protocol, nets: Collection[Net]) -> Protocol | None:
    """A protocol without the metrics whose weights are missing; None if no metric is left."""
    metrics = {
        name: parameters for name, parameters in protocol.metrics.items() if parameters.get("net") in (None, *nets)
    }
    if AVERAGE in metrics and not set(metrics[AVERAGE].values()) <= set(metrics):
        del metrics[AVERAGE]
    return parse_protocol({"name": protocol.name, **protocol.definition, "metrics": metrics}) if metrics else None


def _squeezed(nets: Collection[Net]) -> list[Protocol]:
    """A protocol with the net that no named one has."""
    if "squeeze" not in nets:
        return []
    metric = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    definition = load_protocol(DEFAULT).definition
    return [parse_protocol({"name": "squeeze", **definition, "metrics": {"lpips_squeeze": metric}})]


# --- The scores -------------------------------------------------------------------------------------------------------


def our_scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> dict[Key, float]:
    """Scores by nvs-eval's own metrics on a device.

    Raises:
        InputError: weights cannot be had.
    """
    scores: dict[Key, float] = {}
    for case in cases:
        mask = None if case.pair.mask is None else torch.from_numpy(case.pair.mask)
        reference, render = (torch.from_numpy(image) for image in (case.pair.reference, case.pair.render))
        scorer = Scorer(case.protocols, device, weights_dir)
        results = scorer.score(View(case.name, reference, (Render(render),), mask))
        for protocol, metrics in zip(case.protocols, results, strict=True):
            scores |= {(protocol.name, case.name, metric): values[0] for metric, values in metrics.items()}
    return scores


def second_opinions(cases: Sequence[Case], weights_dir: Path | None) -> dict[Key, float]:
    """Scores by the independent implementations.

    Raises:
        InputError: weights cannot be had, or a protocol asks for what is not known to them.
    """
    scores: dict[Key, float] = {}
    for case in cases:
        for protocol in case.protocols:
            opinion = SecondOpinion(case.pair, protocol.definition, weights_dir)
            own = {metric: opinion.score(metric) for metric in protocol.metrics if metric != AVERAGE}
            if parts := protocol.metrics.get(AVERAGE):
                own[AVERAGE] = average_error(*(own[parts[part]] for part in ("psnr", "ssim", "lpips")))
            scores |= {(protocol.name, case.name, metric): score for metric, score in own.items()}
    return scores
