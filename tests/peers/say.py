"""What the scripts of this folder share. They run in the peers' environments, so that they need numpy and no more.

A script is called with a folder, which holds what `make.py` wrote there, and prints one JSON object.
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
"""By metric and pair: in float64, and in float32 as it comes from the peer."""

SMALLEST_FOR_LPIPS = 31


def given() -> Path:
    """The folder of what is given."""
    return Path(sys.argv[1])


def pairs() -> dict[str, tuple[Array, Array, Array]]:
    """Reference, render (`[H, W, 3]` float32) and mask (`[H, W]` float32) by name."""
    with np.load(given() / "pairs.npz") as arrays:
        names = [name.removeprefix("reference ") for name in arrays if name.startswith("reference ")]
        return {name: (arrays[f"reference {name}"], arrays[f"render {name}"], arrays[f"mask {name}"]) for name in names}


def takes_lpips(image: Array) -> bool:
    return min(image.shape[:2]) >= SMALLEST_FOR_LPIPS


def backbone(net: str) -> dict[str, Array]:
    """The convolutions of a net under torchvision's names."""
    with np.load(given() / f"{net}.npz") as arrays:
        return dict(arrays)


def both(score: Callable[[Any], Any]) -> list[float | str | None]:
    """What a score says in both precisions, each asked for by numpy's type."""
    return [plain(score(np.float64)), plain(score(np.float32))]


def plain(value: Any) -> float | str | None:
    """A JSON number; "inf" for infinity, null where the peer has no number."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else "inf"


def answer(values: Mapping[str, Mapping[str, Sequence[Any]]], packages: Sequence[str]) -> None:
    """Prints the values and the versions of what they depend on."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps({"versions": versions, "values": values}))
