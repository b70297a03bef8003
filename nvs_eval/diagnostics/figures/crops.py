"""Regions of views that a figure magnifies: as options of the command line, and where methods differ most."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nvs_eval.errors import InputError, quoted

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
"""An image as it is shown, `[H, W, 3]`."""

MOST_CROPS = 6
# Share of the shorter side of an image that an automatic crop covers.
_SHARE = 0.22


@dataclass(frozen=True)
class Box:
    """A region in pixels, from the top left corner of the image."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    def of(self, image: Pixels) -> Pixels:
        """Return the region of an image."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def parse_crop(text: str) -> tuple[str | None, Box]:
    """Parse a crop, `[VIEW:]x,y,width,height`, into the name of its view, or None for all views, and the region.

    Raises:
        InputError: the text is no crop.
    """
    match = re.fullmatch(r"(?:(.*):)?\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text, re.DOTALL)
    if match is None or 0 in (numbers := [int(number) for number in match.groups()[1:]])[2:]:
        raise InputError(
            "--crop must be x,y,width,height in whole pixels, or VIEW:x,y,width,height. "
            f"Got {quoted(text)}. Write for example `--crop 120,80,64,64`."
        )
    return match[1], Box(*numbers)


def check_inside(box: Box, view: str, size: tuple[int, int]) -> None:
    """Check that a region lies in a view of a width and height.

    Raises:
        InputError: it does not.
    """
    width, height = size
    if box.x + box.width > width or box.y + box.height > height:
        raise InputError(
            f"--crop must lie inside view {quoted(view)}, which has {width}x{height} pixels. Got {box}, which ends at "
            f"{box.x + box.width},{box.y + box.height}. Move it or make it smaller."
        )


def auto_crops(reference: Pixels, renders: Sequence[Pixels], count: int, taken: Sequence[Box] = ()) -> list[Box]:
    """Return regions where renders differ most: the largest variance between renders, or the largest error of one.

    Regions overlap neither each other nor `taken`. There may be fewer than `count` that differ and find room.

    Args:
        reference: `[H, W, 3]`.
        renders: renders of the view, at least one.
        count: number of regions.
        taken: other regions of the figure.
    """
    height, width = reference.shape[:2]
    side = max(1, round(_SHARE * min(height, width)))
    # A single crop has the shape of the image, several are squares.
    box_width, box_height = (max(1, round(_SHARE * size)) for size in (width, height)) if count == 1 else (side, side)
    sums = _box_sums(_difference(reference, renders), box_width, box_height)
    for box in taken:
        _block(sums, box, box_width, box_height)
    boxes: list[Box] = []
    while len(boxes) < count and sums.max() > 0:
        y, x = np.unravel_index(int(sums.argmax()), sums.shape)
        boxes.append(Box(int(x), int(y), box_width, box_height))
        _block(sums, boxes[-1], box_width, box_height)
    return boxes


def _difference(reference: Pixels, renders: Sequence[Pixels]) -> np.ndarray:
    """Return how much renders differ in each pixel, as whole numbers, so that no rounding decides."""
    images = [*renders] if len(renders) > 1 else [reference, *renders]
    # 32 bits are enough for a hundred images.
    total, squares = (np.zeros(reference.shape, np.int32) for _ in range(2))
    for image in images:
        total += image
        squares += image.astype(np.int32) ** 2
    return (len(images) * squares - total**2).sum(axis=-1, dtype=np.int64)


def _box_sums(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the sum over the box at each place that it can have."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]


def _block(sums: np.ndarray, box: Box, width: int, height: int) -> None:
    """Exclude the places at which a box would overlap another."""
    top, left = max(0, box.y - height + 1), max(0, box.x - width + 1)
    sums[top : box.y + box.height, left : box.x + box.width] = 0


def crop_options(crops: Mapping[str, Sequence[Box]]) -> str:
    """Return the options that repeat the crops of views, such as `--crop 0001:12,40,64,64`."""
    named = len(crops) > 1
    texts = [f"{view}:{box}" if named else f"{box}" for view, boxes in crops.items() for box in boxes]
    return " ".join(f"--crop {shlex.quote(text)}" for text in texts)
