"""Prepares a view's images as a protocol says: clamp, correct colours, quantise, cut, mask, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.pixels import RANGE_TOLERANCE, Quantisation, clamp_to_range, crop_border, quantise
from nvs_eval.metrics.colour_correction import correct_colours
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View


@dataclass
class SharedSteps:
    """Steps that the protocols of a view have in common, each done once.

    Attributes:
        corrections: colour corrections: how, of which reference and renders, and to what.
        quantised: images as they are on the levels of a rule, by the image's identity and the rule.
    """

    corrections: list[tuple[str, Tensor, Tensor, Tensor]] = field(default_factory=list)
    quantised: dict[tuple[int, Quantisation], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def quantise(self, image: Tensor, rule: Quantisation) -> Tensor:
        """Bring an image to the levels of a rule, once."""
        key = (id(image), rule)
        if key not in self.quantised:
            # With the image, so that no other has its identity.
            self.quantised[key] = (image, quantise(image, rule))
        return self.quantised[key][1]


class EmptyMask(InputError):
    """A view's mask leaves nothing to score: the view is left out, and said to be."""


@dataclass(frozen=True)
class Prepared:
    """A view's images as the metrics take them under one protocol.

    Attributes:
        reference: `[3, H, W]`.
        renders: `[K, 3, H, W]`.
        corrected: the renders after colour correction; None for a protocol without.
        mask: `[1, H, W]`, for the metrics to weigh by; None where there is none, or it was done to the images.
        coverage: the mean of the mask, if there was one.
    """

    reference: Tensor
    renders: Tensor
    corrected: Tensor | None
    mask: Tensor | None
    coverage: float | None


def check_range(view: View, protocol: Protocol) -> None:
    """Check that a view's images are in [0, 1], where the protocol makes anything else an error.

    Raises:
        InputError: naming the view, the file and the values.
    """
    if protocol.out_of_range != "error":
        return
    images = [("reference", view.reference_file), *(("render", render.file) for render in view.renders)]
    for (kind, file), (low, high) in zip(images, view.bounds, strict=True):
        if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
            raise InputError(
                f"The {kind} of view {view.name!r}{f' ({file})' if file else ''} has values from {low:g} to {high:g}, "
                f"and the protocol {protocol.name!r} needs [0, 1]: clamp it where it is made, or use a protocol with "
                "`out_of_range: clamp`."
            )


def check_masks(protocol: Protocol, what: str) -> None:
    """Check that a mask means something to a protocol, or is ignored by it on purpose.

    Raises:
        InputError: saying what has the mask, and which protocols have a meaning for one.
    """
    if protocol.mask == "none":
        raise InputError(
            f"{what}, and the protocol {protocol.name!r} has no meaning for one: use a protocol that has, such as "
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
    """Bring a view's images to what a protocol's metrics take.

    Args:
        reference: `[3, H, W]`.
        renders: `[K, 3, H, W]`.
        mask: `[1, H, W]` weights in [0, 1], or None.
        protocol: says how.
        view_name: for the errors.
        in_range: whether all values are known to lie in [0, 1].
        steps: steps that were done for other protocols; those done here are added.

    Raises:
        InputError: there is a mask and the protocol has no meaning for one, or the crop leaves nothing.
        EmptyMask: nothing is left of the mask.
    """
    if mask is not None:
        check_masks(protocol, f"View {view_name!r} has a mask")
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
    )
    if mask is not None and protocol.takes_masks:
        mask = _cut(quantise(mask, rules.mask), protocol)
        if not mask.any():
            raise EmptyMask(f"The mask of view {view_name!r} is empty: there is nothing to score.")
        return _masked(replace(prepared, coverage=float(mask.mean(dtype=torch.float64))), mask, protocol)
    # To dycheck no mask is a mask of everything, which for LPIPS is not the same as none.
    full = torch.ones_like(prepared.reference[:1]) if protocol.mask == "dycheck" else None
    return replace(prepared, mask=full)


def _correct(reference: Tensor, renders: Tensor, protocol: Protocol, steps: SharedSteps) -> Tensor:
    how = protocol.colour_correction
    assert how != "none"
    for done, its_reference, its_renders, result in steps.corrections:
        if done == how and torch.equal(its_reference, reference) and torch.equal(its_renders, renders):
            return result
    result = torch.stack([correct_colours(reference, render, how) for render in renders])
    steps.corrections.append((how, reference, renders, result))
    return result


def _cut(image: Tensor, protocol: Protocol) -> Tensor:
    """The region that is scored, without its border."""
    if protocol.region == "right-half":
        image = image[..., image.shape[-1] // 2 :]
    return crop_border(image, protocol.crop) if protocol.crop else image


def _masked(prepared: Prepared, mask: Tensor, protocol: Protocol) -> Prepared:
    """What a mask does to the images; to the others it is given, for the metrics to know what to do."""

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
