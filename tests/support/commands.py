"""The result of a command in tests."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str
