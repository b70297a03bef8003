"""`nvs-eval audit`: scores under every protocol at once, with the same records as one protocol at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import CLAMPING, FLOAT, HALF, IGNORING, KEEPING, LIGHT, UNMASKED, protocol_file, variant
from support.scenes import HEIGHT, WIDTH, files_below, fill, float_image, image, write_garden, write_masks

from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import load_layers, save_npy, save_png
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.protocols import named_protocols

TEXTS = {
    "light": LIGHT,
    "float": FLOAT,
    "half": HALF,
    "ignoring": IGNORING,
    "unmasked": UNMASKED,
    "keeping": KEEPING,
    "clamping": CLAMPING,
}
OUT = Path("nvs-eval-results")
FOLDERS = ("garden/ours", "garden/theirs", "--reference", "garden/gt")
RUNS = ("--load-config", "config.yml", "--steps", "all")


@pytest.fixture(autouse=True)
def protocols(here: Path) -> None:
    """Write protocols that need no weights, and noise images, which score differently under each protocol."""
    for name, text in TEXTS.items():
        protocol_file(here, text, f"{name}.yaml")
    write_garden(here / "garden")


@pytest.fixture
def few_protocols(monkeypatch: pytest.MonkeyPatch, here: Path) -> list[str]:
    """Replace the named protocols by some of the above."""
    import nvs_eval.protocols as module

    names = ["standard", "float", "half", "ignoring", "unmasked"]
    protocol_file(here, variant(name="standard"), "standard.yaml")
    monkeypatch.setattr(module, "named_protocols", lambda: {name: here / f"{name}.yaml" for name in sorted(names)})
    return names


def written(folder: Path = OUT) -> dict[str, Any]:
    """Return all records below a folder by path, as plain data, without command and times."""
    records = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    for record in records.values():
        for name in ("command", "started", "seconds"):
            del record["provenance"][name]
    return records


def protocols_in(out: str) -> list[list[str]]:
    """Return the protocols in the first column of each table."""
    tables = re.split(r"^protocol +fingerprint ", out, flags=re.MULTILINE)[1:]
    return [re.findall(r"^([\w-]+) +[0-9a-f]{8} ", table, re.MULTILINE) for table in tables]


# --- Records --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [(), ("--colour-correct", "quadratic")], ids=["plain", "corrected"])
@pytest.mark.parametrize("kind", ["folders", "one checkpoint", "checkpoints"])
def test_records_equal_those_of_each_protocol_alone(
    kind: str, colours: tuple[str, ...], cli: Callable[..., Said], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for checkpoint in opener.given:
        checkpoint.references = float_image
    if kind == "one checkpoint":
        del opener.given[1:]
    inputs = FOLDERS if kind == "folders" else RUNS
    names = ["light.yaml", "float.yaml", "half.yaml", "keeping.yaml"]
    result = cli("audit", *inputs, *colours, "--protocol", *names)
    assert result.code == 0
    alone = "score" if kind == "folders" else "run"
    records: dict[str, Any] = {}
    files: set[str] = set()
    for name in names:  # Each in a folder of its own, where no renders of another are kept.
        assert cli(alone, *inputs, *colours, "--protocol", name, "--output-dir", f"only {name}").code == 0
        records |= written(Path(f"only {name}"))
        files |= {*files_below(Path(f"only {name}"))}
    assert written() == records
    assert len(written()) == (4 if kind == "one checkpoint" else 8)
    assert {*files_below(OUT)} == files


def weights_are_cached() -> bool:
    return all(find_backbone(net).verified for net in ("alex", "vgg"))


@pytest.mark.skipif(not weights_are_cached(), reason="the LPIPS weights of alex and vgg are not in the cache")
def test_every_named_protocol_scores_as_it_does_alone(cli: Callable[..., Said]) -> None:
    inputs = ("large/ours", "--reference", "large/gt")
    for seed, folder in enumerate(("gt", "ours")):
        # Large enough for MS-SSIM, and the right half for every network.
        save_png(Path("large") / folder / "0001.png", image(seed, 166, 170))
    result = cli("audit", *inputs)
    assert result.code == 0
    assert len(written()) == len(named_protocols()) == 24
    (table,) = protocols_in(result.out)
    assert table[0] == "standard"
    assert sorted(table) == sorted(named_protocols())
    for name in ("inria-3dgs", "nerfstudio", "nerfbaselines-nerf"):
        assert cli("score", *inputs, "--protocol", name, "--output-dir", "alone").code == 0
    alone = written(Path("alone"))
    assert len(alone) == 3
    assert {path: written()[path] for path in alone} == alone


def test_each_result_has_a_table(cli: Callable[..., Said], opener: Opener) -> None:
    names = ["light.yaml", "float.yaml", "half.yaml"]
    for inputs in (FOLDERS, RUNS):
        result = cli("audit", *inputs, "--protocol", *names)
        assert result.code == 0
        assert protocols_in(result.out) == [["light", "float", "half"]] * 2
    assert cli("audit", "-m", "garden/ours", *FOLDERS[2:], "--protocol", *names).code == 0


def test_audit_shows_each_protocol_and_what_is_comparable(cli: Callable[..., Said]) -> None:
    result = cli("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    means = {record["protocol"]["name"]: record["means"] for record in written().values()}
    for name in ("light", "float"):
        (line,) = [line for line in result.out.splitlines() if line.startswith(f"{name} ")]
        assert f"{means[name]['psnr']:.2f}" in line
        assert f"{means[name]['ssim']:.4f}" in line
    assert "\nYour SSIM " in result.out
    assert "\nSSIM under float is " in result.out
    assert "\nview  " not in result.out


def test_per_view_adds_a_table_of_the_views(cli: Callable[..., Said]) -> None:
    result = cli("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    per_view = cli(
        "audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml", "--per-view"
    )
    assert per_view.out.startswith(result.out)
    assert len(re.findall(r"^000[12] ", per_view.out.removeprefix(result.out), re.MULTILINE)) == 2


# --- Shared work ----------------------------------------------------------------------------------------------------


def test_audit_decodes_each_image_once_for_all_protocols(
    cli: Callable[..., Said], few_protocols: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def count(path: Path, *args: Any) -> Any:
        decoded.append(path.as_posix())
        return load_layers(path, *args)

    monkeypatch.setattr("nvs_eval.sources.pictures.load_layers", count)
    assert cli("audit", *FOLDERS).code == 0
    assert len(written()) == 2 * len(few_protocols)
    assert sorted(decoded) == sorted(
        f"garden/{folder}/{view}.png" for folder in ("gt", "ours", "theirs") for view in ("0001", "0002")
    )


def test_audit_renders_each_view_once_for_all_protocols(
    cli: Callable[..., Said], few_protocols: list[str], opener: Opener, pinned: Pinned
) -> None:
    assert cli("audit", *RUNS).code == 0
    assert len(written()) == 2 * len(few_protocols)
    assert [checkpoint.rendered for checkpoint in opener.given] == [["a", "cam0/b", "c"]] * 2
    pinned("audit", cli("audit", *RUNS).err)
    assert len(opener.rendered) == 6


# --- Skipped protocols ----------------------------------------------------------------------------------------------


def beyond(index: int) -> torch.Tensor:
    render = float_image(7 + index)
    render[0, 0, 0] = 1.25
    return render


def write_beyond(method: str) -> None:
    """Replace the renders of a method by renders beyond 1."""
    for index, file in enumerate(sorted(Path("garden", method).glob("*.png"))):
        file.unlink()
        save_npy(file.with_suffix(".npy"), beyond(index))


@pytest.mark.parametrize("kind", ["folders", "one checkpoint", "checkpoints"])
def test_protocols_that_refuse_out_of_range_renders_are_skipped(
    kind: str, cli: Callable[..., Said], few_protocols: list[str], here: Path, opener: Opener
) -> None:
    protocol_file(here, KEEPING, "half.yaml")
    for method, checkpoint in zip(("ours", "theirs"), opener.given, strict=True):
        write_beyond(method)
        checkpoint.renders = beyond
    if kind == "one checkpoint":
        del opener.given[1:]
    result = cli("audit", *(FOLDERS if kind == "folders" else RUNS))
    assert result.code == 0
    assert {record["protocol"]["name"] for record in written().values()} == {"keeping"}
    for name in ("standard", "float", "ignoring", "unmasked"):
        (line,) = [line for line in result.err.splitlines() if line.startswith(f"Skipped protocol {name}: ")]
        assert re.search(r"The render of view '(0001|a)' .* to 1\.25\b", line)
    assert protocols_in(result.out) == [["keeping"]] * (1 if kind == "one checkpoint" else 2)


@pytest.mark.parametrize("inputs", [FOLDERS, RUNS], ids=["folders", "checkpoints"])
def test_named_protocol_that_refuses_a_result_is_an_error_but_others_are_kept(
    inputs: tuple[str, ...], cli: Callable[..., Said], opener: Opener
) -> None:
    write_beyond("ours")
    opener.given[0].renders = beyond
    result = cli("audit", *inputs, "--protocol", "keeping.yaml", "light.yaml")
    assert result.code == 3
    assert re.search(r"was not scored under light\. .* to 1\.25\b.*'light'", result.err)
    names = [(record["protocol"]["name"], record.get("selection")) for record in written().values()]
    assert sorted(names) == [("keeping", None), ("keeping", None), ("light", None)]


def test_audit_refused_by_all_protocols_writes_nothing(
    cli: Callable[..., Said], few_protocols: list[str], opener: Opener, pinned: Pinned
) -> None:
    for checkpoint in opener.given:
        checkpoint.renders = beyond
    checkpoints = list(opener.given)
    for opened in (checkpoints[:1], checkpoints):
        opener.given[:] = opened
        result = cli("audit", *RUNS)
        assert (result.code, result.out) == (2, "")
        pinned("audit", result.err.splitlines()[-1])
        assert [file for file in files_below(OUT) if not file.endswith("/")] == []


def test_audit_of_8_bit_copies_scores_rounding_protocols(
    cli: Callable[..., Said], few_protocols: list[str], opener: Opener
) -> None:
    assert cli("run", "--load-config", "config.yml", "--protocol", "light.yaml", "--output-dir", "made").code == 0
    (reference,) = Path("made/fox/references").iterdir()
    inputs = ("made/fox/fake/base/500/renders", "--reference", str(reference))
    result = cli("audit", *inputs)
    assert result.code == 0
    assert protocols_in(result.out) == [["standard", "half", "ignoring", "unmasked"]]
    assert re.findall(r"^Skipped protocol (\w+): .* 8-bit copies", result.err, re.MULTILINE) == ["float"]
    assert cli("audit", *inputs, "--protocol", "light.yaml", "float.yaml").code == 2


@pytest.mark.parametrize("inputs", [FOLDERS, RUNS], ids=["folders", "checkpoints"])
def test_audit_with_masks_skips_protocols_without_support(
    inputs: tuple[str, ...],
    cli: Callable[..., Said],
    refused: Callable[..., str],
    few_protocols: list[str],
    opener: Opener,
    *,
    pinned: Pinned,
) -> None:
    masks = write_masks(Path("masks"), dict.fromkeys(["0001", "0002", "a", "cam0/b", "c"], 0.5))
    pinned("audit", refused("audit", *inputs, "--masks", str(masks), "--protocol", "unmasked.yaml"))
    assert opener.rendered == []
    result = cli("audit", *inputs, "--masks", str(masks))
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if line.startswith("Skipped ")]
    pinned("audit", line)
    coverage = {
        record["protocol"]["name"]: {view["coverage"] for view in record["views"]} for record in written().values()
    }
    assert coverage == {"standard": {0.5}, "float": {0.5}, "half": {0.5}, "ignoring": {None}}


def test_audit_with_masks_lists_skipped_protocols_on_one_line(
    cli: Callable[..., Said], few_protocols: list[str], here: Path, pinned: Pinned
) -> None:
    protocol_file(here, UNMASKED.replace("name: unmasked", "name: float"), "float.yaml")
    masked = (*FOLDERS, "--masks", str(write_masks(Path("masks"), dict.fromkeys(["0001", "0002"], 0.5))))
    (line,) = [line for line in cli("audit", *masked).err.splitlines() if line.startswith("Skipped ")]
    pinned("audit", line)
    assert "Skipped " not in cli("audit", *FOLDERS).err
    assert "Skipped " not in cli("audit", *masked, "--protocol", "light.yaml").err


def test_audit_reports_means_over_different_numbers_of_views(
    cli: Callable[..., Said], few_protocols: list[str]
) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.0})
    result = cli("audit", *FOLDERS, "--masks", str(masks))
    assert result.code == 0
    assert re.search(r"^garden, ours, test views$", result.out, re.MULTILINE)
    assert dict(re.findall(r"^(\w+) +[0-9a-f]{8} +(\d) ", result.out, re.MULTILINE)) == {
        "standard": "1",
        "float": "1",
        "half": "1",
        "ignoring": "2",
    }
    sentences = [line for line in result.out.splitlines() if "2 views" in line]
    assert len(sentences) == 4
    assert all("standard has 1" in sentence for sentence in sentences)
    assert all("uses no masks" in sentence for sentence in sentences), sentences


# --- Wrong usage ----------------------------------------------------------------------------------------------------


def test_audit_takes_either_folders_or_runs(refused: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    message = refused("audit")
    pinned("audit", message)
    assert refused("audit", *FOLDERS, "--load-config", "config.yml") == message
    assert refused("audit", "-m", "garden/ours", "--load-config", "config.yml") == message
    assert opener.asked == []


@pytest.mark.parametrize(
    ("inputs", "option"),
    [
        (FOLDERS, ("--data", "moved")),
        (FOLDERS, ("--keep-renders", "all")),
        (FOLDERS, ("--steps", "all")),
        (RUNS, ("--reference", "garden/gt")),
    ],
    ids=lambda value: value[0],
)
def test_option_without_effect_is_an_error(
    inputs: tuple[str, ...], option: tuple[str, ...], refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    pinned("audit", refused("audit", *inputs, *option, "--protocol", "light.yaml"))
    assert opener.asked == []


def test_missing_weights_raise_one_error_before_rendering(
    refused: Callable[..., str], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.errors import InputError

    def require(nets: Sequence[str], **_: Any) -> Any:
        raise InputError(f"No weights of {', '.join(nets)}.")

    monkeypatch.setattr("nvs_eval.evaluation.scorer.require", require)
    for inputs in (FOLDERS, RUNS):
        assert refused("audit", *inputs, "--protocol", "standard", "inria-3dgs") == "No weights of alex, vgg."
    assert opener.rendered == []


def test_missing_folder_and_unknown_protocol_raise(
    refused: Callable[..., str], few_protocols: list[str], pinned: Pinned
) -> None:
    pinned("audit", refused("audit", "gone", "--reference", "garden/gt"))
    pinned("audit", refused("audit", *FOLDERS, "--protocol", "flaot"))


def test_audit_of_grey_or_alpha_needs_its_option(
    cli: Callable[..., Said], refused: Callable[..., str], few_protocols: list[str]
) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    assert "`--grey-to-rgb`" in refused("audit", *FOLDERS)
    assert cli("audit", *FOLDERS, "--grey-to-rgb").code == 0


# --- Interruptions --------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_finished_records(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    for model, level in (("a", 102), ("b", 103)):
        fill(Path(f"{model}/test/ours_7000/gt"), [level, 51])
        fill(Path(f"{model}/test/ours_7000/renders"), [153, 51])
    outcomes = Scorer.outcomes

    def interrupt(self: Scorer, view: Any) -> Any:
        if float(view.reference[0, 0, 0]) > 102.5 / 255:
            raise KeyboardInterrupt
        return outcomes(self, view)

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    result = cli("audit", "a", "b", "--scene", "s", "--protocol", "light.yaml", "half.yaml")
    assert (result.code, result.out) == (130, "")
    assert {path.split("/")[1] for path in written()} == {"a"}
    assert len(written()) == 2


def test_audit_interrupted_while_rendering_can_resume(cli: Callable[..., Said], opener: Opener) -> None:
    def interrupt(index: int) -> None:
        raise KeyboardInterrupt

    command = ("audit", *RUNS, "--protocol", "light.yaml", "half.yaml")
    first, second = opener.given
    second.on_view = interrupt
    assert cli(*command).code == 130
    assert written() == {}
    second.on_view = lambda index: None
    assert cli(*command).code == 0
    assert (len(first.rendered), len(second.rendered)) == (3, 3)
    assert len(written()) == 4


# --- `--protocol auto` ----------------------------------------------------------------------------------------------


def test_auto_and_other_protocols_together(cli: Callable[..., Said], opener: Opener, here: Path) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="instant-ngp"), FakeCheckpoint(2, own_protocol="nerf")]
    result = cli("audit", *RUNS, "--protocol", "light.yaml", "auto")
    assert result.code == 0
    assert protocols_in(result.out) == [["light", "instant-ngp"], ["light", "nerf"]]
