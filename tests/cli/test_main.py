"""Which errors are a message, which a traceback, and the exit code of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said

import nvs_eval.cli
from nvs_eval.errors import InputError

TABLE = ("table", "records")
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
