"""Models, scenes and steps that lack their renders or references, alone and among others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.layouts import NAMES, check_views, gsplat, labels, model, predictions, refusal
from support.pinned import Pinned
from support.protocols import protocol_file
from support.scenes import write_pngs

from nvs_eval.errors import InputError
from nvs_eval.sources.folders import open_folders

SKIP = "Otherwise name only the others, or add `--allow-missing` to skip it."


def skipped(folder: Path, expected: list[list[str]]) -> list[str]:
    """Return the warnings of opening a folder with `allow_missing`; check the labels of the other results."""
    warned: list[str] = []
    assert labels(open_folders([folder], allow_missing=True, warn=warned.append)) == expected
    return warned


def unrendered(scene: Path) -> None:
    (scene / "test").mkdir(parents=True)
    (scene / "cfg_args").write_text("Namespace(source_path='/data/z')")
    write_pngs(scene, {"preview": 1})


def empty(scene: Path) -> None:
    for part in ("renders", "gt"):
        (scene / "test" / "ours_30000" / part).mkdir(parents=True)


def nothing_held_out(scene: Path) -> None:
    shutil.rmtree(model(scene, 30000) / "test")
    empty(scene)


BROKEN: dict[str, Callable[[Path], object]] = {
    "model": unrendered,
    "point cloud": lambda scene: (scene / "point_cloud" / "iteration_30000").mkdir(parents=True),
    "nothing held out": nothing_held_out,
    "empty": empty,
    "DepthSplat": lambda scene: write_pngs(scene / "color", {"000001": 1}),
    "DepthSplat references": lambda scene: write_pngs(scene / "color", {"000001_gt": 1}),
    "NerfBaselines": lambda scene: shutil.rmtree(predictions(scene) / "gt-color"),
    "ns-render": lambda scene: write_pngs(scene / "test" / "rgb", NAMES),
    "gsplat": lambda scene: shutil.rmtree(gsplat(scene, 1) / "renders"),
    "3DGRUT": lambda scene: (scene.with_name("z-0512_101500") / "ours_7000").mkdir(parents=True),
}
"""Functions that write an incomplete scene."""


@pytest.mark.parametrize("kind", BROKEN)
def test_an_incomplete_scene_is_never_skipped_in_silence(kind: str, tmp_path: Path, pinned: Pinned) -> None:
    folder = model(tmp_path / "3dgs" / "garden", 7000).parent
    BROKEN[kind](folder / "z")
    message = refusal(folder)
    pinned("sources", message)
    assert f"{folder}/z" in message
    assert message.endswith(SKIP)
    (warning,) = skipped(folder, [["garden/3dgs/7000"]])
    assert warning == "Skipped: " + message.removesuffix(f" {SKIP}")
    shutil.rmtree(folder / "garden")
    with pytest.raises(InputError) as alone:
        open_folders([folder], allow_missing=True)
    assert str(alone.value) == message.removesuffix(f" {SKIP}")


def test_folders_that_are_no_results_are_named(tmp_path: Path) -> None:
    model(tmp_path / "3dgs" / "garden", 7000)
    for name in ("logs", "videos", ".git"):
        (tmp_path / "3dgs" / name).mkdir()
    assert skipped(tmp_path / "3dgs", [["garden/3dgs/7000"]]) == [
        f"{tmp_path}/3dgs: folders without a known layout are not read: logs, videos."
    ]


@pytest.mark.parametrize(
    ("lacking", "state", "what"),
    [("renders", "missing", "renders"), ("renders", "empty", "renders"), ("gt", "missing", "references")],
)
def test_an_incomplete_step_is_never_skipped_in_silence(lacking: str, state: str, what: str, tmp_path: Path) -> None:
    folder = model(tmp_path / "garden" / "m", 7000, 30000)
    step = folder / "test" / "ours_30000"
    shutil.rmtree(step / lacking)
    if state == "empty":
        (step / lacking).mkdir()
    reason = f"{step} has no {what} ({lacking}/ is {state}). Render it again."
    assert refusal(folder) == f"{reason} {SKIP}"
    assert skipped(folder, [["garden/m/7000"]]) == [f"Skipped: {reason}"]
    assert labels(open_folders([folder / "test" / "ours_7000"])) == [["garden/m/7000"]]
    assert refusal(step) == reason
    with pytest.raises(InputError, match="Render it again"):
        open_folders([step], allow_missing=True)


def test_steps_that_all_lack_their_renders_cannot_be_skipped(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden" / "m", 7000, 30000)
    for step in ("ours_7000", "ours_30000"):
        shutil.rmtree(folder / "test" / step / "renders")
    reason = f"{folder}/test/ours_7000 has no renders (renders/ is missing). Render it again."
    assert refusal(folder) == reason
    with pytest.raises(InputError) as error:
        open_folders([folder], allow_missing=True)
    assert str(error.value) == reason


def test_a_scene_with_one_complete_step_is_no_incomplete_one(tmp_path: Path) -> None:
    folder = model(tmp_path / "3dgs" / "garden", 7000, 30000)
    shutil.rmtree(folder / "test" / "ours_30000" / "gt")
    reason = f"{folder}/test/ours_30000 has no references (gt/ is missing). Render it again."
    assert refusal(folder.parent) == f"{reason} {SKIP}"
    assert skipped(folder.parent, [["garden/3dgs/7000"]]) == [f"Skipped: {reason}"]


def test_steps_that_are_checkpoints_only_are_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden" / "m", 30000)
    (folder / "test" / "ours_7000").mkdir()
    warned: list[str] = []
    assert labels(open_folders([folder], warn=warned.append)) == [["garden/m/30000"]]
    assert warned == [f"{folder}/test: steps without renders are not read: ours_7000."]


def test_renders_of_two_forks_in_one_model_are_read(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden" / "m", 7000)
    scaled = folder / "test" / "ours_30000"
    write_pngs(scaled / "test_preds_-1", {name: seed + 5 for name, seed in NAMES.items()})
    write_pngs(scaled / "gt_-1", NAMES)
    (source,) = open_folders([folder])
    assert labels([source]) == [["garden/m/7000", "garden/m/30000"]]
    check_views(source, {name: (seed, seed + 7000, seed + 5) for name, seed in NAMES.items()})


@pytest.mark.parametrize(("first", "references"), [("renders", "gt"), ("test_preds_1", "gt_1")])
def test_two_folders_of_one_scale_are_named(first: str, references: str, tmp_path: Path) -> None:
    step = tmp_path / "garden" / "m" / "test" / "ours_30000"
    for renders, gt in ((first, references), ("test_preds_-1", "gt_-1")):
        write_pngs(step / renders, NAMES)
        write_pngs(step / gt, NAMES)
    message = refusal(tmp_path / "garden" / "m")
    assert message.startswith(f"{step} has renders of one scale twice: ")
    assert first in message
    assert "test_preds_-1" in message
    assert labels(open_folders([step / first])) == [["garden/m/30000"]]
    assert labels(open_folders([step / "test_preds_-1"])) == [["garden/m/30000"]]


def test_score_prints_what_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said], pinned: Pinned
) -> None:
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)
    model(Path("3dgs/garden"), 7000)
    unrendered(Path("3dgs/z"))
    Path("3dgs/logs").mkdir()
    assert cli("score", "-m", "3dgs", "--protocol", "light.yaml").code == 2
    said = cli("score", "-m", "3dgs", "--protocol", "light.yaml", "--allow-missing")
    assert said.code == 0
    pinned("score", "\n".join(line for line in said.err.splitlines() if line.startswith(("3dgs", "Skipped"))))
