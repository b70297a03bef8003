"""Whatever stdout and stderr are, a command says what it has to say in letters or in a message."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.records import record, row

from nvs_eval.records.record import write_record

FULL = Path("/dev/full")
TABLE = ("table", "records")
ENCODINGS: Mapping[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    protocol = {"name": "Prüfung", "definition": {"round_means": None}, "fingerprint": "00000000"}
    found = record([row("0001", psnr=20.0)], method="Füchse \U0001f98a", protocol=protocol)
    write_record(Path("records/a.json"), found)
    return tmp_path


def process(*args: str, env: Mapping[str, str] | None = None, **streams: object) -> subprocess.CompletedProcess[bytes]:
    root = Path(__file__).parents[2]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")]), **(env or {})}
    run: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return run([sys.executable, "-m", "nvs_eval", *args], env=found, check=False, **pipes)


@pytest.mark.parametrize(("encoding", "name"), [("ascii", "text"), ("cp1252", "text"), ("C", "markdown")])
def test_files_and_pipes_get_utf_8_whatever_the_environment_says(encoding: str, name: str) -> None:
    done = process(*TABLE, "--format", name, env=ENCODINGS[encoding])
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("utf-8")
    assert "Füchse \U0001f98a" in text
    assert "] ↑" in text


def test_messages_are_utf_8_too() -> None:
    refused = process(*TABLE, "--protocol", "x", env=ENCODINGS["ascii"])
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert "Error: Unknown protocol of the records 'x'. Known: 00000000, Prüfung" in refused.stderr.decode("utf-8")


@pytest.mark.skipif(os.name != "posix", reason="there are no such terminals")
def test_a_terminal_keeps_its_encoding_and_gets_escapes() -> None:
    import pty

    ours, theirs = pty.openpty()
    done = process(*TABLE, env={"PYTHONIOENCODING": "ascii", "TERM": "dumb"}, stdout=theirs)
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.isascii()
    assert b"F\\xfcchse \\U0001f98a" in shown


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", [TABLE, (*TABLE, "--format", "csv", "--long")], ids=["text", "long"])
def test_a_full_disk_ends_in_a_message(args: tuple[str, ...], unbuffered: str) -> None:
    with FULL.open("wb") as full:
        done = process(*args, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2
    said = done.stderr.decode("utf-8")
    assert said == (
        "Error: The system refused to read or write: [Errno 28] No space left on device. What is finished is kept: "
        "when that is mended, go on.\n"
    )


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_messages_that_cannot_be_said_are_no_traceback() -> None:
    with FULL.open("wb") as full:
        said = process("table", "nothing", stderr=full)
        both = process(*TABLE, stdout=full, stderr=full)
        asked = process("--help", stdout=full)
    assert (said.returncode, said.stdout, both.returncode) == (2, b"", 2)
    assert (asked.returncode, asked.stderr.count(b"Error: "), b"Traceback" in asked.stderr) == (2, 1, False)


def test_whoever_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    for args in (TABLE, (*TABLE, "--format", "csv", "--long")):
        done = process(*args, stdout=write)
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(write)
