"""Prepare a view's images for a protocol: clamp, correct colours, quantise, crop and mask, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.images.pixels import (
    RANGE_TOLERANCE,
    Quantisation,
    are_quantised,
    clamp_to_range,
    crop_border,
    quantise,
)
from nvs_eval.metrics.colour_correction import correct_colours
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View
from nvs_eval.system.tensors import equal


@dataclass
class SharedSteps:
    """Preparation steps that several protocols share, done once per view.

    Attributes:
        corrections: colour corrections: kind, reference, renders, and corrected renders.
        quantised: images and their quantised versions, by the image's identity and the rule.
        levels: images, and which of them have only 8-bit levels, by the identity of the image or batch.
        placed: masks, and their copies on the device of the images, by the mask's identity.
    """

    corrections: list[tuple[str, Tensor, Tensor, Tensor]] = field(default_factory=list)
    quantised: dict[tuple[int, Quantisation], tuple[Tensor, Tensor]] = field(default_factory=dict)
    levels: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    placed: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def quantise(self, image: Tensor, rule: Quantisation) -> Tensor:
        """Quantise an image by a rule, once."""
        key = (id(image), rule)
        if key not in self.quantised:
            # Rounding changes no level; truncating one above 1 may.
            known = rule == "round" and image.device.type == "cpu"
            same = rule == "none" or (known and bool(self.are_levels(image).all()))
            # Keep the image too, so that no other object can get its identity.
            self.quantised[key] = (image, image if same else quantise(image, rule))
        return self.quantised[key][1]

    def are_levels(self, images: Tensor) -> Tensor:
        """Return which images of a batch `[K, 3, H, W]`, or whether one `[3, H, W]`, have only 8-bit levels, `[K]`."""
        if id(images) not in self.levels:
            self.levels[id(images)] = (images, are_quantised(images if images.ndim > 3 else images[None]))
        return self.levels[id(images)][1]

    def on_device(self, mask: Tensor, device: torch.device) -> Tensor:
        """Return a mask on a device, to which it is copied once."""
        if id(mask) not in self.placed:
            self.placed[id(mask)] = (mask, mask.to(device))
        return self.placed[id(mask)][1]


class EmptyMask(InputError):
    """A view's mask leaves nothing to score. The view is skipped and recorded as skipped."""


@dataclass(frozen=True)
class Prepared:
    """A view's images as input of the metrics of one protocol.

    Attributes:
        reference: reference, `[3, H, W]`.
        renders: renders, `[K, 3, H, W]`.
        corrected: renders after colour correction; None if the protocol has none.
        mask: weights for the metrics, `[1, H, W]`; None without a mask, or if it was applied to the images.
        coverage: mean of the mask, if there was one.
        levels: whether the reference, and each render, had only 8-bit levels before quantisation, `[1 + K]` bool.
    """

    reference: Tensor
    renders: Tensor
    corrected: Tensor | None
    mask: Tensor | None
    coverage: float | None
    levels: Tensor


def range_errors(view: View, protocol: Protocol) -> dict[int, InputError]:
    """Return an error for each render, by index, that the protocol cannot score because of values outside [0, 1].

    A reference outside [0, 1] is an error of all renders. The message names the view, the file and the values.
    """
    if protocol.out_of_range != "error":
        return {}
    images = [("reference", view.reference_file), *(("render", render.file) for render in view.renders)]
    errors: dict[int, InputError] = {}
    for place, ((kind, file), bounds) in enumerate(zip(images, view.bounds, strict=True)):
        if not is_in_range(bounds):
            where = f" ({file})" if file else ""
            advice = "Clamp the values when writing the image, or use" if file else "Use"
            error = InputError(
                f"The {kind} of view {quoted(view.name)}{where} has values from {bounds[0]:g} to {bounds[1]:g}. The "
                f"protocol {quoted(protocol.name)} requires [0, 1]. {advice} a protocol with `out_of_range: clamp`, "
                "such as nerfstudio-splatfacto, or a copy of this one."
            )
            if kind == "reference":
                return dict.fromkeys(range(len(view.renders)), error)
            errors[place - 1] = error
    return errors


def is_in_range(bounds: tuple[float, float]) -> bool:
    """Return whether a minimum and maximum are in [0, 1], up to rounding."""
    return bounds[0] >= -RANGE_TOLERANCE and bounds[1] <= 1 + RANGE_TOLERANCE


def check_masks(protocol: Protocol, what: str) -> None:
    """Check that a protocol supports masks or ignores them by definition.

    Args:
        protocol: the protocol.
        what: beginning of the message: which input has masks.

    Raises:
        InputError: It does not; the message names the input and protocols that support masks.
    """
    if protocol.mask == "none":
        raise InputError(
            f"{what}, but the protocol {quoted(protocol.name)} does not support masks. Use one that does, such as "
            "standard (valid-pixels), nerfbaselines (multiply) or dycheck, or a file of your own."
        )


def prepare(
    reference: Tensor,
    renders: Tensor,
    mask: Tensor | None,
    protocol: Protocol,
    *,
    view_name: str,
    in_range: bool = False,
    steps: SharedSteps | None = None,
) -> Prepared:
    """Prepare a view's images for the metrics of a protocol.

    Args:
        reference: reference, `[3, H, W]`.
        renders: renders, `[K, 3, H, W]`.
        mask: weights in [0, 1], `[1, H, W]`, on the CPU, or None.
        protocol: the protocol.
        view_name: name of the view, for errors.
        in_range: whether all values are known to be in [0, 1].
        steps: steps done for other protocols; those done here are added.

    Raises:
        InputError: There is a mask and the protocol does not support masks, or the crop leaves nothing.
        EmptyMask: The mask is empty.
    """
    if mask is not None:
        check_masks(protocol, f"View {quoted(view_name)} has a mask")
    steps = steps or SharedSteps()
    if protocol.out_of_range != "keep" and not in_range:
        reference, renders = clamp_to_range(reference), clamp_to_range(renders)
    fitted = None
    if protocol.colour_correction != "none":
        fitted = _correct(reference, renders, protocol, steps)
    rules = protocol.quantise
    prepared = Prepared(
        reference=_cut(steps.quantise(reference, rules.reference), protocol),
        renders=_cut(steps.quantise(renders, rules.render), protocol),
        corrected=None if fitted is None else _cut(steps.quantise(fitted, rules.render), protocol),
        mask=None,
        coverage=None,
        levels=torch.cat([steps.are_levels(reference), steps.are_levels(renders)]),
    )
    if mask is not None and protocol.takes_masks:
        mask = _cut(quantise(mask, rules.mask), protocol)
        coverage = _coverage(mask)
        if coverage == 0:
            raise EmptyMask(f"The mask of view {quoted(view_name)} is empty: there is nothing to score.")
        prepared = replace(prepared, coverage=coverage)
        return _boxed(prepared, mask) if protocol.mask == "bbox" else _masked(prepared, mask, protocol, steps)
    # dycheck treats a missing mask as a full mask, which gives a different LPIPS.
    full = torch.ones_like(prepared.reference[:1]) if protocol.mask == "dycheck" else None
    return replace(prepared, mask=full)


def _coverage(mask: Tensor) -> float:
    return float(mask.mean(dtype=torch.float64))


def _correct(reference: Tensor, renders: Tensor, protocol: Protocol, steps: SharedSteps) -> Tensor:
    kind = protocol.colour_correction
    assert kind != "none"
    for done_kind, done_reference, done_renders, corrected in steps.corrections:
        if done_kind == kind and equal(done_reference, reference) and equal(done_renders, renders):
            return corrected
    corrected = torch.stack([correct_colours(reference, render, kind) for render in renders])
    steps.corrections.append((kind, reference, renders, corrected))
    return corrected


def _cut(image: Tensor, protocol: Protocol) -> Tensor:
    """Return the region to score, without its border."""
    if protocol.region == "right-half":
        image = image[..., image.shape[-1] // 2 :]
    return crop_border(image, protocol.crop) if protocol.crop else image


def _masked(prepared: Prepared, mask: Tensor, protocol: Protocol, steps: SharedSteps) -> Prepared:
    """Apply a mask to the images, or pass it on to the metrics, as the protocol defines."""
    reference, mask = prepared.reference, steps.on_device(mask, prepared.reference.device)
    match protocol.mask:
        case "multiply":
            return _changed(prepared, lambda image: image * mask, reference=reference * mask)
        case "fill":
            return _changed(prepared, lambda image: image * mask + reference * (1 - mask), reference=reference)
        case _:
            return replace(prepared, mask=mask)


def _boxed(prepared: Prepared, mask: Tensor) -> Prepared:
    """Cut the images to the box around a mask on the CPU."""
    rows, columns = mask[0].any(dim=1).nonzero()[:, 0], mask[0].any(dim=0).nonzero()[:, 0]
    box = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return _changed(prepared, lambda image: image[box], reference=prepared.reference[box])


def _changed(prepared: Prepared, change: Callable[[Tensor], Tensor], *, reference: Tensor) -> Prepared:
    """Return images with another reference, and changed renders."""
    corrected = None if prepared.corrected is None else change(prepared.corrected)
    return replace(prepared, reference=reference, renders=change(prepared.renders), corrected=corrected)
