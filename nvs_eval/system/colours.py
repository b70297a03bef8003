"""Colours that the user names."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.errors import InputError, quoted


def parse_background(colour: str | Sequence[float]) -> tuple[float, float, float]:
    """Parse a colour: white, black, or three numbers in [0, 1], as a sequence or separated by commas.

    Raises:
        InputError: It is not a colour.
    """
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
    if isinstance(colour, str) and colour in named:
        return named[colour]
    try:
        red, green, blue = (float(part) for part in (colour.split(",") if isinstance(colour, str) else colour))
    except ValueError:
        red = green = blue = -1.0
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise InputError(f"The background must be white, black or r,g,b in [0, 1]. Got {quoted(colour)}.")
    return red, green, blue
