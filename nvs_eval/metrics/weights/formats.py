"""Readers of files of tensors: state dicts, the learned heads of LPIPS, and one's own whole networks.

No code of a file is run: `.pth` files are loaded with ``weights_only=True``, and safetensors hold no code.
"""

from __future__ import annotations

import importlib.util
import re
import zipfile
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.metrics.weights.pins import (
    NETS,
    VERSIONS,
    Backbone,
    Heads,
    Net,
    Pin,
    Version,
    backbone_pins,
    find_fault,
    head_pins,
)

TENSOR_SUFFIXES = (".pth", ".pt", ".safetensors")


def read_tensors(path: Path) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors of a `.pth`, `.pt` or `.safetensors` file by name, on the CPU.

    Raises:
        InputError: The file is missing, truncated or damaged, or holds something else than a dictionary of tensors.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"The weights file {path} cannot be read: {error.strerror}.") from error
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            # Mapping the file leaves the classifier of a VGG16 file, 0.5 GB that nobody asked for, on the disk.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        # Nearly anything is raised here, an OSError too; torch's own text would advise to switch its protection off.
        raise InputError(
            f"The weights file {path} cannot be read as a dictionary of tensors: it is truncated or damaged, or it is "
            "no file of weights. Fetch it again."
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"The weights file {path} holds a {type(content).__name__}; needed: a dictionary of tensors (a state dict)."
        )
    return {
        str(name): value.detach()
        for name, value in content.items()
        if isinstance(value, Tensor) and value.layout is torch.strided
    }


def state_of(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced; nothing where it cannot be read, and reading it says why."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def load_heads(net: Net, version: Version) -> Heads:
    """The verified learned heads of a net, one ``[1, C, 1, 1]`` a tap.

    They are files of the `lpips` package, which is found but not imported.

    Raises:
        InputError: The net or version is not known, the package is not installed, or its file is wrong.
    """
    head_pins(net, version)  # An unknown name is an error with or without the package.
    package = importlib.util.find_spec("lpips")
    if package is None or not package.submodule_search_locations:
        raise InputError("The heads of LPIPS are in the package lpips, which is not installed: pip install lpips.")
    path = Path(package.submodule_search_locations[0], "weights", f"v{version}", f"{net}.pth")
    return [head.clone() for head in _read_heads(net, version, path, state_of(path))]


# What is read under a caller's inference mode could never be used for a gradient later.
@lru_cache(maxsize=len(NETS) * len(VERSIONS))
@torch.inference_mode(False)
def _read_heads(net: Net, version: Version, path: Path, _: tuple[int, ...]) -> Heads:
    tensors, pins = read_tensors(path), head_pins(net, version)
    if fault := find_fault(tensors, pins):
        raise InputError(f"The LPIPS heads in {path} are refused: {fault}. Install the package lpips again.")
    return [tensors[name].clone() for name in pins]  # Copies, so that the mapped file is not held on to.


# The `lpips` package cuts a backbone into slices; these are the indices of torchvision's layers at which they begin.
_SLICES = {"alex": (0, 2, 5, 8, 10), "vgg": (0, 4, 9, 16, 23), "squeeze": (0, 2, 5, 8, 10, 11, 12)}


def load_whole(path: Path, net: Net, *, heads: bool) -> tuple[Backbone, Heads]:
    """The weights of a whole LPIPS network from a file: the paper's `tune` and `scratch`, or one's own training.

    The names are those of the `lpips` package's module (``net.slice1.0.weight``, ``lin0.model.1.weight`` or
    ``lins.0.model.1.weight``). Such weights are nobody's published ones: shapes are checked, values cannot be.

    Args:
        path: A state dict: `.pth`, `.pt` or `.safetensors`.
        net: The architecture.
        heads: Whether the heads are wanted, and must be there; else their list is empty.

    Raises:
        InputError: The file cannot be read, or tensors are missing (they are named), of another shape or not finite.
    """
    trunk = {_slice_name(net, name): pin for name, pin in backbone_pins(net).items()}
    pins = {**trunk, **(head_pins(net, "0.1") if heads else {})}
    tensors = read_tensors(path)
    known = {re.sub(r"^lins\.(\d)", r"lin\1", name): tensor for name, tensor in tensors.items()} | tensors
    if missing := [name for name in pins if name not in known]:
        raise InputError(
            f"The whole-network weights {path} lack {', '.join(missing)}. Needed: the state dict of the lpips "
            f"package's LPIPS(net={net!r}){'' if heads else ', heads aside'}; it has {some(tensors, 3) or 'none'}."
        )
    sound = [_sound(path, name, known[name], pin) for name, pin in pins.items()]
    return dict(zip(backbone_pins(net), sound, strict=False)), sound[len(trunk) :]


def _slice_name(net: Net, name: str) -> str:
    # torchvision's "features.3.weight" is "net.slice2.3.weight" in the lpips package.
    layer = name.removeprefix("features.")
    return f"net.slice{bisect_right(_SLICES[net], int(layer.split('.')[0]))}.{layer}"


def _sound(path: Path, name: str, tensor: Shaped[Tensor, "..."], pin: Pin) -> Float32[Tensor, "..."]:
    if tuple(tensor.shape) != pin.shape:
        raise InputError(
            f"In the whole-network weights {path}, {name} has the shape {list(tensor.shape)}; needed {list(pin.shape)}."
        )
    if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
        raise InputError(
            f"In the whole-network weights {path}, {name} is not finite floating-point numbers throughout."
        )
    return tensor.to(torch.float32, copy=True)
