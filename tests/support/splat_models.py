"""Random Gaussians and a camera that sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole


def camera(width: int = 37, height: int = 29, **changes: Any) -> Pinhole:
    """Return a camera that looks along z from near the origin, tilted, with its principal point off the centre."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec((0.2, -0.3, 0.16)).as_matrix()
    pose[:3, 3] = 0.1, -0.2, 0.3
    values = {"fx": 40.0, "fy": 44.0, "cx": width / 2 + 1.3, "cy": height / 2 - 2.2, **changes}
    return Pinhole(width, height, **values, world_to_camera=pose)


def model(count: int, seed: int = 0, degree: int = 3, **changes: Any) -> Gaussians:
    """Return random Gaussians in and around the view of `camera`; `changes` replace arrays or one row's value."""
    random = np.random.default_rng(seed)
    depth = random.uniform(0.5, 6, count)
    arrays = {
        "means": np.stack(
            [random.uniform(-0.6, 0.6, count) * depth, random.uniform(-0.5, 0.5, count) * depth, depth]
        ).T,
        "scales": np.exp(random.normal(-2.5, 0.8, (count, 3))) * depth[:, None] / 2,
        "rotations": random.normal(size=(count, 4)),
        "opacities": random.uniform(0, 1, count),
        "harmonics": random.normal(0, 0.3, (count, (degree + 1) ** 2, 3)),
    }
    arrays |= {name: np.broadcast_to(value, arrays[name].shape) for name, value in changes.items()}
    arrays["rotations"] = arrays["rotations"] / np.linalg.norm(arrays["rotations"], axis=1, keepdims=True)
    return Gaussians(**{name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()})
