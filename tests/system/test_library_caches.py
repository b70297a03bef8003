"""Caches of libraries are redirected, unless the user chose their places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nvs_eval.system import library_caches
from nvs_eval.system.library_caches import redirect_caches


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment with a home folder alone, in place of that of the process."""
    new = {"HOME": str(tmp_path)}
    monkeypatch.setattr(os, "environ", new)
    return new


def test_caches_are_below_ours(environment: dict[str, str], tmp_path: Path) -> None:
    environment["TRITON_CACHE_DIR"] = "chosen"
    redirect_caches()
    assert environment["TRITON_CACHE_DIR"] == "chosen"
    assert environment["MPLCONFIGDIR"] == str(tmp_path / ".cache/nvs-eval/libraries/matplotlib")
    assert "TORCH_HOME" not in environment  # It contains downloads of the user.
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("home", ["~", "/proc/version"])
def test_without_a_home_they_are_temporary(home: str, environment: dict[str, str], tmp_path: Path) -> None:
    environment["HOME"] = home
    redirect_caches()
    folder = library_caches.temporary_cache()
    assert environment["MPLCONFIGDIR"] == str(folder / "libraries/matplotlib")
    assert ("TORCH_HOME" in environment) == (home == "~")
