"""Files of JSON lines that a process extends while it works, so that the next one can go on after an interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nvs_eval.system.files import temporary_name

_SECONDS_BETWEEN_SYNCS = 5.0


def read_lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file; none if it cannot be read. A line that was cut off at the end is dropped."""
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError:
        return []
    return lines


class Journal:
    """File that one process extends line by line. Each line reaches the system at once, and the disk soon after.

    It replaces the file of an earlier process. A process that still writes to that one continues in a file without a
    name, so that no file has lines of two processes.

    Args:
        path: file to write; missing folders are created.
        lines: first lines of the file.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, lines: Iterable[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(path.parent)
        try:
            self._file = temporary.open("xb")
            self._begin(temporary, path, lines)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)  # It exists only after an error.

    def _begin(self, temporary: Path, path: Path, lines: Iterable[bytes]) -> None:
        try:
            self._file.writelines(line + b"\n" for line in lines)
            self._sync()
            temporary.replace(path)
        except BaseException:
            self.close()
            raise

    def append(self, line: bytes) -> None:
        """Append a line.

        Raises:
            OSError: it cannot be written.
        """
        self._file.write(line + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file. An error of the disk is ignored, because the file is only a help."""
        with suppress(OSError):
            self._file.close()
