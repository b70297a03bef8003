"""Scores one view under one or several protocols: prepares its images once for each, then computes the metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images import RANGE_TOLERANCE, crop_border, quantise
from nvs_eval.metrics.registry import Metric
from nvs_eval.protocols import Protocol
from nvs_eval.views import View
from nvs_eval.weights import require

Scores = Mapping[str, Sequence[float]]
"""Each metric's value for each render of a view, in the columns' order."""


@dataclass(frozen=True)
class Prepared:
    """A view's images as the metrics take them under one protocol: `[3, H, W]`, `[K, 3, H, W]`, `[1, H, W]`."""

    reference: Tensor
    renders: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Scorer:
    """Scores views under protocols; making one reads and verifies all weights, so that nothing is missing later.

    Attributes:
        protocols: what to compute.
        device: where; views lie on any device.
        weights_dir: a folder to look for LPIPS backbones first.

    Raises:
        InputError: a protocol needs weights that cannot be had.
    """

    protocols: Sequence[Protocol]
    device: torch.device
    weights_dir: Path | None = None

    def __post_init__(self) -> None:
        _ = self.weights, self._metrics

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """The identity (sha256) of the weights of each LPIPS net in use."""
        nets = {
            parameters["net"]
            for protocol in self.protocols
            for name, parameters in protocol.metrics.items()
            if name.startswith("lpips")
        }
        return require(sorted(nets), directory=self.weights_dir)

    @cached_property
    def _metrics(self) -> Sequence[Sequence[Metric]]:
        """The metrics of each protocol; those of one signature are built once."""
        built: dict[str, Metric] = {}
        for protocol in self.protocols:
            for description in protocol.descriptions:
                if description.signature not in built:
                    built[description.signature] = description.build(weights_dir=self.weights_dir)
        return [[built[d.signature] for d in protocol.descriptions] for protocol in self.protocols]

    def score(self, view: View) -> list[Scores]:
        """The scores of all renders of a view, for each protocol in order.

        What two protocols share, the same metric of the same prepared images, is computed once.

        Raises:
            InputError: a render is out of range and a protocol makes that an error, the view has a mask that a
                protocol has no meaning for, or a metric is not defined for the images; the message names the view.
        """
        done: list[tuple[Prepared, dict[str, list[float]]]] = []
        results = []
        with torch.inference_mode():
            reference, renders, mask = self._on_device(view)
            for protocol, metrics in zip(self.protocols, self._metrics, strict=True):
                check_range(view, protocol)
                prepared = prepare(reference, renders, mask, protocol, view_name=view.name)
                prepared, known = _same_images(done, prepared)
                results.append(
                    {
                        d.name: _scores(view, m, prepared, known)
                        for d, m in zip(protocol.descriptions, metrics, strict=True)
                    }
                )
        return results

    def _on_device(self, view: View) -> tuple[Tensor, Tensor, Tensor | None]:
        reference = view.reference.to(self.device).permute(2, 0, 1)
        renders = torch.stack([render.image.to(self.device).permute(2, 0, 1) for render in view.renders])
        return reference, renders, None if view.mask is None else view.mask.to(self.device)[None]


def check_range(view: View, protocol: Protocol) -> None:
    """Check that a view's images are in [0, 1], where the protocol makes anything else an error.

    Raises:
        InputError: naming the view, the file and the values.
    """
    if protocol.out_of_range != "error":
        return
    images = [("reference", view.reference, view.reference_file)]
    images += [("render", render.image, render.file) for render in view.renders]
    for kind, image, file in images:
        low, high = (float(value) for value in image.aminmax())
        if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
            raise InputError(
                f"The {kind} of view {view.name!r}{f' ({file})' if file else ''} has values from {low:g} to {high:g}, "
                f"and the protocol {protocol.name!r} needs [0, 1]: clamp it where it is made, or use a protocol with "
                "`out_of_range: clamp`."
            )


def prepare(reference: Tensor, renders: Tensor, mask: Tensor | None, protocol: Protocol, *, view_name: str) -> Prepared:
    """Bring a view's images to what a protocol's metrics take: clamp, quantise, crop, mask, in this order.

    Args:
        reference: `[3, H, W]`.
        renders: `[K, 3, H, W]`.
        mask: `[1, H, W]` weights in [0, 1], or None.
        protocol: says how.
        view_name: for the errors.

    Raises:
        InputError: there is a mask and the protocol has no meaning for one, or the mask is empty.
    """
    if protocol.out_of_range != "keep":
        reference, renders = reference.clamp(0, 1), renders.clamp(0, 1)
    reference = quantise(reference, protocol.quantise.reference)
    renders = quantise(renders, protocol.quantise.render)
    if protocol.crop:
        reference, renders = crop_border(reference, protocol.crop), crop_border(renders, protocol.crop)
        mask = None if mask is None else crop_border(mask, protocol.crop)
    if mask is not None and protocol.mask == "none":
        raise InputError(
            f"View {view_name!r} has a mask, and the protocol {protocol.name!r} has no meaning for one: use a protocol "
            "with `mask: valid-pixels`, such as standard."
        )
    if mask is not None and not mask.any():
        raise InputError(f"The mask of view {view_name!r} is empty: there is nothing to score.")
    return Prepared(reference, renders, mask)


def _same_images(
    done: list[tuple[Prepared, dict[str, list[float]]]], prepared: Prepared
) -> tuple[Prepared, dict[str, list[float]]]:
    """Images that were prepared to the same values before, with what is known of them; else these, with nothing."""
    for before, known in done:
        if _equal(before, prepared):
            return before, known
    done.append((prepared, {}))
    return done[-1]


def _equal(a: Prepared, b: Prepared) -> bool:
    same_mask = a.mask is b.mask or (a.mask is not None and b.mask is not None and torch.equal(a.mask, b.mask))
    return same_mask and torch.equal(a.reference, b.reference) and torch.equal(a.renders, b.renders)


def _scores(view: View, metric: Metric, prepared: Prepared, known: dict[str, list[float]]) -> list[float]:
    if metric.signature not in known:
        try:
            values = metric.function(prepared.reference, prepared.renders, mask=prepared.mask)
        except InputError as error:
            raise InputError(f"View {view.name!r}: {error}") from error
        known[metric.signature] = values.tolist()
    if any(math.isnan(value) for value in known[metric.signature]):
        # Finite images give a number but for these.
        why = "SSIM over the data range of the pair has none where both images are of one colour"
        if prepared.mask is not None:
            why += ", and SSIM without padding none where the mask has no pixel half a window from the border"
        raise InputError(
            f"{metric.name} is not defined for view {view.name!r} (its signature is {metric.signature}): {why}. Leave "
            "the view out, or use a protocol that is defined for it."
        )
    return known[metric.signature]
