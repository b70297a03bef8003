"""Verification of this installation, on images made for it.

Here and in `trials` nvs-eval's own metrics are imported: they are what is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from nvs_eval.diagnostics.verify.definition import first_line
from nvs_eval.diagnostics.verify.records import Compared, tolerance_of
from nvs_eval.diagnostics.verify.trials import KNOWN_LPIPS, Key, cases_for, made_pair, our_scores, second_opinions
from nvs_eval.errors import InputError, counted, listed
from nvs_eval.evaluation.evaluate import device_name
from nvs_eval.metrics.weights.backbones import find_backbone, load_heads
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, backbone_sha256

State = Literal["right", "WRONG", "not here"]

_TOPICS = {"psnr": "PSNR", "mae": "MAE", "ssim": "SSIM", "cc": "colour correction", "mipnerf": "mip-NeRF's average"}
_LPIPS = "LPIPS ("


@dataclass(frozen=True)
class Check:
    """One check of an installation.

    Attributes:
        name: of what was checked.
        topic: what can be trusted if this is right: "PSNR", "LPIPS (vgg)".
        result: in words.
        state: the verdict; `not here` for what this installation lacks, which is nothing wrong.
        deviation: from the right value, where that is a number.
    """

    name: str
    topic: str
    result: str
    state: State
    deviation: float | None = None


@dataclass(frozen=True)
class Installation:
    """All checks of an installation."""

    checks: Sequence[Check]

    @property
    def right(self) -> bool:
        """Whether no check is wrong."""
        return all(check.state != "WRONG" for check in self.checks)

    @property
    def trust(self) -> str:
        """A sentence on what to trust."""
        topics: dict[str, set[State]] = {}
        for check in self.checks:
            topics.setdefault(check.topic, set()).add(check.state)
        wrong = [topic for topic, states in topics.items() if "WRONG" in states]
        lacking = [topic for topic, states in topics.items() if "not here" in states and "WRONG" not in states]
        trusted = [topic for topic, states in topics.items() if states == {"right"}]
        parts = [f"{_in_words(trusted) if trusted else 'Nothing'} can be trusted here"]
        if lacking:
            parts.append(f"{_in_words(lacking)} {'have' if len(lacking) > 1 else 'has'} no weights")
        if wrong:
            parts.append(f"{_in_words(wrong)} cannot be trusted: see the table")
        return f"{'; '.join(parts)}."


def _in_words(topics: Sequence[str]) -> str:
    """Topics in a sentence, the nets of LPIPS together: "PSNR, SSIM and LPIPS (alex, vgg)"."""
    nets = [topic.removeprefix(_LPIPS).removesuffix(")") for topic in topics if topic.startswith(_LPIPS)]
    others = [topic for topic in topics if not topic.startswith(_LPIPS)]
    return listed([*others, f"{_LPIPS}{', '.join(nets)})"] if nets else others)


def topic_of(metric: str) -> str:
    """Topic of a metric, by its key."""
    family, _, rest = metric.partition("_")
    return f"{_LPIPS}{rest.partition('_')[0]})" if family == "lpips" else _TOPICS[family]


def verify_installation(device: torch.device, weights_dir: Path | None = None) -> Installation:
    """Check the weights that are here, known answers, nvs-eval's metrics against others, and a device against the CPU.

    Args:
        device: to compare with the CPU, unless it is the CPU.
        weights_dir: a folder to look for LPIPS backbones first.

    Raises:
        InputError: the folder does not exist. Any other fault is in the result.
    """
    weights = [_check_weights(net, weights_dir) for net in NETS]
    nets: list[Net] = [net for net, check in zip(NETS, weights, strict=True) if check.state == "right"]
    return Installation([*weights, *_known_answers(nets, weights_dir), *_comparisons(nets, device, weights_dir)])


def _check_weights(net: Net, weights_dir: Path | None) -> Check:
    name, topic = f"weights of {net}", topic_of(f"lpips_{net}")
    backbone = find_backbone(net, directory=weights_dir)
    if backbone.path is None:
        return Check(name, topic, backbone.reason or "", "not here")
    if not backbone.verified:
        return Check(name, topic, backbone.reason or "", "WRONG")
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
    yield _check_answer("psnr", "PSNR of a constant offset of 0.1", 20.0, lambda: psnr(offset, offset + 0.1))
    yield _check_answer("ssim", "SSIM of an image and itself", 1.0, lambda: ssim(reference, reference))
    for net in nets:
        for name, other, answer in (("an image and itself", reference, 0.0), ("a made pair", render, KNOWN_LPIPS[net])):

            def distance(net: Net = net, other: Tensor = other) -> Tensor:
                return load_lpips(net, weights_dir=weights_dir)(reference, other)

            yield _check_answer(f"lpips_{net}", f"LPIPS ({net}) of {name}", answer, distance)


def _check_answer(metric: str, name: str, answer: float, compute: Callable[[], Tensor]) -> Check:
    try:
        compared = Compared("", metric, compute().item(), answer, tolerance_of(metric))
    except Exception as error:  # A broken installation can raise anything.
        return Check(name, topic_of(metric), first_line(error), "WRONG")
    state = "right" if compared.confirmed else "WRONG"
    return Check(name, topic_of(metric), f"{compared.recorded:.6f}, known {answer:.6f}", state, compared.deviation)


def _comparisons(nets: Sequence[Net], device: torch.device, weights_dir: Path | None) -> Iterator[Check]:
    """Compare ours with the independent implementations, and the device with the CPU, under every named protocol."""
    try:
        cases = cases_for(nets)
        ours = our_scores(cases, torch.device("cpu"), weights_dir)
        yield from _agreement("independent implementation", ours, second_opinions(cases, weights_dir))
        if device.type != "cpu":
            yield from _agreement(f"{device_name(device)}, CPU", our_scores(cases, device, weights_dir), ours)
    except Exception as error:  # As above.
        yield Check("all named protocols", "anything that protocols compute", first_line(error), "WRONG")


def _agreement(title: str, ours: Mapping[Key, float], others: Mapping[Key, float]) -> Iterator[Check]:
    """One check per metric: the protocol and images on which the two differ most."""
    for metric in dict.fromkeys(metric for _, _, metric in ours):
        compared = [
            Compared(f"{protocol}, {case}", metric, value, others[protocol, case, name], tolerance_of(metric))
            for (protocol, case, name), value in ours.items()
            if name == metric
        ]
        worst = max(compared, key=lambda number: number.deviation)
        count = len({protocol for protocol, _, name in ours if name == metric})
        name = f"{metric} and {title}, {counted(count, 'protocol')}"
        result = "agree" if worst.confirmed else f"{worst.recorded:.6f} and {worst.recomputed:.6f} ({worst.view})"
        state = "right" if worst.confirmed else "WRONG"
        yield Check(name, topic_of(metric), result, state, worst.deviation)
