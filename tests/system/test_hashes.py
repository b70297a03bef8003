"""Hashes of files are remembered until a file changes, and a damaged cache changes nothing."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nvs_eval.system import cache, hashes
from nvs_eval.system.hashes import HashCache


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NVS_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "RESOLUTION_NS", -(10**18))  # Files that were written just now are remembered.
    monkeypatch.setattr(cache, "_devices_in_memory", frozenset)  # Temporary folders can be in memory.
    (tmp_path / "images").mkdir()
    file = tmp_path / "images" / "a.png"
    file.write_bytes(b"first")
    return file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read to hash them."""
    files: list[Path] = []
    real = hashes.file_sha256

    def counted(path: Path) -> str:
        files.append(path)
        return real(path)

    monkeypatch.setattr(hashes, "file_sha256", counted)
    return files


def test_unchanged_file_is_read_once(file: Path, read: list[Path]) -> None:
    first = HashCache()
    assert first.sha256(file) == first.sha256(file) == sha256(b"first")
    first.save()
    os.chdir(file.parent)
    assert HashCache().sha256(Path("a.png")) == sha256(b"first")
    assert read == [file]


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda file: file.write_bytes(b"other"),
    "content with the same size and date": lambda file: (file.write_bytes(b"other"), os.utime(file, ns=(5, 5))),
    "another file": lambda file: (file.with_name("b").write_bytes(b"other"), os.replace(file.with_name("b"), file)),
    "link": lambda file: (file.rename(file.with_name("c")), file.symlink_to(_other(file))),
}


def _other(file: Path) -> Path:
    file.with_name("d").write_bytes(b"other")
    return file.with_name("d")


@pytest.mark.parametrize("change", CHANGES)
def test_changed_file_is_read_again(change: str, file: Path) -> None:
    os.utime(file, ns=(5, 5))
    known = HashCache()
    assert known.sha256(file) == sha256(b"first")
    known.save()
    CHANGES[change](file)
    assert known.sha256(file) == HashCache().sha256(file) == sha256(b"other")


def test_file_that_was_changed_just_now_is_not_remembered(
    file: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RESOLUTION_NS", 2_000_000_000)
    known = HashCache()
    assert known.sha256(file) == known.sha256(file) == sha256(b"first")
    known.save()
    assert read == [file, file]
    assert not (file.parents[1] / "cache").exists()


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="the system has no /dev/shm")
def test_file_in_memory_is_not_remembered(tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVS_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "RESOLUTION_NS", -(10**18))
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(b"first")
        file.flush()
        known = HashCache()
        with mmap.mmap(file.fileno(), 5) as mapping:
            mapping[:] = b"other"
            stamp = cache.stamp_of(file.name)
            assert known.sha256(Path(file.name)) == sha256(b"other")
            mapping[:] = b"first"
            assert cache.stamp_of(file.name) == stamp
            assert known.sha256(Path(file.name)) == sha256(b"first")
    assert len(read) == 2


@pytest.mark.parametrize("sha", ["0" * 63, "0" * 64 + "\n", "A" * 64, "\u0660" * 64, 5, None])
def test_damaged_hash_is_ignored(sha: object, file: Path) -> None:
    known = HashCache()
    known.sha256(file)
    known.save()
    (stored,) = (file.parents[1] / "cache" / "hashes").iterdir()
    plain = json.loads(stored.read_bytes())
    plain["files"]["a.png"][0] = sha
    stored.write_text(json.dumps(plain))
    assert HashCache().sha256(file) == sha256(b"first")


def test_pipe_in_the_cache_is_ignored(file: Path) -> None:
    known = HashCache()
    known.sha256(file)
    known.save()
    (stored,) = (file.parents[1] / "cache" / "hashes").iterdir()
    stored.unlink()
    os.mkfifo(stored)
    assert HashCache().sha256(file) == sha256(b"first")


@pytest.mark.parametrize("content", [b"", b"{", b'{"folder": "/elsewhere", "files": {}}', b"[1, 2]", b"\xff\xfe"])
def test_damaged_cache_is_ignored(content: bytes, file: Path) -> None:
    known = HashCache()
    known.sha256(file)
    known.save()
    (stored,) = (file.parents[1] / "cache" / "hashes").iterdir()
    stored.write_bytes(content)
    again = HashCache()
    assert again.sha256(file) == sha256(b"first")
    again.save()
    assert json.loads(stored.read_bytes())["files"].keys() == {"a.png"}


def test_rehash_reads_files_again(file: Path, read: list[Path]) -> None:
    known = HashCache()
    known.sha256(file)
    known.save()
    again = HashCache()
    again.forget()
    assert again.sha256(file) == again.sha256(file) == sha256(b"first")
    assert read == [file, file]


def test_cache_is_bounded_and_may_be_unwritable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "_MOST_FOLDERS", 2)
    for name in "bcd":
        (file.parent / name).mkdir()
        (file.parent / name / "image.png").touch()
        known = HashCache()
        known.sha256(file.parent / name / "image.png")
        known.save()
    stored = [json.loads(one.read_bytes()) for one in (file.parents[1] / "cache" / "hashes").iterdir()]
    assert {Path(one["folder"]).name for one in stored} == {"c", "d"}
    monkeypatch.setenv("NVS_EVAL_CACHE", str(file))  # A file is in the place of the folder.
    known = HashCache()
    assert known.sha256(file) == sha256(b"first")
    known.save()


def test_files_that_are_gone_are_forgotten(file: Path) -> None:
    other = file.with_name("b.png")
    other.write_bytes(b"b")
    known = HashCache()
    for path in (file, other):
        known.sha256(path)
    other.unlink()
    known.save()
    (stored,) = (file.parents[1] / "cache" / "hashes").iterdir()
    assert json.loads(stored.read_bytes())["files"].keys() == {"a.png"}
