"""Provenance of scores: the software, device, weights and arithmetic that they are computed with."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.lpips.precision import products
from nvs_eval.protocols import Protocol

_version = functools.cache(version)  # Reading it takes a millisecond.
_PACKAGES = ("torch", "torchvision", "numpy", "lpips", "pillow", "imagecodecs", "simplejpeg", "nerfstudio")


def scoring_provenance(scorer: Scorer, protocol: Protocol) -> dict[str, Any]:
    """Return what the scores of a protocol are computed with, as the provenance of a record has it."""
    return {
        "nvs_eval": _version("nvs-eval"),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": device_name(scorer.device),
        "weights": {net: scorer.weights[net] for net in protocol.nets},
        **_arithmetic(protocol, scorer.device),
    }


def _arithmetic(protocol: Protocol, device: torch.device) -> dict[str, Any]:
    """Return the arithmetic used. Only LPIPS can run below float32."""
    arithmetic: dict[str, Any] = {"tf32": False, "precision": protocol.precision}
    if protocol.precision == "exact":
        return arithmetic
    dtypes = {products("fast", device, net) for d in protocol.descriptions if d.is_fast for net in d.nets}
    return {**arithmetic, "lpips_products": " and ".join(sorted(dtypes))}


@functools.cache
def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = _version(package)
        except PackageNotFoundError:
            continue
    return versions


def device_name(device: torch.device) -> str:
    """Return the name of a device as users know it: "cpu", or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
