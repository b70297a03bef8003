"""Full and read-only disks, sources that change, other processes, no home folder, and wrong clocks."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.faults.checks import contents, is_hidden
from support.faults.process import Done, apart, command, run_forked
from support.faults.scenarios import SCENARIOS, Scenario
from support.protocols import protocol_file
from support.scenes import image, write_images

from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.records.files import read_records

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the tests fork processes"),
    pytest.mark.usefixtures("unchecked"),
]

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def also_long(first: str, *others: str) -> list[Any]:
    """Return parameters of which only the first is part of `make test`."""
    return [first, *(pytest.param(other, marks=pytest.mark.long) for other in others)]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Scenario, Path, Mapping]]:
    """Return a scenario, a folder with its inputs, and the files after an undisturbed command."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def prepare(name: str) -> tuple[Scenario, Path, Mapping[str, str]]:
        scenario = BY_NAME[name]
        work = scenario.prepare(tmp_path / "work")
        shutil.copytree(work, tmp_path / "undisturbed")
        done = run_forked(scenario.call, tmp_path / "undisturbed")
        assert done.code == 0, done.err
        return scenario, work, contents(tmp_path / "undisturbed")

    return prepare


def check_whole(work: Path, expected: Mapping[str, str], done: Done, cause: str) -> None:
    """Check that a command failed with a message, and that its files are those of an undisturbed one or absent."""
    assert done.code in (2, 3), done
    assert cause in done.err
    assert "Traceback" not in done.err
    for name, content in contents(work).items():
        assert is_hidden(name) or name.endswith(("-incomplete.json", ".csv")) or content == expected[name]


# --- Disks ---


@pytest.mark.parametrize("size", [0, 900])
@pytest.mark.parametrize("name", also_long("run-staged", "score"))
def test_files_may_not_grow(name: str, size: int, prepared: Callable[..., tuple]) -> None:
    scenario, work, expected = prepared(name)

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        begin = scenario.call
        real = os.urandom

        def random(count: int) -> bytes:  # Called for the name of each temporary file, after stdout is open.
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return real(count)

        os.urandom = random  # type: ignore[assignment]
        return begin()

    done = run_forked(limited, work)
    if done.code == 0:
        pytest.skip("no file of the command is that large")
    check_whole(work, expected, Done(done.code, done.out, done.err + "File too large", True, []), "File too large")
    assert run_forked(scenario.call, work).code == 0
    assert contents(work) == expected


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small disk in memory, or skip the test."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("this user may not mount a disk")
        return folder

    yield mount
    while subprocess.run(["umount", folder], capture_output=True, check=False).returncode == 0:
        pass


@pytest.mark.long
@pytest.mark.parametrize("name", ["score", "run-staged", "run-floats"])
def test_a_small_disk_fills_at_every_write(
    name: str, prepared: Callable[..., tuple], mounted: Callable[..., Path]
) -> None:
    scenario, work, _ = prepared(name)
    disk, failed = mounted("size=4m"), 0
    (work / "out").symlink_to(disk)
    # Relative paths in these records differ, because the disk is elsewhere.
    assert run_forked(scenario.call, work).code == 0
    expected = contents(disk)
    for pages in range(1, 200):
        for path in disk.iterdir():
            shutil.rmtree(path)
        subprocess.run(["mount", "-o", f"remount,size={4 * pages}k", disk], check=True)
        done = run_forked(scenario.call, work)
        if done.code == 0:
            break
        failed += 1
        assert (done.code, "Traceback" in done.err, "No space" in done.err) == (2, False, "are free" not in done.err)
        now = contents(disk)
        assert {file for file in now if not is_hidden(file) and now[file] != expected[file]} == set()
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert run_forked(scenario.call, work).code == 0
        assert contents(disk) == expected
    assert failed > 5


@pytest.mark.parametrize("name", also_long("score", "run-staged", "suite"))
def test_a_read_only_disk_is_found_first(
    name: str, prepared: Callable[..., tuple], mounted: Callable[..., Path]
) -> None:
    scenario, work, _ = prepared(name)
    (work / "out").symlink_to(mounted("ro"))
    before = contents(work)
    done = run_forked(scenario.call, work)
    assert done.code in (2, 3)
    assert "Read-only file system" in done.err and "Scoring" not in done.err and "Traceback" not in done.err
    assert {name: text for name, text in contents(work).items() if name != "table.csv"} == before


# --- Sources ---

SIX = tuple(f"{index:04d}" for index in range(6))
THREE = ("score", "a", "b", "c", "--reference", "gt", "--scene", "s", "--protocol", "light.yaml", "--output-dir", "out")


def write_three() -> None:
    for index, folder in enumerate(("gt", "a", "b", "c")):
        write_images(Path(folder), {name: image(10 * index + int(name), 16, 16) for name in SIX})
    protocol_file(Path())


def truncate() -> None:
    content = Path("b/0005.png").read_bytes()
    Path("b/0005.png").write_bytes(content[: len(content) // 2])


CHANGES: Mapping[str, Callable[[], object]] = {
    "vanishes": lambda: Path("b/0005.png").unlink(),
    "is cut": truncate,
    "changes its size": lambda: write_images(Path("b"), {"0005": image(5, 20, 20)}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_midway_costs_its_view(change: str, tmp_path: Path) -> None:
    work = Scenario("three", command(THREE), write_three).prepare(tmp_path / "work")
    outcomes = Scorer.outcomes

    def call() -> int:
        def changing(self: Scorer, view: object) -> object:
            Scorer.outcomes = outcomes
            CHANGES[change]()
            return outcomes(self, view)  # type: ignore[arg-type]

        Scorer.outcomes = changing  # type: ignore[method-assign,assignment]
        return command(THREE)()

    done = run_forked(call, work)
    assert done.code == 3, done.err
    assert "0005" in done.err and "Traceback" not in done.err
    records = {record.method: record for record in read_records(work / "out")}
    assert {method: list(record.failed) for method, record in records.items()} == {"a": [], "b": ["0005"], "c": []}
    assert "¶" in done.out  # No mean passes for one of all views.
    write_images(work / "b", {"0005": image(25, 16, 16)})
    assert run_forked(command(THREE), work).code == 0
    assert [len(record.views) for record in read_records(work / "out")] == [6, 6, 6]


def test_a_render_that_is_replaced_midway_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    work = Scenario("three", command(THREE), write_three).prepare(tmp_path / "work")
    outcomes = Scorer.outcomes

    def call() -> int:
        def changing(self: Scorer, view: object) -> object:
            Scorer.outcomes = outcomes
            write_images(Path("b"), {"0000": image(99, 16, 16)})  # It has just been read.
            return outcomes(self, view)  # type: ignore[arg-type]

        Scorer.outcomes = changing  # type: ignore[method-assign,assignment]
        return command(THREE)()

    assert run_forked(call, work).code == 0
    again = run_forked(command(THREE), work)
    assert again.code == 2
    assert "was scored on other renders" in again.err


# --- Processes, threads ---


@pytest.mark.parametrize("name", also_long("run-staged", "score", "suite"))
def test_two_processes_share_a_store(name: str, prepared: Callable[..., tuple]) -> None:
    scenario, work, expected = prepared(name)

    def both() -> list[Done]:
        results: list[Done] = []
        threads = [threading.Thread(target=lambda: results.append(run_forked(scenario.call, work))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    for done in apart(both):
        assert done.code == 0, done.err
    assert contents(work) == expected


def test_no_more_threads_is_a_message(prepared: Callable[..., tuple]) -> None:
    scenario, work, expected = prepared("score")

    def call() -> int:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        threading.Thread.start = refuse  # type: ignore[method-assign]
        return scenario.call()

    check_whole(work, expected, run_forked(call, work), "can't start new thread")


# --- Folders of the user, clocks ---

ENVIRONMENTS: Mapping[str, Mapping[str, str | None]] = {
    "no home": {"HOME": None, "XDG_CACHE_HOME": None},
    "home is gone": {"HOME": "/nonexistent/home", "XDG_CACHE_HOME": None},
    "cache cannot be written": {"XDG_CACHE_HOME": "/proc/nvs"},
    "cache is a file": {"XDG_CACHE_HOME": "/etc/hostname"},
    "no temporary folder": {"TMPDIR": "/nonexistent/tmp"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", also_long("score", "run-staged"))
def test_folders_of_the_user_are_not_required(name: str, environment: str, prepared: Callable[..., tuple]) -> None:
    scenario, work, expected = prepared(name)

    def call() -> int:
        for variable, value in ENVIRONMENTS[environment].items():
            os.environ.pop(variable, None)
            os.environ.update({} if value is None else {variable: value})
        return scenario.call()

    for _ in range(2):
        done = run_forked(call, work)
        assert done.code == 0, done.err
        assert contents(work) == expected


@pytest.mark.parametrize("name", also_long("score", "run-staged"))
def test_clocks_may_be_wrong(name: str, prepared: Callable[..., tuple]) -> None:
    scenario, work, expected = prepared(name)
    for file in filter(Path.is_file, work.rglob("*")):
        os.utime(file, (2e9, 2e9))  # In the future.

    def call(shift: float) -> int:
        real = time.time
        time.time = lambda: real() + shift
        return scenario.call()

    for shift in (0.0, -3e8, 3e8):
        done = run_forked(partial(call, shift), work)
        assert done.code == 0, done.err
        assert contents(work) == expected
    assert "already scored" in done.err
