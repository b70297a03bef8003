"""Checkpoints become records: at once or in two stages, interrupted or not, with one result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener, evaluate_checkpoints, evaluate_jobs, job_of
from support.protocols import FLOAT, HALF, IGNORING, LIGHT, protocol_file, protocol_of
from support.records import rows
from support.scenes import WIDTH, files_below, float_image, image, masks_in, write_masks

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation import run_checkpoints
from nvs_eval.evaluation.options import Callbacks, RunOptions
from nvs_eval.evaluation.render_store import Keep
from nvs_eval.evaluation.resume import of_checkpoint, up_to_date
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.records.record import Record, record_file
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images
from nvs_eval.system.files import lock_folder

CLAMPING = LIGHT.replace("name: light", "name: clamping").replace("out_of_range: error", "out_of_range: clamp")


def interrupt_at(index: int) -> Callable[[int], None]:
    def on_view(at: int) -> None:
        if at == index:
            raise KeyboardInterrupt

    return on_view


# --- One result, whatever the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize(
    "protocols", [(LIGHT,), (FLOAT,), (HALF,), (LIGHT, FLOAT)], ids=["light", "float", "half", "light and float"]
)
def test_checkpoint_scores_alone_as_among_others(
    protocols: tuple[str, ...], references: Callable[[int], torch.Tensor], tmp_path: Path
) -> None:
    alone = evaluate_checkpoints([FakeCheckpoint(2, references=references)], tmp_path / "a", *protocols)
    steps = [FakeCheckpoint(step, references=references) for step in (1, 2, 3)]
    among = evaluate_checkpoints(steps, tmp_path / "b", *protocols)
    assert len(alone) == len(protocols)
    assert len(among) == 3 * len(protocols)
    assert rows(among, 2) == rows(alone, 2)
    own = [record for record in among if record.step == 2]
    assert [record.means for record in own] == [record.means for record in alone]
    assert [record.references_sha256 for record in own] == [record.references_sha256 for record in alone]
    assert rows(among, 1) != rows(among, 2)


def test_the_record_knows_what_the_checkpoint_says(tmp_path: Path) -> None:
    for checkpoints in ([FakeCheckpoint(1)], [FakeCheckpoint(1), FakeCheckpoint(2)]):
        record = evaluate_checkpoints(checkpoints, tmp_path, LIGHT)[0]
        assert (record.scene, record.method, record.run, record.step) == ("fox", "fake", "base", 1)
        assert [row.name for row in record.views] == ["a", "cam0/b", "c"]
        assert [row.render_seconds for row in record.views] == [None, 1.0, 2.0]
        assert [row.coverage for row in record.views] == [None, None, None]
        assert record.provenance["checkpoint_sha256"] == "checkpoint 1"
        assert record.provenance["peak_memory_bytes"] == 12345


def test_names_given_by_the_user_reach_records_and_folders(tmp_path: Path) -> None:
    jobs = [job_of(FakeCheckpoint(step), scene="garden", method="mine") for step in (1, 2)]
    records = evaluate_jobs(jobs, tmp_path, LIGHT)
    assert [record_file(record, tmp_path).parent for record in records] == [
        tmp_path / "garden" / "mine" / "base" / str(step) for step in (1, 2)
    ]
    assert records[0].provenance["peak_memory_bytes"] == 12345


# --- Refusals -------------------------------------------------------------------------------------------------------


def out_of_range(index: int) -> torch.Tensor:
    render = float_image(7 + index)
    if index == 1:
        render[0, 0, 0] = 1.25
    return render


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
def test_render_out_of_range_raises_though_its_png_hides_it(staged: bool, protocol: str, tmp_path: Path) -> None:
    checkpoints = [FakeCheckpoint(1, renders=out_of_range), FakeCheckpoint(2)][: 1 + staged]
    with pytest.raises(InputError, match=r"The render of view 'cam0/b' has values from .* to 1\.25, and the protocol"):
        evaluate_checkpoints(checkpoints, tmp_path, protocol)
    assert [file for file in files_below(tmp_path) if not file.endswith("/")] == []


def test_clamping_protocol_scores_floats_and_pngs_alike(tmp_path: Path) -> None:
    alone = evaluate_checkpoints([FakeCheckpoint(1, renders=out_of_range)], tmp_path / "a", CLAMPING)
    pair = [FakeCheckpoint(1, renders=out_of_range), FakeCheckpoint(2)]
    assert rows(evaluate_checkpoints(pair, tmp_path / "b", CLAMPING), 1) == rows(alone, 1)


@pytest.mark.parametrize("name", ["../../../../outside", "/outside", "a/../../b"])
def test_a_view_whose_name_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "down" / "out"
    with pytest.raises(InputError, match=r"cannot be kept: its name leads out of the folder"):
        evaluate_checkpoints([FakeCheckpoint(1, views=[name])], out, LIGHT)
    assert [file for file in files_below(tmp_path) if not file.endswith("/")] == []


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    name = "v" * 251
    (record,) = evaluate_checkpoints([FakeCheckpoint(1, views=[name])], tmp_path, LIGHT)
    assert record.views[0].render == f"renders/{name}.png"
    assert (record_file(record, tmp_path).parent / f"renders/{name}.png").is_file()


# --- Masks ----------------------------------------------------------------------------------------------------------

HALVES = {"a": 0.5, "cam0/b": 0.25, "c": 1.0}


@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
def test_masks_count_alike_at_once_and_staged(protocol: str, tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", HALVES)
    (alone,) = evaluate_checkpoints([FakeCheckpoint(2, masks=masks)], tmp_path / "a", protocol)
    among = evaluate_checkpoints([FakeCheckpoint(step, masks=masks) for step in (1, 2)], tmp_path / "b", protocol)
    (unmasked,) = evaluate_checkpoints([FakeCheckpoint(2)], tmp_path / "c", protocol)
    assert rows(among, 2) == rows([alone], 2)
    assert [row.coverage for row in alone.views] == [0.5, 0.25, 1.0]
    folder = record_file(alone, tmp_path / "a").parent
    assert [(folder / str(row.mask)).resolve() for row in alone.views] == [masks.files[name] for name in HALVES]
    assert [row.mask_sha256 for row in alone.views] == [masks.sha256(name) for name in HALVES]
    psnr = [[row.scores["psnr"] for row in record.views] for record in (alone, unmasked)]
    # A full mask is none.
    assert [abs(one - other) < 1e-6 for one, other in zip(*psnr, strict=True)] == [False, False, True]
    # Masks change no reference.
    assert alone.references_sha256 == unmasked.references_sha256


def test_a_masked_score_is_that_of_the_pixels_that_count(tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", HALVES)
    (record,) = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], tmp_path / "out", FLOAT)
    difference = (float_image(1000) - image(0))[:, WIDTH // 2 :].double()
    assert record.views[0].scores["psnr"] == pytest.approx(-10 * math.log10(float((difference**2).mean())), abs=1e-5)


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
def test_a_view_with_an_empty_mask_is_left_out_and_said_to_be(staged: bool, tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", {**HALVES, "cam0/b": 0.0})
    steps = [FakeCheckpoint(step, masks=masks) for step in (1, 2)[: 1 + staged]]
    masked, ignoring, *_ = evaluate_checkpoints(steps, tmp_path / "out", LIGHT, IGNORING)
    assert [row.name for row in masked.views] == ["a", "c"]
    assert masked.provenance["left_out"] == {"cam0/b": "The mask of view 'cam0/b' is empty: there is nothing to score."}
    assert [row.name for row in ignoring.views] == ["a", "cam0/b", "c"]
    assert "left_out" not in ignoring.provenance
    # It was rendered all the same, for the protocols that do not look at masks.
    assert (record_file(masked, tmp_path / "out").parent / "renders/cam0/b.png").is_file()


def test_where_all_masks_are_empty_there_is_nothing_to_score(tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", dict.fromkeys(HALVES, 0.0))
    with pytest.raises(InputError, match=r"There is no view to score: .*: The mask of view 'a' is empty"):
        evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], tmp_path / "out", LIGHT)
    assert [file for file in files_below(tmp_path / "out") if not file.endswith("/")] == []


def test_checkpoints_with_other_masks_use_their_own(tmp_path: Path) -> None:
    halves = masks_in(tmp_path / "halves", HALVES)
    tenths = masks_in(tmp_path / "tenths", dict.fromkeys(HALVES, 0.75))
    steps = [FakeCheckpoint(1, masks=halves), FakeCheckpoint(2, masks=tenths), FakeCheckpoint(3)]
    records = evaluate_checkpoints(steps, tmp_path / "out", LIGHT)
    coverage = {record.step: [row.coverage for row in record.views] for record in records}
    assert coverage == {1: [0.5, 0.25, 1.0], 2: [0.75] * 3, 3: [None] * 3}


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
def test_record_says_where_weights_above_0_count_as_1(staged: bool, tmp_path: Path) -> None:
    faint = write_masks(tmp_path / "faint", HALVES, weight=1 / 255)
    steps = [
        FakeCheckpoint(step, masks=Masks(list_images(faint), binary=True), method="binary")
        for step in (1, 2)[: 1 + staged]
    ]
    binary, ignoring, *_ = evaluate_checkpoints(steps, tmp_path / "out", LIGHT, IGNORING)
    assert binary.provenance["masks"] == "binary"
    assert [row.coverage for row in binary.views] == [0.5, 0.25, 1.0]
    assert "masks" not in ignoring.provenance
    steps = [FakeCheckpoint(1, masks=Masks(list_images(faint)))]
    (weights,) = evaluate_checkpoints(steps, tmp_path / "out", LIGHT)
    assert [row.coverage for row in weights.views] == pytest.approx([0.5 / 255, 0.25 / 255, 1 / 255])
    assert "masks" not in weights.provenance


def test_renders_of_an_interrupted_command_do_for_other_masks(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", masks=masks_in(tmp_path / "binary", HALVES, binary=True))
    again = FakeCheckpoint(1)
    records = evaluate_checkpoints([again, FakeCheckpoint(2)], tmp_path / "out", LIGHT)
    assert again.rendered == []
    assert "masks" not in records[0].provenance
    assert [row.coverage for row in records[0].views] == [None] * 3


# --- Interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
@pytest.mark.parametrize("keep", ["png", "none"])
def test_an_interrupted_command_goes_on_where_it_was(protocol: str, keep: Keep, tmp_path: Path) -> None:
    steps = [FakeCheckpoint(step, references=float_image) for step in (1, 2, 3)]
    undisturbed = evaluate_checkpoints(steps, tmp_path / "a", protocol, keep=keep)
    first, second, third = (FakeCheckpoint(step, references=float_image) for step in (1, 2, 3))
    second.on_view = interrupt_at(2)
    out = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints([first, second, third], out, protocol, keep=keep)
    left = files_below(out)
    assert [name for name in left if name.endswith("/.rendered")] == [name for name in left if "1/.rendering-" in name][
        :1
    ]
    assert not [file for file in left if "base/2/" in file[:-1] or "base/3/" in file[:-1] or file.endswith(".json")]
    assert (first.rendered, second.rendered, third.rendered) == (["a", "cam0/b", "c"], ["a", "cam0/b"], [])

    again = [FakeCheckpoint(step, references=float_image) for step in (1, 2, 3)]
    records = evaluate_checkpoints(again, out, protocol, keep=keep)
    assert [len(checkpoint.rendered) for checkpoint in again] == [0, 3, 3]
    assert [rows(records, step) for step in (1, 2, 3)] == [rows(undisturbed, step) for step in (1, 2, 3)]
    assert records[0].provenance["peak_memory_bytes"] == 12345
    assert files_below(out) == files_below(tmp_path / "a")


def test_interrupted_at_once_nothing_is_left(tmp_path: Path) -> None:
    checkpoint = FakeCheckpoint(1, on_view=interrupt_at(2))
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints([checkpoint], tmp_path, LIGHT)
    assert [file for file in files_below(tmp_path) if not file.endswith("/")] == []


def interrupted(out: Path, protocol: str = LIGHT, keep: Keep = "png", **first: Any) -> None:
    """Leaves the renders of step 1 behind, which no record knows of yet."""
    with pytest.raises(KeyboardInterrupt):
        checkpoints = [FakeCheckpoint(1, **first), FakeCheckpoint(2, on_view=interrupt_at(0))]
        evaluate_checkpoints(checkpoints, out, protocol, keep=keep)


def rendered_again(out: Path, protocol: str = LIGHT, keep: Keep = "png", **first: Any) -> int:
    """How many views of step 1 the next command renders."""
    checkpoint = FakeCheckpoint(1, **first)
    evaluate_checkpoints([checkpoint, FakeCheckpoint(2)], out, protocol, keep=keep)
    return len(checkpoint.rendered)


def test_renders_of_an_interrupted_command_are_found_again(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path) == 0


@pytest.mark.parametrize("changed", ["checkpoint_sha256", "config_sha256", "data_sha256"])
def test_renders_of_what_has_changed_since_are_rendered_again(changed: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path, identity={changed: "another"}) == 3


@pytest.mark.parametrize("views", [("a", "cam0/b"), ("a", "cam0/b", "d"), ("cam0/b", "a", "c")])
def test_renders_of_other_views_are_rendered_again(views: tuple[str, ...], tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path, views=views) == len(views)


def test_pngs_do_not_do_for_a_protocol_that_needs_floats(tmp_path: Path) -> None:
    interrupted(tmp_path, LIGHT)
    assert rendered_again(tmp_path, FLOAT) == 3


@pytest.mark.parametrize(("first", "then", "kept"), [(LIGHT, FLOAT, "all"), (FLOAT, LIGHT, "png")])
def test_older_checkpoints_renders_are_not_resumed_from(first: str, then: str, kept: Keep, tmp_path: Path) -> None:
    evaluate_checkpoints([FakeCheckpoint(1, identity={"checkpoint_sha256": "older"})], tmp_path, then, keep=kept)
    interrupted(tmp_path, first, keep="none")
    assert rendered_again(tmp_path, then, keep="none") == 3


def test_kept_floats_beside_pngs_serve_any_protocol(tmp_path: Path) -> None:
    interrupted(tmp_path, FLOAT)
    assert rendered_again(tmp_path, LIGHT) == 0
    assert not list(tmp_path.rglob("*.npy"))


def test_pngs_out_of_range_are_not_resumed_from(tmp_path: Path) -> None:
    interrupted(tmp_path, CLAMPING, renders=out_of_range)
    with pytest.raises(InputError, match=r"The render of view 'cam0/b' has values from .* to 1\.25"):
        rendered_again(tmp_path, LIGHT, renders=out_of_range)


@pytest.mark.parametrize("gone", ["renders/a.png", "references/c.png", "references/c.npy"])
def test_renders_of_which_a_file_is_gone_are_rendered_again(gone: str, tmp_path: Path) -> None:
    interrupted(tmp_path, references=float_image)
    (file,) = tmp_path.rglob(gone)
    file.unlink()
    assert rendered_again(tmp_path, references=float_image) == 3


@pytest.mark.parametrize("damaged", ["renders/a.png", "references/c.png"])
def test_unreadable_leftover_is_rendered_again(damaged: str, tmp_path: Path) -> None:
    whole = evaluate_checkpoints([FakeCheckpoint(1), FakeCheckpoint(2)], tmp_path / "whole", LIGHT)
    out = tmp_path / "out"
    interrupted(out)
    (file,) = out.rglob(damaged)
    file.write_bytes(file.read_bytes()[:100])
    again = [FakeCheckpoint(1), FakeCheckpoint(2)]
    records = evaluate_checkpoints(again, out, LIGHT)
    assert [len(checkpoint.rendered) for checkpoint in again] == [3, 3]
    assert [rows(records, step) for step in (1, 2)] == [rows(whole, step) for step in (1, 2)]
    assert files_below(out) == files_below(tmp_path / "whole")


def test_error_of_scoring_is_no_damage_of_what_was_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Scorer, view: Any) -> Any:
        raise InputError("no score")

    monkeypatch.setattr(Scorer, "outcomes", refuse)
    interrupted(tmp_path)
    again = [FakeCheckpoint(1), FakeCheckpoint(2)]
    with pytest.raises(InputError, match="no score"):
        evaluate_checkpoints(again, tmp_path, LIGHT)
    assert [len(checkpoint.rendered) for checkpoint in again] == [0, 3]


@pytest.mark.parametrize(("peak", "rendered"), [(777, 0), ('"all of it"', 3)])
def test_note_adds_to_a_record_only_what_was_measured(peak: object, rendered: int, tmp_path: Path) -> None:
    interrupted(tmp_path)
    (file,) = tmp_path.rglob(".rendered")
    note = file.read_text().replace("12345", str(peak))
    file.write_text(note.replace('"data_sha256":', '"tf32":true,"weights":{},"data_sha256":'))
    checkpoint = FakeCheckpoint(1)
    record, *_ = evaluate_checkpoints([checkpoint, FakeCheckpoint(2)], tmp_path, LIGHT)
    assert len(checkpoint.rendered) == rendered
    assert (record.provenance["tf32"], record.provenance["peak_memory_bytes"]) == (False, 12345 if rendered else 777)


@pytest.mark.parametrize(
    "note",
    ["", "{}", "[1]", '{"temporary": 3}'],
)
def test_a_note_that_makes_no_sense_is_no_note(note: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    (file,) = tmp_path.rglob(".rendered")
    file.write_text(note)
    assert rendered_again(tmp_path) == 3


def test_a_note_removes_nothing_outside_its_folder(tmp_path: Path) -> None:
    treasure = tmp_path / "treasure.png"
    treasure.touch()
    interrupted(tmp_path / "out", keep="none")
    (file,) = (tmp_path / "out").rglob(".rendered")
    names = file.read_text()
    assert '"a":' in names
    file.write_text(names.replace('"a":', '"../../../../../../../treasure":'))
    assert rendered_again(tmp_path / "out", keep="none") == 3
    assert treasure.exists()


def test_leftovers_of_an_interruption_go_with_the_next_run(tmp_path: Path) -> None:
    interrupted(tmp_path / "staged", FLOAT, references=float_image)
    assert list(tmp_path.rglob("*.npy"))
    rendered_again(tmp_path / "staged", FLOAT, references=float_image, identity={"checkpoint_sha256": "another"})
    interrupted(tmp_path / "at once", FLOAT, references=float_image)
    evaluate_checkpoints([FakeCheckpoint(1, references=float_image)], tmp_path / "at once", LIGHT, keep="none")
    assert not list(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.rglob(".rendered"))


def test_interrupted_scoring_keeps_records_and_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"method": "other", "references": lambda index: float_image(index + 50)}
    score = Scorer.outcomes

    def interrupt(self: Scorer, view: Any) -> Any:
        if torch.equal(view.reference, float_image(51)):
            raise KeyboardInterrupt
        return score(self, view)

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints([FakeCheckpoint(1), FakeCheckpoint(2, **other)], tmp_path, FLOAT, keep="none")
    monkeypatch.undo()
    left = files_below(tmp_path)
    assert [file for file in left if "fake" in file] == [next(file for file in left if file.endswith(".json"))]
    assert sum(file.startswith("fox/other/base/2/.rendering-") and "/renders/" in file for file in left) == 3
    assert sum(file.startswith("fox/other/base/2/.rendering-") and file.endswith(".rendered") for file in left) == 1

    rest = FakeCheckpoint(2, **other)
    evaluate_checkpoints([rest, FakeCheckpoint(3, **other)], tmp_path, FLOAT, keep="none")
    assert rest.rendered == []
    assert [file for file in files_below(tmp_path) if not file.endswith(".json")] == []


@pytest.mark.parametrize(("text", "left"), [(LIGHT, 0), (FLOAT, 1)], ids=["of its protocol", "of another"])
def test_leftover_goes_when_all_its_records_exist(text: str, left: int, tmp_path: Path, opener: Opener) -> None:
    protocol_file(tmp_path, text, "protocol.yaml")
    out, opener.given[:] = tmp_path / "out", [FakeCheckpoint(1)]

    def command() -> list[Record]:
        return nvs_eval.run(tmp_path / "config.yml", protocol=str(tmp_path / "protocol.yaml"), output_dir=out)

    records = command()
    interrupted(out, LIGHT)
    folder = record_file(records[0], out).parent
    unfinished = folder / ".rendering-unfinished"
    unfinished.mkdir()
    held = folder / ".rendering-of-another"
    held.mkdir()
    lock = lock_folder(held)
    assert lock is not None
    assert command() == records
    lock.release()
    assert len(opener.rendered) == 3
    assert held.exists() and not unfinished.exists()
    assert len(list(folder.glob(".rendering-*"))) == 1 + left


def test_disk_space_is_not_asked_for_what_is_rendered(
    tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed: list[int] = []
    monkeypatch.setattr(run_checkpoints, "check_space", lambda size, folder: needed.append(size))
    protocol_file(tmp_path, LIGHT, "light.yaml")
    opener.given[:] = [FakeCheckpoint(1), FakeCheckpoint(2)]
    options = RunOptions(load_config=(tmp_path,), protocol=(str(tmp_path / "light.yaml"),), output_dir=tmp_path / "out")
    interrupted(tmp_path / "out")
    for overwrite in (False, True):
        run_checkpoints.run_checkpoints(replace(options, overwrite=overwrite), Callbacks())
    half, whole = needed
    assert whole == 2 * half > 0


def test_two_commands_on_one_checkpoint_run_side_by_side(tmp_path: Path) -> None:
    """The second begins when the first has rendered, and ends before the first has scored."""
    first, other = FakeCheckpoint(1, references=float_image), FakeCheckpoint(2, references=float_image)
    records: list[Record] = []

    def second_command(index: int) -> None:
        if index == 2:
            other.on_view = lambda index: None
            again = [FakeCheckpoint(step, references=float_image) for step in (1, 2)]
            records.extend(evaluate_checkpoints(again, tmp_path, FLOAT, keep="none"))
            assert [checkpoint.rendered for checkpoint in again] == [["a", "cam0/b", "c"]] * 2

    other.on_view = second_command
    own = evaluate_checkpoints([first, other], tmp_path, FLOAT, keep="none")
    assert [rows(own, step) for step in (1, 2)] == [rows(records, step) for step in (1, 2)]
    assert [file for file in files_below(tmp_path) if not file.endswith(".json")] == []


# --- What is finished already ---------------------------------------------------------------------------------------


def finished(out: Path, *protocols: str, **changes: Any) -> list[Record]:
    job = job_of(FakeCheckpoint(1, **changes))
    is_current = of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)
    return up_to_date(job.id, [protocol_of(text) for text in protocols or (LIGHT,)], out, is_current)


def test_a_checkpoint_with_its_records_is_finished(tmp_path: Path) -> None:
    assert finished(tmp_path) == []
    records = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, FLOAT)
    assert finished(tmp_path, LIGHT, FLOAT) == records
    assert finished(tmp_path, FLOAT) == records[1:]


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": {"checkpoint_sha256": "another"}},
        {"identity": {"config_sha256": "another"}},
        {"identity": {"data_sha256": "another"}},
        {"views": ("a", "cam0/b")},
        {"split": "train"},
        {"method": "other"},
    ],
)
def test_a_record_of_something_else_does_not_count(changes: dict[str, Any], tmp_path: Path) -> None:
    evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert finished(tmp_path, **changes) == []


def test_result_is_finished_when_all_its_records_are(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert finished(tmp_path, LIGHT, FLOAT) == []
    file = record_file(record, tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    assert finished(tmp_path) == []


def test_records_under_other_masks_do_not_count(tmp_path: Path) -> None:
    masks, out = masks_in(tmp_path / "masks", HALVES), tmp_path / "out"
    records = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], out, LIGHT, IGNORING)
    assert finished(out, LIGHT, IGNORING, masks=masks) == records
    assert finished(out, masks=None) == []
    assert finished(out, masks=masks_in(tmp_path / "same", HALVES)) == records[:1]
    assert finished(out, masks=masks_in(tmp_path / "others", {**HALVES, "c": 0.5})) == []
    # To who does not look at them they do not matter.
    assert finished(out, IGNORING, masks=masks_in(tmp_path / "others", {**HALVES, "c": 0.5})) == records[1:]
    evaluate_checkpoints([FakeCheckpoint(1)], out, LIGHT)
    assert finished(out, masks=masks) == []


def test_record_with_skipped_view_is_finished_while_mask_empty(tmp_path: Path) -> None:
    empty, out = {**HALVES, "cam0/b": 0.0}, tmp_path / "out"
    masks = masks_in(tmp_path / "masks", empty)
    records = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], out, LIGHT)
    assert finished(out, masks=masks) == records
    assert finished(out, masks=masks_in(tmp_path / "others", HALVES)) == []
    assert finished(out, masks=None) == []
