"""`nvs-eval suite`: a file's scenes and methods become records and tables; what is done stays, what fails is said."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.protocols import FLOAT, protocol_file
from support.scenes import files_below, image, write_masks, write_pngs

import nvs_eval
from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_png
from nvs_eval.records.record import read_record
from nvs_eval.records.result_id import ResultId

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
    """The views that are scored, by name, as they are."""
    names: list[str] = []
    outcomes = Scorer.outcomes

    def counted(self: Scorer, view: object) -> object:
        names.append(view.name)  # pyright: ignore[reportAttributeAccessIssue]
        return outcomes(self, view)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Scorer, "outcomes", counted)
    return names


@pytest.fixture
def project(here: Path) -> Path:
    """Three scenes, rendered a day ago by two methods, one of which left its references and two iterations."""
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
    """Make a file this much older."""
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def changed(**changes: object) -> str:
    """The file with other values, in a file of its own; what is None is left out."""
    values = {**yaml.safe_load(FILE), **changes}
    text = yaml.safe_dump({name: value for name, value in values.items() if value is not None}, sort_keys=False)
    Path("changed.yaml").write_text(text, encoding="utf-8")
    return "changed.yaml"


def records() -> dict[str, Path]:
    """The records by scene, method and step."""
    return {file.parent.relative_to(RESULTS).as_posix(): file for file in sorted(RESULTS.rglob("*.json"))}


def cells(out: str, row: str) -> list[str]:
    """What stands in a row of the first table behind the name."""
    (line, *_) = [line for line in out.splitlines() if f"{line}  ".startswith(f"{row}  ")]
    return line.removeprefix(row).split()


# --- What is done, and what is not done again -----------------------------------------------------------------------


def test_all_scenes_and_methods_become_records_and_one_table(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    said = cli("suite", "suite.yaml")
    assert said.code == 0
    assert list(records()) == [
        f"{scene}/{result}" for scene in SCENES for result in ("3dgs/final", "two words/30000", "two words/7000")
    ]
    assert len(scored) == 2 * 2 * 3
    assert said.out.startswith("Three scenes, mean of 3 scenes, test views\n")
    means = [read_record(records()[f"{scene}/3dgs/final"]).means["psnr"] for scene in SCENES]
    assert cells(said.out, "3dgs")[0] == f"{sum(means) / 3:.2f}"
    assert cells(said.out, "two words")[0] == "30000"
    assert re.findall(r"^\[.*", said.err, re.MULTILINE) == [
        "[1/6] 3dgs, fox",
        "[2/6] two words, fox",
        "[3/6] 3dgs, garden",
        "[4/6] two words, garden",
        "[5/6] 3dgs, my room [1]",
        "[6/6] two words, my room [1]",
    ]


def test_finished_entries_are_not_done_again(cli: Callable[..., Said], project: Path, scored: list[str]) -> None:
    first = cli("suite", "suite.yaml")
    written = {name: file.stat().st_mtime_ns for name, file in records().items()}
    scored.clear()
    again = cli("suite", "suite.yaml")
    assert (again.code, again.out, scored) == (0, first.out, [])
    assert {name: file.stat().st_mtime_ns for name, file in records().items()} == written
    assert "fox/3dgs is already scored." in again.err
    assert "Record:" not in again.err
    cli("suite", "suite.yaml", "--overwrite")
    assert len(scored) == 2 * 2 * 3


@pytest.mark.parametrize("file", ["renders/3dgs/fox/0002.png", "data/fox/test/0001.png"])
def test_what_changed_is_scored_again_and_nothing_else(
    file: str, cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml")
    before = {name: read_record(file).means for name, file in records().items()}
    scored.clear()
    write_pngs(Path(file).parent, {Path(file).stem: 99})
    said = cli("suite", "suite.yaml")
    assert scored == ["0001", "0002"]
    after = {name: read_record(file).means for name, file in records().items()}
    assert [name for name in after if after[name] != before[name]] == ["fox/3dgs/final"]
    assert "fox/3dgs is already" not in said.err


def test_of_several_iterations_only_the_new_one_is_scored(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    shutil.move("renders/two words/fox/test/ours_30000", "later")
    cli("suite", "suite.yaml")
    scored.clear()
    shutil.move("later", "renders/two words/fox/test/ours_30000")
    said = cli("suite", "suite.yaml", "--rows", "checkpoint")
    assert len(scored) == 2
    assert "fox/two words/7000 is already scored." in said.err
    # The steps stand in their order, whichever was scored first.
    assert re.findall(r"^two words +(\d+)", said.out, re.MULTILINE)[:2] == ["7000", "30000"]


def test_record_of_other_files_or_reading_is_not_taken(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml", "--only", "fox", "3dgs")
    method = {"score": "renders/3dgs/{scene}", "reference": "data/{scene}/test"}

    def scored_with(**options: object) -> int:
        scored.clear()
        assert cli("suite", changed(methods={"3dgs": {**method, **options}}), "--only", "fox").code == 0
        return len(scored)

    assert scored_with() == 0
    assert scored_with(background="white") == 2
    assert scored_with(background="white") == 0
    shutil.copytree("renders/3dgs/fox", "renders/copy/fox")
    assert scored_with(background="white", score="renders/copy/{scene}") == 2
    shutil.copytree("data/fox/test", "data/fox/copy")
    assert scored_with(background="white", score="renders/copy/{scene}", reference="data/{scene}/copy") == 2
    protocol_file(project, FLOAT, "float.yaml")
    assert scored_with(background="white", score="renders/copy/{scene}", protocol=["light.yaml", "float.yaml"]) == 2


@pytest.mark.parametrize("layout", ["archive", "canvases"])
def test_view_within_a_file_is_as_old_as_that_file(
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
    for each in {kept, *kept.parent.glob("*.png")}:
        age(each, DAY)
    assert cli("suite", file).code == 0
    many = len(scored)
    assert many >= 2
    assert cli("suite", file).code == 0
    assert len(scored) == many
    age(kept, -2 * DAY)
    assert cli("suite", file).code == 0
    assert len(scored) == 2 * many


def test_pattern_matches_iterations_but_not_two_of_one_name(cli: Callable[..., Said], project: Path) -> None:
    several = {"a": {"score": "renders/two words/{scene}/test/ours_*"}}
    assert cli("suite", changed(scenes=["fox"], methods=several)).code == 0
    assert list(records()) == ["fox/a/30000", "fox/a/7000"]
    twice = {"a": {"score": ["renders/3dgs/{scene}", "garden/ours"], "reference": "data/{scene}/test"}}
    said = cli("suite", changed(scenes=["fox"], methods=twice))
    assert said.code == 3
    assert "fox/a was given twice: two results of one name would overwrite each other" in said.err


def test_masks_are_part_of_what_is_done(cli: Callable[..., Said], project: Path, scored: list[str]) -> None:
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
    assert cli("suite", file, "--only", "3dgs").code == 0
    assert len(scored) == 2
    # Without them the same records would be replaced, which is an error here as it is of `score`.
    said = cli("suite", "suite.yaml", "--only", "3dgs")
    assert said.code == 3
    assert "was scored with masks, and would be replaced" in said.err


def test_interrupted_the_same_command_goes_on_where_it_was(
    cli: Callable[..., Said], project: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(views: list[str]) -> None:
        if len(views) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        counted = Scorer.outcomes

        def until(self: Scorer, view: object) -> object:
            interrupt(scored)
            return counted(self, view)  # pyright: ignore[reportArgumentType]

        patched.setattr(Scorer, "outcomes", until)
        said = cli("suite", "suite.yaml")
    assert said.code == 130
    assert said.out == ""
    assert len(records()) == 3
    scored.clear()
    assert cli("suite", "suite.yaml").code == 0
    assert len(scored) == 2 * 4


def test_function_gives_records_and_prints_nothing(
    cli: Callable[..., Said], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("renders/3dgs/garden")
    result = nvs_eval.suite("suite.yaml")
    assert capsys.readouterr() == ("", "")
    assert [(each.method, each.scene, each.step) for each in result.records][:3] == [
        *(("3dgs", "fox", None), ("two words", "fox", 7000), ("two words", "fox", 30000)),
    ]
    assert result.not_done == ["1 of 6", "3dgs: nothing at renders/3dgs/{scene} for garden"]
    assert nvs_eval.suite(Path("suite.yaml"), only="two words").not_done == []
    assert len(result.records) == len(records()) == 8
    with pytest.raises(nvs_eval.InputError, match="Unknown method or scene '3dg'"):
        nvs_eval.suite("suite.yaml", only=["3dg"])


# --- What is missing or fails ---------------------------------------------------------------------------------------


def test_missing_scene_is_named_first_and_leaves_the_mean_empty(cli: Callable[..., Said], project: Path) -> None:
    shutil.rmtree("renders/3dgs/garden")
    shutil.rmtree("renders/two words")
    said = cli("suite", "suite.yaml")
    assert said.code == 3
    missing = (
        "  3dgs: nothing at renders/3dgs/{scene} for garden\n"
        "  two words: nothing at renders/two words/{scene} for fox, garden, my room [1]\n"
    )
    assert said.err.startswith("Missing, 4 of 6; the others are evaluated:\n" + missing + "[1/2] 3dgs, fox\n")
    assert said.err.endswith("Not done, 4 of 6:\n" + missing)
    assert cells(said.out, "3dgs") == []
    assert "3dgs: no mean, for want of garden\n" in said.out
    assert re.search(r"^3dgs +\d+\.\d+ +\d+\.\d+ *$", cli("suite", "suite.yaml", "--per-scene").out, re.MULTILINE)


def test_a_missing_reference_is_missing_too(cli: Callable[..., Said], project: Path) -> None:
    shutil.rmtree("data/fox")
    said = cli("suite", "suite.yaml")
    assert said.code == 3
    assert "  3dgs: nothing at data/{folder}/test for fox\n" in said.err
    assert len(records()) == 8


def test_tables_have_earlier_records_of_missing_renders(cli: Callable[..., Said], project: Path) -> None:
    first = cli("suite", "suite.yaml")
    shutil.rmtree("renders/3dgs/garden")
    said = cli("suite", "suite.yaml")
    assert said.code == 3
    assert said.out == first.out


def test_one_that_fails_is_said_and_the_others_go_on(cli: Callable[..., Said], project: Path) -> None:
    cli("suite", "suite.yaml")
    for scene in ("fox", "garden"):
        Path(f"renders/3dgs/{scene}/0002.png").unlink()
    said = cli("suite", "suite.yaml", "--overwrite")
    assert said.code == 3
    reason = "The views of {}/3dgs do not match: 1 reference without a render: 0002."
    assert f"Error: 3dgs, fox: {reason.format('fox')}" in said.err
    assert "[6/6] two words, my room [1]\n" in said.err
    end = said.err[said.err.index("Not done, 2 of 6:\n") :]
    assert [line[: line.index(".") + 1] for line in end.splitlines()[1:]] == [
        "  3dgs, fox: " + reason.format("fox").partition(".")[0] + ".",
        "  3dgs, garden: " + reason.format("garden").partition(".")[0] + ".",
    ]
    # Its record of earlier is of other renders, and so in no table.
    assert cells(said.out, "3dgs") == []
    assert "3dgs: no mean, for want of fox, garden\n" in said.out


def test_what_fails_for_one_reason_is_said_together(cli: Callable[..., Said], project: Path) -> None:
    shutil.rmtree("nvs-eval-results", ignore_errors=True)
    RESULTS.write_text("in the way", encoding="utf-8")
    said = cli("suite", "suite.yaml", "--only", "3dgs")
    assert said.code == 3
    (line,) = said.err[said.err.index("Not done, 3 of 3:\n") :].splitlines()[1:]
    assert line.startswith("  3dgs, fox, 3dgs, garden, 3dgs, my room [1]: ")
    assert "There is no record yet, and so no table.\n" in said.err


def test_where_all_fails_what_was_recorded_before_is_not_denied(
    cli: Callable[..., Said], runs: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.sources import checkpoints

    file = with_runs()
    assert cli("suite", file, "--only", "nerfacto").code == 0

    def unloadable(path: Path) -> None:
        raise InputError("nerfstudio is not installed here: install it.")

    monkeypatch.setattr(checkpoints, "find_trainer", unloadable)
    said = cli("suite", file, "--only", "nerfacto")
    assert (said.code, said.out) == (3, "")
    assert "There is no record yet" not in said.err
    why = "There are 3 records of earlier, but what failed now may be of other renders, and so no table."
    assert f"\n{why}\n" in said.err
    assert said.err.endswith(
        "Not done, 2 of 2:\n  nerfacto, fox, nerfacto, garden: nerfstudio is not installed here: install it.\n"
    )


# --- What is chosen -------------------------------------------------------------------------------------------------


def test_dry_run_says_what_there_is_to_do_and_writes_nothing(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    cli("suite", "suite.yaml", "--only", "fox")
    write_pngs(Path("renders/3dgs/fox"), {"0002": 99})
    shutil.rmtree("renders/3dgs/garden")
    Path("renders/two words/garden/test/ours_7000/renders/0001.png").unlink()
    before, scored[:] = files_below(project), []
    said = cli("suite", "suite.yaml", "--dry-run")
    assert said.code == 3
    assert [line.rstrip() for line in said.out.splitlines()] == [
        "Three scenes: what there is to do",
        "scene        3dgs     two words",
        "───────────────────────────────",
        "fox          to do    done",
        "garden       missing  fails",
        "my room [1]  to do    to do",
        "1 done, 3 to do, 1 missing, 1 fails",
        "",
    ]
    assert (
        "Cannot be done, 2 of 6:\n  3dgs: nothing at renders/3dgs/{scene} for garden\n  two words, garden:" in said.err
    )
    assert (files_below(project), scored) == (before, [])


def test_dry_run_where_all_is_well_exits_with_0(cli: Callable[..., Said], project: Path) -> None:
    assert cli("suite", "suite.yaml", "--dry-run").code == 0
    assert not RESULTS.exists()
    assert "overwrite" not in cli("suite", "suite.yaml", "--dry-run").err
    cli("suite", "suite.yaml")
    assert "6 done\n" in cli("suite", "suite.yaml", "--dry-run").out
    assert "6 to do\n" in cli("suite", "suite.yaml", "--dry-run", "--overwrite").out


def test_only_names_methods_and_scenes_and_the_tables_are_of_all(
    cli: Callable[..., Said], project: Path, scored: list[str]
) -> None:
    whole = cli("suite", "suite.yaml").out
    scored.clear()
    said = cli("suite", "suite.yaml", "--only", "two words", "fox", "garden", "--overwrite")
    assert re.findall(r"^\[.*", said.err, re.MULTILINE) == ["[1/2] two words, fox", "[2/2] two words, garden"]
    assert (len(scored), said.out) == (2 * 2, whole)


def test_paths_lead_from_the_folder_of_the_file(
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
    said = cli("suite", str(moved / "suite.yaml"), "--output-dir", str(project / "other"), "--only", "3dgs", "fox")
    assert (said.code, len(scored)) == (0, 2)
    assert (project / "other/fox/3dgs/final").is_dir()


# --- The tables -----------------------------------------------------------------------------------------------------


def test_the_tables_are_of_this_file_alone(cli: Callable[..., Said], project: Path) -> None:
    first = cli("suite", "suite.yaml")
    cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "--scene", "fox")
    protocol_file(project, FLOAT, "float.yaml")
    cli("suite", changed(protocol="float.yaml"))
    assert len(records()) == 9 + 1
    assert cli("suite", "suite.yaml", "--only", "garden").out == first.out


def test_options_of_tables_are_those_of_the_table_command(cli: Callable[..., Said], project: Path) -> None:
    said = cli("suite", "suite.yaml", "--metrics", "ssim", "--sort", "ssim", "--per-view", "--decimals", "ssim=1")
    assert said.code == 0
    assert "psnr" not in said.out
    assert re.search(r"^0002 +3dgs +-?0\.\d$", said.out, re.MULTILINE)
    written = cli("suite", "suite.yaml", "--output", "table.txt")
    assert (written.code, written.out) == (0, "")
    assert "Three scenes, mean of 3 scenes" in Path("table.txt").read_text(encoding="utf-8")
    # The same command again goes on, and writes its table again.
    assert cli("suite", "suite.yaml", "--output", "table.txt").code == 0


def test_long_form_has_the_chosen_scenes_and_metrics(cli: Callable[..., Said], project: Path) -> None:
    Path("one.yaml").write_text(
        "name: one\ntitle: One\nsource: none\nsplit: test\n"
        "scenes: [{name: forest, folder: x, factor: 1, aliases: [fox]}]\n"
    )
    long = ("suite", "suite.yaml", "--format", "csv", "--long")
    said = cli(*long, "--metrics", "ssim", "--suite", "one.yaml")
    assert said.code == 0
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert {(row["scene"], row["metric"]) for row in rows} == {("forest", "ssim")}
    assert len(rows) == 3 * 2
    assert len(cli(*long).out.splitlines()) == 1 + 3 * 3 * 2 * 2


def test_scenes_of_a_benchmark_keep_their_folders_and_factors(cli: Callable[..., Said], project: Path) -> None:
    write_pngs(Path("data/garden/images_4"), {"0001": 1, "0002": 2})
    write_pngs(Path("data/bonsai/images_2"), {"0001": 1, "0002": 2})
    for scene in ("garden", "bonsai"):
        write_pngs(Path(f"renders/a/{scene}"), {"0001": 3, "0002": 4})
    method = {"score": "renders/{method}/{scene}", "reference": "data/{folder}/images_{factor}"}
    choice = changed(suite="mipnerf360", scenes=["bonsai", "garden"], title=None, methods={"a": method})
    said = cli("suite", choice)
    assert said.code == 0
    assert said.out.startswith("2 scenes of Mip-NeRF 360, mean of 2 scenes, test views\n")
    whole = cli("suite", changed(suite="mipnerf360", scenes=None, title=None, methods={"a": method}))
    assert whole.code == 3
    assert "Missing, 7 of 9" in whole.err
    assert "no mean, for want of bicycle, flowers, stump, treehill, room and 2 more" in whole.out


def test_the_example_of_the_documentation_is_such_a_file(cli: Callable[..., Said], project: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/suites.md").read_text(encoding="utf-8")
    example, own_scenes = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Path("example.yaml").write_text(example, encoding="utf-8")
    said = cli("suite", "example.yaml", "--dry-run")
    assert said.code == 3
    assert said.out.startswith("Mip-NeRF 360: what there is to do\nscene     3dgs     mcmc     nerfacto\n")
    assert "  nerfacto: nothing at outputs/{scene}/nerfacto/*/config.yml for bicycle, flowers, garden, " in said.err
    methods = {name: given for name, given in yaml.safe_load(example)["methods"].items() if name != "mcmc"}
    Path("example.yaml").write_text(own_scenes + yaml.safe_dump({"methods": methods}), encoding="utf-8")
    assert "\nkitchen 2 " in cli("suite", "example.yaml", "--dry-run").out


# --- Trained runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(project: Path, opener: Opener) -> Iterator[Opener]:
    """Trained runs: of fox two, of garden one; stand-ins for them."""
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


def test_trained_runs_are_rendered_with_options_of_run_and_once(cli: Callable[..., Said], runs: Opener) -> None:
    file = with_runs(steps=[500], views=["0001", "b"], data="data/{scene}", keep_renders="none")
    said = cli("suite", file)
    assert said.code == 0
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
    assert (again.code, again.out, len(runs.rendered)) == (0, said.out, 3 * 3)
    assert "fox/nerfacto/b/500 has its records already" in again.err
    assert "4 done\n" in cli("suite", file, "--dry-run").out
    assert cli("suite", file, "--runs", "mean").out.startswith("Three scenes, mean of 2 scenes, test views\n")
    cli("suite", file, "--only", "garden", "nerfacto", "--overwrite")
    assert len(runs.rendered) == 4 * 3


# --- Bad files ------------------------------------------------------------------------------------------------------

SCORED = {"score": "renders/3dgs/{scene}", "reference": "data/{scene}/test"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenes": None}, "it names no scenes: say `suite: mipnerf360`"),
        (
            {"scenes": []},
            "scenes must be a list of strings or mappings that is not empty, such as `scenes: [",
        ),
        (
            {"scenes": [7]},
            "scenes[0] must be a string or a mapping with the fields name, folder, factor. Got 7.",
        ),
        ({"scenes": [{"name": "fox", "fodler": "x"}]}, "Unknown field of scenes[0] 'fodler'. Did you mean 'folder'?"),
        ({"scenes": ["fox", "garden", "fox"]}, "'fox' is there twice among the scenes: leave one out."),
        (
            {"suite": "mipnerf360", "scenes": ["room", "room"]},
            "'room' is there twice among the scenes: leave one out.",
        ),
        ({"scenes": ["fox", "Fox"]}, "the scenes 'fox' and 'Fox' would be written to one folder"),
        ({"suite": "mipnerf36", "scenes": None}, "Unknown suite 'mipnerf36'. Did you mean 'mipnerf360'?"),
        ({"suite": "mipnerf360"}, "Unknown scene of mipnerf360 'fox'."),
        ({"suite": "none.yaml"}, "The suite file none.yaml cannot be read: No such file"),
        ({"metods": {}}, "Unknown field of the file 'metods'. Did you mean 'methods'?"),
        ({"steps": "last"}, "Unknown field of the file 'steps'."),
        ({"suite": "mipnerf360", "scenes": [{"name": "room", "factor": 2}]}, "are those of mipnerf360: give its name"),
        ({"methods": None}, "the file lacks methods: there is no default."),
        ({"methods": []}, "methods must be a mapping that is not empty"),
        ({"methods": {"a": "renders"}}, "the method a must have either `score:`"),
        ({"methods": {"a": {"reference": "x"}}}, "the method a must have either `score:`"),
        ({"methods": {"a": {"score": "x", "run": "y"}}}, "the method a must have either `score:`"),
        ({"methods": {"a": {"score": 7}}}, "methods.a.score must be a string or a list of strings. Got 7."),
        ({"methods": {"a": {"score": []}}}, "methods.a.score must be a list of strings that is not empty"),
        ({"methods": {"a b": SCORED, "A B": SCORED}}, "the methods 'a b' and 'A B' would be written to one folder"),
        ({"methods": {"a/b": SCORED, "a:b": SCORED}}, "the methods 'a/b' and 'a:b' would be written to one folder"),
        (
            {"methods": {"a": {**SCORED, "refrence": "x"}}},
            "Unknown option of the method a, of `nvs-eval score`, 'refrence'. Did you mean 'reference'?",
        ),
        (
            {"methods": {"a": {**SCORED, "steps": "last"}}},
            "Unknown option of the method a, of `nvs-eval score`, 'steps'.",
        ),
        ({"methods": {"a": {**SCORED, "scene": "x"}}}, "Unknown option of the method a, of `nvs-eval score`, 'scene'."),
        (
            {"methods": {"a": {"score": "renders/{scne}"}}},
            "the method a: Unknown placeholder of 'renders/{scne}' 'scne'. Did you mean 'scene'?",
        ),
        ({"methods": {"a": {"score": "renders/{scene.name}"}}}, "Unknown placeholder of 'renders/{scene.name}'"),
        ({"methods": {"a": {"score": "renders/{scene!r}"}}}, "Unknown placeholder of 'renders/{scene!r}'"),
        ({"methods": {"a": {"score": "renders/{"}}}, "'renders/{' is no path with placeholders"),
        ({"methods": {"a": {"score": "x/{factor}"}}}, "and the factor of the scene fox is not said"),
        ({"methods": {"a": {**SCORED, "reference": "{fold}"}}}, "Unknown placeholder of '{fold}' 'fold'."),
        ({"methods": {"a": {**SCORED, "grey_to_rgb": "yes"}}}, "a: grey_to_rgb must be True or False. Got 'yes'."),
        ({"methods": {"a": {**SCORED, "exr": "lin"}}}, "Unknown exr 'lin'. Did you mean 'linear'?"),
        ({"methods": {"a": {**SCORED, "background": "pink"}}}, "a: The background is 'pink'"),
        ({"methods": {"a": {**SCORED, "protocol": "inria"}}}, "a: Unknown protocol 'inria'."),
        ({"methods": {"a": {**SCORED, "protocol": "p.yaml"}}}, "a: The protocol file p.yaml cannot be read"),
        ({"methods": {"a": {**SCORED, "protocol": "auto"}}}, "a: `--protocol auto` stands for"),
        ({"methods": {"a": {**SCORED, "device": "gpu"}}}, "a: The device 'gpu' cannot be used here"),
        ({"methods": {"a": {**SCORED, "masks": "m", "data_masks": True}}}, "a: --masks names masks and --data-masks"),
        ({"methods": {"a": {"run": "x", "every": "8"}}}, "a: every must be a whole number. Got '8'."),
        ({"methods": {"a": {"run": "x", "every": True}}}, "a: every must be a whole number. Got True."),
        (
            {"methods": {"a": {"run": "x", "views": [1]}}},
            "a: views[0] must be a string. Got 1. Put names of digits in",
        ),
        ({"methods": {"a": {"run": "x", "steps": "lats"}}}, "a: --steps is 'lats'"),
        ({"methods": {"a": {"run": "x", "steps": True}}}, "a: steps must be a string or a list of strings. Got True."),
        (
            {"methods": {"a": {"run": "x", "keep_renders": None}}},
            "a: keep_renders must be 'all', 'png' or 'none'. Got",
        ),
        ({"output_dir": 7}, "output_dir must be a string. Got 7."),
    ],
)
def test_bad_file_is_refused_before_any_work(
    changes: dict[str, object], message: str, project: Path, refused: Callable[..., str]
) -> None:
    said = refused("suite", changed(**changes))
    assert message in said
    assert said.startswith("The suite file ")


def test_what_is_no_such_file_is_said(project: Path, refused: Callable[..., str]) -> None:
    assert "cannot be read: No such file" in refused("suite", "none.yaml")
    assert "mipnerf360 is a list of scenes: what is evaluated on them" in refused("suite", "mipnerf360")
    shutil.copy(Path(__file__).parents[2] / "configs/suites/llff.yaml", "llff.yaml")
    assert "it is a list of scenes: what is evaluated on them" in refused("suite", "llff.yaml")
    Path("bare.yaml").write_text("name: bare\nscenes: [fox]\n", encoding="utf-8")
    assert "it is a list of scenes: what is evaluated on them" in refused("suite", "bare.yaml")
    said = refused("suite", "light.yaml")
    assert "light.yaml: it is a protocol, which says how views are scored: which methods and scenes must be" in said
    assert "list of scenes" not in said
    shutil.copy(Path(__file__).parents[2] / "configs/published/3dgs.yaml", "numbers.yaml")
    assert "list of scenes" not in refused("suite", "numbers.yaml")
    Path("twice.yaml").write_text(FILE + "title: again\n", encoding="utf-8")
    assert "title is given twice" in refused("suite", "twice.yaml")
    Path("broken.yaml").write_text("methods: [", encoding="utf-8")
    assert "is not YAML" in refused("suite", "broken.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "3dg"], "Unknown method or scene '3dg'. Did you mean '3dgs'?"),
        (["--metrics", "pnsr"], "Unknown metric 'pnsr'. Did you mean 'psnr'?"),
        (["--sort", "lpips"], "Unknown metric to sort by 'lpips'."),
        (["--protocol", "standard"], "Unknown protocol of the records 'standard'."),
        (["--per-scene", "--rows", "scene"], "--per-scene is `--rows method --columns scene`"),
        (["--format", "word"], "word"),
        (["--suite", "llff"], "None of the records is of a scene of llff"),
        (["--with-published", "3dgs"], "was published under the protocol"),
        (["--format", "csv", "--long", "--metrics", "pnsr"], "Unknown metric 'pnsr'. Did you mean 'psnr'?"),
        (["--format", "csv", "--long", "--metrics", "views"], "Unknown metric 'views'."),
        (
            ["--format", "csv", "--long", "--rows", "scene"],
            "cannot be combined with --rows, which applies to tables.",
        ),
        (["--output", "renders"], "renders cannot be written: it is a folder"),
        (["--output", "light.yaml/table.txt"], "light.yaml/table.txt cannot be written: "),
        (["--output", "suite.yaml"], "--output must not be the suite file. Got suite.yaml."),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(
    options: list[str], message: str, project: Path, refused: Callable[..., str]
) -> None:
    assert message in refused("suite", "suite.yaml", *options)
    assert Path("suite.yaml").read_text(encoding="utf-8") == FILE


def test_options_at_the_top_are_for_all_but_own_come_first(cli: Callable[..., Said], project: Path) -> None:
    protocol_file(project, FLOAT, "float.yaml")
    own = {**SCORED, "protocol": ["float.yaml"]}
    said = cli("suite", changed(methods={"one": SCORED, "other": own}, allow_missing=True))
    assert said.code == 0
    assert re.findall(r"^(?:one|other|protocol \w+)", said.out, re.MULTILINE) == [
        *("one", "protocol light", "other", "protocol float"),
    ]
    Path("renders/3dgs/fox/0002.png").unlink()
    assert cli("suite", changed(methods={"one": SCORED}, allow_missing=True), "--only", "fox").code == 0
    strict = {"one": {**SCORED, "allow_missing": False}}
    assert cli("suite", changed(methods=strict, allow_missing=True), "--only", "fox").code == 3


def test_suite_help_says_what_overwrite_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["suite", "--help"])
    assert "Render and score finished work again" in capsys.readouterr().out
