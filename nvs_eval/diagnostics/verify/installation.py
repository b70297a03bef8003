"""Verification of this installation, on images made by integer arithmetic, which are the same on every machine.

Only this module of the package imports nvs-eval's own metrics, because it verifies them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nvs_eval.diagnostics.verify.definition import AVERAGE, first_line, verifiable
from nvs_eval.diagnostics.verify.pair import Array, Pair
from nvs_eval.diagnostics.verify.records import Compared, digits, worst_of
from nvs_eval.diagnostics.verify.scores import SecondOpinion
from nvs_eval.errors import InputError, counted, listed
from nvs_eval.evaluation.provenance import device_name
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.registry import about_of, label_of
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.metrics.weights.formats import load_heads
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, backbone_sha256
from nvs_eval.protocols import DEFAULT, Protocol, load_protocol, named_protocols, parse_protocol
from nvs_eval.sources.views import Render, View

# Even the right half is large enough for every network.
_HEIGHT, _WIDTH = 40, 72

KNOWN_LPIPS: Mapping[Net, float] = {
    "alex": 0.36047149819410046,
    "vgg": 0.44446772446403005,
    "squeeze": 0.3151539167923155,
}
"""LPIPS of the made pair by lpips 0.1.4 in float64, with input in [-1, 1]. Random weights give 0.05 to 0.14."""

Key = tuple[str, str, str]
"""Key of a score: protocol, case, metric."""


def made_pair() -> Pair:
    """Return rings that grow finer, and the same rings brighter and with blocks of 3 x 2 equal pixels."""
    y, x, channel = np.mgrid[:_HEIGHT, :_WIDTH, :3]
    return Pair(_rings(y, x, channel, 28), _rings(y // 2 * 2, x // 3 * 3, channel, 37))


def _rings(y: Array, x: Array, channel: Array, darkest: int) -> Array:
    levels = (5 * x * x + 7 * y * y + 3 * x * y) // (8 + 4 * channel) % 200 + darkest
    return levels.astype(np.float32) / np.float32(255)


def with_floats(pair: Pair) -> Pair:
    """Return the pair with values between the levels, and a render that exceeds [0, 1] at both ends."""
    level = np.float32(1 / 255)
    return Pair(pair.reference * np.float32(0.9), (pair.render - 40 * level) * np.float32(1.4))


def with_mask(pair: Pair) -> Pair:
    """Return the pair with an oval mask whose lower half is soft."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    distance = ((x - _WIDTH // 2) * _HEIGHT) ** 2 + ((y - _HEIGHT // 2) * _WIDTH) ** 2
    inside = distance < (_HEIGHT * _WIDTH // 2) ** 2 * 3 // 4
    return replace(pair, mask=(inside * np.where(y > _HEIGHT // 2, 0.4, 1.0)).astype(np.float32))


@dataclass(frozen=True)
class Case:
    """Pair of images, and the protocols to score it under."""

    name: str
    pair: Pair
    protocols: Sequence[Protocol]


def cases_for(nets: Collection[Net]) -> list[Case]:
    """Return the made pairs with the protocols that accept them, limited to the weights of these nets."""
    named = [_verifiable_part(load_protocol(name), nets) for name in named_protocols()]
    protocols = [*filter(None, named), *([_squeezed()] if "squeeze" in nets else [])]
    floats = with_floats(made_pair())
    in_range = replace(floats, render=floats.render.clip(0, 1))
    return [
        Case("floats", in_range, [protocol for protocol in protocols if protocol.out_of_range == "error"]),
        Case("out of range", floats, [protocol for protocol in protocols if protocol.out_of_range != "error"]),
        Case("masked", with_mask(made_pair()), [protocol for protocol in protocols if protocol.mask != "none"]),
    ]


def _verifiable_part(protocol: Protocol, nets: Collection[Net]) -> Protocol | None:
    """Return a protocol without metrics that lack weights or a second opinion; None if no metric is left."""
    checked = {name: protocol.metrics[name] for name in verifiable(protocol.infos)}
    metrics = {name: parameters for name, parameters in checked.items() if parameters.get("net") in (None, *nets)}
    if AVERAGE in metrics and not set(metrics[AVERAGE].values()) <= set(metrics):
        del metrics[AVERAGE]
    return parse_protocol({"name": protocol.name, **protocol.definition, "metrics": metrics}) if metrics else None


def _squeezed() -> Protocol:
    """Return a protocol with SqueezeNet, which no named protocol uses."""
    metric = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    definition = load_protocol(DEFAULT).definition
    return parse_protocol({"name": "squeeze", **definition, "metrics": {"lpips_squeeze": metric}})


def our_scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> dict[Key, float]:
    """Return the scores of nvs-eval's own metrics on a device.

    Raises:
        InputError: weights cannot be loaded.
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


def second_opinions(cases: Sequence[Case], ours: Mapping[Key, float], weights_dir: Path | None) -> dict[Key, float]:
    """Return the scores of the independent implementations; mip-NeRF's average is computed from `ours`.

    Raises:
        InputError: weights cannot be loaded, or a protocol is not supported.
    """
    scores: dict[Key, float] = {}
    for case in cases:
        for protocol in case.protocols:
            opinion = SecondOpinion(case.pair, protocol.definition, weights_dir)
            our_values = {metric: ours[protocol.name, case.name, metric] for metric in protocol.metrics}
            scores |= {(protocol.name, case.name, metric): opinion.score(metric, our_values) for metric in our_values}
    return scores


State = Literal["right", "WRONG", "missing"]

_TOPICS = {"psnr": "PSNR", "mae": "MAE", "ssim": "SSIM", "cc": "colour correction", "mipnerf": "mip-NeRF's average"}
_LPIPS = "LPIPS ("


@dataclass(frozen=True)
class Check:
    """Result of one check: a text, a verdict, and the deviation from the right value if that is a number.

    The topic, such as PSNR, can be trusted if all its checks are right. Weights that are not installed are `missing`.
    """

    name: str
    topic: str
    result: str
    state: State
    deviation: float | None = None


@dataclass(frozen=True)
class Installation:
    """Results of all checks of an installation."""

    checks: Sequence[Check]

    @property
    def right(self) -> bool:
        """Whether no check is wrong."""
        return all(check.state != "WRONG" for check in self.checks)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Rows of name, result, deviation and verdict."""
        return [
            (check.name, check.result, "-" if check.deviation is None else digits(check.deviation), check.state)
            for check in self.checks
        ]

    @property
    def trust(self) -> str:
        """Sentence on which metrics can be trusted."""
        states: dict[str, set[State]] = {}
        for check in self.checks:
            states.setdefault(check.topic, set()).add(check.state)
        wrong = [topic for topic in states if "WRONG" in states[topic]]
        missing = [topic for topic in states if "missing" in states[topic] and "WRONG" not in states[topic]]
        trusted = [topic for topic in states if states[topic] == {"right"}]
        parts = [f"{_joined(trusted) if trusted else 'Nothing'} can be trusted here"]
        if missing:
            parts.append(f"weights of {_joined(missing)} are missing")
        if wrong:
            parts.append(f"{_joined(wrong)} cannot be trusted (see the table)")
        return f"{'; '.join(parts)}."


def _joined(topics: Sequence[str]) -> str:
    """List topics in a sentence, with the nets of LPIPS in one pair of parentheses."""
    nets = [topic.removeprefix(_LPIPS).removesuffix(")") for topic in topics if topic.startswith(_LPIPS)]
    others = [topic for topic in topics if not topic.startswith(_LPIPS)]
    return listed([*others, f"{_LPIPS}{', '.join(nets)})"] if nets else others)


def topic_of(metric: str) -> str:
    """Return the topic of a metric, by its key."""
    family, *rest = metric.split("_")
    return about_of(f"lpips_{rest[0]}").title if family == "lpips" else _TOPICS[family]


def verify_installation(device: torch.device, weights_dir: Path | None = None) -> Installation:
    """Check weights, known answers, nvs-eval's metrics against independent ones, and a device against the CPU.

    Args:
        device: device to compare with the CPU.
        weights_dir: folder that is searched first for LPIPS backbones.

    Raises:
        InputError: the folder does not exist. All other faults are in the result.
    """
    weights = [_check_weights(net, weights_dir) for net in NETS]
    nets: list[Net] = [net for net, check in zip(NETS, weights, strict=True) if check.state == "right"]
    return Installation([*weights, *_known_answers(nets, weights_dir), *_comparisons(nets, device, weights_dir)])


def _check_weights(net: Net, weights_dir: Path | None) -> Check:
    name, topic = f"weights of {net}", topic_of(f"lpips_{net}")
    backbone = find_backbone(net, directory=weights_dir)
    if backbone.path is None or not backbone.verified:
        return Check(name, topic, backbone.reason or "", "WRONG" if backbone.path else "missing")
    try:
        for version in VERSIONS:
            load_heads(net, version)
    except InputError as error:
        return Check(name, topic, str(error), "WRONG")
    return Check(name, topic, f"sha256 {backbone_sha256(net)[:12]}, {backbone.path}", "right")


def _known_answers(nets: Sequence[Net], weights_dir: Path | None) -> Iterator[Check]:
    from nvs_eval.metrics.lpips.metric import load_lpips
    from nvs_eval.metrics.psnr.metric import psnr
    from nvs_eval.metrics.ssim.metric import ssim

    pair = made_pair()
    reference, render = (torch.from_numpy(image).permute(2, 0, 1) for image in (pair.reference, pair.render))
    offset = torch.full((3, 16, 16), 0.25)

    def distance(net: Net, image: Tensor) -> Tensor:
        return load_lpips(net, weights_dir=weights_dir)(reference, image)

    answers: list[tuple[str, str, float, Callable[[], Tensor]]] = [
        ("psnr", "PSNR of a constant offset of 0.1", 20.0, lambda: psnr(offset, offset + 0.1)),
        ("ssim", "SSIM of an image and itself", 1.0, lambda: ssim(reference, reference)),
    ]
    for net in nets:
        key, title = f"lpips_{net}", topic_of(f"lpips_{net}")
        answers += [
            (key, f"{title} of an image and itself", 0.0, partial(distance, net, reference)),
            (key, f"{title} of a generated pair", KNOWN_LPIPS[net], partial(distance, net, render)),
        ]
    for metric, name, answer, compute in answers:
        try:
            compared = Compared("", metric, compute().item(), answer)
        except Exception as error:  # A broken installation can raise anything.
            yield Check(name, topic_of(metric), first_line(error), "WRONG")
        else:
            yield _check(name, compared, f"{compared.recorded:.6f}, expected {answer:.6f}")


def _check(name: str, compared: Compared, result: str) -> Check:
    state = "right" if compared.confirmed else "WRONG"
    return Check(name, topic_of(compared.metric), result, state, compared.deviation)


def _comparisons(nets: Sequence[Net], device: torch.device, weights_dir: Path | None) -> Iterator[Check]:
    """Compare our metrics with independent ones, and the device with the CPU, under every named protocol."""
    try:
        cases = cases_for(nets)
        ours = our_scores(cases, torch.device("cpu"), weights_dir)
        others = second_opinions(cases, ours, weights_dir)
        yield from _agreement("against an independent implementation", ours, others)
        if device.type != "cpu":
            yield from _agreement(
                f"on {device_name(device)} against the CPU", our_scores(cases, device, weights_dir), ours
            )
    except Exception as error:  # A broken installation can raise anything.
        yield Check("all named protocols", "scores under named protocols", first_line(error), "WRONG")


def _agreement(title: str, ours: Mapping[Key, float], others: Mapping[Key, float]) -> Iterator[Check]:
    """Yield one check per metric, on the protocol and images with the largest difference."""
    compared = [
        Compared(f"{protocol}, {case}", metric, value, others[protocol, case, metric])
        for (protocol, case, metric), value in ours.items()
    ]
    for worst in worst_of(compared):
        count = len({protocol for protocol, _, metric in ours if metric == worst.metric})
        name = f"{label_of(worst.metric)} {title}, {counted(count, 'protocol')}"
        differing = f"{worst.recorded:.6f} and {worst.recomputed:.6f} ({worst.view})"
        yield _check(name, worst, "agree" if worst.confirmed else differing)
