"""Walks skip no folder in silence, and messages have no internal names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.pinned import Pinned

from nvs_eval.errors import InputError
from nvs_eval.system.folders import files_below, shown


def test_files_below_a_folder_are_sorted(tmp_path: Path) -> None:
    for name in ("b/c.json", "a.json", "b/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path, ".json") == [tmp_path / "a.json", tmp_path / "b/c.json"]
    assert files_below(tmp_path / "a.json") == files_below(tmp_path / "gone") == []


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError) as error:
        files_below(tmp_path / "out" / ".rendering-0-1-2-x" / "renders")
    pinned("cli", error.value)


@pytest.mark.parametrize("name", [".nvs-eval-0123", ".rendering-0123", ".partial"])
def test_internal_names_are_not_shown(name: str) -> None:
    assert shown(Path("/out", name, "a.png")) == Path("/out/a.png")
    assert shown(Path("out", "renders")) == Path("out/renders")
