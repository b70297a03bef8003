"""Readers of files of tensors: state dicts, the learned heads of LPIPS, and whole networks of the user.

No code from a file is run: see `nvs_eval.system.torch_files`; safetensors contain no code.
"""

from __future__ import annotations

import importlib.util
import re
from bisect import bisect_right
from errno import EINVAL
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from nvs_eval.errors import InputError, ResourceError, quoted, some
from nvs_eval.metrics.weights.pins import (
    NETS,
    VERSIONS,
    Backbone,
    Heads,
    Net,
    Pin,
    Version,
    backbone_pins,
    dists_pins,
    find_fault,
    head_pins,
)
from nvs_eval.system.devices import out_of_memory
from nvs_eval.system.torch_files import fault_of, load_torch

TENSOR_SUFFIXES = (".pth", ".pt", ".safetensors")


def read_tensors(path: Path) -> dict[str, Shaped[Tensor, "..."]]:
    """Read the tensors of a `.pth`, `.pt` or `.safetensors` file by name, on the CPU.

    Raises:
        InputError: the file is missing, truncated or damaged, or does not contain a dictionary of tensors.
        ResourceError: there is not enough memory to read it.
    """
    try:
        if path.exists() and not path.is_file():  # Opening a pipe would block.
            raise OSError(EINVAL, "it is not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"The weights file {path} cannot be read: {error.strerror}.") from error
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = load_torch(path)
    except Exception as error:
        # Almost any exception is possible here.
        if out_of_memory(error):
            raise ResourceError(f"There is too little memory to read the weights file {path}. Free some.") from error
        raise InputError(
            f"The weights file {path} must contain a dictionary of tensors. It is truncated, damaged, or not a file of "
            "weights. Download it again."
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"The weights file {path} must contain a dictionary of tensors (a state dict). "
            f"Got {type(content).__name__}."
        )
    return {
        str(name): value.detach()
        for name, value in content.items()
        if isinstance(value, Tensor) and fault_of(value) is None
    }


def state_of(path: Path) -> tuple[int, ...]:
    """Return values that change when a file is replaced; empty if it is unreadable, which reading will report."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def load_heads(net: Net, version: Version) -> Heads:
    """Load the verified learned heads of a net, one ``[1, C, 1, 1]`` per tap.

    They are files of the `lpips` package, which is located but not imported.

    Raises:
        InputError: the net or version is unknown, the package is not installed, or its file is wrong.
    """
    head_pins(net, version)  # Raises for an unknown name, with or without the package.
    folder = _package_folder("lpips")
    if folder is None:
        raise InputError("The heads of LPIPS are in the package lpips, which is not installed. Run pip install lpips.")
    path = folder / "weights" / f"v{version}" / f"{net}.pth"
    return [head.clone() for head in _read_heads(net, version, path, state_of(path))]


# Tensors created in a caller's inference mode could never be used for gradients.
@lru_cache(maxsize=len(NETS) * len(VERSIONS))
@torch.inference_mode(False)
def _read_heads(net: Net, version: Version, path: Path, _: tuple[int, ...]) -> Heads:
    tensors, pins = read_tensors(path), head_pins(net, version)
    if fault := find_fault(tensors, pins):
        raise InputError(f"The LPIPS heads in {path} are wrong: {fault}. Reinstall the package lpips.")
    return [tensors[name].clone() for name in pins]  # Copies, so that the mapped file can be closed.


def load_dists_weights() -> tuple[Float32[Tensor, "1 c 1 1"], Float32[Tensor, "1 c 1 1"]]:
    """Load the verified weights alpha and beta of DISTS, for all channels of the image and the taps.

    They are in a file of the package `dists-pytorch`, which is located but not imported.

    Raises:
        InputError: the package is not installed, or its file is wrong.
    """
    folder = _package_folder("DISTS_pytorch")
    if folder is None:
        raise InputError(
            "The weights of DISTS are in the package dists-pytorch (20 kB), which is not installed. Run pip install "
            "dists-pytorch. Without internet, run pip download --no-deps dists-pytorch on another machine, and pip "
            "install --no-deps its file here."
        )
    path = folder / "weights.pt"
    tensors, pins = read_tensors(path), dists_pins()
    if fault := find_fault(tensors, pins):
        raise InputError(f"The weights of DISTS in {path} are wrong: {fault}. Reinstall the package dists-pytorch.")
    return tensors["alpha"].clone(), tensors["beta"].clone()


def _package_folder(name: str) -> Path | None:
    """Return the folder of an installed package; None if there is none."""
    package = importlib.util.find_spec(name)
    locations = package.submodule_search_locations if package else None
    return Path(locations[0]) if locations else None


# The `lpips` package divides a backbone into slices; these are the indices of torchvision's layers where they start.
_SLICES = {"alex": (0, 2, 5, 8, 10), "vgg": (0, 4, 9, 16, 23), "squeeze": (0, 2, 5, 8, 10, 11, 12)}


def load_whole(path: Path, net: Net, *, heads: bool) -> tuple[Backbone, Heads]:
    """Load the weights of a whole LPIPS network: the paper's `tune` and `scratch`, or a network of the user.

    The names are those of the `lpips` package's module (``net.slice1.0.weight``, ``lin0.model.1.weight`` or
    ``lins.0.model.1.weight``). There are no published hashes for such weights, so only shapes are checked.

    Args:
        path: file of a state dict: `.pth`, `.pt` or `.safetensors`.
        net: architecture.
        heads: whether to load the heads, which must then exist; otherwise their list is empty.

    Raises:
        InputError: the file cannot be read, or tensors are missing, have another shape or are not finite.
    """
    trunk = {_slice_name(net, name): pin for name, pin in backbone_pins(net).items()}
    pins = {**trunk, **(head_pins(net, "0.1") if heads else {})}
    tensors = read_tensors(path)
    named = {re.sub(r"^lins\.(\d)", r"lin\1", name): tensor for name, tensor in tensors.items()} | tensors
    if missing := [name for name in pins if name not in named]:
        raise InputError(
            f"The whole-network weights {path} must be the state dict of the lpips package's LPIPS(net={quoted(net)})"
            f"{'' if heads else ', without heads'}. Missing: {', '.join(missing)}. Got {some(tensors, 3) or 'none'}."
        )
    checked = [_checked(path, name, named[name], pin) for name, pin in pins.items()]
    return dict(zip(backbone_pins(net), checked, strict=False)), checked[len(trunk) :]


def _slice_name(net: Net, name: str) -> str:
    # torchvision's "features.3.weight" is "net.slice2.3.weight" in the lpips package.
    layer = name.removeprefix("features.")
    return f"net.slice{bisect_right(_SLICES[net], int(layer.split('.')[0]))}.{layer}"


def _checked(path: Path, name: str, tensor: Shaped[Tensor, "..."], pin: Pin) -> Float32[Tensor, "..."]:
    if tuple(tensor.shape) != pin.shape:
        raise InputError(
            f"In the whole-network weights {path}, {name} must have shape {list(pin.shape)}. Got {list(tensor.shape)}."
        )
    if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
        raise InputError(f"In the whole-network weights {path}, {name} must contain only finite floats.")
    return tensor.to(torch.float32, copy=True)
