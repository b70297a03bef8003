"""What several test files of this room need."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.protocols import LIGHT
from support.verifying import score, write_scene


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The record of a scene of six views under the light protocol."""
    (file,) = score(write_scene(tmp_path), LIGHT)
    capsys.readouterr()
    return file
