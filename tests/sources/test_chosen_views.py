"""Which of the matched views are scored."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.matching import refused
from support.scenes import write_pngs

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import selection_of
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.matching import Matching, choose_views


def test_views_are_chosen_by_name_and_every_nth(tmp_path: Path) -> None:
    seeds = {name: seed for seed, name in enumerate("abcde")}
    gt, ours = write_pngs(tmp_path / "gt", seeds), write_pngs(tmp_path / "ours", seeds)
    for matching, names in (
        (Matching(every=2), "ace"),
        (Matching(views=["d", "b"]), "bd"),
        (Matching(views=["a", "b", "d"], every=2), "ad"),
        (Matching(views=list("abcde")), "abcde"),
    ):
        (source,) = open_folders([ours], reference=gt, matching=matching)
        assert [view.name for view in source] == list(names)
        assert source.ids[0].selection == selection_of(names, seeds)


def test_a_chosen_view_must_exist_on_both_sides(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"a": 1, "b": 2, "c": 3})
    ours = write_pngs(tmp_path / "ours", {"a": 1, "c": 3})
    assert "Unknown view 'd'" in refused(ours, gt, Matching(views=["d"]))
    assert "1 reference without a render: b" in refused(ours, gt, Matching(views=["b", "c"]))
    assert "--every must be at least 1" in refused(ours, gt, Matching(every=0))
    (source,) = open_folders([ours], reference=gt, matching=Matching(every=2))
    assert [view.name for view in source] == ["a", "c"]


def test_renders_that_are_not_chosen_need_no_reference(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"a": 1, "b": 2, "c": 3})
    ours = write_pngs(tmp_path / "ours", {"a": 11, "b": 12, "c": 13, "x": 14})
    for allowed in (False, True):
        for matching, names in ((Matching(views=["b"]), "b"), (Matching(every=2), "ac")):
            (source,) = open_folders([ours], reference=gt, matching=matching, allow_missing=allowed)
            assert [view.name for view in source] == list(names)
            assert source.sets[0].left_out == {}
    assert "1 render without a reference: x." in refused(ours, gt, Matching(views=["a", "x"]))
    (source,) = open_folders([ours], reference=gt, matching=Matching(views=["a", "x"]), allow_missing=True)
    assert source.sets[0].left_out == {"x": "no reference"}
    (source,) = open_folders([ours], reference=gt, allow_missing=True)
    assert source.sets[0].left_out == {"x": "no reference"}


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("view", ["c", "x"])
def test_no_chosen_view_with_both_is_an_error(view: str, allowed: bool, tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"a": 1, "c": 3})
    ours = write_pngs(tmp_path / "ours", {"a": 11, "x": 14})
    with pytest.raises(InputError, match=rf"None of the chosen views of .*/ours can be scored: 1 .*: {view}\. Add"):
        open_folders([ours], reference=gt, matching=Matching(views=[view]), allow_missing=allowed)


def test_views_are_chosen_by_position() -> None:
    assert choose_views(["a", "b", "c"], wanted=["c", "a"], every=1) == {0: "a", 2: "c"}
