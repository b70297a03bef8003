"""Exit codes, messages and tracebacks of errors, and output to files, pipes, terminals and full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import Said
from support.pinned import Pinned
from support.records import record, row

import nvs_eval.cli
from nvs_eval.cli.console import input_warnings, progress, wait
from nvs_eval.errors import InputError
from nvs_eval.images.stored import warn
from nvs_eval.records.record import write_record

TABLE = ("table", "records")
FULL = Path("/dev/full")
ENCODINGS: Mapping[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
TRACEBACK = "Traceback (most recent call last):\n"


@pytest.fixture
def failing(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run a command that raises an error."""
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
def test_a_bug_shows_its_traceback_and_ends_with_70(
    error: Exception, failing: Callable[..., Said], pinned: Pinned
) -> None:
    result = failing(error)
    assert (result.code, result.out) == (70, "")
    assert result.err.startswith(TRACEBACK)
    assert "in raise_it\n" in result.err
    assert result.err.splitlines()[-2].endswith("a bug")
    pinned("cli", result.err.splitlines()[-1])


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
def test_an_error_of_the_system_is_a_message(
    error: OSError, message: str, debug: tuple[str, ...], failing: Callable[..., Said], pinned: Pinned
) -> None:
    result = failing(error, *TABLE, *debug)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.startswith(TRACEBACK) == bool(debug)
    pinned("cli", result.err.splitlines()[-1])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_anywhere_shows_the_traceback_of_wrong_input(place: int, failing: Callable[..., Said]) -> None:
    result = failing(InputError("wrong"), *TABLE[:place], "--debug", *TABLE[place:])
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(TRACEBACK)
    assert result.err.endswith("nvs_eval.errors.InputError: wrong\nError: wrong\n")


@pytest.mark.parametrize(("value", "lines"), [("", 1), ("0", 1), ("1", 2)])
def test_an_environment_variable_enables_tracebacks(
    value: str, lines: int, failing: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(InputError("wrong"))
    monkeypatch.setenv("NVS_EVAL_DEBUG", value)
    result = failing(InputError("wrong"))
    assert (result.code, result.err == "Error: wrong\n", TRACEBACK in result.err) == (2, lines == 1, lines == 2)


def test_an_interrupt_ends_with_130(failing: Callable[..., Said], pinned: Pinned) -> None:
    result = failing(KeyboardInterrupt())
    assert (result.code, result.out) == (130, "")
    pinned("cli", result.err)


def test_without_arguments_the_help_is_printed(cli: Callable[..., Said]) -> None:
    result, shown = cli(), cli("--help")
    assert (shown.code, shown.err) == (0, "")
    assert result == Said(2, "", shown.out)
    for option in ("COMMAND --help", "--version", "--debug"):
        assert option in shown.out


def test_version_is_printed_without_torch(cli: Callable[..., Said], tmp_path: Path) -> None:
    assert cli("--version") == Said(0, f"nvs-eval {version('nvs-eval')}\n", "")
    code = "import sys; from nvs_eval.cli import main; main(['--version']); print({'torch', 'tyro'} & set(sys.modules))"
    assert interpreter(code, tmp_path).splitlines()[1:] == ["set()"]


@pytest.mark.parametrize(
    ("command", "shown", "absent"),
    [
        ("run", "--output-dir PATH", "(default: )"),
        ("table", "--sort METRIC|method", "None"),
        ("compare", "(default: 10000)", "(default: False)"),
        ("protocols", "[NAME|FILE.yaml]", "(required)"),
    ],
)
def test_help_shows_only_defaults_that_are_values(
    command: str, shown: str, absent: str, cli: Callable[..., Said]
) -> None:
    text = cli(command, "--help").out
    assert shown in text
    assert absent not in text


def test_the_package_of_the_command_line_imports_little(tmp_path: Path) -> None:
    assert nvs_eval.cli.main(["protocols", "no such protocol"]) == 2
    code = "import sys, nvs_eval.cli; print(sorted({'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules)))"
    assert interpreter(code, tmp_path) == "[]\n"


def interpreter(code: str, folder: Path) -> str:
    """Return the output of code in a new interpreter."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder).stdout


# --- stdout and stderr ---


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    protocol = {"name": "Prüfung", "definition": {"round_means": None}, "fingerprint": "00000000"}
    foxes = record([row("0001", psnr=20.0)], method="Füchse \U0001f98a", protocol=protocol)
    write_record(Path("records/a.json"), foxes)
    return tmp_path


def process(*args: str, env: Mapping[str, str] | None = None, **streams: object) -> subprocess.CompletedProcess[bytes]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")]), **(env or {})}
    run: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return run([sys.executable, "-m", "nvs_eval", *args], env=environment, check=False, **pipes)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("encoding", "name"), [("ascii", "text"), ("cp1252", "text"), ("C", "markdown")])
def test_files_and_pipes_get_utf_8_in_any_environment(encoding: str, name: str) -> None:
    done = process(*TABLE, "--format", name, env=ENCODINGS[encoding])
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("utf-8")
    assert "Füchse \U0001f98a" in text
    assert "] ↑" in text


@pytest.mark.usefixtures("folder")
def test_messages_are_utf_8_too() -> None:
    refused = process(*TABLE, "--protocol", "x", env=ENCODINGS["ascii"])
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert "Error: No record has protocol 'x'. Known: 00000000, Prüfung" in refused.stderr.decode("utf-8")


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(os.name != "posix", reason="the system has no pseudoterminals")
def test_a_terminal_keeps_its_encoding_and_gets_escapes() -> None:
    import pty

    terminal, stream = pty.openpty()
    done = process(*TABLE, env={"PYTHONIOENCODING": "ascii", "TERM": "dumb"}, stdout=stream)
    os.close(stream)
    shown = os.read(terminal, 100_000)
    os.close(terminal)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.isascii()
    assert b"F\\xfcchse \\U0001f98a" in shown


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", [TABLE, (*TABLE, "--format", "csv", "--long")], ids=["text", "long"])
def test_a_full_disk_ends_in_a_message(args: tuple[str, ...], unbuffered: str, pinned: Pinned) -> None:
    with FULL.open("wb") as full:
        done = process(*args, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2
    pinned("cli", done.stderr.decode("utf-8"))


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_unwritable_messages_cause_no_traceback() -> None:
    with FULL.open("wb") as full:
        no_stderr = process("table", "nothing", stderr=full)
        neither = process(*TABLE, stdout=full, stderr=full)
        no_stdout = process("--help", stdout=full)
    assert (no_stderr.returncode, no_stderr.stdout, neither.returncode) == (2, b"", 2)
    assert (no_stdout.returncode, no_stdout.stderr.count(b"Error: ")) == (2, 1)
    assert b"Traceback" not in no_stdout.stderr


@pytest.mark.usefixtures("folder")
def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    for args in (TABLE, (*TABLE, "--format", "csv", "--long")):
        done = process(*args, stdout=write)
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(write)


@pytest.mark.parametrize(
    "args",
    [
        ("score", "a", "--protocol", "standard", "--reference", "b", "--protocol", "inria-3dgs"),
        ("run", "--load-config", "a.yml", "--load_config=b.yml"),
        ("check", "a", "--baseline", "b", "--baseline", "c", "--baseline", "d"),
        ("score", "-m", "a", "-m", "b"),
        ("score", "--model-paths", "a", "-m", "b"),
    ],
    ids=["values", "spellings", "three", "short", "short and long"],
)
def test_an_option_of_several_values_is_given_once(
    args: tuple[str, ...], cli: Callable[..., Said], pinned: Pinned
) -> None:
    result = cli(*args)
    assert (result.code, result.out) == (2, "")
    pinned("cli", result.err)


def test_the_last_of_several_single_values_counts(cli: Callable[..., Said]) -> None:
    assert "gone" in cli("table", "gone", "--format", "csv", "--format", "json").err


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("a", ""),
        ("aa", ""),
        ("ab", "Warning: 1 more file: it has a damaged ICC profile.\n"),
        ("abcab", "Warning: 2 more files: each has a damaged ICC profile.\n"),
    ],
)
def test_the_first_warning_of_a_kind_is_printed_and_the_others_are_counted(
    files: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = "Warning: a.png has a damaged ICC profile. It was read without.\n"
    with input_warnings():
        for name in files:
            warn(Path(f"{name}.png"), "has a damaged ICC profile", "It was read without.")
        assert capsys.readouterr().err == first
    assert capsys.readouterr().err == expected


# --- Paths -----------------------------------------------------------------------------------------------------------


def test_a_home_folder_that_does_not_exist_is_an_error(
    cli: Callable[..., Said], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = cli("score", "x", "--reference", "y", "--output-dir", "~nobody-of-this-name/x")
    assert result.code == 2
    assert "the home folder of 'nobody-of-this-name', but there is no such user" in result.err
    assert "no such user" in cli("weights", "--install", "a", "~nobody-of-this-name/x").err
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert str(folder / "home" / "x") in cli("score", "~/x", "--reference", "y").err
    (folder / "~odd").mkdir()
    assert "~odd" in cli("score", "~odd", "--reference", "~odd").err


@pytest.mark.parametrize("command", [("weights", "--install", "p"), ("table", "p"), ("table", "p.yaml")])
def test_a_pipe_is_named(command: tuple[str, ...], cli: Callable[..., Said], folder: Path) -> None:
    os.mkfifo(folder / command[-1])
    result = cli(*command[:-1], str(folder / command[-1]))
    assert (result.code, "Got a pipe" in result.err) == (2, True)


def test_help_in_a_narrow_terminal_breaks_no_word(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said]) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    narrow = cli("protocols", "--help").out
    monkeypatch.setenv("COLUMNS", "40")
    assert narrow == cli("protocols", "--help").out


def test_what_takes_long_before_its_first_step_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds, expected in ((60.0, ["", ""]), (0.01, ["Checking.\n", "Scoring: 0 of 3, time unknown so far\n"])):
        monkeypatch.setattr("nvs_eval.cli.console._SOON", seconds)
        monkeypatch.setattr("nvs_eval.cli.console._FIRST_LINE", seconds)
        said = []
        for block in (wait("Checking."), progress("Scoring", 3)):
            with block:
                time.sleep(0.2)
            said.append(capsys.readouterr().err)
        assert said == expected
    with progress("Scoring", 3) as advance:
        advance()
        time.sleep(0.05)
    assert "0 of 3" not in capsys.readouterr().err
