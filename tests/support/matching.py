"""Refusals of folders that do not match."""

from __future__ import annotations

from pathlib import Path

import pytest

from nvs_eval.errors import InputError
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.matching import Matching


def refused(folder: Path, reference: Path, matching: Matching | None = None) -> str:
    """Return the message with which a folder is refused."""
    with pytest.raises(InputError) as error:
        open_folders([folder], reference=reference, matching=matching)
    return str(error.value)
