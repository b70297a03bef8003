"""A record counts as finished while it matches the current inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints, job_of
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_of
from support.scenes import masks_in

from nvs_eval.evaluation.resume import of_checkpoint, up_to_date
from nvs_eval.records.record import Record, record_file

HALVES = {"a": 0.5, "cam0/b": 0.25, "c": 1.0}


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
def test_record_of_other_inputs_does_not_count(changes: dict[str, Any], tmp_path: Path) -> None:
    evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert finished(tmp_path, **changes) == []


def test_result_is_finished_if_all_its_records_are(tmp_path: Path) -> None:
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
    # A protocol that ignores masks is unaffected.
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
