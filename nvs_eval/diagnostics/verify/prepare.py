"""What a protocol does to images before it scores them, in numpy, read from its definition.

Which of the 256 levels a value has is decided in float32, as images are float32; all else is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nvs_eval.diagnostics.verify.colour import CORRECTIONS
from nvs_eval.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

# The meanings of a mask that are the metrics' business; the others change the images.
_WEIGHTED = ("valid-pixels", "windows", "dycheck")


class Unknown(InputError):
    """A protocol asks for what has no second opinion here."""


@dataclass(frozen=True)
class Pair:
    """A reference and a render `[H, W, 3]`, with a mask `[H, W]` of weights in [0, 1] or None."""

    reference: Array
    render: Array
    mask: Array | None = None


def prepare(pair: Pair, definition: Mapping[str, Any], *, corrected: bool) -> Pair:
    """A pair as a protocol has it before the mask changes anything.

    Args:
        pair: float32, without alpha.
        definition: of the protocol, as its record has it.
        corrected: whether the render is corrected in colour, as it is for the metrics whose key begins with `cc_`.

    Returns:
        float64.

    Raises:
        Unknown: the definition asks for what is not known here, or cuts all of the images away.
    """
    if definition["out_of_range"] != "keep":
        pair = replace(pair, reference=pair.reference.clip(0, 1), render=pair.render.clip(0, 1))
    if corrected:
        rule = _known(CORRECTIONS, definition["colour_correction"], "colour correction")
        pair = replace(pair, render=rule(pair.render, pair.reference).astype(np.float32))
    rules = definition["quantise"]
    pair = Pair(
        _levels(pair.reference, rules["reference"]),
        _levels(pair.render, rules["render"]),
        None if pair.mask is None else _levels(pair.mask, rules["mask"]),
    )
    pair = _each(pair, _known(_REGIONS, definition["region"], "region"))
    if border := definition["crop"]:
        if 2 * border >= min(pair.reference.shape[:2]):
            raise Unknown(f"its protocol's crop {border} leaves nothing of it")
        pair = _each(pair, lambda image: image[border:-border, border:-border])
    return _each(pair, lambda image: image.astype(np.float64))


def _known(table: Mapping[str, Any], name: object, kind: str) -> Any:
    if name not in table:
        raise Unknown(f"The {kind} {name!r} is not known here: upgrade nvs-eval")
    return table[str(name)]


def _levels(image: Array, rule: str) -> Array:
    """The levels of 8 bits, divided by 255; to the nearest, ties upwards, or to the one below."""
    if rule == "none":
        return image
    offset = {"round": 0.5, "truncate": 0.0}[rule]
    scaled = image.astype(np.float32) * np.float32(255) + np.float32(offset)
    return np.floor(scaled) / np.float32(255)


def _each(pair: Pair, change: Callable[[Array], Array]) -> Pair:
    """The pair with the same done to both images and the mask."""
    return Pair(change(pair.reference), change(pair.render), None if pair.mask is None else change(pair.mask))


_REGIONS = {"full": lambda image: image, "right-half": lambda image: image[:, image.shape[1] // 2 :]}


def work_in_mask(pair: Pair, meaning: str) -> Pair:
    """A prepared pair with the mask worked into its images, where that is what it means; else the metrics have it.

    Raises:
        Unknown: the meaning is not known here.
    """
    if meaning == "dycheck" and pair.mask is None:
        return replace(pair, mask=np.ones(pair.reference.shape[:2]))
    if pair.mask is None or meaning in _WEIGHTED:
        return pair
    return _known(_MEANINGS, meaning, "mask meaning")(pair.reference, pair.render, pair.mask)


def _multiply(reference: Array, render: Array, mask: Array) -> Pair:
    return Pair(reference * mask[..., None], render * mask[..., None])


def _fill(reference: Array, render: Array, mask: Array) -> Pair:
    return Pair(reference, reference + (render - reference) * mask[..., None])


def _box(reference: Array, render: Array, mask: Array) -> Pair:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Pair(reference[part], render[part])


_MEANINGS = {
    "ignored": lambda reference, render, mask: Pair(reference, render),
    "multiply": _multiply,
    "fill": _fill,
    "bbox": _box,
}
