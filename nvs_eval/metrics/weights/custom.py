"""Whole-network LPIPS weights from a file, under the names of the `lpips` package's module."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.metrics.weights.formats import read_tensors
from nvs_eval.metrics.weights.pins import Backbone, Heads, Net, Pin, backbone_pins, head_pins

# The `lpips` package cuts a backbone into slices; these are the indices of torchvision's layers at which they begin.
_SLICES = {"alex": (0, 2, 5, 8, 10), "vgg": (0, 4, 9, 16, 23), "squeeze": (0, 2, 5, 8, 10, 11, 12)}


def load_whole(path: Path, net: Net, *, heads: bool) -> tuple[Backbone, Heads]:
    """The weights of a whole LPIPS network from a file: the paper's `tune` and `scratch`, or one's own training.

    The names are those of the `lpips` package's module (``net.slice1.0.weight``, ``lin0.model.1.weight`` or
    ``lins.0.model.1.weight``). Such weights are nobody's published ones: shapes are checked, values cannot be.

    Args:
        path: A state dict: `.pth`, `.pt` or `.safetensors`.
        net: The architecture.
        heads: Whether the heads are wanted, and must be there; else the list of heads is empty.

    Raises:
        InputError: The file cannot be read, or tensors are missing (they are named), of another shape or not finite.
    """
    trunk, linear = backbone_pins(net), head_pins(net, "0.1") if heads else {}
    tensors = read_tensors(path)
    aliases = {name: [_slice_name(net, name)] for name in trunk}
    aliases |= {name: [name, re.sub(r"^lin(\d)", r"lins.\1", name)] for name in linear}
    present = {name: next((alias for alias in known if alias in tensors), None) for name, known in aliases.items()}
    if missing := [aliases[name][0] for name, alias in present.items() if alias is None]:
        raise InputError(
            f"The whole-network weights {path} lack {', '.join(missing)}. Needed: the state dict of the lpips "
            f"package's LPIPS(net={net!r}){'' if heads else ', heads aside'}; it has {some(tensors, 3) or 'none'}."
        )
    chosen = {
        name: _sound(path, alias, tensors[alias], (trunk | linear)[name]) for name, alias in present.items() if alias
    }
    return {name: chosen[name] for name in trunk}, [chosen[name] for name in linear]


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
