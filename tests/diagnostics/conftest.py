"""Fixtures of several test files in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.protocols import LIGHT
from support.verifying import score, write_scene


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the record of a scene with six views under the light protocol."""
    (file,) = score(write_scene(tmp_path), LIGHT)
    capsys.readouterr()
    return file
