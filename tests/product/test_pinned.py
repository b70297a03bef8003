"""The pinning of sentences can fail, and is updated only where it is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from support import pinned as module
from support.pinned import Pinned

TESTS = Path(__file__).resolve().parents[1]


def test_pinned_sentences_are_compared_and_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLDER", tmp_path / "words")
    with pytest.raises(AssertionError, match=r"test_a is not in score\.yaml"):
        Pinned("test_a", tmp_path, update=False)("score", "Error: no.")
    updating = Pinned("test_a", tmp_path, update=True)
    updating("score", f"Error: {tmp_path}/a is missing.\n")
    updating("score", "Two\nlines\n")
    assert yaml.safe_load((tmp_path / "words" / "score.yaml").read_text()) == {
        "test_a": "Error: ~/a is missing.\n",
        "test_a 2": "Two\nlines\n",
    }
    again = Pinned("test_a", tmp_path, update=False)
    again("score", f"Error: {tmp_path}/a is missing.\n")
    with pytest.raises(AssertionError):
        again("score", "Two\nother lines\n")


def test_every_pinned_text_belongs_to_a_test() -> None:
    for file in module.FOLDER.glob("*.yaml"):
        for key in yaml.safe_load(file.read_text(encoding="utf-8")):
            place, name = re.split(r"[. \[]", key)[:2]
            assert f"def {name}(" in (TESTS / f"{place}.py").read_text(encoding="utf-8"), f"{file.name}: {key}"
