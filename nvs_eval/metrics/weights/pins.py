"""Pins of the weights of LPIPS and DISTS, and the comparison of tensors with them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from nvs_eval.errors import InputError, some, unknown_name

Net = Literal["alex", "vgg", "squeeze"]
Version = Literal["0.1", "0.0"]
Backbone = dict[str, Float32[Tensor, "..."]]
Heads = list[Float32[Tensor, "1 _ 1 1"]]

NETS: tuple[Net, ...] = get_args(Net)
VERSIONS: tuple[Version, ...] = get_args(Version)


@dataclass(frozen=True)
class Pin:
    """Expected shape of a tensor, and sha256 of its float32 little-endian bytes."""

    shape: tuple[int, ...]
    sha256: str


def backbone_pins(net: Net) -> dict[str, Pin]:
    """Return the pins of a net's convolutions under torchvision's names, in the network's order.

    Raises:
        InputError: the net is unknown.
    """
    if net not in NETS:
        raise unknown_name("LPIPS net", net, NETS)
    return _pin_file().backbones[net]


def head_pins(net: Net, version: Version) -> dict[str, Pin]:
    """Return the pins of a net's learned heads under the `lpips` package's names, in the order of the taps.

    Raises:
        InputError: the net or the version is unknown.
    """
    if net not in NETS:
        raise unknown_name("LPIPS net", net, NETS)
    if version not in VERSIONS:
        raise unknown_name("LPIPS version", version, VERSIONS)
    return _pin_file().heads[version][net]


def dists_pins() -> dict[str, Pin]:
    """Return the pins of alpha and beta of DISTS under the names of the package dists-pytorch."""
    return _pin_file().dists


def backbone_sha256(net: Net) -> str:
    """Return one sha256 for a net's backbone: over the lines ``<name> <sha256>`` of its tensors, in order."""
    lines = "".join(f"{name} {pin.sha256}\n" for name, pin in backbone_pins(net).items())
    return hashlib.sha256(lines.encode()).hexdigest()


def verified(net: Net, path: Path, tensors: Mapping[str, Shaped[Tensor, "..."]]) -> Backbone:
    """Verify the tensors in a file and return those of a net's backbone, in the network's order.

    Other tensors, such as a classifier, are ignored.

    Raises:
        InputError: a tensor is missing or differs from its pin; the message names the file.
    """
    pins = backbone_pins(net)
    if fault := find_fault(tensors, pins):
        raise InputError(
            f"The {net} weights in {path} are wrong: {fault}. Remove the file, or replace it with the right one."
        )
    # Copies, so that the mapped file can be closed.
    return {name: tensors[name].clone() for name in pins}


def find_fault(tensors: Mapping[str, Shaped[Tensor, "..."]], pins: Mapping[str, Pin]) -> str | None:
    """Return a description of the first fault, or None if each pin has its tensor. Additional tensors are ignored."""
    if missing := [name for name in pins if name not in tensors]:
        return (
            f"{len(missing)} of {len(pins)} tensors are missing, among them {missing[0]}; it has "
            f"{some(tensors, 3) or 'none'} (another architecture, or other names)"
        )
    for name, pin in pins.items():
        if tuple(tensors[name].shape) != pin.shape:
            return f"{name} is {_shape(tensors[name].shape)} instead of {_shape(pin.shape)} (another architecture)"
        if tensors[name].dtype != torch.float32:
            return f"{name} is {tensors[name].dtype} instead of torch.float32 (converted weights)"
    wrong = [name for name, pin in pins.items() if tensor_sha256(tensors[name]) != pin.sha256]
    if not wrong:
        return None
    first = f"{wrong[0]} has sha256 {tensor_sha256(tensors[wrong[0]])[:12]} instead of {pins[wrong[0]].sha256[:12]}"
    if len(wrong) == len(pins):
        return f"all {len(pins)} tensors have other values ({first}), as if randomly initialised or retrained"
    return f"{len(wrong)} of {len(pins)} tensors have other values ({first}), as if damaged or altered"


def tensor_sha256(tensor: Shaped[Tensor, "..."]) -> str:
    """Return the sha256 of a tensor's float32 little-endian bytes."""
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy(), dtype="<f4").data).hexdigest()


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


class _PinFile(msgspec.Struct):
    backbones: dict[Net, dict[str, Pin]]
    heads: dict[Version, dict[Net, dict[str, Pin]]]
    dists: dict[str, Pin]


@functools.cache
def _pin_file() -> _PinFile:
    return msgspec.json.decode(Path(__file__).with_name("pins.json").read_bytes(), type=_PinFile)
