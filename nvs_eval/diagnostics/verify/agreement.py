"""The made images under every named protocol: by nvs-eval's own metrics, and by the independent ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nvs_eval.diagnostics.verify.made import made_pair, with_floats, with_mask
from nvs_eval.diagnostics.verify.prepare import Pair
from nvs_eval.diagnostics.verify.scores import AVERAGE, Independent, average_error
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols.protocol import DEFAULT, Protocol, load_protocol, named_protocols, parse_protocol
from nvs_eval.sources.views import Render, View

Key = tuple[str, str, str]
"""Of a score: the protocol, the case, the metric."""


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
    """A protocol without the metrics whose weights are not here; None if there is no other."""
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


def our_scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> dict[Key, float]:
    """What nvs-eval's own metrics say on a device.

    Raises:
        InputError: weights cannot be had.
    """
    found: dict[Key, float] = {}
    for case in cases:
        scorer = Scorer(case.protocols, device, weights_dir)
        for protocol, scores in zip(case.protocols, scorer.score(_view(case)), strict=True):
            found |= {(protocol.name, case.name, metric): values[0] for metric, values in scores.items()}
    return found


def _view(case: Case) -> View:
    mask = None if case.pair.mask is None else torch.from_numpy(case.pair.mask)
    reference, render = (torch.from_numpy(image) for image in (case.pair.reference, case.pair.render))
    return View(case.name, reference, (Render(render),), mask)


def second_opinions(cases: Sequence[Case], weights_dir: Path | None) -> dict[Key, float]:
    """What the independent implementations say, of the same.

    Raises:
        InputError: as `our_scores`, or a protocol asks for what they do not know.
    """
    return {
        (protocol.name, case.name, metric): value
        for case in cases
        for protocol in case.protocols
        for metric, value in _independent(case.pair, protocol, weights_dir).items()
    }


def _independent(pair: Pair, protocol: Protocol, weights_dir: Path | None) -> Mapping[str, float]:
    opinion = Independent(pair, protocol.definition, weights_dir)
    scores = {metric: opinion.score(metric) for metric in protocol.metrics if metric != AVERAGE}
    if parts := protocol.metrics.get(AVERAGE):
        scores[AVERAGE] = average_error(*(scores[parts[part]] for part in ("psnr", "ssim", "lpips")))
    return scores
