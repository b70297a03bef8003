"""Claims and failures of cells, in small files of the output folder. Imports no torch.

    <dir>/.suite/<scene>/<method>.claim      who evaluates the cell, since when; its date is the last sign of life
    <dir>/.suite/<scene>/<method>.failed     why it failed, and the command that repeats it

A cell without either is done if it has records, and otherwise left. A cell that two workers evaluate nevertheless has
the same records twice, and one is kept, so that claims only save work: errors of the disk are ignored here.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.evaluation.executors.cells import Cell
from nvs_eval.records.result_id import safe_name
from nvs_eval.system.files import read_small, temporary_name, write_whole
from nvs_eval.system.owner import has_ended, owner_tag

T = TypeVar("T")

FOLDER = ".suite"
"""Name of the folder of claims and failures in an output folder."""
_SECONDS_BETWEEN_BEATS = 20.0
_LONGEST_SILENCE = 180.0
"""Seconds without a sign of life after which a worker on another machine is taken for dead."""
_MOST_BYTES = 2**20


class Claim(msgspec.Struct, frozen=True):
    """A worker that evaluates a cell.

    Attributes:
        owner: identifier of the command that started the worker. It may take over its own claims.
        tag: host, process and start of the worker, as `system.owner` has them.
        host: name of the worker's machine.
        process: its process id.
        started: time in UTC, by its own clock.
        stopped: whether the worker was stopped before it was done.
    """

    owner: str
    tag: str
    host: str
    process: int
    started: str
    stopped: bool = False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Failure(msgspec.Struct, frozen=True):
    """A cell that failed.

    Attributes:
        error: the reasons, as sentences.
        command: command that repeats it alone.
        host: name of the worker's machine.
        time: time in UTC, by its own clock.
    """

    error: str
    command: str
    host: str
    time: str


@dataclass(frozen=True)
class Claims:
    """Claims and failures in an output folder.

    Attributes:
        output_dir: the output folder.
        owner: identifier of the command, for all its workers.
    """

    output_dir: Path
    owner: str

    def holder(self, cell: Cell) -> Claim | None:
        """Return the claim of a worker of another command that is alive, if any."""
        claim = self.running(cell)
        return None if claim is None or claim.owner == self.owner else claim

    def running(self, cell: Cell) -> Claim | None:
        """Return the claim of a worker that is alive, if any."""
        path = self._file(cell, "claim")
        claim = _read(path, Claim)
        return claim if claim is not None and self._is_alive(path, claim) else None

    def is_interrupted(self, cell: Cell) -> bool:
        """Return whether a worker began a cell and did not finish it. It may still be at work."""
        return self._file(cell, "claim").exists()

    def failure(self, cell: Cell) -> Failure | None:
        """Return why a cell failed when it was last evaluated, if it did."""
        return _read(self._file(cell, "failed"), Failure)

    @contextmanager
    def held(self, cell: Cell) -> Iterator[Claim | None]:
        """Hold the claim of a cell while it is evaluated, and remove it at the end. An exception leaves it, as stopped.

        Yields:
            None, or the claim of a worker of another command that evaluates the cell. There is none of ours then.
        """
        path = self._file(cell, "claim")
        claim = Claim(self.owner, owner_tag(), socket.gethostname(), os.getpid(), _now())
        if (other := self._take(cell, path, claim)) is not None:
            yield other
            return
        ended = threading.Event()
        beats = threading.Thread(target=_beat, args=(path, ended), name="nvs-eval-claim", daemon=True)
        with suppress(RuntimeError):  # The system may have no more threads.
            beats.start()
        try:
            yield None
        except BaseException:
            _write(path, msgspec.structs.replace(claim, stopped=True), replace=True)
            raise
        else:
            self._remove(path)
        finally:
            ended.set()

    def settle(self, cell: Cell, reasons: Sequence[str], command: str) -> None:
        """Record why a cell failed, or that it did not.

        Args:
            cell: the cell.
            reasons: the reasons; none if it is done.
            command: command that repeats the cell alone.
        """
        path = self._file(cell, "failed")
        if reasons:
            _write(path, Failure(" ".join(reasons), command, socket.gethostname(), _now()), replace=True)
        else:
            self._remove(path)

    def _take(self, cell: Cell, path: Path, claim: Claim) -> Claim | None:
        """Write a claim, or return that of a worker of another command that is alive."""
        for _ in range(3):
            if _write(path, claim, replace=False):
                return None
            if (other := self.holder(cell)) is not None:
                return other
            with suppress(OSError):  # Only one of several takers can move it.
                taken = temporary_name(path.parent)
                path.rename(taken)
                taken.unlink()
        return None

    def _is_alive(self, path: Path, claim: Claim) -> bool:
        if claim.stopped:
            return False
        if (ended := has_ended(claim.tag)) is not None:
            return not ended
        try:
            return self._now_of_disk(path.parent) - path.stat().st_mtime < _LONGEST_SILENCE
        except OSError:
            return False

    @staticmethod
    def _now_of_disk(folder: Path) -> float:
        """Return the time by the clock that dates the files of a folder, which may be that of a file server."""
        probe = temporary_name(folder)
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:  # Others may read the folder and not write to it.
            return datetime.now().timestamp()
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def _file(self, cell: Cell, kind: str) -> Path:
        return self.output_dir / FOLDER / safe_name(cell.scene) / f"{safe_name(cell.method)}.{kind}"

    @staticmethod
    def _remove(path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()  # Fails if there are files of other cells.
            path.parent.parent.rmdir()


def new_claims(output_dir: Path) -> Claims:
    """Return the claims of a new command."""
    return Claims(output_dir, f"{owner_tag()}{os.urandom(4).hex()}")


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_SECONDS_BETWEEN_BEATS):
        with suppress(OSError):
            os.utime(path)


def _write(path: Path, content: msgspec.Struct, *, replace: bool) -> bool:
    """Write a file; return False if it cannot be written, or exists and must not be replaced."""
    encoded = msgspec.json.encode(content)
    with suppress(InputError):
        return write_whole(path, lambda file: file.write(encoded), replace=replace)
    return False


def _read(path: Path, kind: type[T]) -> T | None:
    """Return the content of a file; None if there is none, or it is damaged."""
    with suppress(OSError, ValueError):
        return msgspec.json.decode(read_small(path, _MOST_BYTES), type=kind)
    return None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
