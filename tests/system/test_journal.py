from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nvs_eval.system.journal import Journal, read_lines


def test_lines_reach_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "lines.jsonl"
    journal = Journal(file, [b"header"])
    journal.append(b"1")
    assert read_lines(file) == [b"header", b"1"]
    assert os.listdir(file.parent) == ["lines.jsonl"]
    journal.close()


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", []), (b"a", []), (b"a\nb", [b"a"]), (b"a\n\nb\n", [b"a", b"", b"b"])]
)
def test_line_that_was_cut_off_is_dropped(content: bytes, lines: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_lines(tmp_path / "file") == lines
    assert read_lines(tmp_path / "missing") == []


def test_no_file_has_lines_of_two_processes(tmp_path: Path) -> None:
    first, second = (Journal(tmp_path / "file", [name]) for name in (b"first", b"second"))
    first.append(b"of first")
    second.append(b"of second")
    assert read_lines(tmp_path / "file") == [b"second", b"of second"]
    first.close()
    second.close()


def test_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        Journal(tmp_path / "file", [b"header"])
    assert list(tmp_path.iterdir()) == []
