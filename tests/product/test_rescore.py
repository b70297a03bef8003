"""`nvs-eval rescore`: kept renders under another protocol give what a direct command under it gives, or are refused."""

from __future__ import annotations

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
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
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

from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.records.record import Record, read_record

# As multinerf: it rounds, and keeps what is beyond [0, 1], which a PNG cannot say.
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
    """The records of a protocol below a folder, by the folders that they lie in."""
    found = {path: read_record(path) for path in sorted(Path(folder).rglob(f"{protocol}-*.json"))}
    return {path.parent.relative_to(folder).as_posix(): record for path, record in found.items()}


def plain(record: Record, *, paths: bool = True) -> list[Any]:
    """What a record says but for how it came about."""
    files = ("render", "reference", "mask") if paths else ("mask",)
    rows = [{key: value for key, value in asdict(row).items() if paths or key not in files} for row in record.views]
    return [record.protocol, record.means, record.split, record.references_sha256, rows]


def same(one: str, other: str, protocol: str, *, paths: bool = True) -> int:
    """Compares all records of a protocol below two folders; gives how many there are."""
    first, second = records(one, protocol), records(other, protocol)
    assert list(first) == list(second)
    for place, record in first.items():
        assert plain(record, paths=paths) == plain(second[place], paths=paths)
    return len(first)


# --- What `score` made ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["float", "half", "keeping", "truncating"])
def test_what_score_scored_is_scored_as_it_would_have_been(protocol: str, cli: Callable[..., Said]) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "rescored")
    said = cli("rescore", "rescored", "--protocol", f"{protocol}.yaml")
    assert said.code == 0
    assert f"\nRecord: rescored/garden/ours/final/{protocol}-" in said.err
    direct = cli(*SCORE, "--protocol", f"{protocol}.yaml", "--output-dir", "directly")
    assert said.out == direct.out
    assert same("rescored", "directly", protocol) == 2
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
def test_rescore_composites_alpha_as_the_record_says(protocol: str, cli: Callable[..., Said]) -> None:
    make_translucent("ours")
    make_translucent("gt")
    given = (*SCORE, "--background", "0.25,0.5,1")
    assert cli(*given, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", f"{protocol}.yaml").code == 0
    assert cli(*given, "--protocol", f"{protocol}.yaml", "--output-dir", "directly").code == 0
    assert same("rescored", "directly", protocol) == 2


def test_grey_images_are_read_as_they_were(cli: Callable[..., Said]) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    given = ("score", "garden/ours", "--reference", "garden/gt", "--grey-to-rgb")
    assert cli(*given, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", "float.yaml").code == 0
    assert cli(*given, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert same("rescored", "directly", "float") == 1


def test_linear_images_are_read_as_they_were(cli: Callable[..., Said]) -> None:
    exr: Any = pytest.importorskip("OpenEXR", reason="OpenEXR is not installed (the extra `exr`)")
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    Path("garden/ours/0002.png").unlink()
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    with exr.File(header, {"RGB": image(3).numpy()}) as file:
        file.write("garden/ours/0002.exr")
    given = ("score", "garden/ours", "--reference", "garden/gt", "--grey-to-rgb", "--exr", "linear")
    assert cli(*given, "--protocol", "light.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", "float.yaml").code == 0
    assert cli(*given, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert same("rescored", "directly", "float") == 1


@pytest.mark.parametrize("first", ["light", "float"])
def test_masks_are_those_that_were_used(first: str, cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    given = (*SCORE, "--masks", str(masks))
    then = {"light": "float", "float": "light"}[first]
    assert cli(*given, "--protocol", f"{first}.yaml", "ignoring.yaml", "--output-dir", "rescored").code == 0
    assert cli("rescore", "rescored", "--protocol", f"{then}.yaml").code == 0
    assert cli(*given, "--protocol", f"{then}.yaml", "--output-dir", "directly").code == 0
    assert same("rescored", "directly", then) == 2
    message = refused("rescore", "rescored", "--protocol", "unmasked.yaml")
    assert "was scored with masks, and the protocol 'unmasked' has no meaning for one" in message


def test_a_mask_that_has_changed_or_is_gone_is_named(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    cli(*SCORE, "--masks", str(masks), "--protocol", "light.yaml", "--output-dir", "out")
    write_masks(masks, {"0002": 0.75})
    message = refused("rescore", "out", "--protocol", "float.yaml")
    assert "masks/0002.png has changed since out/garden/ours/final/light-" in message
    (masks / "0001.png").unlink()
    assert "the mask of view '0001' is not at" in refused("rescore", "out", "--protocol", "float.yaml")


def test_a_view_that_was_left_out_stays_out_and_is_said_to_be(cli: Callable[..., Said]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.0})
    cli(*SCORE, "--masks", str(masks), "--protocol", "light.yaml", "--output-dir", "rescored")
    cli("rescore", "rescored", "--protocol", "float.yaml")
    cli(*SCORE, "--masks", str(masks), "--protocol", "float.yaml", "--output-dir", "directly")
    assert same("rescored", "directly", "float") == 2
    for folder in ("rescored", "directly"):
        provenance = records(folder, "float")["garden/ours/final"].provenance
        assert provenance["left_out"] == {"0002": "The mask of view '0002' is empty: there is nothing to score."}
        assert list(provenance["left_out_masks"]) == ["0002"]


def test_rescore_reads_canvases_where_they_are(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    for view in range(2):
        both = torch.cat([image(view), image(10 + view)], dim=1)
        save_png(Path(f"gsplat/renders/val_step29999_{view:04d}.png"), both)
    assert cli("score", "gsplat", "--protocol", "light.yaml", "--output-dir", "out").code == 0
    message = refused("rescore", "out", "--protocol", "float.yaml")
    assert message.endswith("of view '0000' was not kept; they came from gsplat: score that again.")


def test_renders_in_an_archive_are_scored_again_where_they_are(
    cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    shutil.make_archive("ours", "zip", "garden/ours")
    given = ("score", "ours.zip", "--reference", "garden/gt")
    assert cli(*given, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    message = refused("rescore", "out", "--protocol", "float.yaml")
    assert message.startswith("out/garden/ours/final/light-")
    assert message.endswith("the render of view '0001' was not kept; they came from ours.zip: score that again.")


# --- What `run` made ------------------------------------------------------------------------------------------------


def run_both(cli: Callable[..., Said], first: str, then: str, keep: str, *more: str) -> Said:
    """A run under one protocol and rescored, beside one directly under the other."""
    assert cli(*RUN, *more, "--protocol", first, "--keep-renders", keep, "--output-dir", "rescored").code == 0
    said = cli("rescore", "rescored", "--protocol", then)
    assert cli(*RUN, *more, "--protocol", then, "--keep-renders", keep, "--output-dir", "directly").code == 0
    return said


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
def test_floats_that_were_kept_serve_every_protocol(
    first: str, then: str, references: Callable[[int], torch.Tensor], cli: Callable[..., Said], opener: Opener
) -> None:
    opener.given[:] = [FakeCheckpoint(step, references=references) for step in (500, 2500)]
    said = run_both(cli, f"{first}.yaml", f"{then}.yaml", "all")
    assert said.code == 0
    assert same("rescored", "directly", then) == 2
    assert records("rescored", then)["fox/fake/base/500"].provenance["kept_renders"] == "as scored"
    assert len(opener.rendered) == 12


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        *(("light", "reflecting"), ("light", "clamping"), ("clamping", "both")),
        # That every render is in range was seen, so that keeping what is beyond has nothing to keep.
        *(("light", "keeping"), ("float", "light"), ("float", "keeping")),
    ],
)
def test_kept_pngs_serve_protocols_that_round_likewise(
    first: str,
    then: str,
    references: Callable[[int], torch.Tensor],
    cli: Callable[..., Said],
    opener: Opener,
) -> None:
    opener.given[:] = [FakeCheckpoint(step, references=references) for step in (500, 2500)]
    assert run_both(cli, f"{first}.yaml", f"{then}.yaml", "png").code == 0
    assert same("rescored", "directly", then) == 2
    record = records("rescored", then)["fox/fake/base/500"]
    assert record.provenance["kept_renders"] == "as scored"
    direct = records("directly", then)["fox/fake/base/500"].provenance
    for name in ("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "weights"):
        assert record.provenance[name] == direct[name]
    assert record.provenance.get("reference_copies") == direct.get("reference_copies")
    # A record that was rescored serves as well.
    assert cli("rescore", *map(str, Path("rescored").rglob(f"{then}-*.json")), "--protocol", "clamping.yaml").code == 0


@pytest.mark.parametrize(
    ("first", "then"),
    [
        *(("light", "float"), ("light", "truncating"), ("float", "truncating")),
        *(("clamping", "light"), ("clamping", "keeping"), ("keeping", "light"), ("keeping", "float")),
    ],
)
def test_kept_pngs_do_not_serve_float_protocols(
    first: str, then: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    assert cli(*RUN, "--protocol", f"{first}.yaml", "--output-dir", "out").code == 0
    before = files_below(Path("out"))
    message = refused("rescore", "out", "--protocol", f"{then}.yaml")
    assert message.startswith(f"out/fox/fake/base/500/{first}-")
    assert message.endswith(
        f"what was kept of its renders are 8-bit copies, and '{then}' scores floats, or renders beyond [0, 1]: run the "
        f"checkpoint again under {then}, or with `--keep-renders all`."
    )
    assert files_below(Path("out")) == before


def test_colours_are_not_corrected_in_8_bit_copies(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    correct = ("--protocol", "light.yaml", "--colour-correct", "affine")
    assert "8-bit copies" in refused("rescore", "out", *correct)
    assert cli(*RUN, "--protocol", "light.yaml", "--keep-renders", "all", "--output-dir", "all").code == 0
    said = cli("rescore", "all", *correct)
    assert said.code == 0
    assert "cc_psnr" in said.out


def test_reference_copy_does_not_serve_float_protocols(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    opener.given[:] = [FakeCheckpoint(500, references=float_image)]
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    message = refused("rescore", "out", "--protocol", "half.yaml")
    assert "is an 8-bit copy of what was scored, and half would see the difference: run the checkpoint" in message


@pytest.mark.parametrize("references", [image, float_image], ids=["8-bit references", "float references"])
@pytest.mark.parametrize("kind", ["run", "score"])
def test_a_reference_that_has_changed_is_named(
    kind: str,
    references: Callable[[int], torch.Tensor],
    cli: Callable[..., Said],
    refused: Callable[..., str],
    opener: Opener,
) -> None:
    opener.given[:] = [FakeCheckpoint(500, references=references)]
    assert cli(*(RUN if kind == "run" else SCORE), "--protocol", "light.yaml", "--output-dir", "out").code == 0
    (file,) = Path("out").glob("fox/references/*/c.png") if kind == "run" else [Path("garden/gt/0002.png")]
    save_png(file, image(99))
    before = files_below(Path("out"))
    message = refused("rescore", "out", "--protocol", "reflecting.yaml")
    assert file.name in message
    assert "has changed since out/" in message
    assert message.endswith(": score it anew.")
    assert files_below(Path("out")) == before


@pytest.mark.parametrize(("gone", "what"), [("renders", "render"), ("references", "reference")])
def test_a_file_that_is_gone_is_named(
    gone: str, what: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    file = next(iter(sorted(Path("out").rglob(f"{gone}/**/c.png"))))
    file.unlink()
    message = refused("rescore", "out", "--protocol", "reflecting.yaml")
    assert f"the {what} of view 'c' is not at " in message
    assert "any more" in message


@pytest.mark.parametrize("protocol", ["reflecting", "float"])
def test_renders_that_were_not_kept_are_said_to_be(
    protocol: str, cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    assert cli(*RUN, "--protocol", "light.yaml", "--keep-renders", "none", "--output-dir", "out").code == 0
    assert refused("rescore", "out", "--protocol", f"{protocol}.yaml").endswith(
        ": the render of view 'a' was not kept; run it again with `--keep-renders png`."
    )


def test_masks_of_the_data_are_read_as_they_were(cli: Callable[..., Said], opener: Opener) -> None:
    masks = masks_in(Path("masks"), {"a": 0.5, "cam0/b": 0.25, "c": 0.75}, binary=True)
    write_masks(Path("masks"), {"a": 0.5, "cam0/b": 0.25, "c": 0.75}, weight=3 / 255)
    opener.given[:] = [FakeCheckpoint(step, masks=masks) for step in (500, 2500)]
    assert run_both(cli, "light.yaml", "reflecting.yaml", "png", "--data-masks").code == 0
    assert same("rescored", "directly", "reflecting") == 2
    record = records("rescored", "reflecting")["fox/fake/base/500"]
    assert record.provenance["masks"] == "binary"
    assert [row.coverage for row in record.views] == [0.5, 0.25, 0.75]


# --- Several records ------------------------------------------------------------------------------------------------


def test_rescore_takes_the_first_record_that_serves(cli: Callable[..., Said], opener: Opener) -> None:
    # PNGs of what was clamped do not serve one that makes it an error; those that were seen to be in range do.
    assert cli(*RUN, "--protocol", "clamping.yaml", "light.yaml", "--output-dir", "out").code == 0
    assert cli("rescore", "out", "--protocol", "reflecting.yaml").code == 0
    for record in records("out", "reflecting").values():
        assert record.provenance["rescored_from"].startswith("light-")
    assert len(records("out", "reflecting")) == 2


def test_rescore_refusal_is_about_the_most_useful_record(
    cli: Callable[..., Said], refused: Callable[..., str], opener: Opener
) -> None:
    # The record of `clamping` serves neither; that of `light` serves all but floats.
    assert cli(*RUN, "--protocol", "clamping.yaml", "light.yaml", "--output-dir", "out").code == 0
    said = refused("rescore", "out", "--protocol", "reflecting.yaml", "float.yaml")
    assert re.search(r"light-\w+\.json: what was kept of its renders are 8-bit copies, and 'float' scores floats", said)


def test_rescore_prefers_the_record_that_knows_the_masks(cli: Callable[..., Said]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.25})
    cli(*SCORE, "--masks", str(masks), "--protocol", "ignoring.yaml", "light.yaml", "--output-dir", "out")
    assert cli("rescore", "out", "--protocol", "reflecting.yaml").code == 0
    for record in records("out", "reflecting").values():
        assert [row.coverage for row in record.views] == [0.5, 0.25]


def test_rescore_skips_what_is_scored_unless_overwritten(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
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
    assert again.err.count("is there already; say --overwrite to score it again.") == 2
    (one,) = Path("out/garden/ours/final").glob("float-*.json")
    one.unlink()
    assert cli("rescore", "out", "--protocol", "float.yaml", "light.yaml").code == 0
    assert scored == ["0001", "0002"]
    assert cli("rescore", "out", "--protocol", "float.yaml", "--overwrite").code == 0
    assert scored == ["0001", "0002"] * 2
    assert len(list(Path("out").rglob("*.json"))) == 4


def test_a_record_of_an_older_checkpoint_is_scored_again(cli: Callable[..., Said], opener: Opener) -> None:
    def run(identity: str) -> None:
        opener.given[:] = [
            FakeCheckpoint(1, identity={"checkpoint_sha256": identity}, references=lambda i: image(len(identity) + i))
        ]
        assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
        assert cli("rescore", "out/fox/fake/base/1", "--protocol", "reflecting.yaml").code == 0

    run("first")
    (before,) = records("out", "reflecting").values()
    run("then another")
    (after,) = records("out", "reflecting").values()
    assert after.provenance["checkpoint_sha256"] == "then another"
    assert after.references_sha256 != before.references_sha256


def test_records_of_two_output_folders_each_stay_in_theirs(
    cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "one")
    save_png(Path("garden/ours/0001.png"), image(77))
    save_png(Path("garden/gt/0001.png"), image(78))
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "two")
    message = refused("rescore", "one", "two", "--protocol", "float.yaml")
    assert "has changed since one/garden/ours/final/light-" in message
    assert not list(Path("two").rglob("float-*.json"))
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "one")
    assert cli("rescore", "one", "two", "--protocol", "float.yaml").code == 0
    assert same("one", "two", "float") == 2
    # In one folder they would overwrite each other.
    assert "was given twice" in refused("rescore", "one", "two", "--protocol", "float.yaml", "--output-dir", "three")
    assert not Path("three").exists()


def test_a_record_that_was_moved_needs_a_place(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    (record,) = Path("out/garden/ours/final").glob("*.json")
    Path("a/b/c/d").mkdir(parents=True)
    moved = shutil.copy(record, "a/b/c/d/mine.json")
    message = refused("rescore", str(moved), "--protocol", "float.yaml")
    assert message == (
        "a/b/c/d/mine.json does not lie in garden/ours/final, where its scene, method, run and step belong: say with "
        "`--output-dir` where the new records go."
    )
    assert cli("rescore", str(moved), "--protocol", "float.yaml", "--output-dir", "new").code == 0
    assert cli(*SCORE, "--protocol", "float.yaml", "--output-dir", "directly").code == 0
    assert plain(records("new", "float")["garden/ours/final"]) == plain(
        records("directly", "float")["garden/ours/final"]
    )


def test_a_folder_of_results_may_be_moved_as_a_whole(
    cli: Callable[..., Said], opener: Opener, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = str(here / "both.yaml")
    assert cli(*RUN, "--protocol", "light.yaml", "--output-dir", "out").code == 0
    Path("elsewhere").mkdir()
    shutil.move("out", "elsewhere/moved")
    assert cli("rescore", "elsewhere/moved", "--protocol", "reflecting.yaml").code == 0
    assert len(records("elsewhere/moved", "reflecting")) == 2
    # From within, by a path that says nothing of where it lies, or by a whole one.
    (light,) = Path("elsewhere/moved/fox/fake/base/500").glob("light-*.json")
    monkeypatch.chdir(light.parent)
    assert "Record: ../../../../fox/fake/base/500/both-" in cli("rescore", light.name, "--protocol", both).err
    (file,) = Path().glob("both-*.json")
    file.unlink()
    assert f"Record: {Path.cwd()}/both-" in cli("rescore", str(Path.cwd() / light.name), "--protocol", both).err


# --- Wrong usage, interruptions -------------------------------------------------------------------------------------


def test_auto_is_of_runs_alone(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    assert "Name a protocol: `nvs-eval protocols` lists them." in refused("rescore", "out", "--protocol", "auto")


def test_no_record(refused: Callable[..., str]) -> None:
    assert refused("rescore", "gone", "--protocol", "light.yaml").startswith("There is no record at 'gone'")


def test_an_image_that_is_refused_writes_nothing(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    beyond = float_image(3)
    beyond[0, 0, 0] = 1.5
    Path("garden/theirs/0002.png").unlink()
    save_npy(Path("garden/theirs/0002.npy"), beyond)
    cli(*SCORE, "--protocol", "clamping.yaml", "--output-dir", "out")
    before = files_below(Path("out"))
    said = cli("rescore", "out", "--protocol", "light.yaml")
    assert (said.code, said.out) == (2, "")
    assert "has values from" in said.err
    assert files_below(Path("out")) == before


def test_ctrl_c_writes_nothing_half(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    cli(*SCORE, "--protocol", "light.yaml", "--output-dir", "out")
    before = {path: path.read_bytes() for path in Path("out").rglob("*.json")}

    def interrupt(self: Scorer, view: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    assert cli("rescore", "out", "--protocol", "float.yaml").code == 130
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    assert all(json.loads(content) for content in before.values())
