"""Checkpoints are evaluated at once or in two stages, with the same result."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener, evaluate_checkpoints, evaluate_jobs, job_of, out_of_range
from support.protocols import CLAMPING, FLOAT, HALF, IGNORING, LIGHT, protocol_file
from support.records import rows
from support.scenes import WIDTH, files_below, float_image, image, masks_in, write_masks

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation.plan import Keep
from nvs_eval.images.files import save_png
from nvs_eval.records.record import Record, read_record, record_file
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images

# --- The same result at once and staged -----------------------------------------------------------------------------


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize(
    "protocols", [(LIGHT,), (FLOAT,), (HALF,), (LIGHT, FLOAT)], ids=["light", "float", "half", "light and float"]
)
def test_checkpoint_scores_the_same_alone_and_among_others(
    protocols: tuple[str, ...], references: Callable[[int], torch.Tensor], tmp_path: Path
) -> None:
    alone = evaluate_checkpoints([FakeCheckpoint(2, references=references)], tmp_path / "a", *protocols)
    steps = [FakeCheckpoint(step, references=references) for step in (1, 2, 3)]
    among = evaluate_checkpoints(steps, tmp_path / "b", *protocols)
    assert len(alone) == len(protocols)
    assert len(among) == 3 * len(protocols)
    assert rows(among, 2) == rows(alone, 2)
    second = [record for record in among if record.step == 2]
    assert [record.means for record in second] == [record.means for record in alone]
    assert [record.references_sha256 for record in second] == [record.references_sha256 for record in alone]
    assert [record.neutral for record in second] == [record.neutral for record in alone]
    assert all(("q-reference" in record.neutral) == (references is image) for record in alone)
    assert rows(among, 1) != rows(among, 2)


def test_record_contains_what_the_checkpoint_reports(tmp_path: Path) -> None:
    for checkpoints in ([FakeCheckpoint(1)], [FakeCheckpoint(1), FakeCheckpoint(2)]):
        record = evaluate_checkpoints(checkpoints, tmp_path, LIGHT)[0]
        assert (record.scene, record.method, record.run, record.step) == ("fox", "fake", "base", 1)
        assert [row.name for row in record.views] == ["a", "cam0/b", "c"]
        assert [row.render_seconds for row in record.views] == [None, 1.0, 2.0]
        assert [row.coverage for row in record.views] == [None, None, None]
        assert record.provenance["checkpoint_sha256"] == "checkpoint 1"
        assert record.provenance["peak_memory_bytes"] == 12345
        # Checkpoints render floats, of which PNGs are copies.
        assert record.neutral == ("alpha", "range", "q-reference", "mask", "clamps")


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
def test_models_own_metrics_are_recorded_beside_the_scores(staged: bool, tmp_path: Path) -> None:
    def own(index: int) -> dict[str, float]:
        return {"depth_rmse": 0.5 + index, "a1": 1.0} if index else {}

    steps = [FakeCheckpoint(1, own=own), FakeCheckpoint(2)][: 1 + staged]
    record, *others = evaluate_checkpoints(steps, tmp_path, LIGHT)
    assert [row.own for row in record.views] == [None, {"depth_rmse": 1.5, "a1": 1.0}, {"depth_rmse": 2.5, "a1": 1.0}]
    assert all(row.own is None for other in others for row in other.views)
    assert set(record.means) == set(record.metrics) == {"psnr", "ssim"}
    assert read_record(record_file(record, tmp_path)) == record


def test_names_given_by_the_user_reach_records_and_folders(tmp_path: Path) -> None:
    jobs = [job_of(FakeCheckpoint(step), scene="garden", method="mine") for step in (1, 2)]
    records = evaluate_jobs(jobs, tmp_path, LIGHT)
    assert [record_file(record, tmp_path).parent for record in records] == [
        tmp_path / "garden" / "mine" / "base" / str(step) for step in (1, 2)
    ]
    assert records[0].provenance["peak_memory_bytes"] == 12345


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
def test_render_out_of_range_fails_though_its_png_hides_it(staged: bool, protocol: str, tmp_path: Path) -> None:
    checkpoints = [FakeCheckpoint(1, renders=out_of_range), FakeCheckpoint(2)][: 1 + staged]
    record, *others = evaluate_checkpoints(checkpoints, tmp_path, protocol)
    (reason,) = record.failed.values()
    assert re.search(r"^The render of view 'cam0/b' .* to 1\.25\b", reason)
    assert list(record.failed) == ["cam0/b"]
    assert [row.name for row in record.views] == ["a", "c"]
    assert record.selection is None
    assert [(other.failed, other.selection, len(other.views)) for other in others] == [({}, None, 3)] * staged
    assert not list(tmp_path.rglob("*.npy"))


def test_clamping_protocol_scores_floats_and_pngs_alike(tmp_path: Path) -> None:
    alone = evaluate_checkpoints([FakeCheckpoint(1, renders=out_of_range)], tmp_path / "a", CLAMPING)
    pair = [FakeCheckpoint(1, renders=out_of_range), FakeCheckpoint(2)]
    clamped, inside = evaluate_checkpoints(pair, tmp_path / "b", CLAMPING)
    assert rows([clamped], 1) == rows(alone, 1)
    assert "range" not in clamped.neutral and "range" in inside.neutral
    assert clamped.neutral == alone[0].neutral


@pytest.mark.parametrize("name", ["../../../../outside", "/outside", "a/../../b"])
def test_view_name_that_points_outside_the_folder_raises(name: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "down" / "out"
    with pytest.raises(InputError, match="outside the folder"):
        evaluate_checkpoints([FakeCheckpoint(1, views=[name])], out, LIGHT)
    assert [file for file in files_below(tmp_path) if not file.endswith("/")] == []


def test_view_name_may_have_the_maximum_length(tmp_path: Path) -> None:
    name = "v" * 251
    (record,) = evaluate_checkpoints([FakeCheckpoint(1, views=[name])], tmp_path, LIGHT)
    assert record.views[0].render == f"renders/{name}.png"
    assert (record_file(record, tmp_path).parent / f"renders/{name}.png").is_file()


# --- Masks ----------------------------------------------------------------------------------------------------------

HALVES = {"a": 0.5, "cam0/b": 0.25, "c": 1.0}


@pytest.mark.parametrize("protocol", [LIGHT, FLOAT], ids=["light", "float"])
def test_masks_count_the_same_at_once_and_staged(protocol: str, tmp_path: Path) -> None:
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
    # A full mask changes nothing.
    assert [abs(one - other) < 1e-6 for one, other in zip(*psnr, strict=True)] == [False, False, True]
    # Masks do not change references.
    assert alone.references_sha256 == unmasked.references_sha256


def test_masked_score_covers_only_the_white_pixels(tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", HALVES)
    (record,) = evaluate_checkpoints([FakeCheckpoint(1, masks=masks)], tmp_path / "out", FLOAT)
    difference = (float_image(1000) - image(0))[:, WIDTH // 2 :].double()
    assert record.views[0].scores["psnr"] == pytest.approx(-10 * math.log10(float((difference**2).mean())), abs=1e-5)


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
def test_view_with_empty_mask_is_skipped_and_recorded(staged: bool, tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", {**HALVES, "cam0/b": 0.0})
    steps = [FakeCheckpoint(step, masks=masks) for step in (1, 2)[: 1 + staged]]
    masked, ignoring, *_ = evaluate_checkpoints(steps, tmp_path / "out", LIGHT, IGNORING)
    assert [row.name for row in masked.views] == ["a", "c"]
    assert masked.provenance["left_out"] == {"cam0/b": "The mask of view 'cam0/b' is empty: there is nothing to score."}
    assert [row.name for row in ignoring.views] == ["a", "cam0/b", "c"]
    assert "left_out" not in ignoring.provenance
    # It was rendered anyway, for protocols that ignore masks.
    assert (record_file(masked, tmp_path / "out").parent / "renders/cam0/b.png").is_file()


def test_all_masks_empty_raises(tmp_path: Path) -> None:
    masks = masks_in(tmp_path / "masks", dict.fromkeys(HALVES, 0.0))
    with pytest.raises(InputError, match=r"No view of fox/fake/base/1 could .*The mask of view 'a' is empty"):
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
def test_record_states_that_weights_above_0_count_as_1(staged: bool, tmp_path: Path) -> None:
    faint = write_masks(tmp_path / "faint", HALVES, weight=2 / 255)
    steps = [
        FakeCheckpoint(step, masks=Masks(list_images(faint), binary=True), method="binary")
        for step in (1, 2)[: 1 + staged]
    ]
    binary, ignoring, *_ = evaluate_checkpoints(steps, tmp_path / "out", LIGHT, IGNORING)
    assert binary.provenance["masks"] == "binary"
    assert [row.coverage for row in binary.views] == [0.5, 0.25, 1.0]
    assert "masks" not in ignoring.provenance
    steps = [FakeCheckpoint(1, masks=Masks(list_images(faint)))]
    with pytest.raises(InputError, match="must have white pixels"):
        evaluate_checkpoints(steps, tmp_path / "out", LIGHT)


# --- Further protocols ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("case", [("png", "other"), ("png", "float"), ("all", "float"), ("none", "other")])
def test_further_protocol_uses_kept_renders(case: tuple[Keep, str], steps: int, tmp_path: Path, opener: Opener) -> None:
    keep, then = case
    other = LIGHT.replace("light", "other").replace("crop: 0", "crop: 2")
    for name, text in {"light": LIGHT, "other": other, "float": FLOAT}.items():
        protocol_file(tmp_path, text, f"{name}.yaml")

    def run(out: str, *protocols: str) -> list[Record]:
        opener.given[:] = [FakeCheckpoint(step, references=image) for step in range(steps)]
        files = [str(tmp_path / f"{name}.yaml") for name in protocols]
        return nvs_eval.run("config.yml", protocol=files, steps="all", keep_renders=keep, output_dir=tmp_path / out)

    both = run("both", "light", then)
    run("out", "light")
    records = run("out", "light", then)
    assert bool(opener.rendered) == (case in [("png", "float"), ("none", "other")])
    assert [[row.scores for row in one.views] for one in records] == [[row.scores for row in one.views] for one in both]
    assert [one.fingerprint for one in records] == [one.fingerprint for one in both]
    assert len(list((tmp_path / "out").rglob("*.json"))) == 2 * steps


@pytest.mark.parametrize("change", ["render", "masks", "overwrite", "checkpoint"])
def test_other_kept_renders_are_not_used(change: str, tmp_path: Path, opener: Opener) -> None:
    protocol_file(tmp_path, LIGHT, "light.yaml")
    protocol_file(tmp_path, LIGHT.replace("light", "other").replace("crop: 0", "crop: 2"), "other.yaml")
    opener.given[:] = [FakeCheckpoint(1)]
    nvs_eval.run("config.yml", protocol=str(tmp_path / "light.yaml"), output_dir=tmp_path / "out")
    if change == "render":
        save_png(next(tmp_path.rglob("renders/a.png")), image(77))
    identity = {"checkpoint_sha256": "other"} if change == "checkpoint" else {}
    opener.given[:] = [again := FakeCheckpoint(1, identity=identity)]
    masks = masks_in(tmp_path / "masks", {"a": 0.5, "cam0/b": 0.5, "c": 0.5})
    given = tmp_path / "masks" if change == "masks" else None
    (record,) = nvs_eval.run(
        "config.yml",
        protocol=str(tmp_path / "other.yaml"),
        output_dir=tmp_path / "out",
        overwrite=change == "overwrite",
        masks=given,
    )
    assert again.rendered == ["a", "cam0/b", "c"] and masks.files
    assert "rescored_from" not in record.provenance
