"""Amounts of memory as a user writes them."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from nvs_eval.errors import InputError

_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(b|([kmgt])(b|ib)?)", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """A number of bytes, at least 1: `2GB` and `1500MB` are of powers of 1000, `0.5GiB` and `512M` of powers of 1024.

    A number without a unit is refused: some tools take it for bytes, others for megabytes.

    Raises:
        InputError: it is no such text, or nothing at all.
    """
    match = _SIZE.fullmatch(text.strip())
    size = _bytes(match) if match else 0
    if size < 1:
        raise InputError(
            f"--max-memory is {text!r}, and a size above 0 with its unit is needed, such as 2GB, 1500MB or 0.5GiB."
        )
    return size


def _bytes(match: re.Match[str]) -> int:
    prefix, ending = (match[3] or "").lower(), (match[4] or "").lower()
    # A letter alone is a power of 1024, as to dd, docker and Slurm.
    base = 1000 if ending == "b" else 1024
    return math.floor(Fraction(match[1]) * base ** _PREFIXES[prefix])
