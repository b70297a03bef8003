"""A record of the same inputs is kept, any other is never replaced unasked, and each difference is named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints, job_of
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_of
from support.records import record as record_of
from support.records import row
from support.scenes import masks_in

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.inputs import of_checkpoint, of_record, origin_of
from nvs_eval.evaluation.resume import Places
from nvs_eval.records.record import Record, read_record, record_file, write_record

HALVES = {"a": 0.5, "cam0/b": 0.25, "c": 1.0}


def finished(out: Path, *protocols: str, overwrite: bool = False, **changes: Any) -> list[Record]:
    job = job_of(FakeCheckpoint(1, **changes))
    inputs = of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)
    texts: Sequence[str] = protocols or (LIGHT,)
    return [*Places(out, overwrite).finished(job.id, [protocol_of(text) for text in texts], inputs).values()]


def refusal(out: Path, *protocols: str, **changes: Any) -> str:
    """Return the error, which names the file and what to type; the record is still there."""
    before = {file: file.read_bytes() for file in out.rglob("*.json")}
    with pytest.raises(InputError) as error:
        finished(out, *protocols, **changes)
    assert {file: file.read_bytes() for file in out.rglob("*.json")} == before
    assert finished(out, *protocols, overwrite=True, **changes) == []
    message = re.fullmatch(r"(\S+\.json) (.+) Keep both with (.+)", str(error.value))
    assert message is not None, str(error.value)
    assert Path(message[1]) in before
    assert message[3] == "another `--method` or `--output-dir`, or replace it with `--overwrite`."
    return message[2]


def test_checkpoint_with_its_records_is_finished(tmp_path: Path) -> None:
    assert finished(tmp_path) == []
    records = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, FLOAT)
    assert finished(tmp_path, LIGHT, FLOAT) == records
    assert finished(tmp_path, FLOAT, IGNORING) == records[1:]
    assert finished(tmp_path, LIGHT, overwrite=True) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"identity": {"checkpoint_sha256": "another"}},
            "another checkpoint (checkpoint checkpoint 1, not checkpoint another)",
        ),
        ({"identity": {"config_sha256": "another"}}, "another configuration (checkpoint checkpoint 1)"),
        ({"identity": {"data_sha256": "another"}}, "other data (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b", "c", "d")}, "3 views, not 4 (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b")}, "3 views, not 2 (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b", "d")}, "view c, not d (checkpoint checkpoint 1)"),
    ],
)
def test_record_of_other_inputs_is_never_replaced(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert refusal(tmp_path, **changes).startswith(f"was scored on {message}, and would be replaced")


def test_split_and_method_have_records_of_their_own(tmp_path: Path) -> None:
    evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert finished(tmp_path, split="train") == []
    assert finished(tmp_path, method="other") == []


def test_damaged_file_in_the_place_of_a_record_is_not_replaced(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    file = record_file(record, tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"would replace .*light-\w+\.json, which is not readable"):
        finished(tmp_path)
    assert finished(tmp_path, overwrite=True) == []
    assert finished(tmp_path, FLOAT) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_record_of_another_name_is_never_replaced(overwrite: bool, tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1, method="a/b")], tmp_path, LIGHT)
    with pytest.raises(InputError, match=r"another result, 'fox', 'a/b/base/1', whose name leads to the same file as"):
        finished(tmp_path, method="a_b", overwrite=overwrite)
    assert read_record(record_file(record, tmp_path)) == record


@pytest.mark.parametrize("here", ["renders", "."])
def test_folder_of_the_renders_is_named_in_full_from_within(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "renders").mkdir()
    monkeypatch.chdir(tmp_path / here)
    origin = origin_of(record_of([replace(row("a"), render="renders/a.png")]), tmp_path / "record.json")
    assert origin == (str(tmp_path.resolve() / "renders") if here == "renders" else "renders")


def test_records_under_other_masks_are_different(tmp_path: Path) -> None:
    masks, out = masks_in(tmp_path / "masks", HALVES), tmp_path / "out"
    records = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], out, LIGHT, IGNORING)
    assert finished(out, LIGHT, IGNORING, masks=masks) == records
    # The same masks elsewhere.
    assert finished(out, LIGHT, IGNORING, masks=masks_in(tmp_path / "same", HALVES)) == records
    others = masks_in(tmp_path / "others", {**HALVES, "c": 0.5})
    assert refusal(out, masks=others).startswith("was scored on other masks (")
    assert refusal(out, masks=None).startswith("was scored on images with masks (")
    # A protocol that ignores masks is unaffected.
    assert finished(out, IGNORING, masks=others) == records[1:]
    evaluate_checkpoints([FakeCheckpoint(1)], tmp_path / "plain", LIGHT)
    assert refusal(tmp_path / "plain", masks=masks).startswith("was scored on images without masks (")


def test_record_with_skipped_view_is_finished_while_mask_empty(tmp_path: Path) -> None:
    empty, out = {**HALVES, "cam0/b": 0.0}, tmp_path / "out"
    masks = masks_in(tmp_path / "masks", empty)
    records = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], out, LIGHT)
    assert finished(out, masks=masks) == records
    assert refusal(out, masks=masks_in(tmp_path / "others", HALVES)).startswith("was scored on other masks (")


# --- Two commands at once ---------------------------------------------------------------------------------------------


PROTOCOL = protocol_of(LIGHT)


def new(command: str = "", **provenance: Any) -> Record:
    return record_of([row(psnr=20.0)], protocol=PROTOCOL.stamp, provenance={"command": [command], **provenance})


def written(out: Path, record: Record, **options: bool) -> tuple[list[Record], list[str]]:
    said: list[str] = []
    inputs = {record.id: of_record(record, record_file(record, out))}
    places = Places(out, **{"overwrite": False, **options})
    return places.write([record], [PROTOCOL], inputs, Callbacks(say=said.append)), said


INPUTS = {"renders": "1", "references": "2"}


def test_record_that_another_command_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    first, second = (new(command, inputs_sha256=INPUTS) for command in ("first", "second"))
    assert written(tmp_path, first)[0] == [first]
    records, said = written(tmp_path, second)
    assert records == [first]
    assert said == [f"{record_file(first, tmp_path)} is a record of the same inputs. It is kept."]
    assert read_record(record_file(first, tmp_path)) == first
    assert written(tmp_path, second, overwrite=True)[0] == [second]
    assert read_record(record_file(first, tmp_path)) == second


def test_incomplete_record_never_replaces_a_complete_one_written_meanwhile(tmp_path: Path) -> None:
    first, second = new("first", inputs_sha256=INPUTS), new(inputs_sha256=INPUTS, failed={"0002": "damaged"})
    first = replace(first, views=[row(psnr=20.0), row("0002", psnr=30.0)])
    written(tmp_path, first)
    assert written(tmp_path, second)[0] == [first]
    assert list(tmp_path.rglob("*.json")) == [record_file(first, tmp_path)]
    assert written(tmp_path, second, overwrite=True)[0] == [second]
    assert list(tmp_path.rglob("*.json")) == [record_file(second, tmp_path)]
    assert written(tmp_path, first, overwrite=True)[0] == [first]
    assert list(tmp_path.rglob("*.json")) == [record_file(first, tmp_path)]


@pytest.mark.parametrize(
    "provenance",
    [
        {"inputs_sha256": {"renders": "3", "references": "2"}},
        {"checkpoint_sha256": "another"},
        {},
    ],
)
@pytest.mark.parametrize("failed", [{}, {"failed": {"0002": "damaged"}}])
def test_other_record_that_another_command_wrote_meanwhile_is_an_error(
    provenance: dict[str, Any], failed: dict[str, Any], tmp_path: Path
) -> None:
    first = new(**provenance, **failed)
    written(tmp_path, first)
    with pytest.raises(InputError, match=r"json was scored on .*, and would be replaced"):
        written(tmp_path, new(inputs_sha256=INPUTS, **failed))
    assert read_record(record_file(first, tmp_path)) == first


def test_all_records_that_can_be_written_are(tmp_path: Path) -> None:
    names = ("ours", "theirs", "last")
    records = [replace(new(inputs_sha256=INPUTS), method=name) for name in names]
    written(tmp_path, replace(records[1], provenance={"checkpoint_sha256": "another"}))
    inputs = {record.id: of_record(record, record_file(record, tmp_path)) for record in records}
    with pytest.raises(InputError, match=r"theirs/final/light-\w+\.json was scored on renders of a checkpoint"):
        Places(tmp_path, overwrite=False).write(records, [PROTOCOL], inputs, Callbacks())
    assert [read_record(record_file(records[place], tmp_path)) for place in (0, 2)] == [records[0], records[2]]


# --- Copied and damaged records ---------------------------------------------------------------------------------------


def test_copied_or_edited_record_is_never_taken_for_current(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, FLOAT)
    copy = record_file(record, tmp_path).with_name(f"light-{PROTOCOL.fingerprint}.json")
    shutil.copy(record_file(record, tmp_path), copy)
    with pytest.raises(
        InputError, match=r"must have the name of its record, float-\w+\.json\. It was copied or edited"
    ):
        finished(tmp_path)
    assert finished(tmp_path, overwrite=True) == []
    # A complete record that was edited into an incomplete one.
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path / "edited", LIGHT)
    edited = replace(record, provenance={**record.provenance, "failed": {"d": "damaged"}})
    write_record(record_file(record, tmp_path / "edited"), edited)
    with pytest.raises(InputError, match=r"must have the name of its record, light-\w+-incomplete\.json"):
        finished(tmp_path / "edited")


@pytest.mark.parametrize(
    ("entry", "value"),
    [(name, value) for name in ("failed", "left_out", "left_out_masks") for value in (["c"], None, "c")]
    + [("checkpoint_sha256", 12), ("reference_copies", ["c"])],
)
def test_record_with_damaged_provenance_is_not_readable(entry: str, value: Any, tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    write_record(record_file(record, tmp_path), replace(record, provenance={**record.provenance, entry: value}))
    with pytest.raises(InputError, match=rf"json, which is not readable \(.*{entry} must be"):
        finished(tmp_path)
    assert finished(tmp_path, overwrite=True) == []
