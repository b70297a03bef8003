"""Links to folders in folders of images, and names that cannot be those of folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.layouts import check_views, refusal
from support.scenes import write_pngs

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation import score_folders
from nvs_eval.sources.folders import open_folders


def test_links_to_folders_are_followed_without_loops(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "garden" / "gt", {"cam0/a": 1, "cam1/a": 2})
    ours = write_pngs(tmp_path / "ours", {"cam0/a": 11})
    write_pngs(tmp_path / "data" / "cam1", {"a": 12})
    (ours / "cam1").symlink_to(tmp_path / "data" / "cam1")
    (ours / "loop").symlink_to(ours)
    (tmp_path / "data" / "cam1" / "up").symlink_to(tmp_path)
    (source,) = open_folders([ours], reference=gt)
    check_views(source, {"cam0/a": (1, 11), "cam1/a": (2, 12)})


def test_a_missing_link_is_a_missing_view(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "garden" / "gt", {"cam0/a": 1})
    (gt / "cam1").symlink_to(write_pngs(tmp_path / "data", {"a": 2}))
    ours = write_pngs(tmp_path / "ours", {"cam0/a": 11})
    assert "1 reference without a render: cam1/a" in refusal(ours, reference=gt)


# --- Names that cannot be folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "shown"), [({"scene": "x" * 300}, "x"), ({"method": "\ud800"}, r"'\\ud800'")])
def test_names_that_cannot_be_folders_are_refused_before_scoring(
    names: dict[str, Any], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gt = write_pngs(tmp_path / "garden" / "gt", {"a": 1})
    ours = write_pngs(tmp_path / "ours", {"a": 2})
    monkeypatch.setattr(score_folders, "score_files", lambda *given: pytest.fail("Scored too early."))
    with pytest.raises(InputError, match=rf"The name of a {next(iter(names))} becomes that of a folder.*{shown}"):
        nvs_eval.score(ours, reference=gt, **names)
