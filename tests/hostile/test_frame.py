"""The frame of the hostile files notices what it forbids."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.hostile import CANARY, Case, check, limits, watch


def write(path: Path) -> None:
    path.write_text("a")


def start(path: Path) -> None:
    subprocess.run(["true"], check=True)


def connect(path: Path) -> None:
    import socket

    with socket.socket() as line:
        line.settimeout(0.01)
        line.connect_ex(("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (write, "open"),
        (lambda path: os.close(os.open(path, os.O_WRONLY | os.O_CREAT)), "open"),
        (os.mkdir, "os.mkdir"),
        (lambda path: os.symlink("a", path), "os.symlink|os.link"),
        (start, "subprocess.Popen"),
        (connect, "socket.connect"),
        (lambda path: os.system("true"), "os.system"),
    ],
)
def test_what_a_command_must_not_do_is_seen(act: Callable[[Path], object], event: str, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    with watch().only_in(tmp_path / "inside"):
        act(tmp_path / "outside")
    assert any(seen.split(":")[0] in event.split("|") for seen in watch().seen), watch().seen
    with watch().only_in(tmp_path):
        (tmp_path / "b").write_text("a")
        (tmp_path / "b").read_text()
        Path(__file__).read_text()
    assert watch().seen == []
    write(tmp_path / "after")
    assert watch().seen == []


def test_time_and_memory_are_limited() -> None:
    with pytest.raises(TimeoutError), limits(0.1, 1000):
        time.sleep(20)
    with pytest.raises(MemoryError), limits(20, 100):
        bytearray(10**9)
    assert len(bytearray(10**9)) == 10**9


def no_protocol(text: bytes = b"name: [") -> list[str]:
    Path("broken.yaml").write_bytes(text)
    return ["score", "a", "--reference", "b", "--protocol", "broken.yaml"]


def test_a_case_runs_its_command(meets: Callable[[Case], Said]) -> None:
    assert meets(Case(no_protocol, r"The protocol file broken\.yaml is not YAML")).out == ""


def test_a_canary_fails_the_case(meets: Callable[[Case], Said]) -> None:
    def make() -> list[str]:
        Path(CANARY).touch()
        return no_protocol()

    with pytest.raises(AssertionError, match="ran code"):
        meets(Case(make, r"broken\.yaml"))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (Said(0, "", "Error: a"), "exit code 0"),
        (Said(2, "", "Error: b"), "Error: b"),
        (Said(2, "", "Error: a Traceback"), "Traceback"),
        (Said(2, "", "Error: a\x1b[31m"), "control characters"),
        (Said(2, "", f"Error: a{'b' * 700}"), "fills the message"),
        (Said(2, "table", "Error: a"), "table"),
    ],
)
def test_wrong_output_fails_the_case(said: Said, problem: str) -> None:
    check(Said(2, "", "Error: a"), Case(no_protocol, "Error: a"))
    with pytest.raises(AssertionError, match=problem):
        check(said, Case(no_protocol, "Error: a"))
