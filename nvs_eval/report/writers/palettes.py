"""The colours of first, second and third, as six hexadecimal digits each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Three colours behind numbers: for black letters on white paper, and for white letters on a dark screen.

    Attributes:
        names: of the colours in LaTeX.
        light: on paper, the first to the third.
        dark: on a dark screen, likewise.
    """

    names: Sequence[str]
    light: Sequence[str]
    dark: Sequence[str]


PALETTES: Mapping[str, Palette] = {
    # The red, orange and yellow that tables of the field have had since mip-NeRF 360.
    "colour": Palette(
        ("nvsred", "nvsorange", "nvsyellow"),
        ("FF9999", "FFCC99", "FFF8A0"),
        ("8A2B2B", "7A4A12", "5E5A12"),
    ),
    # One hue in steps of about ten in CIE lightness: as far apart to every eye, and on a grey printer.
    "colour-blind": Palette(
        ("nvsblueone", "nvsbluetwo", "nvsbluethree"),
        ("72A9E0", "A5C9EE", "D3E4F6"),
        ("2166AC", "1B4C80", "143252"),
    ),
}
"""By the way of marking; the others have no colours."""
