"""Corrections of a view above their noise: of colours, pose and sharpness, found together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Literal

import numpy as np

from nvs_eval.diagnostics.causes.colour import ColourFit, Kind, chosen, fit_colours
from nvs_eval.diagnostics.causes.registration import Registration, register
from nvs_eval.diagnostics.causes.sharpness import LEAST_BLUR, LEAST_SHARPENING, matched, refined
from nvs_eval.diagnostics.causes.spectrum import Sharpness, match_sharpness, spectra
from nvs_eval.diagnostics.causes.tiles import Array, Gain

_LEAST_SIDE = 48
"""Smallest width and height, in pixels, of an image whose pose and sharpness are judged."""
_ROUNDS = 2


@dataclass
class Corrections:
    """Corrections of the reference that make it like the render.

    Attributes:
        reference: `[3, H, W]`.
        render: `[3, H, W]`.
        weights: `[H, W]` weights of the pixels.
        fits: colour fits by kind.
        shift: shift; None if the image is too small.
        homography: homography; None if the image is too small.
        match: matching blur or sharpening; None if the image is too small.
        named: corrections that are above their noise.
        used: `[H, W]` weights of the pixels that the motion, if there is one, takes from inside the reference.
    """

    reference: Array
    render: Array
    weights: Array
    fits: dict[Kind, ColourFit] = field(default_factory=dict)
    shift: Registration | None = None
    homography: Registration | None = None
    match: Sharpness | None = None
    named: set[str] = field(default_factory=set)
    used: Array = field(init=False)

    def __post_init__(self) -> None:
        self.used = self.weights

    @property
    def colour(self) -> ColourFit | None:
        """Colour fit that the image supports."""
        return chosen(self.fits)

    @property
    def motion(self) -> Registration | None:
        """Simplest motion above its noise, or None."""
        if self.shift is None or self.homography is None:
            return None
        shift = self.shift if self.shift.gain.is_real else None
        over = Gain(shift.gain.after, self.homography.gain.after) if shift else self.homography.gain
        return self.homography if over.is_real else shift

    @property
    def kind(self) -> Literal["shift", "homography"]:
        """Kind of the motion."""
        return "shift" if self.motion is self.shift else "homography"

    def find(self) -> None:
        """Find all corrections.

        Colours are fitted again once the others are known, which at edges leave differences that look like colours.
        """
        self.fits = fit_colours(self.reference, self.render, self.weights)
        if min(self.weights.shape) >= _LEAST_SIDE:
            self._find_spatial()
            for _ in range(_ROUNDS):
                if not self.named:
                    break
                before = self.colour
                self.fits = fit_colours(self.corrected(self.named), self.render, self.weights)
                if before is None and self.colour is None:
                    break
                self._find_spatial()
        if self.colour is not None:
            self.named.add("colour")
        if self.motion is not None:
            inside = self.weights * self.motion.motion.inside()
            self.used = inside if inside.any() else self.weights

    def _find_spatial(self) -> None:
        self.named.clear()
        coloured = self.reference if self.colour is None else self.colour.apply(self.reference)
        self.shift, self.homography = register(coloured, self.render, self.weights)
        if self.motion is not None:
            self.named.add("pose")
            coloured = self.motion.motion.apply(coloured)
        if (one := spectra(coloured, self.render, self.weights)) is None:
            return
        match = self.match = match_sharpness(one)
        if match.gain.is_real and (match.blur >= LEAST_BLUR or match.sharpening >= LEAST_SHARPENING):
            self.match = refined(match, coloured, self.render, self.weights)
            self.named.add("sharpness")

    def corrected(self, causes: set[str] | frozenset[str]) -> Array:
        """Return the reference after some corrections."""
        image = self.reference
        if "pose" in causes and self.motion is not None:
            image = self.motion.motion.apply(image)
        if "sharpness" in causes and self.match is not None:
            image = matched(image, self.match)
        return self.colour.apply(image) if "colour" in causes and self.colour is not None else image

    def errors(self) -> dict[frozenset[str], float]:
        """Return the mean squared error that the render would have without each subset of the causes.

        That is the error of a reference with all other causes, and what all corrections leave. The two are
        uncorrelated, because corrections are least squares; the rest of the true error is shared in proportion.
        """
        everything = frozenset(self.named)
        left, whole = self.error(self.corrected(everything)), self.error(self.reference)
        made = {some: self.error(self.reference, self.corrected(everything - some)) for some in subsets([*everything])}
        factor = (whole - left) / made[frozenset()] if made[frozenset()] > 0 else 1.0
        return {some: left + error * factor for some, error in made.items()}

    def error(self, reference: Array, render: Array | None = None) -> float:
        """Return the mean squared error of the render, or of another image, against an image."""
        square = ((self.render if render is None else render) - reference) ** 2
        return float((square.mean(0) * self.used).sum(dtype=np.float64) / self.used.sum(dtype=np.float64))


def subsets(names: list[str]) -> Iterator[frozenset[str]]:
    """Yield all subsets of names."""
    return map(frozenset, chain.from_iterable(combinations(names, count) for count in range(len(names) + 1)))
