"""The frame of the hostile files: what a command must say of one, and what it may do and use meanwhile.

A case makes its files and names a command. The command runs in this process, in an empty folder that is the only place
where it may write. It must end in time, within its memory, with the expected exit code and message. It must not start a
process, use the network or run code of the file, which would create the file `CANARY`.
"""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said

from nvs_eval.system.untrusted import refusing

CANARY = "canary"
"""Name of the file that a payload creates in the current folder."""
TOUCH = f"touch {CANARY}"
"""Shell command of a payload."""
_LONGEST_LINE = 700

_RUNS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pty.spawn", "subprocess.Popen"}
_CONNECTS = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"}
_CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Case:
    """A hostile file and what it must get.

    Attributes:
        make: writes the files into the current folder and returns the arguments of the command.
        message: regular expression for stderr, and also for stdout if the command must succeed.
        code: exit code.
        seconds: time that the command may take.
        megabytes: address space that the command may add.
        prints: whether the command prints results beside the problem.
    """

    make: Callable[[], list[str]]
    message: str
    code: int = 2
    seconds: float = 20
    megabytes: int = 1000
    prints: bool = False


class Payload:
    """An object whose unpickling creates the canary."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (TOUCH,)


class Watch:
    """Records of processes, connections, and changes of files outside one folder."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record an audit event while a folder is watched."""
        if self.allowed is None:
            return
        if event in _RUNS or event in _CONNECTS:
            self.seen.append(f"{event}: {arguments!r:.200}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._check(event, path)
        elif event in _CHANGES:
            for path in arguments[:2] if event in ("os.link", "os.rename", "os.symlink") else arguments[:1]:
                self._check(event, path)

    def _check(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # A file descriptor, whose opening was checked.
        place = os.path.realpath(os.fsdecode(path))
        if "__pycache__" not in place and not place.startswith(self.allowed or ()):
            self.seen.append(f"{event}: {place}")

    @contextmanager
    def only_in(self, *folders: Path) -> Iterator[None]:
        """Watch the process, and allow changes of files in these folders."""
        self.seen.clear()
        self.allowed = ("/dev/", *(os.path.realpath(folder) for folder in folders))
        try:
            yield
        finally:
            self.allowed = None


WATCH = Watch()
_installed: list[Watch] = []


def watch() -> Watch:
    """Return the watch of this process. An audit hook cannot be removed, so it is installed once."""
    if not _installed:
        with refusing("a file"):
            pass  # Installs the hook of nvs-eval before this one, which then sees only what that one admits.
        sys.addaudithook(WATCH)
        _installed.append(WATCH)
    return WATCH


@contextmanager
def limits(seconds: float, megabytes: int) -> Iterator[None]:
    """Limit the time and the additional address space. Native code that hangs ends the process with a traceback."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"The command took more than {seconds} seconds.")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(5 * seconds, exit=True, file=2)  # pytest replaces sys.stderr.
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * 2**20, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def meets(cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], Said]:
    """Run the command of a case, and check everything that it must get."""

    def run(case: Case) -> Said:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        arguments = case.make()
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        with watch().only_in(tmp_path), limits(case.seconds, case.megabytes):
            said = cli(*arguments)
        assert not WATCH.seen, WATCH.seen
        assert not (tmp_path / CANARY).exists(), "the file ran code"
        check(said, case)
        assert all(path.exists() for path in before), "a file of the user is gone"
        return said

    return run


def check(said: Said, case: Case) -> None:
    """Check the exit code and the output of a command."""
    assert said.code == case.code, f"exit code {said.code}: {said.err}"
    printed = said.err + said.out if case.code == 0 else said.err
    assert re.search(case.message, printed, re.DOTALL), printed
    for text in (said.out, said.err):
        assert "Traceback" not in text, f"Traceback: {text}"
        lines = text.split("\n")
        assert all(line.isprintable() for line in lines), "control characters reach the terminal"
        assert max(map(len, lines)) <= _LONGEST_LINE, "a value of the file fills the message"
    if case.code == 2 and not case.prints:
        assert said.out == "", f"output beside an error: {said.out}"
        first, _, rest = said.err.partition("\n")  # A wait of over a second is announced.
        assert (rest if first.startswith("Checking ") else said.err).startswith("Error: "), said.err
