"""A result without any view that can be scored has no record. It is reported, and does not end the others."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, protocol_file, variant
from support.scenes import float_image, image, write_images

import nvs_eval
from nvs_eval.errors import InputError, InputWarning
from nvs_eval.images.files import save_npy
from nvs_eval.records.record import Record

NAMES = ["0001", "0002", "0003"]
LIGHT = ("--protocol", "light.yaml", "--output-dir", "out")
RUN = ("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml")


@pytest.fixture(autouse=True)
def bush(here: Path) -> Path:
    """Write three views of noise by three methods, and protocols that need no weights."""
    for seed, folder in enumerate(("gt", "ours", "theirs", "late")):
        write_images(here / "bush" / folder, {name: image(10 * seed + i) for i, name in enumerate(NAMES)})
    protocol_file(here, FLOAT, "float.yaml")
    return here / "bush"


def damage(*folders: str) -> None:
    """Flip a bit in the middle of every image of some folders."""
    for file in (file for folder in folders for file in Path(folder).glob("*.png")):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def psnr(renders: str, references: str) -> float:
    """Return the mean PSNR of 8-bit images, by the formula."""
    values = []
    for name in NAMES:
        render, reference = (np.asarray(Image.open(f"{folder}/{name}.png"), float) for folder in (renders, references))
        values.append(10 * math.log10(255**2 / np.mean((render - reference) ** 2)))
    return float(np.mean(values))


def psnrs(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean PSNR of each record by its result."""
    return {str(record.id): record.means["psnr"] for record in records}


# --- Folders --------------------------------------------------------------------------------------------------------


def test_other_results_are_scored_written_and_shown(cli: Callable[..., Said], pinned: Pinned) -> None:
    damage("bush/theirs")
    command = ("score", "bush/ours", "bush/theirs", "bush/late", "--reference", "bush/gt", *LIGHT)
    result = cli(*command)
    assert result.code == 3
    pinned("score", result.err)
    pinned("score", result.out)
    expected = {f"bush/{name}": pytest.approx(psnr(f"bush/{name}", "bush/gt"), abs=1e-4) for name in ("ours", "late")}
    assert psnrs(nvs_eval.read_records("out")) == expected
    # Repeated, it still is an error beside finished records.
    again = cli(*command)
    assert (again.code, again.out) == (3, result.out)
    pinned("score", again.err)


def test_other_scenes_are_scored(cli: Callable[..., Said], here: Path, pinned: Pinned) -> None:
    for scene in ("s1", "s2", "s3"):
        write_images(here / scene / "test" / "ours_7" / "renders", {name: image(i) for i, name in enumerate(NAMES)})
        write_images(here / scene / "test" / "ours_7" / "gt", {name: image(9 + i) for i, name in enumerate(NAMES)})
        (here / scene / "cfg_args").write_text(f"Namespace(source_path='/data/{scene}')")
    damage("s2/test/ours_7/renders")
    result = cli("score", "-m", "s1", "s2", "s3", "--method", "ours", *LIGHT)
    assert result.code == 3
    pinned("score", result.err)
    records = nvs_eval.read_records("out")
    assert [record.scene for record in records] == ["s1", "s3"]
    assert "s1" in result.out
    assert "s3" in result.out


def test_it_is_an_error_if_no_result_has_a_record(cli: Callable[..., Said], pinned: Pinned) -> None:
    damage("bush/ours", "bush/theirs")
    result = cli("score", "bush/ours", "bush/theirs", "--reference", "bush/gt", *LIGHT)
    assert (result.code, result.out) == (2, "")
    pinned("score", result.err)
    assert not list(Path("out").rglob("*.json"))
    damage("bush/gt")
    result = cli("score", "bush/late", "bush/theirs", "--reference", "bush/gt", *LIGHT)
    assert (result.code, result.out) == (2, "")
    assert "No view of bush/late, bush/theirs could be scored. bush/gt/0001.png cannot be read" in result.err


@pytest.mark.parametrize("output_dir", [None, "out"])
def test_python_returns_the_other_records_and_warns(output_dir: str | None) -> None:
    damage("bush/theirs")
    options: dict[str, Any] = {"reference": "bush/gt", "protocol": "light.yaml", "output_dir": output_dir}
    with pytest.warns(InputWarning, match=r"No view of bush/theirs could be scored\. bush/theirs/0001\.png") as issued:
        records = nvs_eval.score(["bush/ours", "bush/theirs"], **options)
    assert len(issued) == 1
    assert psnrs(records) == {"bush/ours": pytest.approx(psnr("bush/ours", "bush/gt"), abs=1e-4)}
    with pytest.raises(InputError, match=r"No view of bush/theirs could be scored"), warnings.catch_warnings():
        warnings.simplefilter("error")
        nvs_eval.score("bush/theirs", **options)


def test_protocol_that_can_score_no_view_of_one_result(cli: Callable[..., Said], pinned: Pinned) -> None:
    for name in NAMES:
        save_npy(Path("bush", "bright", f"{name}.npy"), 1.5 * float_image(3))
    protocol_file(Path(), variant(name="clamping", out_of_range="clamp"), "clamping.yaml")
    protocols = ("--protocol", "light.yaml", "clamping.yaml", "--output-dir", "out")
    result = cli("score", "bush/bright", "bush/ours", "--reference", "bush/gt", *protocols)
    assert result.code == 3
    pinned("score", result.err)
    kept = {(record.method, record.protocol["name"]) for record in nvs_eval.read_records("out")}
    assert kept == {("bright", "clamping"), ("ours", "clamping"), ("ours", "light")}


def test_audit_of_all_protocols_names_a_lost_result_once(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, here: Path, pinned: Pinned
) -> None:
    import nvs_eval.protocols as module

    names = ["standard", "float", "small"]
    protocol_file(here, variant(name="standard"), "standard.yaml")
    protocol_file(here, variant(name="small", crop=10), "small.yaml")
    monkeypatch.setattr(module, "named_protocols", lambda: {name: here / f"{name}.yaml" for name in names})
    damage("bush/ours")
    command = ("audit", "bush/ours", "bush/theirs", "--reference", "bush/gt", "--output-dir", "out")
    result = cli(*command)
    assert result.code == 3
    pinned("audit", result.err)
    pinned("audit", result.out)
    kept = [(record.method, record.protocol["name"]) for record in nvs_eval.read_records("out")]
    assert sorted(kept) == [("theirs", name) for name in sorted(names)]
    with pytest.warns(InputWarning, match="No view of bush/ours could be scored"):
        assert len(nvs_eval.audit(["bush/ours", "bush/theirs"], reference="bush/gt", output_dir="api")) == 1
    alone = cli("audit", "bush/ours", *command[3:-1], "alone")
    assert (alone.code, alone.out) == (2, "")
    assert alone.err.count("bush/ours/0001.png") == 1


def test_suite_lists_a_lost_result_as_not_done(cli: Callable[..., Said]) -> None:
    for step in (7, 30):
        write_images(Path(f"bush/model/test/ours_{step}/renders"), {name: image(step) for name in NAMES})
        write_images(Path(f"bush/model/test/ours_{step}/gt"), {name: image(40) for name in NAMES})
    damage("bush/model/test/ours_7/renders")
    method = {"score": "bush/model", "protocol": "light.yaml"}
    Path("suite.yaml").write_text(yaml.safe_dump({"scenes": ["bush"], "methods": {"ours": method}}))
    result = cli("suite", "suite.yaml", "--output-dir", "out", "--rows", "checkpoint")
    assert result.code == 3
    assert "Not done, 1 of 1:" in result.err
    assert "No view of bush/ours/7 could be scored" in result.err
    assert [record.step for record in nvs_eval.read_records("out")] == [30]


# --- Checkpoints ----------------------------------------------------------------------------------------------------


def not_finite(index: int) -> torch.Tensor:
    return torch.full((40, 48, 3), torch.nan)


def bright(index: int) -> torch.Tensor:
    return 1.5 * float_image(7 + index)


def test_other_checkpoints_are_scored(cli: Callable[..., Said], opener: Opener, pinned: Pinned) -> None:
    opener.given[:] = [FakeCheckpoint(500, renders=not_finite), FakeCheckpoint(2500)]
    result = cli(*RUN)
    assert result.code == 3
    pinned("run", result.err)
    assert [record.step for record in nvs_eval.read_records("nvs-eval-results")] == [2500]
    assert not list(Path("nvs-eval-results").rglob(".rendering*"))
    # Repeated, only the lost checkpoint is rendered again.
    opener.given[:] = [FakeCheckpoint(500, renders=not_finite), FakeCheckpoint(2500)]
    again = cli(*RUN)
    assert (again.code, again.out) == (3, result.out)
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [3, 0]
    # Alone, it is an error.
    opener.given[:] = [FakeCheckpoint(500, renders=not_finite)]
    alone = cli(*RUN)
    assert (alone.code, alone.out) == (2, "")
    assert alone.err.splitlines()[-1].startswith("Error: No view of fox/fake/base/500 could be scored. ")


def test_checkpoint_that_no_protocol_can_score_stops_after_its_first_view(
    cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(500, renders=bright)]
    alone = cli(*RUN)
    assert (alone.code, alone.out, opener.rendered) == (2, "", ["a"])
    pinned("run", alone.err)
    opener.given[:] = [FakeCheckpoint(500, renders=bright), FakeCheckpoint(2500), FakeCheckpoint(9000)]
    result = cli(*RUN)
    assert result.code == 3
    pinned("run", result.err)
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [1, 3, 3]
    assert [record.step for record in nvs_eval.read_records("nvs-eval-results")] == [2500, 9000]
    assert not list(Path("nvs-eval-results").rglob(".rendering*"))


def test_checkpoint_that_one_protocol_can_score_is_rendered(cli: Callable[..., Said], opener: Opener) -> None:
    protocol_file(Path(), variant(name="clamping", out_of_range="clamp"), "clamping.yaml")
    opener.given[:] = [FakeCheckpoint(500, renders=bright)]
    result = cli(*RUN, "clamping.yaml")
    assert (result.code, opener.rendered) == (3, ["a", "cam0/b", "c"])
    (record,) = nvs_eval.read_records("nvs-eval-results")
    assert (record.protocol["name"], len(record.views), record.failed) == ("clamping", 3, {})


def test_rescore_of_damaged_renders_does_not_end_the_others(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(500), FakeCheckpoint(2500)]
    assert cli(*RUN).code == 0
    damage("nvs-eval-results/fox/fake/base/500/renders", "nvs-eval-results/fox/fake/base/500/renders/cam0")
    protocol_file(Path(), variant(name="other", crop=1), "other.yaml")
    result = cli("rescore", "nvs-eval-results", "--protocol", "other.yaml")
    assert result.code == 3
    assert "No view of fox/fake/base/500 could be scored. " in result.err
    assert [record.step for record in nvs_eval.read_records("nvs-eval-results", protocol="other")] == [2500]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("png", "all", ", and its renders are kept only with 8 bits. Use --overwrite to render"),
        ("none", "png", ", and its renders are not kept. Use --overwrite to render"),
        ("all", "png", ", and its renders are kept as floats. Use --overwrite to render"),
        ("png", "png", "already scored under light. Use --overwrite to render"),
    ],
)
def test_finished_checkpoint_says_which_renders_are_kept(
    before: str, after: str, words: str, cli: Callable[..., Said], opener: Opener
) -> None:
    opener.given[:] = [FakeCheckpoint(500)]
    assert cli(*RUN, "--keep-renders", before).code == 0
    result = cli(*RUN, "--keep-renders", after)
    assert result.code == 0
    assert words in result.err
    # --overwrite keeps what the command asks for.
    assert cli(*RUN, "--keep-renders", after, "--overwrite").code == 0
    (record,) = nvs_eval.read_records("nvs-eval-results")
    suffixes = {Path(str(row.render)).suffix for row in record.views}
    assert suffixes == {".npy" if after == "all" else ".png"}
