"""Files of processes that have ended are removed by the next command; those of running ones never are."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from nvs_eval.system import files, owner
from nvs_eval.system.files import write_whole
from nvs_eval.system.owner import is_abandoned, owner_tag, remove_abandoned

DAYS = 2 * 86400


def _tag_of_a_process(queue: multiprocessing.Queue) -> None:
    queue.put(owner_tag())


@pytest.fixture(scope="module")
def ended() -> str:
    """The tag of a process that has ended."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_tag_of_a_process, args=(queue,))
    process.start()
    tag = queue.get()
    process.join()
    return tag


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files._clean.cache_clear()
    return tmp_path


def make(path: Path, *, age: float = 0) -> Path:
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_next_write_removes_what_ended_processes_left(folder: Path, ended: str) -> None:
    elsewhere = f"{'0' * 8}-12-34-"
    gone = [
        make(folder / f".nvs-eval-{ended}1234abcd"),
        make(folder / f".nvs-eval-{elsewhere}1234abcd", age=DAYS),
        make(folder / ".nvs-eval-0123456789abcdef", age=DAYS),  # Without a tag.
    ]
    kept = [
        make(folder / f".nvs-eval-{owner_tag()}1234abcd", age=DAYS),
        make(folder / f".nvs-eval-{elsewhere}abcd1234"),
        make(folder / ".nvs-eval-0123456789abcde0"),
        make(folder / "nvs-eval-notes", age=DAYS),
    ]
    write_whole(folder / "record.json", lambda file: file.write(b"{}"))
    assert [path.exists() for path in gone] == [False] * 3
    assert [path.exists() for path in kept] == [True] * 4


def test_folder_of_another_host_is_kept_while_it_is_written_to(folder: Path) -> None:
    work = folder / f".rendering-{'0' * 8}-12-34-x"
    work.mkdir()
    note = make(work / ".rendered")
    os.utime(work, (1, 1))
    assert not is_abandoned(work)
    os.utime(note, (1, 1))
    assert is_abandoned(work)
    remove_abandoned(folder, ".rendering-")
    assert not work.exists()


def test_process_id_that_is_used_again_is_another_process(folder: Path) -> None:
    host, pid, start, _ = owner_tag().split("-")
    assert not is_abandoned(folder / f".nvs-eval-{owner_tag()}x")
    assert is_abandoned(folder / f".nvs-eval-{host}-{pid}-{int(start) + 1}-x")


def test_system_that_tells_no_start_is_judged_by_age(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_start", lambda process: owner._UNKNOWN)
    mine = make(folder / f".nvs-eval-{owner_tag()}x")
    assert not is_abandoned(mine)
    os.utime(mine, (1, 1))
    assert is_abandoned(mine)
