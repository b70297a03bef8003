"""Folders to score, and commands that a receipt answers or does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_file
from support.scenes import write_garden, write_masks

from nvs_eval.cli import receipts
from nvs_eval.system import cache

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")
SUITE = """\
scenes: [garden]
protocol: light.yaml
output_dir: of suite
methods:
  ours: {score: "{scene}/ours", reference: "{scene}/gt"}
"""


@pytest.fixture
def garden(here: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said]) -> Path:
    for text, name in ((LIGHT, "light"), (FLOAT, "float"), (IGNORING, "ignoring")):
        protocol_file(here, text, f"{name}.yaml")
    shutil.rmtree("garden")
    write_masks(Path("masks"), {"0001": 1.0, "0002": 0.5})
    (here / "suite.yaml").write_text(SUITE)
    (here / "config.yml").touch()
    write_garden(here / "garden")
    assert cli(*SCORE, "--output-dir", "earlier").code == 0
    monkeypatch.setenv("NVS_EVAL_CACHE", str(here / "cache"))
    monkeypatch.setattr(cache, "RESOLUTION_NS", -(10**18))  # Files that were written just now count.
    monkeypatch.setattr(cache, "_devices_in_memory", frozenset)  # Temporary folders can be in memory.
    return here / "garden"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands that are not answered by a receipt."""
    calls: list[str] = []
    place = receipts.Receipt.find

    def find(self: receipts.Receipt, callbacks: object) -> object:
        found = place(self, callbacks)  # pyright: ignore[reportArgumentType]
        if found is None:
            calls.append("checked")
        return found

    monkeypatch.setattr(receipts.Receipt, "find", find)
    return calls
