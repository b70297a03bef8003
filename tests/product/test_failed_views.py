"""An error of one view costs that view or protocol. Missing views are printed, recorded and marked in tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, protocol_file, variant
from support.scenes import float_image, image, write_images

import nvs_eval
from nvs_eval.errors import InputWarning
from nvs_eval.images.files import save_png
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import selection_of

NAMES = ["0001", "0002", "0003", "0004"]
FOLDERS = ("bush/ours", "bush/theirs", "--reference", "bush/gt")
SCORE = ("score", *FOLDERS, "--protocol", "light.yaml", "--output-dir", "out")


@pytest.fixture(autouse=True)
def bush(here: Path) -> Path:
    """Write four views of noise by two methods, and protocols that need no weights."""
    for seed, folder in enumerate(("gt", "ours", "theirs")):
        write_images(here / "bush" / folder, {name: image(10 * seed + i) for i, name in enumerate(NAMES)})
    protocol_file(here, FLOAT, "float.yaml")
    return here / "bush"


def damage(file: str) -> bytes:
    """Flip a bit in the middle of a file, and return its bytes before."""
    before = Path(file).read_bytes()
    content = bytearray(before)
    content[len(content) // 2] ^= 1
    Path(file).write_bytes(content)
    return before


def intact(folder: str = "intact") -> dict[tuple[str, str], dict[str, float]]:
    """Return the scores of the intact images by method and view."""
    records = nvs_eval.score(["bush/ours", "bush/theirs"], reference="bush/gt", protocol="light.yaml")
    return {(record.method, row.name): dict(row.scores) for record in records for row in record.views}


def places() -> list[Path]:
    """Return the files of the records."""
    return sorted(Path("out").rglob("*.json"))


def check_scores(record: Record, expected: dict[tuple[str, str], dict[str, float]]) -> None:
    """Compare the rows of a record, which must not be empty, and its means with the scores of the intact images."""
    assert record.views
    for row in record.views:
        assert row.scores == pytest.approx(expected[record.method, row.name], rel=1e-9)
    for metric, mean in record.means.items():
        values = [expected[record.method, row.name][metric] for row in record.views]
        assert mean == pytest.approx(sum(values) / len(values), rel=1e-9)


# --- Damaged files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damaged", "lacking"),
    [
        ("bush/theirs/0002.png", ["theirs"]),
        ("bush/gt/0003.png", ["ours", "theirs"]),
        ("masks/0004.png", ["ours", "theirs"]),
    ],
)
def test_damaged_file_costs_its_view(
    damaged: str, lacking: list[str], cli: Callable[..., Said], here: Path, pinned: Pinned
) -> None:
    write_images(here / "masks", dict.fromkeys(NAMES, torch.ones(40, 48, 3)))
    expected, before, name = intact(), damage(damaged), Path(damaged).stem
    options = ("--masks", "masks") if damaged.startswith("masks") else ()
    result = cli(*SCORE, *options)
    assert result.code == 3
    pinned("score", result.err)
    pinned("score", result.out)
    for record in nvs_eval.read_records("out"):
        check_scores(record, expected)
        kept = [view for view in NAMES if view != name or record.method not in lacking]
        assert [row.name for row in record.views] == kept
        assert record.selection is None
        assert list(record.failed) == [view for view in NAMES if view not in kept]
        assert all(damaged in reason for reason in record.failed.values())
    # The whole record takes the place of the incomplete one once the file is mended.
    assert [("-incomplete" in file.name) for file in places()] == [method in lacking for method in ("ours", "theirs")]
    Path(damaged).write_bytes(before)
    assert cli(*SCORE, *options).code == 0
    assert [("-incomplete" in file.name) for file in places()] == [False, False]
    for record in nvs_eval.read_records("out"):
        check_scores(record, expected)
        assert (len(record.views), record.selection, record.failed) == (4, None, {})


def test_cut_file_costs_its_view_alone_also_in_a_suite(cli: Callable[..., Said], pinned: Pinned) -> None:
    content = Path("bush/theirs/0002.png").read_bytes()
    Path("bush/theirs/0002.png").write_bytes(content[: len(content) // 2])
    pinned("score", cli(*SCORE[:-2]).err)
    text = "scenes: [bush]\nprotocol: [light.yaml]\nreference: '{scene}/gt'\noutput_dir: out\n"
    methods = "methods:\n  ours: {score: '{scene}/ours'}\n  theirs: {score: '{scene}/theirs'}\n"
    Path("suite.yaml").write_text(text + methods)
    result = cli("suite", "suite.yaml")
    assert result.code == 3
    assert "the records are incomplete. bush/theirs: 1 of 4 views failed (0002)" in result.err
    ours, theirs = nvs_eval.read_records("out")
    assert ([len(ours.views), len(theirs.views)], list(theirs.failed)) == ([4, 3], ["0002"])


def test_failed_view_never_replaces_a_whole_record_unasked(cli: Callable[..., Said]) -> None:
    assert cli(*SCORE).code == 0
    whole = {file: file.read_bytes() for file in places()}
    before = damage("bush/theirs/0002.png")
    refused = cli(*SCORE)
    assert (refused.code, refused.out) == (2, "")
    assert "was scored on other renders (bush/theirs), and would be replaced" in refused.err
    assert {file: file.read_bytes() for file in places()} == whole
    # On request, the incomplete record replaces the whole one, which is of renders that are gone.
    save_png(Path("bush/theirs/0001.png"), image(77))
    assert cli(*SCORE, "--overwrite").code == 3
    ours, theirs = places()
    assert (ours in whole, theirs in whole) == (True, False)
    shown = cli("table", "out", "--allow-mixed")
    assert "3 of 4 views; 1 view failed: 0002" in shown.out
    mean = nvs_eval.read_records(theirs)[0].means["psnr"]
    assert f"{mean:.2f}" in shown.out
    # Mended, the whole record replaces the incomplete one without a question.
    Path("bush/theirs/0002.png").write_bytes(before)
    assert cli(*SCORE).code == 0
    assert places() == [*whole]
    (record,) = nvs_eval.read_records(places()[1])
    assert (len(record.views), record.failed) == (4, {})
    assert record.views[1].scores == json.loads([*whole.values()][1])["views"][1]["scores"]


def test_incomplete_record_is_replaced_while_its_renders_stay(cli: Callable[..., Said], pinned: Pinned) -> None:
    before = damage("bush/ours/0002.png")
    results = []
    for _ in range(2):
        results.append(result := cli(*SCORE))
        assert result.code == 3
        assert "meantime" not in result.err
        assert [file.name.endswith("-incomplete.json") for file in places()] == [True, False]
    pinned("score", results[-1].err)
    # Another view fails, and the first does not.
    Path("bush/ours/0002.png").write_bytes(before)
    before = damage("bush/ours/0003.png")
    refused = cli(*SCORE)
    assert (refused.code, refused.out) == (2, "")  # The file of a scored view has changed.
    pinned("score", refused.err)
    Path("bush/ours/0003.png").write_bytes(before)
    # A record of other renders is not replaced.
    save_png(Path("bush/ours/0001.png"), image(77))
    content = {file: file.read_bytes() for file in places()}
    assert "was scored on other renders (bush/ours), and would be replaced" in cli(*SCORE).err
    assert {file: file.read_bytes() for file in places()} == content


def test_incomplete_record_and_that_of_selected_views_have_places_of_their_own(cli: Callable[..., Said]) -> None:
    expected = intact()
    selected = (*SCORE, "--views", "0001", "0003", "0004")
    before = damage("bush/ours/0002.png")
    for commands in ((selected, SCORE), (SCORE, selected)):
        codes = {command: cli(*command).code for command in commands}
        assert codes == {selected: 0, SCORE: 3}
        part, all_views = [file for file in places() if "ours" in file.parts]
        assert all_views.name.endswith("-incomplete.json")
        for file in (part, all_views):
            (record,) = nvs_eval.read_records(file)
            check_scores(record, expected)
            assert [row.name for row in record.views] == ["0001", "0003", "0004"]
        # Readers prefer that of all views.
        shown = cli("table", "out", "--allow-mixed")
        assert "ours ¶" in shown.out
        assert "1 view failed: 0002" in shown.out
        assert "using the record of 3 views, 1 failed, not out/bush/ours" in shown.err
        for file in places():
            file.unlink()
    # A selected view that fails.
    selected = (*SCORE, "--views", "0001", "0002")
    assert cli(*selected).code == 3
    selection = selection_of(NAMES[:2], NAMES)
    assert [file.name.partition("-")[2].partition("-")[2] for file in places()] == [
        f"{selection}-incomplete.json",
        f"{selection}.json",
    ]
    assert "1 of 2 selected views; 1 view failed: 0002" in cli("table", "out", "--allow-mixed").out
    Path("bush/ours/0002.png").write_bytes(before)
    assert cli(*selected).code == 0
    assert [file.name.rpartition("-")[2] for file in places()] == [f"{selection}.json"] * 2


def test_damaged_mask_of_a_whole_record_does_not_end_the_others(cli: Callable[..., Said], here: Path) -> None:
    write_images(here / "masks", dict.fromkeys(NAMES, torch.ones(40, 48, 3)))
    command = ("score", "bush/ours", "--reference", "bush/gt", *SCORE[5:], "--masks", "masks")
    assert cli(*command).code == 0
    (whole,) = places()
    content = whole.read_bytes()
    damage("masks/0004.png")
    result = cli(*SCORE, "--masks", "masks")
    assert result.code == 3
    assert "0004.png is damaged, and was not compared with the mask of an existing record." in result.err
    assert whole.read_bytes() == content
    ours, theirs = nvs_eval.read_records("out")
    assert (list(ours.failed), list(theirs.failed)) == ([], ["0004"])


def test_python_returns_incomplete_records() -> None:
    damage("bush/theirs/0002.png")
    with pytest.warns(InputWarning) as warned:
        ours, theirs = nvs_eval.score(["bush/ours", "bush/theirs"], reference="bush/gt", protocol="light.yaml")
    (warning,) = warned
    assert str(warning.message) == "The records are incomplete. bush/theirs: 1 of 4 views failed (0002)."
    assert warning.filename == __file__
    assert (list(ours.failed), list(theirs.failed)) == ([], ["0002"])
    assert "¶" in nvs_eval.table([theirs])


# --- Protocols ------------------------------------------------------------------------------------------------------


def make_flat(name: str) -> None:
    """Make a reference and the render of one method flat, so that SSIM over the pair's range is undefined."""
    for folder in ("gt", "ours"):
        save_png(Path("bush", folder, f"{name}.png"), torch.full((40, 48, 3), 0.5))


@pytest.mark.parametrize("command", ["score", "audit"])
def test_flat_pair_costs_the_protocol_this_view(command: str, cli: Callable[..., Said], pinned: Pinned) -> None:
    make_flat("0002")
    expected = intact()
    result = cli(command, *FOLDERS, "--protocol", "light.yaml", "float.yaml", "--output-dir", "out")
    assert result.code == 3
    pinned(command, result.err)
    pinned(command, result.out)
    for record in nvs_eval.read_records("out"):
        is_lacking = (record.method, record.protocol["name"]) == ("ours", "float")
        assert list(record.failed) == (["0002"] if is_lacking else [])
        assert len(record.views) == (3 if is_lacking else 4)
        if record.protocol["name"] == "light":
            check_scores(record, expected)


def test_audit_reports_failed_views_only_of_protocols_that_are_kept(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, here: Path, pinned: Pinned
) -> None:
    import nvs_eval.protocols as module

    names = ["standard", "float", "small"]
    protocol_file(
        here, variant(name="standard", metrics={"ssim": {"kernel": "zero", "data_range": 1}}), "standard.yaml"
    )
    protocol_file(here, variant(name="small", crop=10), "small.yaml")
    monkeypatch.setattr(module, "named_protocols", lambda: {name: here / f"{name}.yaml" for name in names})
    make_flat("0002")
    for folder in ("gt", "ours"):
        save_png(Path("bush", folder, "0003.png"), image(3, 15, 48))
    result = cli("audit", "bush/ours", "--reference", "bush/gt", "--output-dir", "out")
    assert result.code == 3
    pinned("audit", result.err)
    pinned("audit", result.out)
    failed = {record.protocol["name"]: list(record.failed) for record in nvs_eval.read_records("out")}
    assert failed == {"standard": [], "float": ["0002"], "small": ["0003"]}


# --- Rendering ------------------------------------------------------------------------------------------------------


def not_finite(index: int) -> torch.Tensor:
    """Return a render. That of the second view has a NaN."""
    render = float_image(7 + index)
    if index == 1:
        render[3, 4, 0] = torch.nan
    return render


@pytest.mark.parametrize("steps", ["last", "all"])
def test_view_that_is_not_finite_costs_itself(
    steps: str, cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(500, renders=not_finite), FakeCheckpoint(2500)][: 1 if steps == "last" else 2]
    result = cli("run", "--load-config", "config.yml", "--steps", steps, "--protocol", "light.yaml")
    assert result.code == 3
    pinned("run", result.err)
    lacking, *others = nvs_eval.read_records("nvs-eval-results")
    assert list(lacking.failed) == ["cam0/b"]
    assert [row.name for row in lacking.views] == ["a", "c"]
    assert [(record.failed, len(record.views)) for record in others] == [({}, 3)] * (steps == "all")
    # The same views alone have the same scores.
    opener.given[:] = [FakeCheckpoint(500, views=("a", "x", "c"), renders=lambda index: float_image(7 + index))]
    cli("run", "--load-config", "config.yml", "--protocol", "light.yaml", "--output-dir", "whole")
    (whole,) = nvs_eval.read_records("whole")
    expected = {row.name: row.scores for row in whole.views}
    assert {row.name: row.scores for row in lacking.views} == {name: expected[name] for name in "ac"}
    # Mended, it is rendered again and the record is whole.
    opener.given[:] = [FakeCheckpoint(500)]
    assert cli("run", "--load-config", "config.yml", "--protocol", "light.yaml").code == 0
    assert not list(Path("nvs-eval-results").rglob("*incomplete*"))


def test_overwriting_with_a_failed_view_leaves_no_record_of_the_old_checkpoint(
    cli: Callable[..., Said], opener: Opener
) -> None:
    command = ("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    opener.given[:] = [FakeCheckpoint(500)]
    assert cli(*command).code == 0
    opener.given[:] = [FakeCheckpoint(500, renders=not_finite, identity={"checkpoint_sha256": "new"})]
    assert cli(*command).code == 2
    assert cli(*command, "--overwrite").code == 3
    (record,) = nvs_eval.read_records("nvs-eval-results")
    assert (record.provenance["checkpoint_sha256"], list(record.failed)) == ("new", ["cam0/b"])
    assert len(list(Path("nvs-eval-results").rglob("*.json"))) == 1
    # An incomplete record of another checkpoint is not replaced unasked, either.
    opener.given[:] = [FakeCheckpoint(500, identity={"checkpoint_sha256": "newer"})]
    refused = cli(*command)
    assert refused.code == 2
    assert "-incomplete.json was scored on another checkpoint (checkpoint new, not checkpoint newer)" in refused.err


def test_kept_render_that_is_damaged_costs_its_view(cli: Callable[..., Said], opener: Opener, pinned: Pinned) -> None:
    opener.given[:] = [FakeCheckpoint(500)]
    assert cli("run", "--load-config", "config.yml", "--protocol", "light.yaml").code == 0
    damage("nvs-eval-results/fox/fake/base/500/renders/c.png")
    protocol_file(Path(), variant(name="other", crop=1), "other.yaml")
    result = cli("rescore", "nvs-eval-results", "--protocol", "other.yaml")
    assert result.code == 3
    pinned("rescore", result.err)
    (record,) = nvs_eval.read_records("nvs-eval-results", protocol="other")
    assert (list(record.failed), [row.name for row in record.views]) == (["c"], ["a", "cam0/b"])


# --- Missing files --------------------------------------------------------------------------------------------------


@pytest.fixture
def missing(cli: Callable[..., Said]) -> Said:
    """Score one of four views, which has both a render and a reference, and one render without a reference."""
    for name in NAMES[1:]:
        Path(f"bush/ours/{name}.png").unlink()
    save_png(Path("bush/ours/extra.png"), image(5))
    return cli("score", "bush/ours", *SCORE[3:], "--allow-missing")


def test_missing_files_are_printed_and_recorded(missing: Said, pinned: Pinned, cli: Callable[..., Said]) -> None:
    assert missing.code == 0
    pinned("score", missing.err)
    pinned("score", missing.out)
    (record,) = nvs_eval.read_records("out")
    assert record.selection == selection_of(NAMES[:1], [*NAMES, "extra"])
    assert record.left_out == {**dict.fromkeys(NAMES[1:], "no render"), "extra": "no reference"}
    (file,) = Path("out").rglob("*.json")
    pinned("inspect", cli("inspect", str(file)).out)


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "html", "csv", "json"])
def test_table_marks_the_rows_of_a_part(format: str, missing: Said, cli: Callable[..., Said]) -> None:
    shown = cli("table", "out", "--format", format).out
    mark = {"latex": r"$\P$", "csv": ",¶\n"}.get(format, "¶")
    note = "1 of 5 views; 3 views skipped: no render; 1 view skipped: no reference" if format != "csv" else ",mark\n"
    assert mark in shown
    assert note in shown


def test_selected_views_are_marked(cli: Callable[..., Said], opener: Opener) -> None:
    import dataclasses

    part = FakeCheckpoint(500, views=("a", "c"))
    part.id = dataclasses.replace(part.id, selection=selection_of(("a", "c"), ("a", "b", "c")))
    opener.given[:] = [part]
    result = cli("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    assert result.code == 0
    assert "¶ only 2 selected views" in result.out
    assert (
        "Means cover selected views only: a, c."
        in cli("inspect", *map(str, Path("nvs-eval-results").rglob("*.json"))).out
    )


def test_a_part_is_not_ranked_with_published_numbers() -> None:
    Path("bush/ours/0004.png").unlink()
    (part,) = nvs_eval.score(
        "bush/ours", reference="bush/gt", protocol="inria-3dgs", scene="garden", allow_missing=True
    )
    shown = json.loads(nvs_eval.table([part], with_published="3dgs", format="json"))["tables"][0]
    assert [row["method"]["mark"] for row in shown["rows"]] == ["¶", "‡"]
    assert {cell["rank"] for row in shown["rows"] for cell in row.values()} == {None}
    assert "Not all rows are comparable, so none is ranked." in shown["notes"]


def test_views_without_a_mask_do_not_make_a_part(cli: Callable[..., Said], here: Path) -> None:
    masks: dict[str, Any] = {name: torch.full((40, 48, 3), float(name != "0002")) for name in NAMES}
    write_images(here / "masks", masks)
    result = cli(*SCORE, "--masks", "masks")
    assert result.code == 0
    assert "¶" not in result.out
    for record in nvs_eval.read_records("out"):
        assert (record.selection, list(record.left_out), record.failed) == (None, ["0002"], {})
