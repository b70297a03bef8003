from __future__ import annotations

import hashlib
import importlib.util
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from support.weights_files import (
    BIAS,
    COUNT,
    HUB_NAME,
    NAME,
    NET,
    Malicious,
    Tensors,
    cache_file,
    each_format,
    hub_file,
    random_net,
    save_zip,
)

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.metric import load_lpips
from nvs_eval.metrics.weights import backbones as weights
from nvs_eval.metrics.weights import formats
from nvs_eval.metrics.weights.backbones import find_backbone, load_backbone, require
from nvs_eval.metrics.weights.formats import load_heads, read_tensors
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, Version, backbone_pins, backbone_sha256, head_pins

pytestmark = pytest.mark.usefixtures("own_places")


# --- Errors ---------------------------------------------------------------------------------------------------------


@each_format
def test_the_right_weights_are_accepted(save: Callable, name: str, true: Tensors, folder: Path) -> None:
    save(true | {"classifier.1.weight": torch.zeros(3)}, folder / name)
    loaded = load_backbone(NET, directory=folder)
    assert list(loaded) == list(backbone_pins(NET))
    assert all(torch.equal(loaded[key], true[key]) and loaded[key].dtype == torch.float32 for key in true)


@each_format
def test_one_wrong_value_is_refused(save: Callable, name: str, true: Tensors, folder: Path) -> None:
    value = true[BIAS][3]
    true[BIAS][3] = torch.nextafter(value, value + 1)
    save(true, folder / name)
    with pytest.raises(InputError, match=rf"1 of {COUNT} tensors .*{BIAS}.*altered") as error:
        load_backbone(NET, directory=folder)
    assert str(folder / name) in str(error.value)


@each_format
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(save: Callable, name: str, keep: float, true: Tensors, folder: Path) -> None:
    save(true, folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"truncated, damaged") as error:
        load_backbone(NET, directory=folder)
    assert str(folder / name) in str(error.value)
    assert "weights_only" not in str(error.value)


@each_format
def test_randomly_initialised_backbone_is_refused(save: Callable, name: str, folder: Path) -> None:
    save(random_net(NET), folder / name)
    with pytest.raises(InputError, match=rf"all {COUNT} tensors.*features.0.weight.*randomly initialised"):
        load_backbone(NET, directory=folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("vgg16-x.pth", lambda: random_net("squeeze"), "missing, among them features.2.weight.*another architecture"),
        ("alexnet.pth", lambda: random_net("vgg"), "missing, among them features.3.weight.*another architecture"),
        (
            "alex.pth",
            lambda: random_net("alex") | {"features.0.weight": torch.zeros(96, 3, 11, 11)},
            "features.0.weight is 96x3x11x11 instead of 64x3x11x11 .another architecture",
        ),
        ("alex.safetensors", lambda: {"lin0.model.1.weight": torch.zeros(1)}, "10 of 10 .*lin0.model.1.weight"),
        ("vgg.pt", dict, "it has none"),
        ("alex.pth", lambda: {k: v.half() for k, v in random_net("alex").items()}, "float16 instead of torch.float32"),
    ],
)
def test_wrong_architecture_is_refused(
    name: str, content: Callable[[], Tensors], reason: str, folder: Path, tmp_path: Path
) -> None:
    (save_file if name.endswith("safetensors") else save_zip)(content(), folder / name)
    with pytest.raises(InputError, match=reason):
        load_backbone("vgg" if name.startswith("vgg") else "alex", directory=folder)


def test_pth_with_code_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "alex.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"alex\.pth must contain a dictionary of tensors"):
        load_backbone("alex", directory=folder)
    assert not (tmp_path / "ran").exists()


def test_pth_with_another_object_is_refused(folder: Path) -> None:
    torch.save([torch.zeros(3)], folder / "alex.pth")
    with pytest.raises(InputError, match=r"dictionary of tensors .*Got list"):
        load_backbone("alex", directory=folder)


def test_unknown_net_or_version_is_refused() -> None:
    # Unwrapped, because the type checks under test would raise another error first.
    with pytest.raises(InputError, match=r"'vgg16'.*Did you mean 'vgg'.*alex, squeeze, vgg"):
        inspect.unwrap(backbone_pins)("vgg16")
    with pytest.raises(InputError, match=r"'squeezenet'.*Did you mean 'squeeze'"):
        inspect.unwrap(head_pins)("squeezenet", "0.1")
    with pytest.raises(InputError, match=r"'1\.0'.*0\.0, 0\.1"):
        inspect.unwrap(head_pins)("alex", "1.0")


# --- The search -----------------------------------------------------------------------------------------------------


@pytest.fixture
def everywhere(true: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The right weights in each searched place, in the order of the search."""
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
    def search(directory: Path | None = None) -> tuple[str, Path | None, bool]:
        result = find_backbone(NET, directory=directory)
        return result.origin, result.path, result.verified

    assert search(tmp_path / "directory") == ("directory", everywhere["directory"], True)
    everywhere["directory"].unlink()
    # The folder replaces that of the environment variable; an empty one falls through to the caches.
    assert search(tmp_path / "directory") == ("cache", everywhere["cache"], True)
    assert search() == ("environment", everywhere["environment"], True)
    everywhere["environment"].unlink()
    assert search() == ("cache", everywhere["cache"], True)
    monkeypatch.setenv(weights.ENVIRONMENT, "")
    everywhere["cache"].unlink()
    assert search() == ("torch hub", everywhere["torch hub"], True)
    assert len(load_backbone(NET)) == COUNT
    everywhere["torch hub"].unlink()
    assert search() == ("nowhere", None, False)


@pytest.mark.parametrize("place", ["directory", "environment", "cache", "torch hub"])
def test_wrong_file_is_never_skipped(place: str, everywhere: dict[str, Path]) -> None:
    for earlier in list(everywhere)[: list(everywhere).index(place)]:
        everywhere[earlier].unlink()
    everywhere[place].write_bytes(b"not these")
    directory = everywhere[place].parent if place == "directory" else None
    with pytest.raises(InputError, match=r"truncated, damaged") as error:
        load_backbone(NET, directory=directory)
    assert str(everywhere[place]) in str(error.value)
    with pytest.raises(InputError):
        require([NET], directory=directory)
    backbone = find_backbone(NET, directory=directory)
    assert (backbone.origin, backbone.path, backbone.verified) == (place, everywhere[place], False)
    assert backbone.reason == str(error.value)


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
    paths = {known: find_backbone(known, directory=folder).path for known in NETS}
    assert paths == {known: folder / name if known == net else None for known in NETS}


def test_torchvisions_name_takes_precedence(true: Tensors, folder: Path) -> None:
    save_zip(true, folder / HUB_NAME)
    (folder / f"{NET}_old.pth").touch()
    assert find_backbone(NET, directory=folder).verified


def test_missing_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert len({backbone_sha256(net) for net in NETS}) == 3


# --- Reading once -----------------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files whose tensors were read, in order."""
    files: list[Path] = []
    for module in (weights, formats):
        monkeypatch.setattr(module, "read_tensors", lambda path: files.append(path) or read_tensors(path))
    return files


def test_backbone_is_read_once_for_all_variants(true: Tensors, folder: Path, read: list[Path]) -> None:
    file = folder / f"{NET}.safetensors"
    save_file(true, file)
    require([NET], directory=folder)
    variants = [
        load_lpips(NET, version=version, precision=precision, heads=heads, weights_dir=folder)
        for version in VERSIONS
        for precision in ("exact", "fast")
        for heads in ("learned", "none")
    ]
    assert read.count(file) == 1
    assert len({id(variant.backbone) for variant in variants}) == 1


def test_heads_are_read_once_for_all_variants(read: list[Path]) -> None:
    formats._read_heads.cache_clear()
    first, second = load_heads(NET, "0.1"), load_heads(NET, "0.1")
    assert [path.parent.name for path in read] == ["v0.1"]
    first[0].zero_()
    assert second[0].any()
    assert load_heads(NET, "0.1")[0].any()


def test_replaced_file_is_read_again(true: Tensors, folder: Path, read: list[Path]) -> None:
    file = folder / f"{NET}.safetensors"
    save_file(true, file)
    load_backbone(NET, directory=folder)
    file.unlink()
    save_file(random_net(NET), file)
    with pytest.raises(InputError, match="randomly initialised"):
        load_backbone(NET, directory=folder)
    assert read == [file, file]


def test_changing_loaded_tensors_changes_no_metric(true: Tensors, folder: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    load_backbone(NET, directory=folder)[BIAS].zero_()
    assert torch.equal(load_lpips(NET, weights_dir=folder).backbone.weights[BIAS], true[BIAS])


# --- Heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("net", NETS)
def test_heads_come_from_the_lpips_package(net: Net, version: Version) -> None:
    channels = {"alex": [64, 192, 384, 256, 256], "vgg": [64, 128, 256, 512, 512]}
    channels["squeeze"] = [64, 128, 256, 384, 384, 512, 512]
    heads = load_heads(net, version)
    assert [tuple(head.shape) for head in heads] == [(1, count, 1, 1) for count in channels[net]]
    assert all(head.dtype == torch.float32 and head.min() >= 0 for head in heads)


def test_loading_heads_does_not_import_the_package() -> None:
    code = (
        "import sys; from nvs_eval.metrics.weights.formats import load_heads; "
        "load_heads('alex', '0.1'); print('lpips' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "False"


def test_wrong_heads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(head_pins("alex", "0.1"))
    heads = dict(zip(names, load_heads("alex", "0.1"), strict=True))
    heads[names[2]][0, 7] += 1e-3
    (tmp_path / "weights" / "v0.1").mkdir(parents=True)
    torch.save(heads, tmp_path / "weights" / "v0.1" / "alex.pth")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"1 of 5 tensors have other values .lin2.model.1.weight"):
        load_heads("alex", "0.1")
    with pytest.raises(InputError, match=r"vgg\.pth cannot be read: No such file"):
        load_heads("vgg", "0.1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install lpips"):
        load_heads("alex", "0.1")
