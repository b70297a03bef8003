"""`nvs-eval suite`: evaluates the methods and scenes of a file, skips finished work, and reports failures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, protocol_file
from support.scenes import files_below, image, write_masks, write_pngs

import nvs_eval
from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_png
from nvs_eval.records.record import read_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import View

pytestmark = pytest.mark.usefixtures("here")

SCENES = ("fox", "garden", "my room [1]")
FILE = """\
scenes: [fox, garden, "my room [1]"]
title: Three scenes
protocol: light.yaml
methods:
  3dgs:
    score: renders/3dgs/{scene}
    reference: data/{folder}/test
  two words:
    score: renders/two words/{scene}
"""
RESULTS = Path("nvs-eval-results")
DAY = 86_400


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the views that are scored, in order."""
    names: list[str] = []
    outcomes = Scorer.outcomes

    def counted(self: Scorer, view: View) -> object:
        names.append(view.name)
        return outcomes(self, view)

    monkeypatch.setattr(Scorer, "outcomes", counted)
    return names


@pytest.fixture
def project(here: Path) -> Path:
    """Write three scenes, rendered a day ago by two methods; the second has two iterations, with references."""
    for seed, scene in enumerate(SCENES):
        reference = {"0001": seed, "0002": seed + 10}
        write_pngs(Path(f"data/{scene}/test"), reference)
        write_pngs(Path(f"renders/3dgs/{scene}"), {"0001": seed + 20, "0002": seed + 30})
        for step in (7000, 30000):
            iteration = Path(f"renders/two words/{scene}/test/ours_{step}")
            write_pngs(iteration / "gt", reference)
            write_pngs(iteration / "renders", {"0001": seed + 40 + step, "0002": seed + 50 + step})
    for file in [*Path("data").rglob("*.png"), *Path("renders").rglob("*.png")]:
        age(file, DAY)
    Path("suite.yaml").write_text(FILE, encoding="utf-8")
    return here


def age(file: Path, seconds: float) -> None:
    """Make a file older by some seconds."""
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def changed(**changes: object) -> str:
    """Write a copy of the suite file with changed values, without those that are None, and return its name."""
    values = {**yaml.safe_load(FILE), **changes}
    text = yaml.safe_dump({name: value for name, value in values.items() if value is not None}, sort_keys=False)
    Path("changed.yaml").write_text(text, encoding="utf-8")
    return "changed.yaml"


def records() -> dict[str, Path]:
    """Return the files of the records by scene, method and step."""
    return {file.parent.relative_to(RESULTS).as_posix(): file for file in sorted(RESULTS.rglob("*.json"))}


def cells(out: str, row: str) -> list[str]:
    """Return the cells after the name in a row of the first table."""
    (line, *_) = [line for line in out.splitlines() if f"{line}  ".startswith(f"{row}  ")]
    return line.removeprefix(row).split()


# --- Evaluation, and finished work ----------------------------------------------------------------------------------


def test_all_scenes_and_methods_give_records_and_one_table(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    result = cli("suite", "suite.yaml")
    assert result.code == 0
    assert list(records()) == [
        f"{scene}/{result}" for scene in SCENES for result in ("3dgs/final", "two words/30000", "two words/7000")
    ]
    assert len(scored) == 2 * 2 * 3
    assert result.out.startswith("Three scenes, mean of 3 scenes, test views\n")
    means = [read_record(records()[f"{scene}/3dgs/final"]).means["psnr"] for scene in SCENES]
    assert cells(result.out, "3dgs")[0] == f"{sum(means) / 3:.2f}"
    assert cells(result.out, "two words")[0] == "30000"
    assert re.findall(r"^\[.*", result.err, re.MULTILINE) == [
        "[1/6] 3dgs, fox",
        "[2/6] two words, fox",
        "[3/6] 3dgs, garden",
        "[4/6] two words, garden",
        "[5/6] 3dgs, my room [1]",
        "[6/6] two words, my room [1]",
    ]


def test_finished_entries_are_skipped(cli: Callable[..., Said], project: Path, scored: list[str]) -> None:
    first = cli("suite", "suite.yaml")
    written = {name: file.stat().st_mtime_ns for name, file in records().items()}
    scored.clear()
    again = cli("suite", "suite.yaml")
    assert (again.code, again.out, scored) == (0, first.out, [])
    assert {name: file.stat().st_mtime_ns for name, file in records().items()} == written
    assert "fox/3dgs is already scored under light." in again.err
    assert "Record:" not in again.err
    cli("suite", "suite.yaml", "--overwrite")
    assert len(scored) == 2 * 2 * 3


@pytest.mark.parametrize("file", ["renders/3dgs/fox/0002.png", "data/fox/test/0001.png"])
def test_record_of_changed_files_is_replaced_only_with_overwrite(
    file: str, cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml")
    before = {name: read_record(file).means for name, file in records().items()}
    scored.clear()
    write_pngs(Path(file).parent, {Path(file).stem: 99})
    result = cli("suite", "suite.yaml")
    assert result.code == 3
    assert scored == []
    assert {name: read_record(file).means for name, file in records().items()} == before
    kind = "renders" if file.startswith("renders") else "references"
    assert f"Error: 3dgs, fox: {records()['fox/3dgs/final']} was scored on other {kind} (" in result.err
    assert cli("suite", "suite.yaml", "--only", "fox", "3dgs", "--overwrite").code == 0
    assert scored == ["0001", "0002"]
    after = {name: read_record(file).means for name, file in records().items()}
    assert [name for name in after if after[name] != before[name]] == ["fox/3dgs/final"]
    assert cli("suite", "suite.yaml").code == 0
    assert scored == ["0001", "0002"]


def test_files_with_another_date_or_place_are_not_scored_again(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml")
    scored.clear()
    for file in [*Path("data").rglob("*.png"), *Path("renders").rglob("*.png")]:
        age(file, -2 * DAY)
    assert cli("suite", "suite.yaml").code == 0
    shutil.move("data", "elsewhere")
    shutil.move("renders/3dgs", "renders/moved")
    text = FILE.replace("data/", "elsewhere/").replace("renders/3dgs", "renders/moved")
    Path("moved.yaml").write_text(text, encoding="utf-8")
    assert cli("suite", "moved.yaml").code == 0
    assert scored == []


def test_only_new_iterations_are_scored(cli: Callable[..., Said], project: Path, scored: list[str]) -> None:
    shutil.move("renders/two words/fox/test/ours_30000", "later")
    cli("suite", "suite.yaml")
    scored.clear()
    shutil.move("later", "renders/two words/fox/test/ours_30000")
    result = cli("suite", "suite.yaml", "--rows", "checkpoint")
    assert len(scored) == 2
    assert "fox/two words/7000 is already scored under light." in result.err
    # Steps are in order, even if the later one was scored first.
    assert re.findall(r"^two words +(\d+)", result.out, re.MULTILINE)[:2] == ["7000", "30000"]


def test_record_of_other_reading_options_is_not_reused(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml", "--only", "fox", "3dgs")
    method = {"score": "renders/3dgs/{scene}", "reference": "data/{scene}/test"}

    def scored_with(*more: str, **options: object) -> int:
        scored.clear()
        assert cli("suite", changed(methods={"3dgs": {**method, **options}}), "--only", "fox", *more).code == 0
        return len(scored)

    assert scored_with() == 0
    result = cli("suite", changed(methods={"3dgs": {**method, "background": "white"}}), "--only", "fox")
    assert result.code == 3
    assert "was scored on images read with another background (" in result.err
    assert scored_with("--overwrite", background="white") == 2
    assert scored_with(background="white") == 0
    protocol_file(project, FLOAT, "float.yaml")
    # Only under the new protocol.
    assert scored_with(background="white", protocol=["light.yaml", "float.yaml"]) == 2
    assert [file.name[:5] for file in sorted(RESULTS.rglob("*.json"))] == ["float", "light"]


@pytest.mark.parametrize("layout", ["archive", "canvases"])
def test_view_inside_a_file_has_the_content_of_the_file(
    layout: str, cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    if layout == "archive":
        kept = Path(shutil.make_archive("packed/fox", "zip", "renders/two words/fox"))
        file = changed(scenes=["fox"], methods={"a": {"score": "packed/{scene}.zip"}})
    else:
        for index in range(2):
            canvas = torch.cat([image(index), image(index + 5)], dim=1)
            save_png(Path(f"results/fox/renders/val_step6999_{index:04d}.png"), canvas)
        kept = Path("results/fox/renders/val_step6999_0001.png")
        file = changed(scenes=["fox"], methods={"a": {"score": "results/{scene}"}})
    for image_file in {kept, *kept.parent.glob("*.png")}:
        age(image_file, DAY)
    assert cli("suite", file).code == 0
    count = len(scored)
    assert count >= 2
    assert cli("suite", file).code == 0
    assert len(scored) == count
    age(kept, -2 * DAY)
    assert cli("suite", file).code == 0
    assert len(scored) == count
    if layout == "archive":
        write_pngs(Path("renders/two words/fox/test/ours_7000/renders"), {"0001": 99})
        shutil.make_archive("packed/fox", "zip", "renders/two words/fox")
    else:
        save_png(kept, torch.cat([image(1), image(99)], dim=1))
    result = cli("suite", file)
    assert result.code == 3
    assert f"({'packed/fox.zip' if layout == 'archive' else 'results/fox'}" in result.err
    assert len(scored) == count


def test_pattern_matches_iterations_but_not_two_results_of_one_name(
    cli: Callable[..., Said], project: Path, pinned: Pinned
) -> None:
    several = {"a": {"score": "renders/two words/{scene}/test/ours_*"}}
    assert cli("suite", changed(scenes=["fox"], methods=several)).code == 0
    assert list(records()) == ["fox/a/30000", "fox/a/7000"]
    twice = {"a": {"score": ["renders/3dgs/{scene}", "garden/ours"], "reference": "data/{scene}/test"}}
    result = cli("suite", changed(scenes=["fox"], methods=twice))
    assert result.code == 3
    pinned("suite", result.err)


def test_record_of_changed_masks_is_replaced_only_with_overwrite(
    cli: Callable[..., Said], project: Path, scored: list[str], pinned: Pinned
) -> None:
    for scene in SCENES:
        write_masks(Path(f"masks/{scene}"), {"0001": 0.5, "0002": 0.25})
    for file in Path("masks").rglob("*.png"):
        age(file, DAY)
    file = changed(masks="masks/{scene}")
    assert cli("suite", file, "--only", "3dgs").code == 0
    scored.clear()
    assert cli("suite", file, "--only", "3dgs").code == 0
    assert scored == []
    write_masks(Path("masks/garden"), {"0001": 0.75})
    result = cli("suite", file, "--only", "3dgs")
    assert result.code == 3
    assert "garden/3dgs/final/light-f376a5fe.json was scored on other masks (" in result.err
    assert cli("suite", file, "--only", "3dgs", "garden", "--overwrite").code == 0
    assert len(scored) == 2
    # Without masks, the same records would be replaced, which is an error as in `score`.
    result = cli("suite", "suite.yaml", "--only", "3dgs")
    assert result.code == 3
    pinned("suite", result.err)


def test_interrupted_suite_resumes(
    cli: Callable[..., Said], project: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(views: list[str]) -> None:
        if len(views) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        counted = Scorer.outcomes

        def until(self: Scorer, view: View) -> object:
            interrupt(scored)
            return counted(self, view)

        patched.setattr(Scorer, "outcomes", until)
        result = cli("suite", "suite.yaml")
    assert result.code == 130
    assert result.out == ""
    assert len(records()) == 3
    scored.clear()
    assert cli("suite", "suite.yaml").code == 0
    assert len(scored) == 2 * 4 - 1  # One view was scored before the interruption.


def test_function_returns_records_and_prints_nothing(
    cli: Callable[..., Said], project: Path, capsys: pytest.CaptureFixture[str], pinned: Pinned
) -> None:
    shutil.rmtree("renders/3dgs/garden")
    suite = nvs_eval.suite("suite.yaml")
    assert capsys.readouterr() == ("", "")
    assert [(record.method, record.scene, record.step) for record in suite.records][:3] == [
        *(("3dgs", "fox", None), ("two words", "fox", 7000), ("two words", "fox", 30000)),
    ]
    pinned("suite", "\n".join(suite.not_done))
    assert nvs_eval.suite(Path("suite.yaml"), only="two words").not_done == []
    assert len(suite.records) == len(records()) == 8
    with pytest.raises(nvs_eval.InputError, match="Unknown method or scene '3dg'"):
        nvs_eval.suite("suite.yaml", only=["3dg"])


# --- Missing and failing entries ------------------------------------------------------------------------------------


def test_missing_scene_is_named_first_and_leaves_the_mean_empty(
    cli: Callable[..., Said], project: Path, pinned: Pinned
) -> None:
    shutil.rmtree("renders/3dgs/garden")
    shutil.rmtree("renders/two words")
    result = cli("suite", "suite.yaml")
    assert result.code == 3
    pinned("suite", result.err)
    assert cells(result.out, "3dgs") == []
    pinned("suite", "\n".join(line for line in result.out.splitlines() if line.startswith("3dgs: ")))
    assert re.search(r"^3dgs +\d+\.\d+ +\d+\.\d+ *$", cli("suite", "suite.yaml", "--per-scene").out, re.MULTILINE)


def test_missing_reference_is_reported(cli: Callable[..., Said], project: Path) -> None:
    shutil.rmtree("data/fox")
    result = cli("suite", "suite.yaml")
    assert result.code == 3
    assert re.search(r"^  3dgs: .*data/\{folder\}/test .*fox$", result.err, re.MULTILINE)
    assert len(records()) == 8


def test_tables_show_earlier_records_of_missing_renders(cli: Callable[..., Said], project: Path) -> None:
    first = cli("suite", "suite.yaml")
    shutil.rmtree("renders/3dgs/garden")
    result = cli("suite", "suite.yaml")
    assert result.code == 3
    assert result.out == first.out


def test_failing_entry_is_reported_and_others_continue(cli: Callable[..., Said], project: Path, pinned: Pinned) -> None:
    cli("suite", "suite.yaml")
    for scene in ("fox", "garden"):
        Path(f"renders/3dgs/{scene}/0002.png").unlink()
    result = cli("suite", "suite.yaml", "--overwrite")
    assert result.code == 3
    pinned("suite", "\n".join(line for line in result.err.splitlines() if "3dgs" in line and "/3dgs/" not in line))
    assert "[6/6] two words, my room [1]\n" in result.err
    # The earlier record belongs to other renders, so no table shows it.
    assert cells(result.out, "3dgs") == []
    pinned("suite", "\n".join(line for line in result.out.splitlines() if line.startswith("3dgs: ")))


def test_failures_with_one_reason_are_reported_together(
    cli: Callable[..., Said], project: Path, pinned: Pinned
) -> None:
    Path("empty").mkdir()
    result = cli("suite", changed(methods={"3dgs": {"score": "empty", "reference": "data/{scene}/test"}}))
    assert result.code == 3
    pinned("suite", result.err)


def test_a_file_in_the_place_of_the_output_folder_is_an_error_before_any_work(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    RESULTS.write_text("in the way", encoding="utf-8")
    result = cli("suite", "suite.yaml")
    error = "Error: nvs-eval-results cannot be written: nvs-eval-results is not a folder. Choose another folder.\n"
    assert (result.code, result.err, scored) == (2, error, [])


def test_earlier_records_are_mentioned_if_everything_fails(
    cli: Callable[..., Said], runs: Opener, monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    from nvs_eval.sources import checkpoints

    file = with_runs()
    assert cli("suite", file, "--only", "nerfacto").code == 0

    def unloadable(path: Path) -> None:
        raise InputError("nerfstudio is not installed.")

    monkeypatch.setattr(checkpoints, "find_trainer", unloadable)
    result = cli("suite", file, "--only", "nerfacto")
    assert (result.code, result.out) == (3, "")
    pinned("suite", result.err)


# --- Dry run, and part of a suite -----------------------------------------------------------------------------------


def test_dry_run_reports_the_state_and_writes_nothing(
    cli: Callable[..., Said], project: Path, scored: list[str], pinned: Pinned
) -> None:
    cli("suite", "suite.yaml", "--only", "fox")
    write_pngs(Path("renders/3dgs/fox"), {"0002": 99})
    shutil.rmtree("renders/3dgs/garden")
    Path("renders/two words/garden/test/ours_7000/renders/0001.png").unlink()
    before, scored[:] = files_below(project), []
    result = cli("suite", "suite.yaml", "--dry-run")
    assert result.code == 3
    pinned("suite", "\n".join(line.rstrip() for line in result.out.splitlines()))
    pinned("suite", result.err)
    assert (files_below(project), scored) == (before, [])


def test_dry_run_without_problems_exits_with_0(cli: Callable[..., Said], project: Path) -> None:
    assert cli("suite", "suite.yaml", "--dry-run").code == 0
    assert not RESULTS.exists()
    assert "overwrite" not in cli("suite", "suite.yaml", "--dry-run").err
    cli("suite", "suite.yaml")
    assert "6 done\n" in cli("suite", "suite.yaml", "--dry-run").out
    assert "6 to do\n" in cli("suite", "suite.yaml", "--dry-run", "--overwrite").out


def test_only_chooses_what_to_evaluate_and_tables_show_all(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    complete = cli("suite", "suite.yaml").out
    scored.clear()
    result = cli("suite", "suite.yaml", "--only", "two words", "fox", "garden", "--overwrite")
    assert re.findall(r"^\[.*", result.err, re.MULTILINE) == ["[1/2] two words, fox", "[2/2] two words, garden"]
    assert (len(scored), result.out) == (2 * 2, complete)


def test_paths_start_from_the_folder_of_the_file(
    cli: Callable[..., Said], project: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cli("suite", "suite.yaml")
    moved = project / "else where [2]" / "project"
    moved.mkdir(parents=True)
    for name in ("data", "renders", "suite.yaml", "light.yaml", "nvs-eval-results"):
        shutil.move(name, moved / name)
    scored.clear()
    again = cli("suite", "else where [2]/project/suite.yaml")
    assert (again.code, again.out, scored) == (0, first.out, [])
    assert not RESULTS.exists()
    monkeypatch.chdir("/")
    assert cli("suite", str(moved / "suite.yaml")).out == first.out
    assert scored == []
    result = cli("suite", str(moved / "suite.yaml"), "--output-dir", str(project / "other"), "--only", "3dgs", "fox")
    assert (result.code, len(scored)) == (0, 2)
    assert (project / "other/fox/3dgs/final").is_dir()


# --- Tables ---------------------------------------------------------------------------------------------------------


def test_tables_show_only_records_of_the_file(cli: Callable[..., Said], project: Path) -> None:
    first = cli("suite", "suite.yaml")
    cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "--scene", "fox")
    protocol_file(project, FLOAT, "float.yaml")
    cli("suite", changed(protocol="float.yaml"))
    assert len(records()) == 9 + 1
    assert cli("suite", "suite.yaml", "--only", "garden").out == first.out


def test_suite_has_the_options_of_the_table_command(cli: Callable[..., Said], project: Path) -> None:
    result = cli("suite", "suite.yaml", "--metrics", "ssim", "--sort", "ssim", "--per-view", "--decimals", "ssim=1")
    assert result.code == 0
    assert "psnr" not in result.out.lower()
    assert re.search(r"^0002 +3dgs +-?0\.\d$", result.out, re.MULTILINE)
    written = cli("suite", "suite.yaml", "--output", "table.txt")
    assert (written.code, written.out) == (0, "")
    assert "Three scenes, mean of 3 scenes" in Path("table.txt").read_text(encoding="utf-8")
    # The same command may be repeated and replaces its table.
    assert cli("suite", "suite.yaml", "--output", "table.txt").code == 0


def test_long_form_has_the_chosen_scenes_and_metrics(cli: Callable[..., Said], project: Path) -> None:
    Path("one.yaml").write_text(
        "name: one\ntitle: One\nsource: none\nsplit: test\n"
        "scenes: [{name: forest, folder: x, factor: 1, aliases: [fox]}]\n"
    )
    long = ("suite", "suite.yaml", "--format", "csv", "--long")
    result = cli(*long, "--metrics", "ssim", "--suite", "one.yaml")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert {(row["scene"], row["metric"]) for row in rows} == {("forest", "ssim")}
    assert len(rows) == 3 * 2
    assert len(cli(*long).out.splitlines()) == 1 + 3 * 3 * 2 * 2


def test_scenes_of_a_benchmark_keep_their_folders_and_factors(
    cli: Callable[..., Said], project: Path, pinned: Pinned
) -> None:
    write_pngs(Path("data/garden/images_4"), {"0001": 1, "0002": 2})
    write_pngs(Path("data/bonsai/images_2"), {"0001": 1, "0002": 2})
    for scene in ("garden", "bonsai"):
        write_pngs(Path(f"renders/a/{scene}"), {"0001": 3, "0002": 4})
    method = {"score": "renders/{method}/{scene}", "reference": "data/{folder}/images_{factor}"}
    two_scenes = changed(suite="mipnerf360", scenes=["bonsai", "garden"], title=None, methods={"a": method})
    result = cli("suite", two_scenes)
    assert result.code == 0
    assert result.out.startswith("2 scenes of Mip-NeRF 360, mean of 2 scenes, test views\n")
    incomplete = cli("suite", changed(suite="mipnerf360", scenes=None, title=None, methods={"a": method}))
    assert incomplete.code == 3
    pinned("suite", incomplete.err.splitlines()[0])
    pinned("suite", "\n".join(line for line in incomplete.out.splitlines() if line.startswith("a: ")))


def test_example_of_the_documentation_is_a_suite_file(cli: Callable[..., Said], project: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/suites.md").read_text(encoding="utf-8")
    example, own_scenes, _ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Path("example.yaml").write_text(example, encoding="utf-8")
    result = cli("suite", "example.yaml", "--dry-run")
    assert result.code == 3
    assert result.out.startswith("Mip-NeRF 360: ")
    assert "\nscene     3dgs     mcmc     nerfacto\n" in result.out
    assert re.search(
        r"^  nerfacto: .*outputs/\{scene\}/nerfacto/\*/config\.yml .*bicycle, flowers, garden, ", result.err, re.M
    )
    methods = {name: method for name, method in yaml.safe_load(example)["methods"].items() if name != "mcmc"}
    Path("example.yaml").write_text(own_scenes + yaml.safe_dump({"methods": methods}), encoding="utf-8")
    assert "\nkitchen 2 " in cli("suite", "example.yaml", "--dry-run").out


# --- Trained runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(project: Path, opener: Opener) -> Iterator[Opener]:
    """Fake trained runs: two of fox, one of garden."""
    for scene, names in {"fox": ["a", "b"], "garden": ["a"]}.items():
        for name in names:
            file = Path(f"outputs/{scene}/nerfacto/{name}/config.yml")
            file.parent.mkdir(parents=True)
            file.touch()
            checkpoint = FakeCheckpoint(500, identity={"data_sha256": scene})
            checkpoint.id = ResultId(scene, "own", name, 500)
            opener.of[str(file)] = [checkpoint]
    yield opener


def with_runs(**options: object) -> str:
    run = {"run": "outputs/{scene}/nerfacto/*/config.yml", **options}
    both = {"nerfacto": run, "3dgs": {"score": "renders/3dgs/{scene}", "reference": "data/{scene}/test"}}
    return changed(scenes=["fox", "garden"], methods=both)


def test_trained_runs_are_rendered_once_with_the_options_of_run(
    cli: Callable[..., Said], runs: Opener, pinned: Pinned
) -> None:
    file = with_runs(steps=[500], views=["0001", "b"], data="data/{scene}", keep_renders="none")
    result = cli("suite", file)
    assert result.code == 0
    assert [name for name in records() if "nerfacto" in name] == [
        *("fox/nerfacto/a/500", "fox/nerfacto/b/500", "garden/nerfacto/a/500"),
    ]
    assert [str(asked["path"]) for asked in runs.asked] == list(runs.of)
    assert [(asked["steps"], asked["views"], asked["data"]) for asked in runs.asked] == [
        *[([500], ("0001", "b"), Path("data/fox"))] * 2,
        ([500], ("0001", "b"), Path("data/garden")),
    ]
    assert len(runs.rendered) == 3 * 3
    again = cli("suite", file)
    assert (again.code, again.out, len(runs.rendered)) == (0, result.out, 3 * 3)
    pinned("suite", again.err)
    assert "4 done\n" in cli("suite", file, "--dry-run").out
    assert cli("suite", file, "--runs", "mean").out.startswith("Three scenes, mean of 2 scenes, test views\n")
    cli("suite", file, "--only", "garden", "nerfacto", "--overwrite")
    assert len(runs.rendered) == 4 * 3


# --- Invalid files --------------------------------------------------------------------------------------------------

SCORED = {"score": "renders/3dgs/{scene}", "reference": "data/{scene}/test"}


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": None},
        {"scenes": []},
        {"scenes": [7]},
        {"scenes": [{"name": "fox", "fodler": "x"}]},
        {"scenes": ["fox", "garden", "fox"]},
        {"suite": "mipnerf360", "scenes": ["room", "room"]},
        {"scenes": ["fox", "Fox"]},
        {"suite": "mipnerf36", "scenes": None},
        {"suite": "mipnerf360"},
        {"suite": "none.yaml"},
        {"metods": {}},
        {"steps": "last"},
        {"suite": "mipnerf360", "scenes": [{"name": "room", "factor": 2}]},
        {"methods": None},
        {"methods": []},
        {"methods": {"a": "renders"}},
        {"methods": {"a": {"reference": "x"}}},
        {"methods": {"a": {"score": "x", "run": "y"}}},
        {"methods": {"a": {"score": 7}}},
        {"methods": {"a": {"score": []}}},
        {"methods": {"a b": SCORED, "A B": SCORED}},
        {"methods": {"a/b": SCORED, "a:b": SCORED}},
        {"methods": {"a": {**SCORED, "refrence": "x"}}},
        {"methods": {"a": {**SCORED, "steps": "last"}}},
        {"methods": {"a": {**SCORED, "scene": "x"}}},
        {"methods": {"a": {"score": "renders/{scne}"}}},
        {"methods": {"a": {"score": "renders/{scene.name}"}}},
        {"methods": {"a": {"score": "renders/{scene!r}"}}},
        {"methods": {"a": {"score": "renders/{"}}},
        {"methods": {"a": {"score": "x/{factor}"}}},
        {"methods": {"a": {**SCORED, "reference": "{fold}"}}},
        {"methods": {"a": {**SCORED, "grey_to_rgb": "yes"}}},
        {"methods": {"a": {**SCORED, "exr": "lin"}}},
        {"methods": {"a": {**SCORED, "background": "pink"}}},
        {"methods": {"a": {**SCORED, "protocol": "inria"}}},
        {"methods": {"a": {**SCORED, "protocol": "p.yaml"}}},
        {"methods": {"a": {**SCORED, "protocol": "auto"}}},
        {"methods": {"a": {**SCORED, "masks": "m", "data_masks": True}}},
        {"methods": {"a": {"run": "x", "every": "8"}}},
        {"methods": {"a": {"run": "x", "every": True}}},
        {"methods": {"a": {"run": "x", "views": [1]}}},
        {"methods": {"a": {"run": "x", "steps": "lats"}}},
        {"methods": {"a": {"run": "x", "steps": True}}},
        {"methods": {"a": {"run": "x", "keep_renders": None}}},
        {"output_dir": 7},
    ],
    ids=json.dumps,
)
def test_invalid_file_is_refused_before_any_work(
    changes: dict[str, object], project: Path, refused: Callable[..., str], pinned: Pinned
) -> None:
    message = refused("suite", changed(**changes))
    pinned("suite", message.partition(" Known: ")[0])
    assert message.startswith("The suite file ")


def test_unusable_device_is_refused_before_any_work(project: Path, refused: Callable[..., str]) -> None:
    message = refused("suite", changed(methods={"a": {**SCORED, "device": "gpu"}}))
    assert message.startswith("The suite file ")
    assert "'gpu'" in message


def test_other_file_than_a_suite_is_an_error(project: Path, refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("suite", refused("suite", "none.yaml"))
    pinned("suite", refused("suite", "mipnerf360"))
    shutil.copy(Path(__file__).parents[2] / "configs/suites/llff.yaml", "llff.yaml")
    pinned("suite", refused("suite", "llff.yaml"))
    Path("bare.yaml").write_text("name: bare\nscenes: [fox]\n", encoding="utf-8")
    pinned("suite", refused("suite", "bare.yaml"))
    pinned("suite", refused("suite", "light.yaml"))
    shutil.copy(Path(__file__).parents[2] / "configs/published/3dgs.yaml", "numbers.yaml")
    assert "list of scenes" not in refused("suite", "numbers.yaml")
    Path("twice.yaml").write_text(FILE + "title: again\n", encoding="utf-8")
    pinned("suite", refused("suite", "twice.yaml"))
    Path("broken.yaml").write_text("methods: [", encoding="utf-8")
    assert "YAML" in refused("suite", "broken.yaml")


@pytest.mark.parametrize(
    "options",
    [
        ["--only", "3dg"],
        ["--metrics", "pnsr"],
        ["--sort", "lpips"],
        ["--protocol", "standard"],
        ["--per-scene", "--rows", "scene"],
        ["--format", "word"],
        ["--suite", "llff"],
        ["--with-published", "3dgs"],
        ["--format", "csv", "--long", "--metrics", "pnsr"],
        ["--format", "csv", "--long", "--metrics", "views"],
        ["--format", "csv", "--long", "--rows", "scene"],
        ["--output", "renders"],
        ["--output", "light.yaml/table.txt"],
        ["--output", "suite.yaml"],
    ],
    ids=json.dumps,
)
def test_wrong_options_are_refused_before_any_work(
    options: list[str], project: Path, refused: Callable[..., str], pinned: Pinned
) -> None:
    pinned("suite", refused("suite", "suite.yaml", *options).partition(" Known: ")[0])
    assert Path("suite.yaml").read_text(encoding="utf-8") == FILE


def test_options_of_a_method_override_those_of_the_file(cli: Callable[..., Said], project: Path) -> None:
    protocol_file(project, FLOAT, "float.yaml")
    override = {**SCORED, "protocol": ["float.yaml"]}
    result = cli("suite", changed(methods={"one": SCORED, "two": override}, allow_missing=True))
    assert result.code == 0
    assert re.findall(r"^(?:one|two|protocol .*(?= \())", result.out, re.MULTILINE) == [
        *("one", "two", "protocol light + float"),
    ]
    Path("renders/3dgs/fox/0002.png").unlink()
    assert cli("suite", changed(methods={"one": SCORED}, allow_missing=True), "--only", "fox").code == 0
    strict = {"one": {**SCORED, "allow_missing": False}}
    assert cli("suite", changed(methods=strict, allow_missing=True), "--only", "fox").code == 3


def test_suite_help_explains_overwrite(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["suite", "--help"])
    assert "Compute again and replace the record" in capsys.readouterr().out


# --- Parts and incomplete records -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"every": 2}, {"views": ["0001"]}])
def test_tables_show_the_views_that_the_file_asks_for(
    options: dict[str, Any], cli: Callable[..., Said], project: Path
) -> None:
    shown = {}
    for name, more in (("whole", {}), ("part", options)):
        shutil.copy(changed(scenes=["fox"], **more), f"{name}.yaml")
        result = cli("suite", f"{name}.yaml")
        assert (result.code, "¶" in result.out) == (0, name == "part")
        shown[name] = result.out
    assert cells(shown["part"], "3dgs ¶") != cells(shown["whole"], "3dgs")
    for name in ("whole", "part"):
        assert cli("suite", f"{name}.yaml", "--only", "two words").out == shown[name]


def test_incomplete_records_stay_in_the_table(cli: Callable[..., Said], project: Path) -> None:
    render = Path("renders/3dgs/fox/0002.png")
    content = render.read_bytes()
    render.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    file = changed(scenes=["fox"])
    both = cli("suite", file)
    assert both.code == 3
    assert "¶ 3dgs: 1 of 2 views; 1 view failed: 0002" in both.out
    assert cells(both.out, "3dgs ¶")
    again = cli("suite", file, "--only", "two words")
    assert (again.code, again.out) == (0, both.out)
