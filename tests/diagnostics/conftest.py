"""Fixtures of several test files in this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.protocols import LIGHT, protocol_file
from support.scenes import write_images, write_pngs
from support.verifying import score, write_scene

import nvs_eval


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the record of a scene with six views under the light protocol."""
    (file,) = score(write_scene(tmp_path), LIGHT)
    capsys.readouterr()
    return file


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of two methods in `out`; `ours` has the better scores."""
    folder = tmp_path_factory.mktemp("figures")
    for seed, name in enumerate(("gt", "theirs")):
        write_pngs(folder / "garden" / name, {"0001": seed, "0002": seed})
    reference = nvs_eval.load_image(folder / "garden/gt/0001.png")
    write_images(folder / "garden" / "ours", {"0001": reference * 0.9, "0002": reference * 0.8})
    renders = [folder / "garden" / name for name in ("ours", "theirs")]
    protocol = str(protocol_file(folder))
    nvs_eval.score(renders, reference=folder / "garden/gt", protocol=protocol, output_dir=folder / "out")
    return folder


@pytest.fixture
def results(here: Path, scored: Path) -> Path:
    """A copy of the results, in the working directory."""
    shutil.copytree(scored, here, dirs_exist_ok=True)
    return Path("out")
