"""Runs of 3DGRUT."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.layouts import NAMES, check_views, labels, refusal
from support.scenes import write_pngs

from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.folders import open_folders


def run(folder: Path, *steps: int) -> Path:
    """Write the output of 3DGRUT's renderer."""
    for step in steps:
        write_pngs(folder / f"ours_{step}" / "gt", NAMES)
        write_pngs(folder / f"ours_{step}" / "renders", {name: seed + step for name, seed in NAMES.items()})
        (folder / f"ours_{step}" / "ckpt_30000.pt").write_bytes(b"checkpoint")
    return folder


def test_the_date_of_a_run_tells_runs_apart(tmp_path: Path) -> None:
    runs = [run(tmp_path / "3dgut" / f"garden-{date}", 7000, 30000) for date in ("2504_120000", "2505_090000")]
    (source,) = open_folders(runs)
    assert source.ids == [
        ResultId("garden", "3dgut", date, step) for date in ("2504_120000", "2505_090000") for step in (7000, 30000)
    ]
    check_distinct(source.ids)
    assert source.ids[0].folder == Path("garden/3dgut/2504_120000/7000")
    check_views(source, {name: (seed, *[seed + 7000, seed + 30000] * 2) for name, seed in NAMES.items()})


@pytest.mark.parametrize("inside", ["ours_30000", "ours_30000/renders"])
def test_one_step_of_a_run_can_be_named(inside: str, tmp_path: Path) -> None:
    folder = run(tmp_path / "3dgut" / "my-garden-2504_120000", 7000, 30000)
    (source,) = open_folders([folder / inside])
    assert source.ids == [ResultId("my-garden", "3dgut", "2504_120000", 30000)]


def test_all_scenes_of_an_experiment_can_be_named(tmp_path: Path) -> None:
    for scene in ("garden", "room"):
        run(tmp_path / "3dgut" / f"{scene}-2504_120000", 30000)
    assert labels(open_folders([tmp_path / "3dgut"])) == [
        ["garden/3dgut/2504_120000/30000"],
        ["room/3dgut/2504_120000/30000"],
    ]


def test_a_run_in_the_default_folder_needs_a_method(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs" / "garden-2504_120000", 30000)
    assert "'runs' is not the name of a method. Add `--method NAME`." in refusal(folder)


def test_a_renamed_run_is_a_model(tmp_path: Path) -> None:
    assert labels(open_folders([run(tmp_path / "garden" / "3dgut", 30000)])) == [["garden/3dgut/30000"]]
