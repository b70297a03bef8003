"""A record of the same inputs is kept, any other is never replaced unasked, and each difference is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints, job_of
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_of
from support.records import record as record_of
from support.scenes import masks_in

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.resume import Places, of_checkpoint
from nvs_eval.records.record import Record, read_record, record_file

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
        ({"identity": {"checkpoint_sha256": "another"}}, "another checkpoint (checkpoint checkpoint 1)"),
        ({"identity": {"config_sha256": "another"}}, "another configuration (checkpoint checkpoint 1)"),
        ({"identity": {"data_sha256": "another"}}, "other data (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b", "c", "d")}, "other views (3, not 4 views) (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b")}, "other views (3, not 2 views) (checkpoint checkpoint 1)"),
        ({"views": ("a", "cam0/b", "d")}, "other views (c, not d) (checkpoint checkpoint 1)"),
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


def written(out: Path, record: Record, **options: bool) -> tuple[list[Record], list[str]]:
    said: list[str] = []
    return Places(out, **{"overwrite": False, **options}).write([record], Callbacks(say=said.append)), said


def test_record_that_another_command_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    inputs = {"inputs_sha256": {"renders": "1", "references": "2"}}
    first = record_of(provenance={**inputs, "command": ["first"]})
    second = record_of(provenance={**inputs, "command": ["second"]})
    assert written(tmp_path, first)[0] == [first]
    records, said = written(tmp_path, second)
    assert records == [first]
    assert said == [f"{record_file(first, tmp_path)} is a record of the same inputs. It is kept."]
    assert read_record(record_file(first, tmp_path)) == first
    assert written(tmp_path, second, overwrite=True)[0] == [second]
    assert read_record(record_file(first, tmp_path)) == second


@pytest.mark.parametrize(
    "provenance",
    [
        {"inputs_sha256": {"renders": "3", "references": "2"}},
        {"checkpoint_sha256": "another"},
        {},
    ],
)
def test_other_record_that_another_command_wrote_meanwhile_is_an_error(
    provenance: dict[str, Any], tmp_path: Path
) -> None:
    first = record_of(provenance=provenance)
    written(tmp_path, first)
    second = record_of(provenance={"inputs_sha256": {"renders": "1", "references": "2"}})
    with pytest.raises(InputError, match=r"json was scored on .*, and would be replaced"):
        written(tmp_path, second)
    assert read_record(record_file(first, tmp_path)) == first
