"""Renders of an interrupted command are used by the next one if they match it, and removed otherwise."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener, evaluate_checkpoints, out_of_range
from support.protocols import CLAMPING, FLOAT, LIGHT, protocol_file
from support.records import rows
from support.scenes import files_below, float_image, masks_in

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation import run_checkpoints
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RunOptions
from nvs_eval.evaluation.plan import Keep
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.work_folder import Note, WorkFolder
from nvs_eval.records.record import Record, read_record, record_file
from nvs_eval.system.locks import lock_folder


def interrupt_at(index: int) -> Callable[[int], None]:
    def on_view(at: int) -> None:
        if at == index:
            raise KeyboardInterrupt

    return on_view


@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
@pytest.mark.parametrize("keep", ["png", "none"])
def test_interrupted_command_resumes(protocol: str, keep: Keep, tmp_path: Path) -> None:
    steps = [FakeCheckpoint(step, references=float_image) for step in (1, 2, 3)]
    undisturbed = evaluate_checkpoints(steps, tmp_path / "a", protocol, keep=keep)
    first, second, third = (FakeCheckpoint(step, references=float_image) for step in (1, 2, 3))
    second.on_view = interrupt_at(2)
    out = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints([first, second, third], out, protocol, keep=keep)
    leftovers = files_below(out)
    notes = [name for name in leftovers if name.endswith("/.rendered")]
    assert [re.sub("g-.*/", "g-/", name) for name in notes] == [
        f"fox/fake/base/{n}/.rendering-/.rendered" for n in (1, 2)
    ]
    assert not [file for file in leftovers if "base/3/" in file[:-1] or file.endswith(".json")]
    assert (first.rendered, second.rendered, third.rendered) == (["a", "cam0/b", "c"], ["a", "cam0/b"], [])

    again = [FakeCheckpoint(step, references=float_image) for step in (1, 2, 3)]
    records = evaluate_checkpoints(again, out, protocol, keep=keep)
    assert [checkpoint.rendered for checkpoint in again] == [[], ["c"], ["a", "cam0/b", "c"]]
    assert [rows(records, step) for step in (1, 2, 3)] == [rows(undisturbed, step) for step in (1, 2, 3)]
    assert records[0].provenance["peak_memory_bytes"] == 12345
    assert files_below(out) == files_below(tmp_path / "a")


@pytest.mark.parametrize("keep", ["png", "none", "all"])
@pytest.mark.parametrize("protocols", [[LIGHT], [LIGHT, FLOAT]], ids=["light", "light and float"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_interrupted_single_checkpoint_goes_on_at_its_view(
    at: int, protocols: list[str], keep: Keep, tmp_path: Path
) -> None:
    undisturbed = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path / "undisturbed", *protocols, keep=keep)
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints([FakeCheckpoint(1, on_view=interrupt_at(at))], tmp_path / "out", *protocols, keep=keep)
    again = FakeCheckpoint(1)
    records = evaluate_checkpoints([again], tmp_path / "out", *protocols, keep=keep)
    assert again.rendered == ["a", "cam0/b", "c"][at:]
    assert without_times(records) == without_times(undisturbed)
    assert files_below(tmp_path / "out") == files_below(tmp_path / "undisturbed")


def without_times(records: list[Record]) -> list[Record]:
    return [replace(one, provenance={**one.provenance, "started": "", "seconds": 0}) for one in records]


def interrupted(out: Path, protocol: str = LIGHT, keep: Keep = "png", **first: Any) -> None:
    """Interrupt a command after rendering step 1, so that its renders are left without a record."""
    with pytest.raises(KeyboardInterrupt):
        checkpoints = [FakeCheckpoint(1, **first), FakeCheckpoint(2, on_view=interrupt_at(0))]
        evaluate_checkpoints(checkpoints, out, protocol, keep=keep)


def rendered_again(out: Path, protocol: str = LIGHT, keep: Keep = "png", **first: Any) -> int:
    """Return the number of views of step 1 that the next command renders."""
    checkpoint = FakeCheckpoint(1, **first)
    evaluate_checkpoints([checkpoint, FakeCheckpoint(2)], out, protocol, keep=keep)
    return len(checkpoint.rendered)


def test_renders_of_an_interrupted_command_are_used(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path) == 0


@pytest.mark.parametrize("changed", ["checkpoint_sha256", "config_sha256", "data_sha256"])
def test_changed_inputs_are_rendered_again(changed: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path, identity={changed: "another"}) == 3


@pytest.mark.parametrize("views", [("a", "cam0/b"), ("a", "cam0/b", "d")])
def test_other_views_are_rendered_again(views: tuple[str, ...], tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert rendered_again(tmp_path, views=views) == len(views)


def test_pngs_are_not_used_for_a_protocol_that_needs_floats(tmp_path: Path) -> None:
    interrupted(tmp_path, LIGHT)
    assert rendered_again(tmp_path, FLOAT) == 3


@pytest.mark.parametrize(("first", "then", "kept"), [(LIGHT, FLOAT, "all"), (FLOAT, LIGHT, "png")])
def test_renders_of_an_older_checkpoint_are_not_used(first: str, then: str, kept: Keep, tmp_path: Path) -> None:
    (older,) = evaluate_checkpoints(
        [FakeCheckpoint(1, identity={"checkpoint_sha256": "older"})], tmp_path, then, keep=kept
    )
    record_file(older, tmp_path).unlink()
    interrupted(tmp_path, first, keep="none")
    assert rendered_again(tmp_path, then, keep="none") == 3


def test_floats_with_pngs_are_used_for_any_protocol(tmp_path: Path) -> None:
    interrupted(tmp_path, FLOAT)
    assert rendered_again(tmp_path, LIGHT) == 0
    assert not list(tmp_path.rglob("*.npy"))


def test_pngs_of_out_of_range_renders_are_not_scored(tmp_path: Path) -> None:
    interrupted(tmp_path, CLAMPING, renders=out_of_range)
    assert rendered_again(tmp_path, LIGHT, renders=out_of_range) == 0
    _, file = sorted(tmp_path.rglob("light-*.json"), key=lambda file: len(file.name))
    (reason,) = read_record(file).failed.values()
    assert re.search(r"^The render of view 'cam0/b' .* to 1\.25", reason)


@pytest.mark.parametrize("missing", ["renders/a.png", "references/c.png", "references/c.npy"])
def test_leftover_with_a_missing_file_is_rendered_again(missing: str, tmp_path: Path) -> None:
    interrupted(tmp_path, references=float_image)
    (file,) = tmp_path.rglob(missing)
    file.unlink()
    assert rendered_again(tmp_path, references=float_image) == 1


@pytest.mark.parametrize("damaged", ["renders/a.png", "references/c.png"])
@pytest.mark.parametrize("keep", ["png", "none"])
def test_unreadable_leftover_of_one_checkpoint_is_rendered_again(keep: Keep, damaged: str, tmp_path: Path) -> None:
    (undisturbed,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path / "undisturbed", LIGHT, keep=keep)
    out, again = tmp_path / "out", FakeCheckpoint(1)
    interrupted(out)
    (file,) = out.rglob(damaged)
    file.write_bytes(file.read_bytes()[:100])
    (record,) = evaluate_checkpoints([again], out, LIGHT, keep=keep)
    assert again.rendered == [Path(damaged).stem]
    assert [replace(row, render_seconds=None) for row in record.views] == [
        replace(row, render_seconds=None) for row in undisturbed.views
    ]
    assert files_below(out) == files_below(tmp_path / "undisturbed")


@pytest.mark.parametrize("damaged", ["renders/a.png", "references/c.png"])
def test_unreadable_leftover_is_rendered_again(damaged: str, tmp_path: Path) -> None:
    undisturbed = evaluate_checkpoints([FakeCheckpoint(1), FakeCheckpoint(2)], tmp_path / "undisturbed", LIGHT)
    out = tmp_path / "out"
    interrupted(out)
    (file,) = out.rglob(damaged)
    file.write_bytes(file.read_bytes()[:100])
    again = [FakeCheckpoint(1), FakeCheckpoint(2)]
    records = evaluate_checkpoints(again, out, LIGHT)
    assert [checkpoint.rendered for checkpoint in again] == [[Path(damaged).stem], ["a", "cam0/b", "c"]]
    assert [rows(records, step) for step in (1, 2)] == [rows(undisturbed, step) for step in (1, 2)]
    assert files_below(out) == files_below(tmp_path / "undisturbed")


def test_error_of_scoring_does_not_discard_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Scorer, view: Any) -> Any:
        raise InputError("no score")

    monkeypatch.setattr(Scorer, "outcomes", refuse)
    interrupted(tmp_path)
    again = [FakeCheckpoint(1), FakeCheckpoint(2)]
    with pytest.raises(InputError, match="no score"):
        evaluate_checkpoints(again, tmp_path, LIGHT)
    assert [len(checkpoint.rendered) for checkpoint in again] == [0, 3]


@pytest.mark.parametrize(("peak", "recorded"), [("777", 777), ('"all of it"', None)])
def test_only_measured_values_of_a_note_reach_the_record(peak: str, recorded: int | None, tmp_path: Path) -> None:
    interrupted(tmp_path)
    (file,) = tmp_path.rglob(".rendered")
    note = file.read_text().replace("12345", peak)
    file.write_text(note.replace('"data_sha256":', '"tf32":true,"weights":{},"data_sha256":'))
    checkpoint = FakeCheckpoint(1)
    record, *_ = evaluate_checkpoints([checkpoint, FakeCheckpoint(2)], tmp_path, LIGHT)
    assert checkpoint.rendered == []
    assert (record.provenance["tf32"], record.provenance["peak_memory_bytes"]) == (False, recorded)


@pytest.mark.parametrize(
    "note",
    ["", "{}", "[1]", '{"temporary": 3}'],
)
def test_invalid_note_is_ignored(note: str, tmp_path: Path) -> None:
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
    assert '"name":"a"' in names
    file.write_text(names.replace('"name":"a"', '"name":"../../../../../../../treasure"'))
    assert rendered_again(tmp_path / "out", keep="none") == 3
    assert treasure.exists()


def test_next_command_removes_leftovers(tmp_path: Path) -> None:
    interrupted(tmp_path / "staged", FLOAT, references=float_image)
    assert list(tmp_path.rglob("*.npy"))
    rendered_again(tmp_path / "staged", FLOAT, references=float_image, identity={"checkpoint_sha256": "another"})
    interrupted(tmp_path / "at once", FLOAT, references=float_image)
    evaluate_checkpoints([FakeCheckpoint(1, references=float_image)], tmp_path / "at once", LIGHT, keep="none")
    assert not list(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.rglob(".rendered"))


def test_interrupted_scoring_keeps_finished_records_and_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    files = files_below(tmp_path)
    assert [file for file in files if "fake" in file] == [next(file for file in files if file.endswith(".json"))]
    leftovers = [file for file in files if file.startswith("fox/other/base/2/.rendering-")]
    assert sum("/renders/" in file for file in leftovers) == 3
    assert sum(file.endswith(".rendered") for file in leftovers) == 1

    rest = FakeCheckpoint(2, **other)
    evaluate_checkpoints([rest, FakeCheckpoint(3, **other)], tmp_path, FLOAT, keep="none")
    assert rest.rendered == []
    assert [file for file in files_below(tmp_path) if not file.endswith(".json")] == []


@pytest.mark.parametrize(("text", "remaining"), [(LIGHT, 0), (FLOAT, 1)], ids=["its protocol", "another protocol"])
def test_leftover_is_removed_when_all_its_records_exist(
    text: str, remaining: int, tmp_path: Path, opener: Opener
) -> None:
    protocol_file(tmp_path, text, "protocol.yaml")
    out, opener.given[:] = tmp_path / "out", [FakeCheckpoint(1)]

    def command() -> list[Record]:
        return nvs_eval.run(tmp_path / "config.yml", protocol=str(tmp_path / "protocol.yaml"), output_dir=out)

    records = command()
    interrupted(out, LIGHT)
    folder = record_file(records[0], out).parent
    unfinished = folder / ".rendering-unfinished"
    unfinished.mkdir()
    locked = folder / ".rendering-of-another"
    locked.mkdir()
    lock = lock_folder(locked)
    assert lock is not None
    assert command() == records
    lock.release()
    assert len(opener.rendered) == 3
    assert locked.exists() and not unfinished.exists()
    assert len(list(folder.glob(".rendering-*"))) == 1 + remaining


def test_existing_renders_need_no_disk_space(tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(run_checkpoints, "check_space", lambda size, folder: sizes.append(size))
    protocol_file(tmp_path, LIGHT, "light.yaml")
    opener.given[:] = [FakeCheckpoint(1), FakeCheckpoint(2)]
    options = RunOptions(load_config=(tmp_path,), protocol=(str(tmp_path / "light.yaml"),), output_dir=tmp_path / "out")
    interrupted(tmp_path / "out")
    for overwrite in (False, True):
        run_checkpoints.run_checkpoints(replace(options, overwrite=overwrite), Callbacks())
    half, full = sizes
    assert full == 2 * half > 0


def test_two_commands_on_one_checkpoint_run_side_by_side(tmp_path: Path) -> None:
    """The second command starts after the first has rendered, and ends before the first has scored."""
    first, other = FakeCheckpoint(1, references=float_image), FakeCheckpoint(2, references=float_image)
    records: list[Record] = []

    def second_command(index: int) -> None:
        if index == 2:
            other.on_view = lambda index: None
            again = [FakeCheckpoint(step, references=float_image) for step in (1, 2)]
            records.extend(evaluate_checkpoints(again, tmp_path, FLOAT, keep="none"))
            assert [checkpoint.rendered for checkpoint in again] == [["a", "cam0/b", "c"]] * 2

    other.on_view = second_command
    outer = evaluate_checkpoints([first, other], tmp_path, FLOAT, keep="none")
    assert [rows(outer, step) for step in (1, 2)] == [rows(records, step) for step in (1, 2)]
    assert [file for file in files_below(tmp_path) if not file.endswith(".json")] == []


def test_leftover_renders_are_used_with_other_masks(tmp_path: Path) -> None:
    interrupted(
        tmp_path / "out", masks=masks_in(tmp_path / "binary", dict.fromkeys(("a", "cam0/b", "c"), 0.5), binary=True)
    )
    again = FakeCheckpoint(1)
    records = evaluate_checkpoints([again, FakeCheckpoint(2)], tmp_path / "out", LIGHT)
    assert again.rendered == []
    assert "masks" not in records[0].provenance
    assert [row.coverage for row in records[0].views] == [None] * 3


def test_leftover_of_another_checkpoint_is_kept(tmp_path: Path, opener: Opener) -> None:
    protocol_file(tmp_path, LIGHT, "light.yaml")
    out, opener.given[:] = tmp_path / "out", [FakeCheckpoint(1)]
    protocol = str(tmp_path / "light.yaml")
    (record,) = nvs_eval.run(tmp_path / "config.yml", protocol=protocol, output_dir=out)
    interrupted(out, LIGHT, identity={"checkpoint_sha256": "newer"})
    assert nvs_eval.run(tmp_path / "config.yml", protocol=protocol, output_dir=out) == [record]
    assert len(list(record_file(record, out).parent.glob(".rendering-*"))) == 1


def test_without_locks_no_work_folder_is_taken_or_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="the system has no locks of folders")
    interrupted(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = list(tmp_path.rglob(".rendering-*"))
    assert rendered_again(tmp_path) == 3
    assert before == [folder for folder in before if folder.exists()] != []


def test_too_many_open_files_do_not_stop_a_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if Path(path).name.startswith(".rendering-"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    work = WorkFolder.new(tmp_path / "scene", Note({}, floats=False, pngs=True))
    assert work.path.is_dir() and not work.lock.is_held
    assert len(list((tmp_path / "scene").iterdir())) == 1


def test_a_source_must_tell_its_checkpoints_apart(tmp_path: Path, opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(1, identity={"checkpoint_sha256": ""})]
    with pytest.raises(InputError, match="must give checkpoint_sha256"):
        nvs_eval.run(tmp_path / "config.yml", protocol="nerf", output_dir=tmp_path / "out")
    assert opener.rendered == []
