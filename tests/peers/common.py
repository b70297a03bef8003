"""Shared parts of the scripts in this folder, which run in the peers' environments and therefore require only numpy.

A script is called with the folder of inputs that `make.py` wrote, and prints one JSON object.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Values = dict[str, dict[str, list["float | str | None"]]]
"""Values by metric and pair: in float64, and in float32 as the peer computes it."""

SMALLEST_FOR_LPIPS = 31


def inputs() -> Path:
    """Return the folder of inputs."""
    return Path(sys.argv[1])


def pairs() -> dict[str, tuple[Array, Array, Array]]:
    """Return reference, render (`[H, W, 3]` float32) and mask (`[H, W]` float32) by name."""
    with np.load(inputs() / "pairs.npz") as arrays:
        names = [name.removeprefix("reference ") for name in arrays if name.startswith("reference ")]
        return {name: (arrays[f"reference {name}"], arrays[f"render {name}"], arrays[f"mask {name}"]) for name in names}


def takes_lpips(image: Array) -> bool:
    return min(image.shape[:2]) >= SMALLEST_FOR_LPIPS


def backbone(net: str) -> dict[str, Array]:
    """Return the convolutions of a net under torchvision's names."""
    with np.load(inputs() / f"{net}.npz") as arrays:
        return dict(arrays)


def both(score: Callable[[Any], Any]) -> list[float | str | None]:
    """Return a score in both precisions. `score` is called with numpy's type."""
    return [plain(score(np.float64)), plain(score(np.float32))]


def plain(value: Any) -> float | str | None:
    """Return a number for JSON: "inf" for infinity, and None for NaN."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else "inf"


def answer(values: Mapping[str, Mapping[str, Sequence[Any]]], packages: Sequence[str]) -> None:
    """Print the values and the versions of the packages that they depend on."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps({"versions": versions, "values": values}))
