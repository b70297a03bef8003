"""What a command of the tests answers."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str
