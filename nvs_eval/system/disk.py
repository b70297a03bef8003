"""Whether there is room for renders, asked before anything is rendered."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nvs_eval.errors import InputError


def space_needed(sizes: Sequence[tuple[int, int]], *, floats: bool, pngs: bool, staged: bool) -> int:
    """The bytes that the renders of one column, and their references, take at most.

    Args:
        sizes: width and height of each view.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        staged: whether they are scored from there, so that references are written as they are.
    """
    pixels = sum(width * height for width, height in sizes)
    renders = 4 * floats + pngs
    references = (4 * (floats or staged) + 1) * (floats or pngs)
    return pixels * 3 * (renders + references)


def in_units(size: int) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def check_space(needed: int, output_dir: Path) -> None:
    """Check that there is room.

    Raises:
        InputError: there is not; nothing was rendered yet.
    """
    existing = next(path for path in [output_dir.resolve(), *output_dir.resolve().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"The renders need up to {in_units(needed)} in {output_dir}, and {in_units(free)} are free: make "
            "room, say another `--output-dir`, evaluate fewer `--steps` or `--views`, or say `--keep-renders none`."
        )
