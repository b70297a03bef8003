"""Hostile files of `torch.save`, given to their reader."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nvs_eval.system import torch_zip
from nvs_eval.system.torch_files import load_torch

Parts = list[tuple[str, bytes]]


def at(parts: Parts, name: str) -> int:
    return next(index for index, (entry, _) in enumerate(parts) if entry.endswith(name))


def content(name: str, change: Callable[[bytes], bytes]) -> Callable[[Parts], None]:
    """Change the content of an entry."""

    def apply(parts: Parts) -> None:
        index = at(parts, name)
        parts[index] = (parts[index][0], change(parts[index][1]))

    return apply


def twice(name: str, new_name: Callable[[str], str] = str) -> Callable[[Parts], None]:
    """Add an entry of zeros with the name of another one."""

    def apply(parts: Parts) -> None:
        entry, data = parts[at(parts, name)]
        parts.append((new_name(entry), bytes(len(data))))

    return apply


def structure(data: bytes) -> Callable[[Parts], None]:
    return content("data.pkl", lambda _: b"\x80\x02" + data)


def saved(path: Path, change: Callable[[Parts], object] = lambda parts: None) -> Path:
    """Save two tensors, and pack the archive again with changed entries."""
    torch.save({"a": torch.arange(6.0), "b": torch.arange(6.0) + 10, "empty": torch.zeros(0)}, path)
    with zipfile.ZipFile(path) as packed:
        parts = [(entry.filename, packed.read(entry)) for entry in packed.infolist()]
    change(parts)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of names that occur twice.
        for name, data in parts:
            archive.writestr(name, data)
    return path


CASES: dict[str, tuple[Callable[[Parts], object], str]] = {
    "cut": (content("data/0", lambda data: data[:8]), "entry data/0 must have the 24 bytes of its tensor. Got 8 bytes"),
    "long": (content("data/0", lambda data: data * 2), "entry data/0 must have the 24 bytes of its tensor. Got 48"),
    "empty": (content("data/0", lambda _: b""), "entry data/0 must have the 24 bytes of its tensor. Got 0 bytes"),
    "not empty": (content("data/2", lambda _: b"1"), "entry data/2 must have the 0 bytes of its tensor. Got 1 byte"),
    "missing": (lambda parts: parts.pop(at(parts, "data/0")), "it is damaged or not a file of torch: "),
    "twice": (twice("data/0"), "it contains the entry a/data/0 twice"),
    "twice in another case": (twice("data/0", str.upper), "it contains the entry a/data/0 twice"),
    "two structures": (twice("data.pkl"), "it contains the entry a/data.pkl twice"),
    "extension": (structure(b"\x82\x01."), "more than weights or is damaged: the operation EXT1"),
    "persistent": (structure(b"Pfoo\n."), "the operation PERSID"),
    "no storage": (structure(b"X\x03\0\0\0abcQ."), "it refers to what is no storage"),
    "frame": (structure(b"\x95" + b"\xff" * 7 + b"\x7f."), "the operation FRAME"),
    "buffer": (structure(b"\x97."), "the operation NEXT_BUFFER"),
    "copies": (structure(b"}" + b"2" * 1000 + b"."), "the operation DUP"),
    "protocol": (structure(b"\x80\x05}."), "the pickle protocol 5"),
    "digits": (structure(b"I" + b"9" * 10_000 + b"\n."), "not a file of torch: its structure is broken"),
    "state of a dictionary": (structure(b"}K\x01b."), "damaged: Can only build Tensor"),
    "byte order": (content("byteorder", lambda _: b"\x1b[31m"), "its structure is broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_entries_are_those_of_the_tensors(name: str, tmp_path: Path) -> None:
    change, message = CASES[name]
    path = saved(tmp_path / "a.pt", change)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_torch(path)


def test_the_number_of_entries_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.pt")
    monkeypatch.setattr(torch_zip, "_MOST_ENTRIES", 5)
    with pytest.raises(ValueError, match="it must have at most 5 entries"):
        load_torch(path)


def place(data: bytes, name: bytes) -> int:
    """Return where the directory's record of an entry starts."""
    start = data.index(b"PK\1\2")
    return data.index(name, start) - 46


def replaced(path: Path, start: int, new: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[start : start + len(new)] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (42, bytes(4), "its directory names another place for the entry a/data/1"),
        (20, (8).to_bytes(4, "little") * 2, r"entry data/1 must have the 24 bytes of its tensor\. Got 8 bytes"),
        (20, (10**6).to_bytes(4, "little") * 2, "its entry a/data/1 is incomplete"),
        (46, b"a/data/7", "its directory names another place for the entry a/data/7"),
    ],
    ids=["another place", "shorter", "longer", "another name"],
)
def test_the_directory_is_true(offset: int, new: bytes, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt")
    replaced(path, place(path.read_bytes(), b"a/data/1") + offset, new)
    with pytest.raises(ValueError, match=message):
        load_torch(path)


def test_two_records_of_one_entry_are_refused(tmp_path: Path) -> None:
    """The tensor b would have the values of a."""
    path = saved(tmp_path / "a.pt")
    data = path.read_bytes()
    first, second = place(data, b"a/data/0"), place(data, b"a/data/1")
    replaced(path, second + 16, data[first + 16 : first + 28])
    replaced(path, second + 42, data[first + 42 : first + 46])
    with pytest.raises(ValueError, match="names another place for the entry a/data/1"):
        load_torch(path)


def test_checksums_find_a_flipped_bit(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt")
    values = path.read_bytes().index(torch.arange(6.0).numpy().tobytes())
    replaced(path, values + 3, b"\1")
    assert load_torch(path)["b"].tolist() == [10, 11, 12, 13, 14, 15]
    with pytest.raises(ValueError, match=r"its entry a/data/0 is damaged \(its checksum differs\)"):
        load_torch(path, checksums=True)


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(6.0)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_torch(tmp_path / "a.pt", checksums=True)["a"].tolist() == [0, 1, 2, 3, 4, 5]


def test_unchanged_files_are_read(tmp_path: Path) -> None:
    tensors = load_torch(saved(tmp_path / "a.pt"), checksums=True)
    assert [tensors[name].tolist() for name in ("a", "empty")] == [[0, 1, 2, 3, 4, 5], []]
