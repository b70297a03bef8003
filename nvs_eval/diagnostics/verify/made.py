"""Images that are made by integer arithmetic, the same on every machine, and what LPIPS says of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nvs_eval.diagnostics.verify.prepare import Array, Pair
from nvs_eval.metrics.weights.pins import Net

# The right half is still large enough for every network.
HEIGHT, WIDTH = 40, 72

# By the lpips package 0.1.4 in float64, fed [-1, 1], with the pinned weights. A randomly initialised network gives 0.05
# to 0.14, which is how missing weights show.
KNOWN_LPIPS: Mapping[Net, float] = {
    "alex": 0.36047149819410046,
    "vgg": 0.44446772446403005,
    "squeeze": 0.3151539167923155,
}


def made_pair() -> Pair:
    """Rings that grow finer, and the same with every three by two pixels made one and a little brighter."""
    y, x, channel = np.mgrid[:HEIGHT, :WIDTH, :3]
    return Pair(_image(_rings(y, x, channel)), _image(_rings(y // 2 * 2, x // 3 * 3, channel) + 9))


def _rings(y: Array, x: Array, channel: Array) -> Array:
    return (5 * x * x + 7 * y * y + 3 * x * y) // (8 + 4 * channel) % 200 + 28


def with_floats(pair: Pair) -> Pair:
    """The pair with values between the levels, and a render that leaves [0, 1] on either side."""
    level = np.float32(1 / 255)
    return Pair(pair.reference * np.float32(0.9), (pair.render - 40 * level) * np.float32(1.4))


def with_mask(pair: Pair) -> Pair:
    """The pair with an oval mask, soft at its lower half."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((x - WIDTH // 2) * HEIGHT) ** 2 + ((y - HEIGHT // 2) * WIDTH) ** 2 < (HEIGHT * WIDTH // 2) ** 2 * 3 // 4
    mask = inside * np.where(y > HEIGHT // 2, 0.4, 1.0)
    return Pair(pair.reference, pair.render, mask.astype(np.float32))


def _image(levels: Array) -> Array:
    return levels.clip(0, 255).astype(np.float32) / np.float32(255)
