"""What the tests of this room share: a scene of folders, and a place for temporary files that a test can look into."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from support.layouts import NAMES
from support.scenes import write_garden


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """A scene with references and two methods' renders of the same views."""
    return write_garden(tmp_path / "garden", list(NAMES))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked, so that a test sees what is left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
