"""Images of a view, read from the files that a record names and prepared by a protocol's definition.

Rounding to the 256 levels of 8 bits is in float32, like the images; everything else is in float64.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nvs_eval.diagnostics.verify.definition import UPGRADE, Unknown
from nvs_eval.errors import InputError, quoted
from nvs_eval.images.files import load_layers
from nvs_eval.images.pixels import sha256_of_image, sha256_of_mask
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.sources.image_source import reading_of
from nvs_eval.sources.masks import Masks

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Pair:
    """Reference and render `[H, W, 3]`, with a mask `[H, W]` of weights in [0, 1] or None."""

    reference: Array
    render: Array
    mask: Array | None = None


class Changed(Exception):
    """A file differs from what was scored, which refutes the record."""


def read_pair(record: Record, row: ViewRow, folder: Path) -> Pair:
    """Read the reference, render and mask of a record's view, in float32 and without alpha.

    Paths in the record are relative to `folder`, the folder of its file.

    Raises:
        InputError: a file was not kept, is missing or cannot be read.
        Changed: a file differs from the scored one.
    """
    definition, provenance = record.protocol["definition"], record.provenance
    file = _kept(record, folder, "reference", row.reference)
    reference = _colours(record, "reference", file)
    # A run keeps references as PNGs. For a protocol that rounds references to 8 bits such a copy is enough. Its sha256
    # may differ, so only the scores show a change.
    rounded = definition["quantise"]["reference"] == "round"
    is_copy = "kept_renders" in provenance and rounded and file.suffix == ".png"
    if not is_copy and sha256_of_image(torch.from_numpy(reference)) != row.reference_sha256:
        raise Changed(f"the reference {file} has changed since scoring")
    file = _kept(record, folder, "render", row.render)
    render = _colours(record, "render", file)
    if render.shape != reference.shape:
        raise Changed(f"the render {file} has changed since scoring: its size is not the reference's")
    if row.mask_sha256 is None or definition["mask"] == "ignored":
        return Pair(reference, render)
    file = _kept(record, folder, "mask", row.mask)
    mask = Masks({row.name: file}, binary=provenance.get("masks") == "binary").load(row.name)
    if sha256_of_mask(mask) != row.mask_sha256:
        raise Changed(f"the mask {file} has changed since scoring")
    return Pair(reference, render, mask.numpy())


def _kept(record: Record, folder: Path, kind: str, name: str | None) -> Path:
    """Return the file of an image that a record names."""
    if name is None:
        origin = record.provenance.get("renders_from")
        raise InputError(f"its {kind} was not kept as a separate file{f' (it came from {origin})' if origin else ''}")
    # Relative to the current folder, without the `..` that lead out of the record's folder.
    path = Path(os.path.normpath(folder / name))
    if not path.is_file():
        raise InputError(f"its {kind} is missing at {path}")
    return path


def _colours(record: Record, kind: str, path: Path) -> Array:
    """Return the colours of an image, composited over the record's background unless the protocol drops alpha."""
    reading = reading_of(record)
    colours, alpha = load_layers(path, reading)
    if alpha is None or record.protocol["definition"]["alpha"] == "drop":
        return colours.numpy()
    if reading.background is None:
        raise InputError(f"the {kind} {path} has alpha, but the record has no background")
    opacity = alpha.numpy()
    return colours.numpy() * opacity + np.array(reading.background, dtype=np.float32) * (1 - opacity)


def prepare(pair: Pair, definition: Mapping[str, Any], *, corrected: bool = False) -> Pair:
    """Prepare a pair up to the point where the mask changes its images (`apply_mask`).

    Args:
        pair: images in float32, without alpha; the result is in float64.
        definition: definition of the protocol in the record.
        corrected: correct the colours of the render, for metrics whose key begins with `cc_`.

    Raises:
        Unknown: the crop leaves no pixels.
    """
    reference, render, rules = pair.reference, pair.render, definition["quantise"]
    if definition["out_of_range"] != "keep":
        reference, render = reference.clip(0, 1), render.clip(0, 1)
    if corrected:
        render = CORRECTIONS[definition["colour_correction"]](render, reference).astype(np.float32)
    height, width = reference.shape[:2]
    left, crop = width // 2 if definition["region"] == "right-half" else 0, definition["crop"]
    if 2 * crop >= min(height, width - left):
        raise Unknown(f"its protocol's crop {crop} leaves no pixels.")
    region = np.s_[crop : height - crop, left + crop : width - crop]

    def cut(image: Array, rule: str) -> Array:
        return quantise(image, rule)[region].astype(np.float64)

    mask = None if pair.mask is None else cut(pair.mask, rules["mask"])
    return Pair(cut(reference, rules["reference"]), cut(render, rules["render"]), mask)


def quantise(image: Array, rule: str) -> Array:
    """Round to the levels of 8 bits, divided by 255: to the nearest (ties upwards), or downwards."""
    if rule == "none":
        return image
    offset = {"round": 0.5, "truncate": 0.0}[rule]
    return np.floor(image.astype(np.float32) * np.float32(255) + np.float32(offset)) / np.float32(255)


def apply_mask(pair: Pair, meaning: str) -> Pair:
    """Apply the mask to the images of a prepared pair, for meanings that change images; metrics apply the others.

    Raises:
        Unknown: the meaning is not supported.
    """
    reference, render, mask = pair.reference, pair.render, pair.mask
    if mask is None:
        return replace(pair, mask=np.ones(reference.shape[:2])) if meaning == "dycheck" else pair
    weights = mask[..., None]
    if meaning in ("valid-pixels", "windows", "dycheck"):
        return pair
    if meaning == "ignored":
        return Pair(reference, render)
    if meaning == "multiply":
        return Pair(reference * weights, render * weights)
    if meaning == "fill":
        return Pair(reference, reference + (render - reference) * weights)
    if meaning == "bbox":
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Pair(reference[box], render[box])
    raise Unknown(f"Unknown mask {quoted(meaning)}. {UPGRADE}")


def masked_mean(values: Array, mask: Array | None) -> float:
    """Return the mean of a map `[H, W, C]`, weighted by a mask, in whose centre a smaller map lies."""
    if mask is None:
        return float(values.mean())
    height, width, channels = values.shape
    top, left = (mask.shape[0] - height) // 2, (mask.shape[1] - width) // 2
    weights = mask[top : top + height, left : left + width]
    return float((values * weights[..., None]).sum() / (weights.sum() * channels))


# --- Colour correction of a render towards its reference, by least squares in float64 ---------------------------------

_HALF_A_LEVEL = 0.5 / 255
_LEAST_VARIANCE = _LEAST_SLOPE = 1e-8


def quadratic(render: Array, reference: Array) -> Array:
    """Apply multinerf's `color_correct`: five fits of a quadratic in colour, over pixels that are not clipped."""
    first, target = (image.reshape(-1, 3).astype(np.float64) for image in (render, reference))
    current = first
    for _ in range(5):
        red, green, blue = current.T
        products = [red * red, red * green, red * blue, green * green, green * blue, blue * blue]
        terms = np.stack([*products, red, green, blue, np.ones_like(red)], axis=1)
        usable = _unclipped(first) & _unclipped(current) & _unclipped(target)
        fitted = []
        for channel in range(3):
            # Rows of zeros do not affect the fit.
            rows = usable[:, channel]
            weights = np.linalg.lstsq(terms * rows[:, None], target[:, channel] * rows, rcond=-1)[0]
            fitted.append(terms @ weights)
        current = np.stack(fitted, axis=1).clip(0, 1)
    return current.reshape(render.shape)


def _unclipped(colours: Array) -> Array:
    return (colours >= _HALF_A_LEVEL) & (colours <= 1 - _HALF_A_LEVEL)


def affine(render: Array, reference: Array) -> Array:
    """Apply gsplat's `color_correct_affine`: fit a line from reference to render per channel, and invert it."""
    y, x = (image.astype(np.float64) for image in (render, reference))
    mean_x, mean_y = x.mean(axis=(0, 1)), y.mean(axis=(0, 1))
    covariance = ((x - mean_x) * (y - mean_y)).mean(axis=(0, 1))
    slope = covariance / np.maximum(x.var(axis=(0, 1)), _LEAST_VARIANCE)
    offset = mean_y - slope * mean_x
    return ((y - offset) / np.where(np.abs(slope) < _LEAST_SLOPE, 1.0, slope)).clip(0, 1)


CORRECTIONS = {"quadratic": quadratic, "affine": affine}
