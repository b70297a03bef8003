"""Whether this installation computes what it should, on images made for it.

This and `nvs_eval.diagnostics.verify.agreement` are what imports nvs-eval's own metrics here: they are what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nvs_eval.diagnostics.verify.agreement import Key, cases_for, our_scores, second_opinions
from nvs_eval.diagnostics.verify.checks import Check, Installation
from nvs_eval.diagnostics.verify.made import KNOWN_LPIPS, made_pair
from nvs_eval.diagnostics.verify.record import Compared, tolerance_of
from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.evaluate import device_name
from nvs_eval.metrics.weights.backbones import find_backbone, load_heads
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, backbone_sha256

_TOPICS = {"psnr": "PSNR", "mae": "MAE", "ssim": "SSIM", "cc": "colour correction", "mipnerf": "mip-NeRF's average"}


def verify_installation(device: torch.device, weights_dir: Path | None = None) -> Installation:
    """Check the weights that are here, known answers, nvs-eval's metrics against others, and a device against the CPU.

    Args:
        device: to compare with the CPU, unless it is the CPU.
        weights_dir: a folder to look for LPIPS backbones first.

    Raises:
        InputError: the folder does not exist. Whatever else is wrong is in what this gives.
    """
    weights = [_check_weights(net, weights_dir) for net in NETS]
    nets: list[Net] = [net for net, check in zip(NETS, weights, strict=True) if check.state == "right"]
    checks = [*weights, *_known_answers(nets, weights_dir), *_comparisons(nets, device, weights_dir)]
    return Installation(checks)


def _check_weights(net: Net, weights_dir: Path | None) -> Check:
    name, topic = f"weights of {net}", topic_of(f"lpips_{net}")
    found = find_backbone(net, directory=weights_dir)
    if found.path is None:
        return Check(name, topic, found.reason or "", "not here")
    if not found.verified:
        return Check(name, topic, found.reason or "", "WRONG")
    try:
        for version in VERSIONS:
            load_heads(net, version)
    except InputError as error:
        return Check(name, topic, str(error), "WRONG")
    return Check(name, topic, f"sha256 {backbone_sha256(net)[:12]}, {found.path}", "right")


def topic_of(metric: str) -> str:
    """What a metric is called where it is said what to trust."""
    family, _, rest = metric.partition("_")
    return f"LPIPS ({rest.partition('_')[0]})" if family == "lpips" else _TOPICS[family]


def _known_answers(nets: Sequence[Net], weights_dir: Path | None) -> Iterator[Check]:
    from nvs_eval.metrics.lpips.metric import load_lpips
    from nvs_eval.metrics.psnr.metric import psnr
    from nvs_eval.metrics.ssim.metric import ssim

    reference, render = (_tensor(image) for image in (made_pair().reference, made_pair().render))
    offset = torch.full((3, 16, 16), 0.25)
    yield _known("psnr", "PSNR of a constant offset of 0.1", 20.0, lambda: psnr(offset, offset + 0.1))
    yield _known("ssim", "SSIM of an image and itself", 1.0, lambda: ssim(reference, reference))
    for net in nets:
        metric, name = f"lpips_{net}", f"LPIPS ({net}) of"

        def distance(other: Tensor, net: Net = net) -> Tensor:
            return load_lpips(net, weights_dir=weights_dir)(reference, other)

        yield _known(metric, f"{name} an image and itself", 0.0, lambda call=distance: call(reference))
        yield _known(metric, f"{name} a made pair", KNOWN_LPIPS[net], lambda call=distance: call(render))


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def _known(metric: str, name: str, answer: float, compute: Callable[[], Tensor]) -> Check:
    try:
        compared = Compared("", metric, compute().item(), answer, tolerance_of(metric))
    except Exception as error:  # Whatever a broken installation raises is what was to be found out.
        return Check(name, topic_of(metric), _reason(error), "WRONG")
    state = "right" if compared.confirmed else "WRONG"
    return Check(name, topic_of(metric), f"{compared.recorded:.6f}, known {answer:.6f}", state, compared.deviation)


def _comparisons(nets: Sequence[Net], device: torch.device, weights_dir: Path | None) -> Iterator[Check]:
    """Ours against the independent implementations, and the device against the CPU, under every named protocol."""
    try:
        cases = cases_for(nets)
        ours = our_scores(cases, torch.device("cpu"), weights_dir)
        yield from _agreement("independent implementation", ours, second_opinions(cases, weights_dir))
        if device.type != "cpu":
            yield from _agreement(f"{device_name(device)}, CPU", our_scores(cases, device, weights_dir), ours)
    except Exception as error:  # As above.
        yield Check("all named protocols", "anything that protocols compute", _reason(error), "WRONG")


def _agreement(what: str, ours: Mapping[Key, float], others: Mapping[Key, float]) -> Iterator[Check]:
    """One check a metric: where, of all protocols and images, the two differ most."""
    for metric in dict.fromkeys(metric for _, _, metric in ours):
        compared = [
            Compared(f"{protocol}, {case}", metric, value, others[protocol, case, name], tolerance_of(metric))
            for (protocol, case, name), value in ours.items()
            if name == metric
        ]
        worst = max(compared, key=lambda each: each.deviation)
        count = len({protocol for protocol, _, name in ours if name == metric})
        name = f"{metric} and {what}, {counted(count, 'protocol')}"
        said = "agree" if worst.confirmed else f"{worst.recorded:.6f} and {worst.recomputed:.6f} ({worst.view})"
        state = "right" if worst.confirmed else "WRONG"
        yield Check(name, topic_of(metric), said, state, worst.deviation)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
