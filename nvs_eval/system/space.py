"""Sizes in bytes: what renders take, how much is free, and how people read it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nvs_eval.errors import InputError, counted


def space_needed(sizes: Sequence[tuple[int, int]], *, floats: bool, pngs: bool, staged: bool) -> int:
    """Return an upper bound of the bytes that the renders of one result and their references take.

    Args:
        sizes: width and height of each view.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        staged: whether the renders are scored from these files, so that references are written unchanged.
    """
    pixels = sum(width * height for width, height in sizes)
    renders = 4 * floats + pngs
    references = (4 * (floats or staged) + 1) * (floats or pngs)
    return pixels * 3 * (renders + references)


def in_units(size: int, decimals: int = 1) -> str:
    """Format a number of bytes for people."""
    for unit, bytes_of_unit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_of_unit:
            return f"{size / bytes_of_unit:.{decimals}f} {unit}"
    return counted(size, "byte")


def too_little(needed: int, free: int) -> tuple[str, str]:
    """Format the bytes that are needed and those that are free, with as many decimals as tell them apart."""
    for decimals in range(1, 4):
        texts = in_units(needed, decimals), in_units(free, decimals)
        if texts[0] != texts[1]:
            return texts
    return counted(needed, "byte"), counted(free, "byte")


def check_space(needed: int, output_dir: Path) -> None:
    """Check that the renders fit on the disk.

    Raises:
        InputError: they do not. Nothing has been rendered yet.
    """
    existing = next(path for path in [output_dir.resolve(), *output_dir.resolve().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        size, left = too_little(needed, free)
        raise InputError(
            f"The renders need up to {size} in {output_dir}, but only {left} are free. Free some "
            "space, choose another `--output-dir`, evaluate fewer `--steps` or `--views`, or use `--keep-renders none`."
        )
