"""Prepare a view's images for a protocol: clamp, correct colours, quantise, crop and mask, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.images.pixels import (
    RANGE_TOLERANCE,
    Quantisation,
    clamp_to_range,
    crop_border,
    is_quantised,
    quantise,
)
from nvs_eval.metrics.colour_correction import correct_colours
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View


@dataclass
class SharedSteps:
    """Preparation steps that several protocols share, done once per view.

    Attributes:
        corrections: colour corrections: kind, reference, renders, and corrected renders.
        quantised: images and their quantised versions, by the image's identity and the rule.
        levels: images, and which of them have only 8-bit levels, by the identity of the image or batch.
    """

    corrections: list[tuple[str, Tensor, Tensor, Tensor]] = field(default_factory=list)
    quantised: dict[tuple[int, Quantisation], tuple[Tensor, Tensor]] = field(default_factory=dict)
    levels: dict[int, tuple[Tensor, Sequence[bool]]] = field(default_factory=dict)

    def quantise(self, image: Tensor, rule: Quantisation) -> Tensor:
        """Quantise an image by a rule, once."""
        key = (id(image), rule)
        if key not in self.quantised:
            # Rounding changes no level; truncating one above 1 may.
            same = rule == "none" or (rule == "round" and all(self.are_levels(image)))
            # Keep the image too, so that no other object can get its identity.
            self.quantised[key] = (image, image if same else quantise(image, rule))
        return self.quantised[key][1]

    def are_levels(self, images: Tensor) -> Sequence[bool]:
        """Return which images of a batch `[K, 3, H, W]`, or whether one `[3, H, W]`, have only 8-bit levels."""
        if id(images) not in self.levels:
            batch = images if images.ndim > 3 else images[None]
            self.levels[id(images)] = (images, [is_quantised(image) for image in batch])
        return self.levels[id(images)][1]


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
        levels: whether the reference, and each render, had only 8-bit levels before quantisation.
    """

    reference: Tensor
    renders: Tensor
    corrected: Tensor | None
    mask: Tensor | None
    coverage: float | None
    levels: Sequence[bool]


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
        mask: weights in [0, 1], `[1, H, W]`, or None.
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
        levels=(*steps.are_levels(reference), *steps.are_levels(renders)),
    )
    if mask is not None and protocol.takes_masks:
        mask = _cut(quantise(mask, rules.mask), protocol)
        if not mask.any():
            raise EmptyMask(f"The mask of view {quoted(view_name)} is empty: there is nothing to score.")
        return _masked(replace(prepared, coverage=float(mask.mean(dtype=torch.float64))), mask, protocol)
    # dycheck treats a missing mask as a full mask, which gives a different LPIPS.
    full = torch.ones_like(prepared.reference[:1]) if protocol.mask == "dycheck" else None
    return replace(prepared, mask=full)


def _correct(reference: Tensor, renders: Tensor, protocol: Protocol, steps: SharedSteps) -> Tensor:
    kind = protocol.colour_correction
    assert kind != "none"
    for done_kind, done_reference, done_renders, corrected in steps.corrections:
        if done_kind == kind and torch.equal(done_reference, reference) and torch.equal(done_renders, renders):
            return corrected
    corrected = torch.stack([correct_colours(reference, render, kind) for render in renders])
    steps.corrections.append((kind, reference, renders, corrected))
    return corrected


def _cut(image: Tensor, protocol: Protocol) -> Tensor:
    """Return the region to score, without its border."""
    if protocol.region == "right-half":
        image = image[..., image.shape[-1] // 2 :]
    return crop_border(image, protocol.crop) if protocol.crop else image


def _masked(prepared: Prepared, mask: Tensor, protocol: Protocol) -> Prepared:
    """Apply a mask to the images, or pass it on to the metrics, as the protocol defines."""

    def to_renders(change: object) -> Prepared:
        assert callable(change)
        corrected = None if prepared.corrected is None else change(prepared.corrected)
        return replace(prepared, renders=change(prepared.renders), corrected=corrected)

    match protocol.mask:
        case "multiply":
            return replace(to_renders(lambda image: image * mask), reference=prepared.reference * mask)
        case "fill":
            return to_renders(lambda image: image * mask + prepared.reference * (1 - mask))
        case "bbox":
            rows, columns = mask[0].any(dim=1).nonzero()[:, 0], mask[0].any(dim=0).nonzero()[:, 0]
            box = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
            return replace(to_renders(lambda image: image[box]), reference=prepared.reference[box])
        case _:
            return replace(prepared, mask=mask)
