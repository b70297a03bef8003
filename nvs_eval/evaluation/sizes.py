"""Sizes that protocols require of images, checked before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.errors import InputError, counted, quoted, some
from nvs_eval.evaluation.callbacks import Refusal
from nvs_eval.protocols import Protocol

Sizes = Sequence[tuple[str, tuple[int, int]]]
"""Name, and width and height in pixels, of each view."""


def check_sizes(protocols: Sequence[Protocol], sizes: Sizes, on_refusal: Refusal | None = None) -> list[Protocol]:
    """Check that every view is large enough for each protocol.

    Args:
        protocols: the protocols.
        sizes: sizes of the views.
        on_refusal: called with each protocol that can score none of the views, and the error. Views that are too small
            for other protocols are then left to the scorer (default: raise the error if any view is too small).

    Returns:
        The protocols that can score at least one view.

    Raises:
        InputError: A view is too small and there is no `on_refusal`; the message names it and the required size.
    """
    sizes = list(dict.fromkeys(sizes))  # Checkpoints of one run share their views.
    usable = []
    for protocol in protocols:
        small = _too_small(protocol, sizes)
        if small and on_refusal is None:
            raise _error(protocol, small, len(sizes))
        if on_refusal is not None and small and len(small) == len(sizes):
            on_refusal(protocol, _error(protocol, small, len(sizes)))
        else:
            usable.append(protocol)
    return usable


def smallest_size(protocol: Protocol) -> tuple[int, int]:
    """Return the smallest width and height of an image that a protocol can score, in pixels."""
    # The scored region must be large enough for every metric after its border is cropped.
    height = 2 * protocol.crop + max((metric.smallest for metric in protocol.descriptions), default=1)
    return (2 * height - 1 if protocol.region == "right-half" else height), height


def _too_small(protocol: Protocol, sizes: Sizes) -> list[str]:
    width, height = smallest_size(protocol)
    return [f"{name} ({w}x{h})" for name, (w, h) in sizes if w < width or h < height]


def _error(protocol: Protocol, small: Sequence[str], count: int) -> InputError:
    width, height = smallest_size(protocol)
    reasons = [max(protocol.descriptions, key=lambda metric: metric.smallest).name]
    if protocol.region == "right-half":
        reasons.append("on the right half")
    if protocol.crop:
        reasons.append(f"after a crop of {counted(protocol.crop, 'pixel')} per side")
    which = f"{len(small)} of {counted(count, 'view')} {'is' if len(small) == 1 else 'are'}"
    return InputError(
        f"The protocol {quoted(protocol.name)} requires images of at least {width}x{height} pixels, for "
        f"{' '.join(reasons)}. {which if len(small) < count else 'All views are'} smaller: {some(small)}. Use another "
        "protocol, or omit these views."
    )
