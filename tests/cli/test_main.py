"""Errors are a message or a traceback, each with its exit code; whatever stdout and stderr are, it is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.commands import Said
from support.records import record, row

import nvs_eval.cli
from nvs_eval.errors import InputError
from nvs_eval.records.record import write_record

TABLE = ("table", "records")
FULL = Path("/dev/full")
ENCODINGS: Mapping[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
REPORT = "Error: This is a fault of nvs-eval or of a plugin. Please report it with the lines above.\n"
TRACEBACK = "Traceback (most recent call last):\n"


@pytest.fixture
def failing(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """A command in which an error is raised."""
    monkeypatch.delenv("NVS_EVAL_DEBUG", raising=False)

    def run(error: BaseException, *args: str) -> Said:
        def raise_it(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("nvs_eval.records.files.read_record_files", raise_it)
        return cli(*(args or TABLE))

    return run


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        OSError("a bug"),
        ConnectionResetError(104, "a bug"),
        BrokenPipeError(32, "a bug"),
        TimeoutError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_shows_its_traceback_and_ends_with_70(error: Exception, failing: Callable[..., Said]) -> None:
    said = failing(error)
    assert (said.code, said.out) == (70, "")
    assert said.err.startswith(TRACEBACK)
    assert "in raise_it\n" in said.err
    assert said.err.endswith(f"a bug\n{REPORT}")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "some/file"), "[Errno 13] Permission denied: 'some/file'"),
        (FileNotFoundError(2, "No such file", "some/file"), "[Errno 2] No such file: 'some/file'"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
    ids=["permission", "missing", "full"],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_a_refusal_of_the_system_is_a_message(
    error: OSError, message: str, debug: tuple[str, ...], failing: Callable[..., Said]
) -> None:
    said = failing(error, *TABLE, *debug)
    assert (said.code, said.out) == (2, "")
    expected = f"Error: The system refused to read or write: {message}. What is finished is kept: when that is mended, "
    assert said.err.endswith(f"{expected}go on.\n")
    assert said.err.startswith(TRACEBACK if debug else expected)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_anywhere_shows_the_traceback_of_wrong_input(place: int, failing: Callable[..., Said]) -> None:
    said = failing(InputError("wrong"), *TABLE[:place], "--debug", *TABLE[place:])
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(TRACEBACK)
    assert said.err.endswith("nvs_eval.errors.InputError: wrong\nError: wrong\n")


@pytest.mark.parametrize(("value", "lines"), [("", 1), ("0", 1), ("1", 2)])
def test_the_environment_switches_tracebacks_on(
    value: str, lines: int, failing: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(InputError("wrong"))
    monkeypatch.setenv("NVS_EVAL_DEBUG", value)
    said = failing(InputError("wrong"))
    assert (said.code, said.err == "Error: wrong\n", TRACEBACK in said.err) == (2, lines == 1, lines == 2)


def test_an_interruption_ends_with_130(failing: Callable[..., Said]) -> None:
    said = failing(KeyboardInterrupt())
    assert (said.code, said.out) == (130, "")
    assert said.err.startswith("Interrupted. What is finished is kept;")


def test_help_names_the_option(cli: Callable[..., Said]) -> None:
    assert "--debug" in cli("--help").out


def test_the_entry_point_is_the_face_of_the_command_line(tmp_path: Path) -> None:
    assert nvs_eval.cli.main(["protocols", "no such protocol"]) == 2
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")])}
    code = "import sys, nvs_eval.cli; print(sorted({'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert done.stdout == "[]\n"


# --- stdout and stderr ---


@pytest.fixture
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


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("encoding", "name"), [("ascii", "text"), ("cp1252", "text"), ("C", "markdown")])
def test_files_and_pipes_get_utf_8_whatever_the_environment_says(encoding: str, name: str) -> None:
    done = process(*TABLE, "--format", name, env=ENCODINGS[encoding])
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("utf-8")
    assert "Füchse \U0001f98a" in text
    assert "] ↑" in text


@pytest.mark.usefixtures("folder")
def test_messages_are_utf_8_too() -> None:
    refused = process(*TABLE, "--protocol", "x", env=ENCODINGS["ascii"])
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert "Error: Unknown protocol of the records 'x'. Known: 00000000, Prüfung" in refused.stderr.decode("utf-8")


@pytest.mark.usefixtures("folder")
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


@pytest.mark.usefixtures("folder")
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


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_messages_that_cannot_be_said_are_no_traceback() -> None:
    with FULL.open("wb") as full:
        said = process("table", "nothing", stderr=full)
        both = process(*TABLE, stdout=full, stderr=full)
        asked = process("--help", stdout=full)
    assert (said.returncode, said.stdout, both.returncode) == (2, b"", 2)
    assert (asked.returncode, asked.stderr.count(b"Error: "), b"Traceback" in asked.stderr) == (2, 1, False)


@pytest.mark.usefixtures("folder")
def test_whoever_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    for args in (TABLE, (*TABLE, "--format", "csv", "--long")):
        done = process(*args, stdout=write)
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(write)
