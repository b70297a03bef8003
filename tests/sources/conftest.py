"""Fixtures of these tests: the folders of a scene, and a folder for temporary files that tests can inspect."""

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
    """Folder that archives are unpacked into, so that a test can check what is left behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
