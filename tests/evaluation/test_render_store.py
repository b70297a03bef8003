"""Kept renders: exactly the requested files are kept, and they match their record."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints, job_of
from support.pinned import Pinned
from support.protocols import FLOAT, HALF, LIGHT, protocol_of
from support.records import record as record_of
from support.records import rows
from support.scenes import files_below, float_image, image, write_pngs

from nvs_eval.errors import InputError
from nvs_eval.evaluation import score_folders
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.plan import Keep, plan_renders
from nvs_eval.evaluation.render_store import RenderStore
from nvs_eval.evaluation.score_folders import check_not_copies, records_of_copies
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import read_record, record_file, write_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import ImageFiles, open_folders
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.pictures import Picture
from nvs_eval.system.space import check_space

VIEWS = ("a", "c", "cam0/b")

# --- Kept files -----------------------------------------------------------------------------------------------------

KEPT: dict[Keep, list[str]] = {
    "png": [f"renders/{view}.png" for view in VIEWS],
    "all": [f"renders/{view}.npy" for view in VIEWS],
    "none": [],
}


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
@pytest.mark.parametrize("keep", KEPT)
@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
def test_exactly_the_requested_files_are_kept(
    keep: Keep, protocol: str, staged: bool, references: Callable[[int], torch.Tensor], tmp_path: Path
) -> None:
    checkpoints = [FakeCheckpoint(step, references=references) for step in (1, 2)[: 1 + staged]]
    records = evaluate_checkpoints(checkpoints, tmp_path, protocol, keep=keep)
    digest = records[0].references_sha256[:12]
    json = record_file(records[0], tmp_path).name
    expected = [f"fox/fake/base/{checkpoint.step}/{name}" for checkpoint in checkpoints for name in [*KEPT[keep], json]]
    kinds = {"png": ["png"], "none": [], "all": ["png", "npy"] if references is float_image else ["png"]}[keep]
    expected += [f"fox/references/{digest}/{view}.{kind}" for view in VIEWS for kind in kinds]
    assert files_below(tmp_path) == sorted(expected)


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize(("keep", "extension"), [("png", ".png"), ("all", ".npy")])
def test_paths_in_a_record_lead_to_the_kept_files(keep: Keep, extension: str, staged: bool, tmp_path: Path) -> None:
    checkpoints = [FakeCheckpoint(step, references=float_image) for step in (1, 2)[: 1 + staged]]
    for record in evaluate_checkpoints(checkpoints, tmp_path, LIGHT, FLOAT, keep=keep):
        file = record_file(record, tmp_path)
        assert read_record(file) == record
        for row in record.views:
            reference = f"../../../references/{record.references_sha256[:12]}/{row.name}{extension}"
            assert (row.render, row.reference) == (f"renders/{row.name}{extension}", reference)
            assert (file.parent / f"renders/{row.name}{extension}").is_file()
            assert (file.parent / reference).is_file()


def test_record_without_kept_renders_has_no_paths(tmp_path: Path) -> None:
    for checkpoints in ([FakeCheckpoint(1)], [FakeCheckpoint(1), FakeCheckpoint(2)]):
        for record in evaluate_checkpoints(checkpoints, tmp_path, LIGHT, keep="none"):
            assert {(row.render, row.reference) for row in record.views} == {(None, None)}


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize(
    ("keep", "references", "expected"),
    [
        ("png", image, {"light": "as scored", "half": "as scored", "float": "8-bit copies of what was scored"}),
        (
            "png",
            float_image,
            {
                "light": "as scored",
                "half": "8-bit copies of what was scored",
                "float": "8-bit copies of what was scored",
            },
        ),
        ("all", float_image, {"light": "as scored", "half": "as scored", "float": "as scored"}),
        ("none", image, {"light": "none", "half": "none", "float": "none"}),
    ],
)
def test_record_states_whether_kept_renders_are_the_scored_ones(
    keep: Keep, references: Callable[[int], torch.Tensor], expected: dict[str, str], staged: bool, tmp_path: Path
) -> None:
    checkpoints = [FakeCheckpoint(step, references=references) for step in (1, 2)[: 1 + staged]]
    for record in evaluate_checkpoints(checkpoints, tmp_path, LIGHT, HALF, FLOAT, keep=keep):
        assert record.provenance["kept_renders"] == expected[record.protocol["name"]]


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize("keep", KEPT)
def test_record_has_the_hashes_of_reference_copies(keep: Keep, staged: bool, tmp_path: Path) -> None:
    def one_is_float(index: int) -> torch.Tensor:
        return float_image(index) if index == 1 else image(index)

    checkpoints = [FakeCheckpoint(step, references=one_is_float) for step in (1, 2)[: 1 + staged]]
    for record in evaluate_checkpoints(checkpoints, tmp_path, LIGHT, FLOAT, keep=keep):
        if keep != "png":
            assert "reference_copies" not in record.provenance
            continue
        (row,) = [row for row in record.views if row.name == "cam0/b"]
        kept = load_image(record_file(record, tmp_path).parent / str(row.reference))
        assert record.provenance["reference_copies"] == {"cam0/b": sha256_of_image(kept)}
        assert row.reference_sha256 != sha256_of_image(kept)


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize(("keep", "protocol"), [("png", LIGHT), ("all", LIGHT), ("all", FLOAT)])
def test_kept_renders_reproduce_the_recorded_scores(keep: Keep, protocol: str, staged: bool, tmp_path: Path) -> None:
    out = tmp_path / "results"
    checkpoints = [FakeCheckpoint(step, references=float_image) for step in (1, 2)[: 1 + staged]]
    scorer = Scorer([protocol_of(protocol)], torch.device("cpu"))
    for record in evaluate_checkpoints(checkpoints, out, protocol, keep=keep):
        folder = record_file(record, out).parent
        renders = {row.name: Picture(folder / str(row.render)) for row in record.views}
        references = {row.name: Picture(folder / str(row.reference)) for row in record.views}
        source = ImageFiles([RenderSet(ResultId("s", "m"), renders, references)])
        (again,) = evaluate(source, source.ids, scorer, Session(tmp_path))
        assert [row.scores for row in again.views] == [row.scores for row in record.views]
        assert again.means == record.means


def test_replaced_render_set_keeps_its_provenance(tmp_path: Path) -> None:
    job = job_of(checkpoint := FakeCheckpoint(1))
    provenance = dict(checkpoint.provenance)
    plan = plan_renders([job, job], [protocol_of(LIGHT)], "png")
    with RenderStore(job, tmp_path, plan) as store:
        list(store.render(checkpoint.names))
        renders = replace(store.render_set(), seconds={"a": 1.0})
        for _ in renders.provenance:  # A shared dictionary would change during the iteration.
            checkpoint.peak_memory_bytes = 7
            store.finish_rendering()
        assert store.render_set().provenance == {**provenance, "peak_memory_bytes": 7}
        assert renders.provenance == {**provenance, "peak_memory_bytes": 12345}
    assert checkpoint.provenance == provenance


def test_kept_renders_score_like_any_other_folder(tmp_path: Path) -> None:
    (record,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    references = tmp_path / "fox" / "references" / record.references_sha256[:12]
    (source,) = open_folders([record_file(record, tmp_path).parent / "renders"], reference=references)
    (again,) = evaluate(source, source.ids, Scorer([protocol_of(LIGHT)], torch.device("cpu")), Session(tmp_path))
    scored = {row.name: (row.scores, row.reference_sha256) for row in record.views}
    assert {row.name: (row.scores, row.reference_sha256) for row in again.views} == scored


def test_shared_references_are_kept_once(tmp_path: Path) -> None:
    checkpoints = [FakeCheckpoint(1), FakeCheckpoint(2), FakeCheckpoint(3, method="other")]
    records = evaluate_checkpoints(checkpoints, tmp_path, LIGHT)
    kept = [file for file in files_below(tmp_path) if "references" in file]
    assert kept == [f"fox/references/{records[0].references_sha256[:12]}/{view}.png" for view in VIEWS]


def test_checkpoints_with_other_references_use_their_own(tmp_path: Path) -> None:
    plain = [FakeCheckpoint(1), FakeCheckpoint(2)]
    undistorted = FakeCheckpoint(3, method="splat", references=lambda index: image(index + 50))
    records = evaluate_checkpoints([plain[0], undistorted, plain[1]], tmp_path / "all", LIGHT)
    alone = evaluate_checkpoints([undistorted], tmp_path / "alone", LIGHT)
    assert rows(records, 3) == rows(alone, 3)
    assert len({record.references_sha256 for record in records}) == 2
    folders = {file.split("/")[2] for file in files_below(tmp_path / "all") if file.startswith("fox/references/")}
    assert folders == {record.references_sha256[:12] for record in records}


def test_earlier_renders_survive_a_command_that_keeps_none(tmp_path: Path) -> None:
    steps = [FakeCheckpoint(1), FakeCheckpoint(2)]
    evaluate_checkpoints(steps, tmp_path, LIGHT, keep="png")
    before = set(files_below(tmp_path))
    for protocols in ((FLOAT,), (HALF,), (LIGHT, FLOAT)):
        evaluate_checkpoints(steps, tmp_path, *protocols, keep="none")
    added = set(files_below(tmp_path)) - before
    assert before <= set(files_below(tmp_path))
    assert all(file.endswith(".json") for file in added)


def test_earlier_floats_survive_a_command_that_keeps_pngs(tmp_path: Path) -> None:
    steps = [FakeCheckpoint(step, references=float_image) for step in (1, 2)]
    evaluate_checkpoints(steps, tmp_path, FLOAT, keep="all")
    before = set(files_below(tmp_path))
    evaluate_checkpoints(steps, tmp_path, FLOAT, keep="png", overwrite=True)
    added = set(files_below(tmp_path)) - before
    assert before <= set(files_below(tmp_path))
    assert added == {f"fox/fake/base/{step}/{name}" for step in (1, 2) for name in KEPT["png"]}


# --- Disk space -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize("keep", ["png", "all", "none"])
@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
def test_estimated_disk_space_is_never_exceeded(staged: bool, keep: Keep, protocol: str, tmp_path: Path) -> None:
    checkpoints = [FakeCheckpoint(step, references=float_image) for step in (1, 2)[: 1 + staged]]
    jobs = [job_of(checkpoint) for checkpoint in checkpoints]
    plan = plan_renders(jobs, [protocol_of(protocol)], keep)
    estimate = sum(RenderStore(job, tmp_path, plan).bytes_needed for job in jobs)
    peak = 0

    def measure(index: int) -> None:
        nonlocal peak
        files = [file for file in tmp_path.rglob("*") if file.suffix in (".png", ".npy")]
        # Noise does not compress; each file has a header of up to 300 bytes.
        peak = max(peak, sum(file.stat().st_size - 300 for file in files))

    for checkpoint in checkpoints:
        checkpoint.on_view = measure
    evaluate_checkpoints(checkpoints, tmp_path, protocol, keep=keep)
    measure(0)
    assert peak <= estimate
    assert (estimate == 0) == (keep == "none" and not staged)
    assert plan == replace(plan, keep=keep, staged=staged)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_lack_of_disk_space_is_refused_before_rendering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    queried: list[Path] = []

    def usage(path: Path) -> Usage:
        queried.append(path)
        return Usage(0, 0, 5_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    out = tmp_path / "not" / "there" / "yet"
    check_space(5_000_000, out)
    with pytest.raises(InputError) as error:
        check_space(12_345_000_000, out)
    pinned("run", error.value)
    assert queried == [tmp_path, tmp_path]


def test_renders_that_cannot_be_moved_wait_for_the_next_command(tmp_path: Path) -> None:
    (tmp_path / "fox" / "fake" / "base" / "1").mkdir(parents=True)
    (tmp_path / "fox" / "fake" / "base" / "1" / "renders").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written: .*`--output-dir`"):
        evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT)
    assert not list(tmp_path.rglob("*.json"))
    (tmp_path / "fox" / "fake" / "base" / "1" / "renders").unlink()
    evaluate_checkpoints([again := FakeCheckpoint(1)], tmp_path, LIGHT)
    assert again.rendered == []
    assert not list(tmp_path.rglob(".rendering-*"))


@pytest.mark.parametrize("failing", range(1, 15))
def test_full_disk_loses_no_finished_view(failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (undisturbed,) = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path / "undisturbed", LIGHT)
    out, rename, calls = tmp_path / "out", os.replace, []

    def fail(*paths: str) -> None:
        calls.append(paths)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(*paths)

    first, again = FakeCheckpoint(1), FakeCheckpoint(1)
    with monkeypatch.context() as patched, suppress(InputError):
        patched.setattr(os, "replace", fail)
        evaluate_checkpoints([first], out, LIGHT)
    assert len(calls) >= failing
    if not list(out.rglob("*.json")):
        evaluate_checkpoints([again], out, LIGHT)
    assert len(first.rendered) + len(again.rendered) <= 4  # The view whose file was not written is rendered again.
    (file,) = out.rglob("*.json")
    assert [row.scores for row in read_record(file).views] == [row.scores for row in undisturbed.views]
    assert files_below(out) == files_below(tmp_path / "undisturbed")


def test_8_bit_copies_are_not_scored_as_float_renders(tmp_path: Path) -> None:
    renders = write_pngs(tmp_path / "2500" / "renders", {"0001": 1})
    quantising, of_floats = protocol_of(LIGHT), protocol_of(FLOAT)
    # A folder of PNGs without a record of nvs-eval beside it is scored as it is.
    (tmp_path / "2500" / "results.json").write_text("{}")
    check_not_copies(records_of_copies([renders]), of_floats)
    kept_record = record_of(provenance={"kept_renders": "as scored"})
    write_record(tmp_path / "2500" / "standard-9f2c51ab.json", kept_record)
    check_not_copies(records_of_copies([renders]), quantising)
    with pytest.raises(InputError, match=r"8-bit copies .*standard-9f2c51ab\.json .*float scores floats"):
        check_not_copies(records_of_copies([renders]), of_floats)


def test_records_beside_folders_of_copies_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_pngs(tmp_path / "2500" / name, {"0001": 1}) for name in ("renders", "again")]
    other, kept = tmp_path / "2500" / "a-9f2c51ab.json", tmp_path / "2500" / "b-9f2c51ab.json"
    write_record(other, record_of())
    write_record(kept, record_of(provenance={"kept_renders": "as scored"}))
    reads: list[Path] = []
    monkeypatch.setattr(score_folders, "read_record", lambda file: reads.append(file) or read_record(file))
    copies = score_folders.records_of_copies(folders)
    assert copies == dict.fromkeys(folders, kept)
    for protocol in (protocol_of(LIGHT), replace(protocol_of(LIGHT), name="other")):
        check_not_copies(copies, protocol)
    assert reads == [other, kept]
