"""A record is never lost: equal inputs are skipped by content, other inputs are refused, `--overwrite` replaces."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, protocol_file
from support.scenes import files_below, fill, float_image, image, write_masks, write_pngs

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, read_record

pytestmark = pytest.mark.usefixtures("here")

OUT = Path("nvs-eval-results")
LIGHTLY = ("--protocol", "light.yaml")


def psnr(difference: int) -> float:
    """PSNR in dB of flat greys that differ by some levels."""
    return 20 * math.log10(255 / difference)


def records(folder: Path = OUT) -> dict[str, Record]:
    return {file.relative_to(folder).as_posix(): read_record(file) for file in sorted(folder.rglob("*.json"))}


def files() -> dict[str, bytes]:
    """Return the files of the results, without those of a command that still renders."""
    return {name: (OUT / name).read_bytes() for name in files_below(OUT) if "/." not in name and name[-1] != "/"}


@pytest.fixture
def refused(cli: Callable[..., Said], opener: Opener) -> Callable[..., str]:
    """Run a command that must end with 2 before it renders, decodes or changes anything; return its last line."""

    def run(*command: str) -> str:
        before, rendered = files(), len(opener.rendered)
        result = cli(*command)
        assert (result.code, result.out) == (2, ""), result
        assert (files(), len(opener.rendered)) == (before, rendered)
        assert "Scoring" not in result.err
        return result.err.strip().splitlines()[-1]

    return run


# --- Folders of renders -----------------------------------------------------------------------------------------------


def write_model(folder: str, level: int, split: str = "test") -> None:
    """Write the output of a 3DGS model of the garden whose renders are flat greys."""
    iteration = Path(folder) / split / "ours_7"
    fill(iteration / "gt", (100, 100))
    fill(iteration / "renders", (level, level))
    (Path(folder) / "cfg_args").write_text("Namespace(source_path='/data/garden')")


def test_two_models_of_one_name_are_refused_and_named(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    write_model("3dgs/garden", 110)
    write_model("2dgs/garden", 130)
    command = ("score", *LIGHTLY, "--method", "mine", "-m")
    assert cli(*command, "3dgs/garden").code == 0
    pinned("score", refused(*command, "2dgs/garden"))
    assert [record.means["psnr"] for record in records().values()] == [pytest.approx(psnr(10), abs=1e-5)]
    assert cli("score", *LIGHTLY, "--method", "other", "-m", "2dgs/garden").code == 0
    assert [record.method for record in records().values()] == ["mine", "other"]
    assert cli(*command, "2dgs/garden", "--output-dir", "elsewhere").code == 0
    assert cli(*command, "2dgs/garden", "--overwrite").code == 0
    assert [record.means["psnr"] for record in records().values()] == [pytest.approx(psnr(30), abs=1e-5)] * 2


def test_renders_of_two_folders_of_one_name_are_refused(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    fill(Path("scene/gt"), (100, 100))
    fill(Path("A/ours"), (110, 110))
    fill(Path("B/ours"), (130, 130))
    options = ("--reference", "scene/gt", *LIGHTLY)
    assert cli("score", "A/ours", *options).code == 0
    message = refused("score", "B/ours", *options)
    (name,) = records()
    assert message == (
        f"Error: {OUT / name} was scored on other renders (A/ours, not B/ours), and would be replaced. Keep both "
        "with another `--method` or `--output-dir`, or replace it with `--overwrite`."
    )
    # Both folders are shown in the same way.
    assert "(A/ours, not B/ours)" in refused("score", str(Path("B/ours").resolve()), *options)
    # Equal renders in another folder are the same result.
    shutil.rmtree("B/ours")
    fill(Path("B/ours"), (110, 110))
    assert "scene/ours is already scored under light." in cli("score", "B/ours", *options).err


def test_other_references_are_refused(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    fill(Path("one/scene/gt"), (100, 100))
    fill(Path("two/scene/gt"), (90, 90))
    fill(Path("ours"), (110, 110))
    assert cli("score", "ours", "--reference", "one/scene/gt", *LIGHTLY).code == 0
    assert "was scored on other references (ours)" in refused("score", "ours", "--reference", "two/scene/gt", *LIGHTLY)


def test_test_and_training_views_are_two_records(cli: Callable[..., Said]) -> None:
    write_model("model", 110, "test")
    write_model("model", 130, "train")
    for split in ("test", "train"):
        assert cli("score", f"model/{split}/ours_7", "--method", "mine", *LIGHTLY).code == 0
    assert [(name.split("/")[-2], record.split) for name, record in records().items()] == [
        ("7", "test"),
        ("7-train", "train"),
    ]
    assert [record.means["psnr"] for record in records().values()] == pytest.approx([psnr(10), psnr(30)], abs=1e-5)


def write_scene() -> tuple[str, ...]:
    """Write a scene of noise with three views, and return the command that scores its renders."""
    write_pngs(Path("scene/gt"), {"a": 1, "b": 2, "c": 3})
    write_pngs(Path("scene/ours"), {"a": 11, "b": 12, "c": 13})
    return ("score", "scene/ours", "--reference", "scene/gt", *LIGHTLY)


def test_a_part_of_the_views_never_replaces_the_whole(cli: Callable[..., Said]) -> None:
    command = write_scene()
    assert cli(*command).code == 0
    before = files()
    Path("scene/ours/c.png").rename("c.png")
    assert cli(*command, "--allow-missing").code == 0
    assert {name: content for name, content in files().items() if name in before} == before
    part, whole = sorted(records().values(), key=lambda record: len(record.views))
    assert ([row.name for row in part.views], [row.name for row in whole.views]) == (["a", "b"], ["a", "b", "c"])
    assert part.views == whole.views[:2]
    assert part.selection == nvs_eval.selection_of(["a", "b"], ["a", "b", "c"])
    assert "is already scored under light." in cli(*command, "--allow-missing").err
    # The whole after the part.
    shutil.rmtree(OUT)
    assert cli(*command, "--allow-missing").code == 0
    Path("c.png").rename("scene/ours/c.png")
    assert cli(*command).code == 0
    assert sorted(len(record.views) for record in records().values()) == [2, 3]
    table = cli("table", str(OUT))
    assert table.out.count("ours") == 1
    assert "using the record of 3 views, not " in table.err


def test_the_same_command_twice_is_skipped_by_content(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = write_scene()
    masks = ("--masks", str(write_masks(Path("masks"), {"a": 0.5, "b": 0.25, "c": 1.0})))
    first = cli(*command, *masks)
    before = files()

    def check_skipped(*command: str) -> None:
        result = cli(*command)
        assert (result.code, result.out, files()) == (0, first.out, before)
        assert "scene/ours is already scored under light. Use --overwrite to score it again.\n" in result.err
        assert "Scoring" not in result.err

    check_skipped(*command, *masks)
    for file in [*Path("scene").rglob("*.png"), *Path("masks").glob("*.png")]:
        os.utime(file)
    check_skipped(*command, *masks)
    shutil.move("scene/ours", "moved")
    shutil.move("masks", "others")
    shutil.copytree("scene/gt", "copy/scene/gt")
    moved = ("score", "moved", "--method", "ours", "--reference", "copy/scene/gt", *LIGHTLY, "--masks", "others")
    check_skipped(*moved)
    assert cli(*moved, "--overwrite").out == first.out
    assert files() != before


@pytest.mark.parametrize("changed", ["scene/ours/b.png", "scene/gt/b.png", "masks/b.png"])
def test_one_changed_pixel_is_refused(changed: str, cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    command = (*write_scene(), "--masks", str(write_masks(Path("masks"), {"a": 0.5, "b": 0.25, "c": 1.0})))
    cli(*command)
    (before,) = records().values()
    status = os.stat(changed)
    pixels = np.array(Image.open(changed))
    pixels[-1, -1] = 255 - pixels[-1, -1]
    Image.fromarray(pixels).save(changed)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    kind = {"ours": "renders", "gt": "references", "masks": "masks"}[Path(changed).parent.name]
    message = refused(*command)
    assert f"was scored on other {kind} (scene/ours), and would be replaced. Keep" in message
    assert cli(*command, "--overwrite").code == 0
    (after,) = records().values()
    assert after.means != before.means
    assert "is already scored" in cli(*command).err


def test_a_new_protocol_is_scored_alone(cli: Callable[..., Said]) -> None:
    command = write_scene()
    cli(*command)
    before = files()
    protocol_file(Path(), FLOAT, "float.yaml")
    result = cli(*command, "float.yaml")
    assert [record.protocol["name"] for record in records().values()] == ["float", "light"]
    assert {name: content for name, content in files().items() if name in before} == before
    assert "protocol light + float (" in result.out
    assert cli(*command, "float.yaml").out == result.out


def test_a_damaged_record_is_not_replaced_silently(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    command = write_scene()
    first = cli(*command)
    (file,) = OUT.rglob("*.json")
    file.write_text("{}")
    pinned("score", refused(*command))
    assert cli(*command, "--overwrite").out == first.out


def test_names_that_lead_to_one_file_are_never_replaced(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    command = write_scene()
    assert cli(*command, "--method", "a/b").code == 0
    pinned("score", refused(*command, "--method", "a_b"))
    refused(*command, "--method", "a_b", "--overwrite")
    assert [record.method for record in records().values()] == ["a/b"]


def test_an_audit_and_a_function_refuse_as_score_does(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    command = write_scene()
    cli(*command)
    write_pngs(Path("scene/ours"), {"a": 99})
    message = refused(*command)
    assert refused("audit", *command[1:]) == message
    options: dict[str, Any] = {"reference": "scene/gt", "protocol": "light.yaml"}
    with pytest.raises(InputError) as error:
        nvs_eval.score("scene/ours", output_dir=OUT, **options)
    assert f"Error: {error.value}" == message
    (unwritten,) = nvs_eval.score("scene/ours", **options)
    (again,) = nvs_eval.score("scene/ours", output_dir=OUT, overwrite=True, **options)
    assert again.views == unwritten.views
    assert nvs_eval.score("scene/ours", output_dir=OUT, **options) == [again]


# --- Rescoring --------------------------------------------------------------------------------------------------------


def test_rescore_keeps_the_record_of_other_renders(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    command = write_scene()
    protocol_file(Path(), FLOAT, "float.yaml")
    cli(*command)
    assert cli("rescore", str(OUT), "--protocol", "float.yaml").code == 0
    write_pngs(Path("scene/ours"), {"b": 99})
    # The renders are no longer those of the record.
    pinned("rescore", refused("rescore", str(OUT), "--protocol", "float.yaml", "--overwrite"))
    assert cli(*command, "--overwrite").code == 0
    message = refused("rescore", str(OUT / "scene"), "--protocol", "float.yaml")
    assert "/float-" in message
    assert "was scored on other renders (scene/ours)" in message
    assert cli("rescore", str(OUT), "--protocol", "float.yaml", "--overwrite").code == 0
    # A rescored record is of the same files as one of `score`.
    assert "is already scored under float." in cli(*command[:-1], "float.yaml").err


def test_rescore_scores_the_whole_and_the_parts_that_are_named(cli: Callable[..., Said]) -> None:
    command = write_scene()
    protocol_file(Path(), FLOAT, "float.yaml")
    cli(*command)
    Path("scene/gt/c.png").rename("c.png")
    cli(*command, "--allow-missing")
    Path("c.png").rename("scene/gt/c.png")
    both = [str(OUT / name) for name in records()]
    for names, sizes in (([str(OUT)], [3]), (both, [2, 3])):
        assert cli("rescore", *names, "--protocol", "float.yaml").code == 0
        scored = [len(record.views) for record in records().values() if record.protocol["name"] == "float"]
        assert sorted(scored) == sizes


# --- Checkpoints ------------------------------------------------------------------------------------------------------

RUN = ("run", "--load-config", "config.yml", *LIGHTLY)
VIEWS = ("a", "cam0/b", "c")


def kept() -> dict[str, bytes]:
    return {name: content for name, content in files().items() if not name.endswith(".json")}


def test_run_of_the_training_views_is_a_record_of_its_own(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(7)]
    assert cli(*RUN).code == 0
    before = files()
    opener.given[:] = [FakeCheckpoint(7, split="train", renders=float_image)]
    assert cli(*RUN, "--split", "train").code == 0
    assert {name: content for name, content in files().items() if name in before} == before
    assert [name.split("/")[-2] for name in records()] == ["7", "7-train"]


def test_run_of_some_views_keeps_the_whole_and_its_renders(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(7)]
    assert cli(*RUN).code == 0
    before = files()
    opener.given[:] = [FakeCheckpoint(7, views=VIEWS[:1], of_split=VIEWS)]
    assert cli(*RUN, "--views", "a").code == 0
    assert {name: content for name, content in files().items() if name in before} == before
    part, whole = sorted(records().values(), key=lambda record: len(record.views))
    assert (part.views[0].scores, part.views[0].render) == (whole.views[0].scores, "renders/a.png")
    assert "is already scored under light" in cli(*RUN, "--views", "a").err
    assert len(opener.rendered) == 1


def test_renders_of_another_content_are_kept_apart(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(7)]
    assert cli(*RUN).code == 0
    before = files()
    # A GPU may render the same checkpoint with other last bits.
    opener.given[:] = [FakeCheckpoint(7, views=VIEWS[:1], of_split=VIEWS, renders=lambda index: image(5))]
    assert cli(*RUN, "--views", "a").code == 0
    assert {name: content for name, content in files().items() if name in before} == before
    (part,) = [(OUT / name, record) for name, record in records().items() if record.selection]
    render = part[0].parent / str(part[1].views[0].render)
    assert render.parent.name.startswith("renders-")
    assert torch.equal(nvs_eval.load_image(render), image(5))


def test_another_checkpoint_is_refused_and_overwritten_on_request(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(7, identity={"checkpoint_sha256": "a1" * 32})]
    assert cli(*RUN).code == 0
    opener.given[:] = [
        FakeCheckpoint(7, identity={"checkpoint_sha256": "b2" * 32}, renders=lambda index: image(50 + index))
    ]
    pinned("run", refused(*RUN))
    names = list(files())
    assert cli(*RUN, "--overwrite").code == 0
    assert list(files()) == names
    (file,) = OUT.rglob("*.json")
    assert read_record(file).provenance["checkpoint_sha256"] == "b2" * 32
    assert torch.equal(nvs_eval.load_image(file.parent / "renders/a.png"), image(50))


def test_overwriting_one_record_keeps_the_renders_of_the_others(cli: Callable[..., Said], opener: Opener) -> None:
    protocol_file(Path(), FLOAT, "float.yaml")
    opener.given[:] = [FakeCheckpoint(7)]
    assert cli(*RUN, "float.yaml").code == 0
    before = kept()
    opener.given[:] = [
        FakeCheckpoint(7, identity={"checkpoint_sha256": "another"}, renders=lambda index: image(50 + index))
    ]
    assert cli(*RUN, "--overwrite").code == 0
    assert {name: content for name, content in kept().items() if name in before} == before
    floats, lights = records().values()
    assert floats.views[0].render == "renders/a.png"
    assert str(lights.views[0].render).startswith("renders-")


@pytest.mark.parametrize("identity", ["checkpoint 7", "another"])
def test_a_run_that_ends_second_keeps_the_record_of_the_first(
    identity: str, cli: Callable[..., Said], opener: Opener
) -> None:
    """The first command renders, scores and ends while the second one renders."""

    def run_meanwhile(index: int) -> None:
        if index == 1:
            opener.given[:] = [FakeCheckpoint(7)]
            assert cli(*RUN).code == 0
            before.update(files())

    before: dict[str, bytes] = {}
    late = FakeCheckpoint(
        7,
        on_view=run_meanwhile,
        identity={"checkpoint_sha256": identity},
        renders=None if identity == "checkpoint 7" else lambda index: image(50 + index),
    )
    opener.given[:] = [late]
    result = cli(*RUN)
    assert result.code == (0 if identity == "checkpoint 7" else 2)
    assert ("was scored on another checkpoint" in result.err) == (identity == "another")
    assert files() == before


def test_renders_that_wait_are_kept_by_a_run_of_other_views(cli: Callable[..., Said], opener: Opener) -> None:
    def interrupt(index: int) -> None:
        raise KeyboardInterrupt

    first, second = FakeCheckpoint(1), FakeCheckpoint(2, on_view=interrupt)
    opener.given[:] = [first, second]
    assert cli(*RUN).code == 130
    opener.given[:] = [FakeCheckpoint(1, views=VIEWS[1:], of_split=VIEWS)]
    assert cli(*RUN, "--views", *VIEWS[1:]).code == 0
    assert cli(*RUN, "--views", *VIEWS[1:]).code == 0
    second.on_view = lambda index: None
    opener.given[:] = [first, second]
    assert cli(*RUN).code == 0
    assert len(first.rendered) == 3


def test_help_of_overwrite_is_the_same_everywhere(cli: Callable[..., Said]) -> None:
    words = set()
    for command in ("score", "run", "audit", "rescore", "suite"):
        text = " ".join(cli(command, "--help").out.replace("│", " ").split())
        words.add(re.split(r" --| ╰", text.split("--overwrite ")[1])[0])
    assert words == {"Compute again and replace the record of each result, whatever it was scored on."}
