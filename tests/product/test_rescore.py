"""`nvs-eval rescore`: kept renders score under another protocol as in a direct command, or are refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener, out_of_range
from support.commands import Said
from support.pinned import Pinned
from support.protocols import (
    CLAMPING,
    FLOAT,
    HALF,
    IGNORING,
    KEEPING,
    LIGHT,
    UNMASKED,
    protocol_file,
    rounding,
    variant,
)
from support.scenes import HEIGHT, WIDTH, files_below, float_image, image, masks_in, write_garden, write_masks

from nvs_eval.errors import FileError
from nvs_eval.evaluation import kept_renders
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.records.files import read_records
from nvs_eval.records.record import Record, read_record

# Like multinerf: rounds values outside [0, 1] too, which a PNG cannot contain.
TRUNCATING = variant(name="truncating", quantise=rounding("truncate", "round"))
DROPPING = variant(name="dropping", alpha="drop")
REFLECTED = variant(name="reflecting", metrics={"ssim": {"kernel": "reflect", "data_range": 1}})
TEXTS = {
    "light": LIGHT,
    "float": FLOAT,
    "half": HALF,
    "keeping": KEEPING,
    "clamping": CLAMPING,
    "truncating": TRUNCATING,
    "dropping": DROPPING,
    "reflecting": REFLECTED,
    "both": variant(REFLECTED, name="both", out_of_range="clamp"),
    "ignoring": IGNORING,
    "unmasked": UNMASKED,
}
RUN = ("run", "--load-config", "config.yml", "--steps", "all")
SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt")


@pytest.fixture(autouse=True)
def protocols(here: Path) -> None:
    for name, text in TEXTS.items():
        protocol_file(here, text, f"{name}.yaml")
    write_garden(here / "garden")


def records(folder: str, protocol: str) -> dict[str, Record]:
    """Return the records of a protocol below a folder, by their folders."""
    by_file = {path: read_record(path) for path in sorted(Path(folder).rglob(f"{protocol}-*.json"))}
    return {path.parent.relative_to(folder).as_posix(): record for path, record in by_file.items()}


def plain(record: Record, *, paths: bool = True) -> list[Any]:
    """Return the content of a record without its provenance."""
    files = ("render", "reference", "mask") if paths else ("mask",)
    rows = [{key: value for key, value in asdict(row).items() if paths or key not in files} for row in record.views]
    return [record.protocol, record.means, record.split, record.references_sha256, record.neutral, rows]


def assert_same(first: str, second: str, protocol: str, *, paths: bool = True) -> int:
    """Check that two folders have equal records of a protocol, and return the number of records."""
    ours, theirs = records(first, protocol), records(second, protocol)
    assert list(ours) == list(theirs)
    for folder, record in ours.items():
        assert plain(record, paths=paths) == plain(theirs[folder], paths=paths)
    return len(ours)


# --- Records of `score` ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["float", "half", "keeping", "truncating"])
def test_rescored_folders_score_as_in_a_direct_command(protocol: str, cli: Callable[..., Said]) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "rescored")
    result = cli("rescore", "rescored", "--protocol", f"{protocol}.yaml")
    assert result.code == 0
    assert f"\nRecord: rescored/garden/ours/final/{protocol}-" in result.err
    direct = cli(*SCORE, "--protocol", f"{protocol}.yaml", "--output-dir", "directly")
    assert result.out == direct.out
    assert assert_same("rescored", "directly", protocol) == 2
    record = records("rescored", protocol)["garden/ours/final"]
    (before,) = Path("rescored/garden/ours/final").glob("light-*.json")
    assert record.provenance["rescored_from"] == before.name
    assert record.provenance["reading"] == read_record(before).provenance["reading"]
    assert record.provenance["command"] == ["nvs-eval", "as", "given"]


def make_translucent(folder: str) -> None:
    for view in ("0001", "0002"):
        levels = (image(int(view)).numpy() * 255).round().astype(np.uint8)
        alpha = np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
        iio.imwrite(f"garden/{folder}/{view}.png", np.concatenate([levels, alpha], axis=2))


@pytest.mark.parametrize("protocol", ["dropping", "float"])
def test_rescore_uses_the_background_of_the_record(protocol: str, cli: Callable[..., Said]) -> None:
    make_translucent("ours")
    make_translucent("gt")
    command = (*SCORE, "--background", "0.25,0.5,1")
    assert cli(*command, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", f"{protocol}.yaml").code == 0
    assert cli(*command, "--protocol", f"{protocol}.yaml", "--output-dir", "directly").code == 0
    assert assert_same("rescored", "directly", protocol) == 2


def test_rescore_reads_grey_images_as_before(cli: Callable[..., Said]) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    command = ("score", "garden/ours", "--reference", "garden/gt", "--grey-to-rgb")
    assert cli(*command, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", "float.yaml").code == 0
    assert cli(*command, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert assert_same("rescored", "directly", "float") == 1


def test_rescore_reads_linear_images_as_before(cli: Callable[..., Said]) -> None:
    exr: Any = pytest.importorskip("OpenEXR", reason="OpenEXR is not installed (the extra `exr`)")
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    Path("garden/ours/0002.png").unlink()
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    with exr.File(header, {"RGB": image(3).numpy()}) as file:
        file.write("garden/ours/0002.exr")
    command = ("score", "garden/ours", "--reference", "garden/gt", "--grey-to-rgb", "--exr", "linear")
    assert cli(*command, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", "float.yaml").code == 0
    assert cli(*command, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert assert_same("rescored", "directly", "float") == 1


@pytest.mark.parametrize("first", ["light", "float"])
def test_rescore_uses_the_masks_of_the_record(
    first: str, cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    command = (*SCORE, "--masks", str(masks))
    then = {"light": "float", "float": "light"}[first]
    assert cli(*command, "--protocol", f"{first}.yaml", "ignoring.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", f"{then}.yaml").code == 0
    assert cli(*command, "--protocol", f"{then}.yaml", "--output-dir", "directly").code == 0
    assert assert_same("rescored", "directly", then) == 2
    pinned("rescore", refused("rescore", "rescored", "--protocol", "unmasked.yaml"))


def test_changed_or_missing_mask_is_named(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    cli(*SCORE, "--masks", str(masks), "--protocol", "light.yaml", "--output-dir", "out")
    write_masks(masks, {"0002": 0.75})
    pinned("rescore", refused("rescore", "out", "--protocol", "float.yaml"))
    (masks / "0001.png").unlink()
    pinned("rescore", refused("rescore", "out", "--protocol", "float.yaml"))


def test_skipped_views_stay_skipped_and_recorded(cli: Callable[..., Said]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.0})
    cli(*SCORE, "--masks", str(masks), "--protocol", "light.yaml", "--output-dir", "rescored")
    cli("rescore", "rescored", "--protocol", "float.yaml")
    cli(*SCORE, "--masks", str(masks), "--protocol", "float.yaml", "--output-dir", "directly")
    assert assert_same("rescored", "directly", "float") == 2
    for folder in ("rescored", "directly"):
        provenance = records(folder, "float")["garden/ours/final"].provenance
        assert list(provenance["left_out"]) == ["0002"]
        assert "mask of view '0002'" in provenance["left_out"]["0002"]
        assert list(provenance["left_out_masks"]) == ["0002"]


def test_canvases_were_not_kept_as_renders(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    for view in range(2):
        canvas = torch.cat([image(view), image(10 + view)], dim=1)
        save_png(Path(f"gsplat/renders/val_step29999_{view:04d}.png"), canvas)
    assert cli("score", "gsplat", "--scene", "s", "--protocol", "light.yaml", "--output-dir", "out").code == 0
    pinned("rescore", refused("rescore", "out", "--protocol", "float.yaml"))


def test_renders_in_an_archive_were_not_kept(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    shutil.make_archive("ours", "zip", "garden/ours")
    assert (
        cli("score", "ours.zip", "--reference", "garden/gt", "--protocol", "light.yaml", "--output-dir", "out").code
        == 0
    )
    pinned("rescore", refused("rescore", "out", "--protocol", "float.yaml"))


# --- Records of `run` -----------------------------------------------------------------------------------------------


def run_both(cli: Callable[..., Said], first: str, then: str, keep: str, *options: str) -> Said:
    """Run under one protocol and rescore under the other, and run directly under the other."""
    assert cli(*RUN, *options, "--protocol", first, "--keep-renders", keep, "--output-dir", "rescored").code == 0
    result = cli("rescore", "rescored", "--protocol", then)
    assert cli(*RUN, *options, "--protocol", then, "--keep-renders", keep, "--output-dir", "directly").code == 0
    return result


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (first, then)
        for first in ("light", "float", "clamping")
        for then in ("reflecting", "float", "truncating", "keeping")
        if first != then
    ],
)
def test_kept_floats_suit_every_protocol(
    first: str, then: str, references: Callable[[int], torch.Tensor], cli: Callable[..., Said], opener: Opener
) -> None:
    opener.given[:] = [FakeCheckpoint(step, references=references) for step in (500, 2500)]
    result = run_both(cli, f"{first}.yaml", f"{then}.yaml", "all")
    assert result.code == 0
    assert assert_same("rescored", "directly", then) == 2
    assert records("rescored", then)["fox/fake/base/500"].provenance["kept_renders"] == "as scored"
    assert len(opener.rendered) == 12


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        *(("light", "reflecting"), ("light", "clamping"), ("clamping", "both")),
        # Every render was checked to be in range, so keeping values outside it changes nothing.
        *(("light", "keeping"), ("float", "light"), ("float", "keeping")),
    ],
)
def test_kept_pngs_suit_protocols_that_also_round(
    first: str,
    then: str,
    references: Callable[[int], torch.Tensor],
    cli: Callable[..., Said],
    opener: Opener,
) -> None:
    opener.given[:] = [FakeCheckpoint(step, references=references) for step in (500, 2500)]
    assert run_both(cli, f"{first}.yaml", f"{then}.yaml", "png").code == 0
    assert assert_same("rescored", "directly", then) == 2
    record = records("rescored", then)["fox/fake/base/500"]
    assert record.provenance["kept_renders"] == "as scored"
    direct = records("directly", then)["fox/fake/base/500"].provenance
    for name in ("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "weights"):
        assert record.provenance[name] == direct[name]
    assert record.provenance.get("reference_copies") == direct.get("reference_copies")
    # A rescored record can be rescored again.
    assert cli("rescore", *map(str, Path("rescored").rglob(f"{then}-*.json")), "--protocol", "clamping.yaml").code == 0


def forget_neutral(folder: Path) -> None:
    """Make records those of an earlier version, which do not say that all renders are in range."""
    for file in folder.rglob("*.json"):
        plain = json.loads(file.read_text())
        del plain["neutral"]
        file.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        *(("light", "float"), ("light", "truncating"), ("float", "truncating")),
        *(("clamping", "light"), ("clamping", "keeping"), ("keeping", "light"), ("keeping", "float")),
    ],
)
def test_kept_pngs_do_not_suit_float_protocols(
    first: str, then: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, *, pinned: Pinned
) -> None:
    assert cli(*RUN, "--protocol", f"{first}.yaml", "--output-dir", "out").code == 0
    forget_neutral(Path("out"))
    before = files_below(Path("out"))
    pinned("rescore", refused("rescore", "out", "--protocol", f"{then}.yaml"))
    assert files_below(Path("out")) == before


def test_kept_pngs_of_renders_in_range_suit_protocols_that_need_it(cli: Callable[..., Said], opener: Opener) -> None:
    assert cli(*RUN, "--protocol", "clamping.yaml", "--output-dir", "out").code == 0
    assert cli("rescore", "out", "--protocol", "light.yaml").code == 0
    clamped, plain = (next(iter(records("out", name).values())) for name in ("clamping", "light"))
    assert "range" in clamped.neutral
    assert [row.scores for row in plain.views] == [row.scores for row in clamped.views]


def test_clamps_that_only_the_original_renders_needed_are_not_neutral(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(500, renders=out_of_range)]
    assert cli(*RUN, "--protocol", "clamping.yaml", "--output-dir", "out").code == 0
    assert cli("rescore", "out", "--protocol", "both.yaml").code == 0
    (record,) = records("out", "both").values()
    assert record.neutral == ("alpha", "q-reference", "mask", "clamps")


def test_colours_are_not_corrected_in_8_bit_copies(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    correct = ("--protocol", "light.yaml", "--colour-correct", "affine")
    assert "8-bit copies" in refused("rescore", "out", *correct)
    assert cli(*RUN, "--protocol", "light.yaml", "--keep-renders", "all", "--output-dir", "all").code == 0
    result = cli("rescore", "all", *correct)
    assert result.code == 0
    assert "cc-PSNR" in result.out


def test_reference_copies_do_not_suit_float_protocols(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(500, references=float_image)]
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    pinned("rescore", refused("rescore", "out", "--protocol", "half.yaml"))


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize("kind", ["run", "score"])
def test_changed_reference_is_named(
    kind: str,
    references: Callable[[int], torch.Tensor],
    cli: Callable[..., Said],
    refused: Callable[..., str],
    opener: Opener,
    *,
    pinned: Pinned,
) -> None:
    opener.given[:] = [FakeCheckpoint(500, references=references)]
    assert cli(*(RUN if kind == "run" else SCORE), "--protocol", "light.yaml", "--output-dir", "out").code == 0
    (file,) = Path("out").glob("fox/references/*/c.png") if kind == "run" else [Path("garden/gt/0002.png")]
    save_png(file, image(99))
    before = files_below(Path("out"))
    pinned("rescore", refused("rescore", "out", "--protocol", "reflecting.yaml"))
    assert files_below(Path("out")) == before


@pytest.mark.parametrize(
    ("protocol", "changes", "said"),
    [("reflecting", False, ""), ("reflecting", True, "has changed since"), ("half", False, "8-bit copy")],
)
def test_reference_that_could_not_be_read_at_first_is_checked_when_it_is_scored(
    protocol: str,
    said: str,
    cli: Callable[..., Said],
    opener: Opener,
    monkeypatch: pytest.MonkeyPatch,
    *,
    changes: bool,
) -> None:
    def fail(*args: object) -> None:
        raise FileError("busy")

    opener.given[:] = [FakeCheckpoint(500, references=float_image)]
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    command = ("rescore", "out", "--protocol", f"{protocol}.yaml", "--output-dir")
    assert said or cli(*command, "expected").code == 0
    monkeypatch.setattr(kept_renders, "load_image", fail)
    if changes:
        (file,) = Path("out").glob("fox/references/*/c.png")
        save_png(file, image(99))
    result = cli(*command, "again")
    if not said:
        assert result.code == 0
        (first,), (second,) = (records(name, protocol).values() for name in ("expected", "again"))
        assert plain(first) == plain(second)
        assert first.views[0].reference_sha256 != first.provenance["reference_copies"][first.views[0].name]
    else:
        assert (result.code, result.out) == (2, "")
        assert said in result.err
        assert not list(Path("again").rglob(f"{protocol}-*.json"))


@pytest.mark.parametrize("folder", ["renders", "references"])
def test_missing_file_is_named(
    folder: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    file = next(iter(sorted(Path("out").rglob(f"{folder}/**/c.png"))))
    file.unlink()
    pinned("rescore", refused("rescore", "out", "--protocol", "reflecting.yaml"))


@pytest.mark.parametrize("protocol", ["reflecting", "float"])
def test_renders_that_were_not_kept_raise(
    protocol: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--keep-renders", "none", "--output-dir", "out").code == 0
    pinned("rescore", refused("rescore", "out", "--protocol", f"{protocol}.yaml"))


def test_rescore_reads_masks_of_the_data_as_before(cli: Callable[..., Said], opener: Opener) -> None:
    masks = masks_in(Path("masks"), {"a": 0.5, "cam0/b": 0.25, "c": 0.75}, binary=True)
    write_masks(Path("masks"), {"a": 0.5, "cam0/b": 0.25, "c": 0.75}, weight=3 / 255)
    opener.given[:] = [FakeCheckpoint(step, masks=masks) for step in (500, 2500)]
    assert run_both(cli, "light.yaml", "reflecting.yaml", "png", "--data-masks").code == 0
    assert assert_same("rescored", "directly", "reflecting") == 2
    record = records("rescored", "reflecting")["fox/fake/base/500"]
    assert record.provenance["masks"] == "binary"
    assert [row.coverage for row in record.views] == [0.5, 0.25, 0.75]


def test_rescore_keeps_the_models_own_metrics(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(500, own=lambda index: {"depth_rmse": 0.5 * index})]
    assert run_both(cli, "light.yaml", "reflecting.yaml", "png").code == 0
    (record,) = records("rescored", "reflecting").values()
    assert [row.own for row in record.views] == [{"depth_rmse": value} for value in (0.0, 0.5, 1.0)]


# --- Several records ------------------------------------------------------------------------------------------------


def test_rescore_takes_the_first_usable_record(cli: Callable[..., Said], opener: Opener) -> None:
    # `reflecting` requires renders in range, which only the record of `light` guarantees.
    assert cli(*RUN, "--protocol", "clamping.yaml", "light.yaml", "--output-dir", "out").code == 0
    forget_neutral(Path("out"))
    assert cli("rescore", "out", "--protocol", "reflecting.yaml").code == 0
    for record in records("out", "reflecting").values():
        assert record.provenance["rescored_from"].startswith("light-")
    assert len(records("out", "reflecting")) == 2


def test_rescore_refusal_is_about_the_most_useful_record(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    # The record of `clamping` suits neither protocol; that of `light` suits `reflecting`.
    assert cli(*RUN, "--protocol", "clamping.yaml", "light.yaml", "--output-dir", "out").code == 0
    forget_neutral(Path("out"))
    message = refused("rescore", "out", "--protocol", "reflecting.yaml", "float.yaml")
    assert re.search(r"light-\w+\.json: .*'float' scores floats", message)


def test_rescore_prefers_the_record_with_masks(cli: Callable[..., Said]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    cli(*SCORE, "--masks", str(masks), "--protocol", "ignoring.yaml", "light.yaml", "--output-dir", "out")
    assert cli("rescore", "out", "--protocol", "reflecting.yaml").code == 0
    for record in records("out", "reflecting").values():
        assert [row.coverage for row in record.views] == [0.5, 0.25]


def test_rescore_skips_existing_records_unless_overwritten(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    scored: list[str] = []
    outcomes = Scorer.outcomes

    def count(self: Scorer, view: Any) -> Any:
        scored.append(view.name)
        return outcomes(self, view)

    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    first = cli("rescore", "out", "--protocol", "float.yaml")
    monkeypatch.setattr(Scorer, "outcomes", count)
    again = cli("rescore", "out", "--protocol", "float.yaml")
    assert (again.code, again.out, scored) == (0, first.out, [])
    pinned("rescore", again.err)
    (one,) = Path("out/garden/ours/final").glob("float-*.json")
    one.unlink()
    assert cli("rescore", "out", "--protocol", "float.yaml", "light.yaml").code == 0
    assert scored == ["0001", "0002"]
    assert cli("rescore", "out", "--protocol", "float.yaml", "--overwrite").code == 0
    assert scored == ["0001", "0002"] * 2
    assert len(list(Path("out").rglob("*.json"))) == 4


def test_record_of_an_older_checkpoint_is_replaced_only_with_overwrite(
    cli: Callable[..., Said], opener: Opener
) -> None:
    def run(identity: str) -> Said:
        opener.given[:] = [
            FakeCheckpoint(1, identity={"checkpoint_sha256": identity}, references=lambda i: image(len(identity) + i))
        ]
        assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out", "--overwrite").code == 0
        return cli("rescore", "out/fox/fake/base/1", "--protocol", "reflecting.yaml")

    assert run("first").code == 0
    (before,) = records("out", "reflecting").values()
    refused = run("then another")
    assert refused.code == 2
    assert re.search(
        r"reflecting-\w+\.json was scored on another checkpoint \(checkpoint first, not checkpoint then another\)",
        refused.err,
    )
    assert list(records("out", "reflecting").values()) == [before]
    assert cli("rescore", "out", "--protocol", "reflecting.yaml", "--overwrite").code == 0
    (after,) = records("out", "reflecting").values()
    assert after.provenance["checkpoint_sha256"] == "then another"
    assert after.references_sha256 != before.references_sha256


@pytest.mark.parametrize("keep", ["png", "all"])
def test_kept_renders_that_another_checkpoint_replaced_are_refused(
    keep: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    run = (*RUN, "--protocol", "light.yaml", "--output-dir", "out", "--keep-renders", keep)
    opener.given[:] = [FakeCheckpoint(1, identity={"checkpoint_sha256": "first"})]
    assert cli(*run).code == 0
    assert cli("rescore", "out", "--protocol", "reflecting.yaml", "--output-dir", "other").code == 0
    for folder, protocol in (("out", "light"), ("other", "reflecting")):
        (record,) = records(folder, protocol).values()
        files = Path("out/fox/fake/base/1/renders")
        assert record.provenance["kept_sha256"] == {
            row.name: hashlib.sha256(
                (files / f"{row.name}.{'png' if keep == 'png' else 'npy'}").read_bytes()
            ).hexdigest()
            for row in record.views
        }
    second = FakeCheckpoint(1, identity={"checkpoint_sha256": "second"}, renders=lambda index: float_image(90 + index))
    opener.given[:] = [second]
    assert cli(*run, "--overwrite").code == 0
    pinned("rescore", refused("rescore", "other", "--protocol", "both.yaml"))
    assert not records("other", "both")
    assert cli("rescore", "out", "--protocol", "both.yaml").code == 0
    (record,) = records("out", "both").values()
    assert record.provenance["checkpoint_sha256"] == "second"


# --- Parts and incomplete records -----------------------------------------------------------------------------------


@pytest.fixture
def part_and_whole(cli: Callable[..., Said]) -> tuple[Path, Path]:
    """Score one of two views, and both after its render has changed; return the files of the records."""
    command = (*SCORE[:2], *SCORE[3:], "--protocol", "light.yaml", "--output-dir", "out")
    assert cli(*command, "--views", "0001").code == 0
    (part,) = Path("out").rglob("*.json")
    save_png(Path("garden/ours/0001.png"), image(77))
    assert cli(*command).code == 0
    (whole,) = {*Path("out").rglob("*.json")} - {part}
    return part, whole


def test_only_the_selection_that_tables_show_is_rescored(
    part_and_whole: tuple[Path, Path], cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    result = cli("rescore", "out", "--protocol", "float.yaml")
    assert (result.code, "runs" in result.out, "¶" in result.out) == (0, False, False)
    (record,) = records("out", "float").values()
    assert (record.selection, len(record.views)) == (None, 2)
    # The part is of other renders.
    part, whole = part_and_whole
    assert "have changed" in refused("rescore", str(part), "--protocol", "half.yaml")
    assert cli("rescore", str(whole), "--protocol", "half.yaml").code == 0


def test_named_selections_are_all_rescored_and_the_widest_is_shown(cli: Callable[..., Said]) -> None:
    command = (*SCORE[:2], *SCORE[3:], "--protocol", "light.yaml", "--output-dir", "out")
    assert [cli(*command, *views).code for views in ((), ("--views", "0001"))] == [0, 0]
    result = cli("rescore", *map(str, Path("out").rglob("*.json")), "--protocol", "float.yaml")
    assert (result.code, "runs" in result.out, "¶" in result.out) == (0, False, False)
    assert result.out == cli("table", "out", "--protocol", "float").out
    both = [read_record(file) for file in Path("out").rglob("float-*.json")]
    assert sorted(len(record.views) for record in both) == [1, 2]


def test_view_that_failed_under_one_protocol_is_rescored_from_the_others(cli: Callable[..., Said]) -> None:
    for folder in ("gt", "ours"):
        save_png(Path(f"garden/{folder}/0002.png"), torch.full((HEIGHT, WIDTH, 3), 0.5))  # Its SSIM is undefined.
    assert cli(*SCORE, "--protocol", "light.yaml", "float.yaml", "--output-dir", "out").code == 3
    assert cli("rescore", "out", "--protocol", "clamping.yaml").code == 0
    assert cli(*SCORE, "--protocol", "clamping.yaml", "--output-dir", "directly").code == 0
    assert assert_same("out", "directly", "clamping") == 2


def test_views_that_failed_stay_failed(cli: Callable[..., Said]) -> None:
    render = Path("garden/ours/0002.png")
    intact = render.read_bytes()
    render.write_bytes(intact[:-100] + bytes([intact[-100] ^ 1]) + intact[-99:])
    assert cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out").code == 3
    render.write_bytes(intact)
    result = cli("rescore", "out", "--protocol", "float.yaml")
    assert result.code == 3
    assert "garden/ours: 1 of 2 views failed (0002)" in result.err
    record = records("out", "float")["garden/ours/final"]
    assert (list(record.failed), record.left_out) == (["0002"], {})


def test_new_records_stay_in_their_output_folder(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "one")
    save_png(Path("garden/ours/0001.png"), image(77))
    save_png(Path("garden/gt/0001.png"), image(78))
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "two")
    pinned("rescore", refused("rescore", "one", "two", "--protocol", "float.yaml"))
    assert not list(Path("two").rglob("float-*.json"))
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "one", "--overwrite")
    assert cli("rescore", "one", "two", "--protocol", "float.yaml").code == 0
    assert assert_same("one", "two", "float") == 2
    # In one folder they would overwrite each other.
    pinned("rescore", refused("rescore", "one", "two", "--protocol", "float.yaml", "--output-dir", "three"))
    assert not Path("three").exists()


def test_moved_record_needs_an_output_folder(
    cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned
) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    (record,) = Path("out/garden/ours/final").glob("*.json")
    Path("a/b/c/d").mkdir(parents=True)
    moved = shutil.copy(record, "a/b/c/d/mine.json")
    pinned("rescore", refused("rescore", str(moved), "--protocol", "float.yaml"))
    assert cli("rescore", str(moved), "--protocol", "float.yaml", "--output-dir", "new").code == 0
    assert cli(*SCORE, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert plain(records("new", "float")["garden/ours/final"]) == plain(
        records("directly", "float")["garden/ours/final"]
    )


def test_folder_of_results_may_be_moved(
    cli: Callable[..., Said], opener: Opener, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = str(here / "both.yaml")
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    Path("elsewhere").mkdir()
    shutil.move("out", "elsewhere/moved")
    assert cli("rescore", "elsewhere/moved", "--protocol", "reflecting.yaml").code == 0
    assert len(records("elsewhere/moved", "reflecting")) == 2
    # From inside the folder, by a bare file name and by an absolute path.
    (light,) = Path("elsewhere/moved/fox/fake/base/500").glob("light-*.json")
    monkeypatch.chdir(light.parent)
    assert "Record: ../../../../fox/fake/base/500/both-" in cli("rescore", light.name, "--protocol", both).err
    (file,) = Path().glob("both-*.json")
    file.unlink()
    assert f"Record: {Path.cwd()}/both-" in cli("rescore", str(Path.cwd() / light.name), "--protocol", both).err


# --- Wrong usage, interruptions -------------------------------------------------------------------------------------


def test_auto_works_only_for_runs(cli: Callable[..., Said], refused: Callable[..., str], pinned: Pinned) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    pinned("rescore", refused("rescore", "out", "--protocol", "auto"))


def test_missing_record_raises(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("rescore", refused("rescore", "gone", "--protocol", "light.yaml"))


def test_image_that_one_protocol_cannot_score_costs_its_view(cli: Callable[..., Said], pinned: Pinned) -> None:
    beyond = float_image(3)
    beyond[0, 0, 0] = 1.5
    Path("garden/theirs/0002.png").unlink()
    save_npy(Path("garden/theirs/0002.npy"), beyond)
    cli(*SCORE, "--protocol", "clamping.yaml", "--output-dir", "out")
    result = cli("rescore", "out", "--protocol", "light.yaml")
    assert result.code == 3
    pinned("rescore", result.err)
    pinned("rescore", result.out)
    ours, theirs = read_records("out", protocol="light")
    assert (ours.failed, ours.selection, len(ours.views)) == ({}, None, 2)
    assert (list(theirs.failed), [row.name for row in theirs.views]) == (["0002"], ["0001"])
    assert theirs.selection is None


def test_ctrl_c_writes_no_partial_record(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    before = {path: path.read_bytes() for path in Path("out").rglob("*.json")}

    def interrupt(self: Scorer, view: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    assert cli("rescore", "out", "--protocol", "float.yaml").code == 130
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    assert all(json.loads(content) for content in before.values())
