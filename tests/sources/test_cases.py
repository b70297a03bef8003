"""Folders as real tools leave them, made by ../shared/cases/make.py, scored as a user types it.

Each rule is also tested with small folders: in tests/sources/layouts, test_folders.py and test_matching.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from support.commands import Said
from support.protocols import CLAMPING

from nvs_eval.records.record import Record, read_record


@pytest.fixture(scope="module")
def cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of all cases."""
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(shared / "cases" / "make.py"), str(folder)], check=True)
    return folder


class Scored(NamedTuple):
    """Output of `score`, and the records by their folders."""

    said: Said
    records: dict[str, Record]

    @property
    def psnr(self) -> dict[str, float]:
        return {folder: record.means["psnr"] for folder, record in self.records.items()}


@pytest.fixture
def score(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said]
) -> Callable[..., Scored]:
    """Type `nvs-eval score` in the folder of the cases."""
    monkeypatch.chdir(cases)
    (tmp_path / "clamping.yaml").write_text(CLAMPING)
    out = tmp_path / "out"

    def run(*words: str) -> Scored:
        options = ("--protocol", str(tmp_path / "clamping.yaml"), "--output-dir", str(out), "--device", "cpu")
        said = cli("score", *words, *options)
        files = sorted(out.rglob("*.json"))
        return Scored(said, {file.parent.relative_to(out).as_posix(): read_record(file) for file in files})

    return run


def mean_psnr(renders: Sequence[Path], references: Sequence[Path], rows: slice = slice(None)) -> float:
    """Mean PSNR of pairs of 8-bit images, by NumPy."""

    def pairs() -> Iterator[float]:
        for render, reference in zip(renders, references, strict=True):
            a, b = (np.asarray(Image.open(path).convert("RGB"), float)[rows] / 255 for path in (render, reference))
            yield -10 * np.log10(np.mean((a - b) ** 2))

    return float(np.mean(list(pairs())))


def psnr_of(renders: Path, references: Path, pattern: str = "*.png") -> float:
    """Mean PSNR of two folders with the same number of images, in the order of their names."""
    return mean_psnr(sorted(renders.glob(pattern)), sorted(references.iterdir()))


def check(scored: Scored, expected: dict[str, float]) -> None:
    """Check the exit code, the folders of the records and their mean PSNR."""
    assert scored.said.code == 0, scored.said.err
    assert scored.psnr == pytest.approx(expected, abs=1e-5)


def test_two_methods_one_scene_name(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "two_methods_one_scene_name"
    steps = {method: case / method / "garden" / "test" / "ours_30000" for method in ("2dgs", "3dgs")}
    expected = {f"garden/{name}/30000": psnr_of(step / "renders", step / "gt") for name, step in steps.items()}
    for method in ("3dgs", "2dgs"):
        scored = score("-m", f"two_methods_one_scene_name/{method}/garden")
    check(scored, expected)


def test_windows_cfg_args(score: Callable[..., Scored]) -> None:
    scored = score("windows_cfg_args/model")
    assert scored.said.code == 0
    assert list(scored.records) == ["garden/model/30000"]


def test_numbered_against_named(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "numbered_against_named"
    words = ["numbered_against_named/renders", "--reference", "numbered_against_named/images_4"]
    refused = score(*words).said
    assert refused.code == 2
    assert "Use `--match order`" in refused.err
    scored = score(*words, "--match", "order", "--scene", "s")
    check(scored, {"s/renders/final": psnr_of(case / "renders", case / "images_4")})
    assert "s/renders: paired in order, from 00000.png with DSC08116.JPG to 00006.png with DSC08164.JPG." in (
        scored.said.err
    )
    (record,) = scored.records.values()
    assert record.provenance["matched"] == {
        "by": "order",
        "first": ["00000.png", "DSC08116.JPG"],
        "last": ["00006.png", "DSC08164.JPG"],
    }


def test_prefixes_on_both_sides(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "numbered_against_named"
    words = ["numbered_against_named/rendered", "--reference", "numbered_against_named/rgb", "--scene", "s"]
    assert "They match with `--renders-glob 'gs_*' --reference-glob 'gt_*'`." in score(*words).said.err
    scored = score(*words, "--renders-glob", "gs_*", "--reference-glob", "gt_*")
    check(scored, {"s/rendered/final": psnr_of(case / "rendered", case / "rgb")})


def test_name_with_two_extensions(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "name_with_two_extensions"
    words = ["--reference", "name_with_two_extensions/images", "--method", "brush", "--scene", "s"]
    expected = {"s/brush/30000": psnr_of(case / "eval_30000", case / "images")}
    check(score("name_with_two_extensions/eval_30000", *words), expected)


def test_trained_without_eval(score: Callable[..., Scored]) -> None:
    refused = score("trained_without_eval/model").said
    assert refused.code == 2
    assert "no view was held out. Train with `train.py --eval`, or name trained_without_eval/model/train" in refused.err
    assert list(score("trained_without_eval/model/train").records) == ["trained_without_eval/model/30000-train"]


def test_mip_splatting(cases: Path, score: Callable[..., Scored]) -> None:
    step = cases / "mip_splatting" / "model" / "test" / "ours_30000"
    scored = score("mip_splatting/model", "--scene", "garden", "--method", "mip")
    expected = {
        "garden/mip/30000": psnr_of(step / "test_preds_-1", step / "gt_-1"),
        "garden@2/mip/30000": psnr_of(step / "test_preds_2", step / "gt_2"),
    }
    check(scored, expected)


def test_threedgrut(cases: Path, score: Callable[..., Scored]) -> None:
    runs = {date: cases / "threedgrut" / f"garden-{date}" / "ours_30000" for date in ("2504_120000", "2505_090000")}
    scored = score(*(f"threedgrut/garden-{date}" for date in runs))
    check(
        scored,
        {f"garden/threedgrut/{date}/30000": psnr_of(step / "renders", step / "gt") for date, step in runs.items()},
    )


def test_one_method_many_scenes(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "one_method_many_scenes" / "eval"
    steps = {scene: case / scene / "test" / "ours_30000" for scene in ("bicycle", "garden")}
    expected = {f"{scene}/3dgs/30000": psnr_of(step / "renders", step / "gt") for scene, step in steps.items()}
    assert (
        "'eval' is not the name of a method. Add `--method NAME`."
        in score("-m", "one_method_many_scenes/eval").said.err
    )
    check(score("-m", "one_method_many_scenes/eval", "--method", "3dgs"), expected)
    models = [f"one_method_many_scenes/eval/{scene}" for scene in steps]
    check(score("-m", *models, "--method", "3dgs", "--overwrite"), expected)


@pytest.mark.parametrize(("folder", "glob"), [("a", "*.png"), ("a", "!*.npy"), ("b", "!*_d.png"), ("b", "!*_d")])
def test_depth_beside_colour(folder: str, glob: str, cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "depth_beside_colour"
    words = [f"depth_beside_colour/{folder}", "--reference", "depth_beside_colour/gt"]
    refused = score(*words).said
    assert refused.code == 2
    assert "--renders-glob" in refused.err
    scored = score(*words, "--renders-glob", glob)
    check(scored, {f"depth_beside_colour/{folder}/final": psnr_of(case / folder, case / "gt", "?.png")})


@pytest.mark.parametrize(
    ("case", "masks", "top"), [("masks_of_0_and_1", "masks", 72), ("one_mask_for_all", "mask.png", 40)]
)
def test_masks_that_count_below_a_row(
    case: str, masks: str, top: int, cases: Path, score: Callable[..., Scored]
) -> None:
    scored = score(f"{case}/renders", "--reference", f"{case}/gt", "--masks", f"{case}/{masks}")
    renders, references = (sorted((cases / case / part).iterdir()) for part in ("renders", "gt"))
    check(scored, {f"{case}/renders/final": mean_psnr(renders, references, slice(top, None))})
    assert ("has no white pixel" in scored.said.err) == (case == "masks_of_0_and_1")


def test_masks_with_two_extensions(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "name_with_two_extensions"
    words = ["--reference", "name_with_two_extensions/images", "--masks", "name_with_two_extensions/masks"]
    scored = score("name_with_two_extensions/renders", *words, "--scene", "s")
    check(scored, {"s/renders/final": psnr_of(case / "renders", case / "images")})
    assert all(row.coverage == 1 for record in scored.records.values() for row in record.views)


def test_two_folders_named_renders(cases: Path, score: Callable[..., Scored]) -> None:
    case = cases / "two_folders_named_renders"
    a, b = (psnr_of(case / name / "renders", case / "gt") for name in "AB")
    folders = [f"two_folders_named_renders/{name}/renders" for name in "AB"]
    words = ["--reference", "two_folders_named_renders/gt", "--scene", "s"]
    check(score(folders[0], *words), {"s/renders/final": a})
    refused = score(folders[1], *words)
    assert refused.said.code == 2
    assert "--method" in refused.said.err
    assert "--overwrite" in refused.said.err
    assert refused.psnr == pytest.approx({"s/renders/final": a}, abs=1e-5)
    # Named in one command, their paths tell them apart.
    check(score(*folders, *words), {"s/renders/final": a, "s/A_renders/final": a, "s/B_renders/final": b})


def test_test_then_train(cases: Path, score: Callable[..., Scored]) -> None:
    model = cases / "test_then_train" / "m"
    steps = {split: model / split / "ours_30000" for split in ("test", "train")}
    scored = [score(f"test_then_train/m/{split}/ours_30000") for split in steps]
    check(
        scored[-1],
        {
            "test_then_train/m/30000": psnr_of(steps["test"] / "renders", steps["test"] / "gt"),
            "test_then_train/m/30000-train": psnr_of(steps["train"] / "renders", steps["train"] / "gt"),
        },
    )


def test_some_views_missing(
    cases: Path, tmp_path: Path, score: Callable[..., Scored], cli: Callable[..., Said]
) -> None:
    case = cases / "some_views_missing"
    words = ["some_views_missing/renders", "--reference", "some_views_missing/gt", "--allow-missing"]
    scored = score(*words)
    names = [path.stem for path in sorted((case / "renders").iterdir())]
    missing = sorted({path.stem for path in (case / "gt").iterdir()} - set(names))
    renders, references = ([case / part / f"{name}.png" for name in names] for part in ("renders", "gt"))
    expected = mean_psnr(renders, references)
    check(scored, {"some_views_missing/renders/final": expected})
    (record,) = scored.records.values()
    assert record.id.selection is not None
    assert all(name in scored.said.err for name in missing)
    assert sorted(record.provenance["left_out"]) == missing
    (file,) = (tmp_path / "out").rglob("*.json")
    assert all(name in cli("inspect", str(file)).out for name in missing)
    assert "3 of 7 views; 4 views skipped: no render" in cli("table", str(file)).out
