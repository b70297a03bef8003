"""What the tests of this room share: a scene of folders, and a place for temporary files that a test can look into."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from support.layouts import NAMES
from support.scenes import write_pngs


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """A scene with references and two methods' renders of the same views."""
    write_pngs(tmp_path / "garden" / "gt", NAMES)
    for offset, method in ((10, "ours"), (20, "theirs")):
        write_pngs(tmp_path / "garden" / method, {name: seed + offset for name, seed in NAMES.items()})
    return tmp_path / "garden"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked, so that a test sees what is left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
