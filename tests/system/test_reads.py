"""A command is done again if anything that it read has changed, wherever it is."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.protocols import LIGHT
from support.receipts import SCORE
from support.scenes import write_pngs

from nvs_eval.system import cache
from nvs_eval.system.reads import watched_reads

pytestmark = pytest.mark.usefixtures("garden")


@pytest.mark.parametrize("output", [".", "garden", "garden/ours"])
def test_renders_in_the_output_folder_are_checked(
    output: str, garden: Path, cli: Callable[..., Said], opened: list[str]
) -> None:
    command = (*SCORE, "--output-dir", output)
    assert [cli(*command).code for _ in range(3)] == [0, 0, 0]
    assert len(opened) in (1, 2)  # The first command changes a folder that it reads.
    write_pngs(garden / "ours", {"0001": 77})
    opened.clear()
    assert cli(*command).code == 2
    assert opened


@pytest.mark.parametrize("place", ["cache", "home"])
def test_a_protocol_in_a_cache_is_checked(
    place: str, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    Path(place).mkdir(exist_ok=True)
    file = Path(place, "light.yaml")
    file.write_text(LIGHT)
    command = (*SCORE[:-1], str(file))
    assert [cli(*command).code for _ in range(2)] == [0, 0]
    before = sorted(Path("nvs-eval-results").rglob("*.json"))
    file.write_text(LIGHT.replace("crop: 0", "crop: 1") if "crop: 0" in LIGHT else LIGHT + "crop: 1\n")
    assert cli(*command).code == 0
    assert sorted(Path("nvs-eval-results").rglob("*.json")) != before


@pytest.mark.parametrize("place", ["cache", "cache/hashes", "tmp/nvs-eval-mine", "prefix"])
def test_files_that_the_command_does_not_name_are_checked_anywhere(
    place: str, cli: Callable[..., Said], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", os.path.abspath("tmp"))
    monkeypatch.setattr(tempfile, "tempdir", os.path.abspath("tmp"))
    for prefix in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, prefix, os.path.abspath("prefix"))
    step = Path(place, "garden/test/ours_30000")
    for name, folder in (("renders", "ours"), ("gt", "gt")):
        shutil.copytree(Path("garden", folder), step / name)
    command = ("score", str(step / "renders"), "--protocol", "light.yaml")
    assert [cli(*command).code for _ in range(2)] == [0, 0]
    assert opened == ["checked"]
    write_pngs(step / "gt", {"0001": 99})
    assert cli(*command).code == 2  # The record is of other references.
    assert opened == ["checked"] * 2


def test_an_archive_has_a_receipt(cli: Callable[..., Said], opened: list[str]) -> None:
    Path("cache").mkdir()  # It is in a folder that the command lists.
    shutil.make_archive("ours", "zip", "garden/ours")
    command = ("score", "ours.zip", *SCORE[3:])
    assert cli(*command).code == 0
    with tempfile.TemporaryDirectory():  # Names in the folder for temporary files are no input.
        assert cli(*command).code == 0
    assert opened == ["checked"]


def test_a_folder_that_is_removed_meanwhile_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    with watched_reads() as reads:
        shutil.rmtree(tmp_path / "unpacked")
    assert str(tmp_path / "unpacked") not in reads.state([], []).files


def test_files_in_memory_have_no_receipt(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_devices_in_memory", lambda: {os.stat("garden").st_dev})
    assert cli(*SCORE).code == 0
    assert not Path("cache/receipts").exists()
