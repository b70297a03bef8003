"""A signal stops a command: it says so once, cleans up and exits with 128 plus its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faults.process import Done, as_command, run_forked
from support.pinned import Pinned

from nvs_eval.errors import InputError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no forked processes")

SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def send(name: str = "SIGINT") -> int:
    os.kill(os.getpid(), getattr(signal, name))
    return 0


def stopped(function: Callable[[], object], folder: Path, *args: str) -> Done:
    """Run a function as a command in a process of its own."""
    return run_forked(as_command(lambda: int(bool(function())), ("demo", *args)), folder)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_stops_a_command(name: str, tmp_path: Path, pinned: Pinned) -> None:
    def command() -> None:
        try:
            send(name)
        finally:
            Path("cleaned").touch()

    result = stopped(command, tmp_path)
    assert (result.code, result.out) == (SIGNALS[name], "")
    assert (tmp_path / "cleaned").exists()
    pinned("cli", result.err)


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    def call() -> int:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup does this.
        return as_command(lambda: send("SIGHUP"))()

    assert run_forked(call, tmp_path).code == 0


def test_a_second_signal_ends_a_cleanup_that_hangs(tmp_path: Path) -> None:
    def command() -> None:
        try:
            send("SIGTERM")
        finally:
            send("SIGINT")
            time.sleep(60)

    result = stopped(command, tmp_path)
    assert (result.code, result.out) == (143, "")
    assert result.err == "Terminated. Finished work is kept. Repeat the command to continue.\n"


def test_a_second_signal_is_silent_after_the_command(tmp_path: Path) -> None:
    def call() -> int:
        code = as_command(send)()
        send()
        return code + 1

    result = run_forked(call, tmp_path)
    assert (result.code, result.err.count("Interrupted")) == (130, 1)


@pytest.mark.parametrize(
    "error", [InputError("The file is damaged."), SystemExit(1), OSError(5, "I/O", "file"), None], ids=str
)
def test_a_library_cannot_hide_a_signal(error: BaseException | None, tmp_path: Path) -> None:
    def command() -> None:
        try:
            send()
        except BaseException as interrupt:
            if error is not None:
                raise error from interrupt

    result = stopped(command, tmp_path)
    assert result.code == 130
    assert result.err == "Interrupted. Finished work is kept. Repeat the command to continue.\n"


def test_debug_shows_where_a_command_was_stopped(tmp_path: Path) -> None:
    result = stopped(send, tmp_path, "--debug")
    assert result.code == 130
    assert "in send\n" in result.err and result.err.endswith("to continue.\n")


def test_a_closed_terminal_is_no_traceback(tmp_path: Path) -> None:
    def command() -> None:
        os.close(2)
        send("SIGHUP")

    assert stopped(command, tmp_path).code == 129


def test_other_threads_do_not_handle_signals(tmp_path: Path) -> None:
    codes: list[int] = []

    def call() -> int:
        thread = threading.Thread(target=lambda: codes.append(as_command(lambda: 3)()))
        thread.start()
        thread.join()
        return codes[0]

    assert run_forked(call, tmp_path).code == 3


IMPORTING = """\
import os, signal, sys
number = int(sys.argv.pop(1))
imports = 0
def on_event(event, args):
    global imports
    if event == "import":
        imports += 1
        if imports == number:
            os.kill(os.getpid(), signal.SIGINT)
from nvs_eval.cli import main
sys.addaudithook(on_event)
code = main()
if number == 0:
    print(imports)
sys.exit(code)
"""


def importing(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a new interpreter, with Ctrl-C at its n-th import."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")])}
    # A shell may have started the tests in the background, where Ctrl-C is ignored.
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", heeded + IMPORTING, str(number), "score", "gone"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def check_importing(number: int, folder: Path) -> None:
    result = importing(number, folder)
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == "Interrupted. Finished work is kept. Repeat the command to continue.\n"


@pytest.mark.parametrize("number", [1, 700])
def test_ctrl_c_while_modules_are_imported(number: int, tmp_path: Path) -> None:
    check_importing(number, tmp_path)


@pytest.mark.long
def test_ctrl_c_at_many_imports(tmp_path: Path) -> None:
    count = int(importing(0, tmp_path).stdout)
    assert count > 1000
    for number in range(1, count, count // 60):
        check_importing(number, tmp_path)
