"""`nvs-eval audit`: every protocol at once, with the records that each alone would give."""

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
    """Protocols that need no weights, each in a file of its name; noise, of which no two protocols say the same."""
    for name, text in TEXTS.items():
        protocol_file(here, text, f"{name}.yaml")
    write_garden(here / "garden")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, here: Path) -> list[str]:
    """In the place of the named protocols: those above alone."""
    import nvs_eval.protocols as module

    names = ["standard", "float", "half", "ignoring", "unmasked"]
    protocol_file(here, variant(name="standard"), "standard.yaml")
    monkeypatch.setattr(module, "named_protocols", lambda: {name: here / f"{name}.yaml" for name in sorted(names)})
    return names


def written(folder: Path = OUT) -> dict[str, Any]:
    """All records below a folder by their paths, as plain data, without what differs from command to command."""
    records = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    for record in records.values():
        for name in ("command", "started", "seconds"):
            del record["provenance"][name]
    return records


def protocols_in(out: str) -> list[list[str]]:
    """The protocols in the first column of each table."""
    tables = re.split(r"^protocol +fingerprint ", out, flags=re.MULTILINE)[1:]
    return [re.findall(r"^([\w-]+) +[0-9a-f]{8} ", table, re.MULTILINE) for table in tables]


# --- The records ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [(), ("--colour-correct", "quadratic")], ids=["plain", "corrected"])
@pytest.mark.parametrize("kind", ["folders", "one checkpoint", "checkpoints"])
def test_the_records_are_those_that_each_protocol_alone_gives(
    kind: str, colours: tuple[str, ...], cli: Callable[..., Said], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for checkpoint in opener.given:
        checkpoint.references = float_image
    if kind == "one checkpoint":
        del opener.given[1:]
    given = FOLDERS if kind == "folders" else RUNS
    names = ["light.yaml", "float.yaml", "half.yaml", "keeping.yaml"]
    said = cli("audit", *given, *colours, "--protocol", *names)
    assert said.code == 0
    alone = "score" if kind == "folders" else "run"
    for name in names:
        assert cli(alone, *given, *colours, "--protocol", name, "--output-dir", "alone").code == 0
    assert written() == written(Path("alone"))
    assert len(written()) == (4 if kind == "one checkpoint" else 8)
    assert files_below(OUT) == files_below(Path("alone"))


def weights_are_here() -> bool:
    return all(find_backbone(net).verified for net in ("alex", "vgg"))


@pytest.mark.skipif(not weights_are_here(), reason="the LPIPS weights of alex and vgg are not in the cache")
def test_every_named_protocol_says_what_it_says_alone(cli: Callable[..., Said]) -> None:
    given = ("large/ours", "--reference", "large/gt")
    for seed, folder in enumerate(("gt", "ours")):
        # The right half of it is large enough for every network.
        save_png(Path("large") / folder / "0001.png", image(seed, 66, 70))
    said = cli("audit", *given)
    assert said.code == 0
    assert len(written()) == len(named_protocols()) == 18
    (table,) = protocols_in(said.out)
    assert table[0] == "standard"
    assert sorted(table) == sorted(named_protocols())
    for name in ("inria-3dgs", "nerfstudio", "nerfbaselines-nerf"):
        assert cli("score", *given, "--protocol", name, "--output-dir", "alone").code == 0
    alone = written(Path("alone"))
    assert len(alone) == 3
    assert {path: written()[path] for path in alone} == alone


def test_several_results_are_several_tables(cli: Callable[..., Said], opener: Opener) -> None:
    names = ["light.yaml", "float.yaml", "half.yaml"]
    for given in (FOLDERS, RUNS):
        said = cli("audit", *given, "--protocol", *names)
        assert said.code == 0
        assert protocols_in(said.out) == [["light", "float", "half"]] * 2
    assert cli("audit", "-m", "garden/ours", *FOLDERS[2:], "--protocol", *names).code == 0


def test_audit_shows_each_protocol_and_what_is_comparable(cli: Callable[..., Said]) -> None:
    said = cli("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    means = {record["protocol"]["name"]: record["means"] for record in written().values()}
    for name in ("light", "float"):
        (line,) = [line for line in said.out.splitlines() if line.startswith(f"{name} ")]
        assert f"{means[name]['psnr']:.2f}" in line
        assert f"{means[name]['ssim']:.4f}" in line
    assert "\nYour SSIM " in said.out
    assert "\nSSIM under float is " in said.out
    assert "\nview  " not in said.out


def test_per_view_adds_a_table_of_each_protocol(cli: Callable[..., Said]) -> None:
    said = cli("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    more = cli(
        "audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml", "--per-view"
    )
    assert more.out.startswith(said.out)
    assert len(re.findall(r"^000[12] ", more.out, re.MULTILINE)) == 4


# --- Work that is shared --------------------------------------------------------------------------------------------


def test_audit_decodes_each_image_once_for_all_protocols(
    cli: Callable[..., Said], own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def count(path: Path, *args: Any) -> Any:
        decoded.append(path.as_posix())
        return load_layers(path, *args)

    monkeypatch.setattr("nvs_eval.sources.pictures.load_layers", count)
    assert cli("audit", *FOLDERS).code == 0
    assert len(written()) == 2 * len(own)
    assert sorted(decoded) == sorted(
        f"garden/{folder}/{view}.png" for folder in ("gt", "ours", "theirs") for view in ("0001", "0002")
    )


def test_audit_renders_each_view_once_for_all_protocols(
    cli: Callable[..., Said], own: list[str], opener: Opener
) -> None:
    assert cli("audit", *RUNS).code == 0
    assert len(written()) == 2 * len(own)
    assert [checkpoint.rendered for checkpoint in opener.given] == [["a", "cam0/b", "c"]] * 2
    assert "has its records already" in cli("audit", *RUNS).err
    assert len(opener.rendered) == 6


# --- What a protocol refuses ----------------------------------------------------------------------------------------


def beyond(index: int) -> torch.Tensor:
    render = float_image(7 + index)
    if index == 1:
        render[0, 0, 0] = 1.25
    return render


@pytest.mark.parametrize("kind", ["folders", "one checkpoint", "checkpoints"])
def test_renders_out_of_range_leave_the_protocols_that_take_them(
    kind: str, cli: Callable[..., Said], own: list[str], here: Path, opener: Opener
) -> None:
    protocol_file(here, KEEPING, "half.yaml")
    Path("garden/ours/0002.png").unlink()
    save_npy(Path("garden/ours/0002.npy"), beyond(1))
    opener.given[0].renders = beyond
    if kind == "one checkpoint":
        del opener.given[1:]
    given = FOLDERS if kind == "folders" else RUNS
    said = cli("audit", *given)
    assert said.code == 0
    assert {record["protocol"]["name"] for record in written().values()} == {"keeping"}
    for name in ("standard", "float", "ignoring", "unmasked"):
        (line,) = [line for line in said.err.splitlines() if line.startswith(f"Not under {name}: ")]
        assert re.search(r"The render of view '(0002|cam0/b)' .*has values from .* to 1\.25", line)
    assert protocols_in(said.out) == [["keeping"]] * (1 if kind == "one checkpoint" else 2)


@pytest.mark.parametrize("given", [FOLDERS, RUNS], ids=["folders", "checkpoints"])
def test_a_protocol_that_was_named_must_be_able_to(
    given: tuple[str, ...], cli: Callable[..., Said], opener: Opener
) -> None:
    Path("garden/ours/0002.png").unlink()
    save_npy(Path("garden/ours/0002.npy"), beyond(1))
    opener.given[0].renders = beyond
    said = cli("audit", *given, "--protocol", "keeping.yaml", "light.yaml")
    assert (said.code, said.out) == (2, "")
    assert re.search(r"^Error: The render of view .* to 1\.25, and the protocol 'light' needs", said.err, re.MULTILINE)
    assert written() == {}


def test_audit_refused_by_all_protocols_writes_nothing(
    cli: Callable[..., Said], own: list[str], opener: Opener
) -> None:
    for checkpoint in opener.given:
        checkpoint.renders = beyond
    every = list(opener.given)
    for given in (every[:1], every):
        opener.given[:] = given
        said = cli("audit", *RUNS)
        assert (said.code, said.out) == (2, "")
        assert said.err.count("Not under ") == len(own)
        assert said.err.endswith("Error: No protocol can score these renders; each said why.\n")
        assert [file for file in files_below(OUT) if not file.endswith("/")] == []


def test_audit_of_8_bit_copies_scores_rounding_protocols(
    cli: Callable[..., Said], own: list[str], opener: Opener
) -> None:
    assert cli("run", "--load-config", "config.yml", "--protocol", "light.yaml", "--output-dir", "made").code == 0
    (reference,) = Path("made/fox/references").iterdir()
    given = ("made/fox/fake/base/500/renders", "--reference", str(reference))
    said = cli("audit", *given)
    assert said.code == 0
    assert protocols_in(said.out) == [["standard", "half", "ignoring", "unmasked"]]
    assert re.findall(r"^Not under (\w+): .* holds 8-bit copies", said.err, re.MULTILINE) == ["float"]
    assert cli("audit", *given, "--protocol", "light.yaml", "float.yaml").code == 2


@pytest.mark.parametrize("given", [FOLDERS, RUNS], ids=["folders", "checkpoints"])
def test_audit_with_masks_scores_protocols_that_use_them(
    given: tuple[str, ...], cli: Callable[..., Said], refused: Callable[..., str], own: list[str], opener: Opener
) -> None:
    masks = write_masks(Path("masks"), dict.fromkeys(["0001", "0002", "a", "cam0/b", "c"], 0.5))
    message = refused("audit", *given, "--masks", str(masks), "--protocol", "unmasked.yaml")
    assert message.startswith("There are masks, and the protocol 'unmasked' has no meaning for one")
    assert opener.rendered == []
    said = cli("audit", *given, "--masks", str(masks))
    assert said.code == 0
    assert said.err.count("Not under unmasked: it has no meaning for masks.\n") == said.err.count("Not under ") == 1
    coverage = {
        record["protocol"]["name"]: {view["coverage"] for view in record["views"]} for record in written().values()
    }
    assert coverage == {"standard": {0.5}, "float": {0.5}, "half": {0.5}, "ignoring": {None}}


def test_audit_with_masks_lists_other_protocols_on_one_line(
    cli: Callable[..., Said], own: list[str], here: Path
) -> None:
    protocol_file(here, UNMASKED.replace("name: unmasked", "name: float"), "float.yaml")
    given = (*FOLDERS, "--masks", str(write_masks(Path("masks"), dict.fromkeys(["0001", "0002"], 0.5))))
    assert "Not under float, unmasked: they have no meaning for masks.\n" in cli("audit", *given).err
    assert "no meaning" not in cli("audit", *FOLDERS).err
    assert "no meaning" not in cli("audit", *given, "--protocol", "light.yaml").err


def test_a_mean_over_more_views_than_the_others_have_is_said(cli: Callable[..., Said], own: list[str]) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.0})
    said = cli("audit", *FOLDERS, "--masks", str(masks))
    assert said.code == 0
    assert re.search(r"^garden, ours, test views$", said.out, re.MULTILINE)
    assert dict(re.findall(r"^(\w+) +[0-9a-f]{8} +(\d) ", said.out, re.MULTILINE)) == {
        "standard": "1",
        "float": "1",
        "half": "1",
        "ignoring": "2",
    }
    assert "takes no masks and is a mean over 2 views, where standard has 1." in said.out


# --- Wrong usage ----------------------------------------------------------------------------------------------------


def test_an_audit_is_of_folders_or_of_runs(refused: Callable[..., str], opener: Opener) -> None:
    expected = (
        "An audit is of folders of renders, as `nvs-eval score` takes them, or with `--load-config` of trained runs, "
        "as `nvs-eval run` does: give the one or the other."
    )
    assert refused("audit") == expected
    assert refused("audit", *FOLDERS, "--load-config", "config.yml") == expected
    assert refused("audit", "-m", "garden/ours", "--load-config", "config.yml") == expected
    assert opener.asked == []


@pytest.mark.parametrize(
    ("given", "option", "said"),
    [
        (FOLDERS, ("--every", "2"), "`--every` is for trained runs (`--load-config`), and these are none"),
        (FOLDERS, ("--keep-renders", "all"), "`--keep-renders` is for trained runs (`--load-config`), and these"),
        (FOLDERS, ("--steps", "all"), "`--steps` is for trained runs"),
        (RUNS, ("--background", "white"), "`--background` is for folders of renders, and these are none"),
        (RUNS, ("--reference", "garden/gt"), "`--reference` is for folders of renders"),
    ],
)
def test_an_option_that_would_do_nothing_is_an_error(
    given: tuple[str, ...], option: tuple[str, ...], said: str, refused: Callable[..., str], opener: Opener
) -> None:
    assert refused("audit", *given, *option, "--protocol", "light.yaml").startswith(said)
    assert opener.asked == []


def test_weights_that_are_missing_are_one_error_before_any_work(
    refused: Callable[..., str], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.errors import InputError

    def require(nets: Sequence[str], **_: Any) -> Any:
        raise InputError(f"The weights of {', '.join(nets)} are not here.")

    monkeypatch.setattr("nvs_eval.evaluation.scorer.require", require)
    for given in (FOLDERS, RUNS):
        assert refused("audit", *given) == "The weights of alex, vgg are not here."
    assert opener.rendered == []


def test_a_folder_that_is_not_there_and_an_unknown_protocol(refused: Callable[..., str], own: list[str]) -> None:
    assert refused("audit", "gone", "--reference", "garden/gt") == "The folder of renders gone does not exist."
    assert refused("audit", *FOLDERS, "--protocol", "flaot").startswith(
        "Unknown protocol 'flaot'. Did you mean 'float'?"
    )


def test_audit_of_grey_or_alpha_needs_its_option(
    cli: Callable[..., Said], refused: Callable[..., str], own: list[str]
) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    assert "Use `--grey-to-rgb`" in refused("audit", *FOLDERS)
    assert cli("audit", *FOLDERS, "--grey-to-rgb").code == 0


# --- Interruptions --------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_finished(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    for model, level in (("a", 102), ("b", 103)):
        fill(Path(f"{model}/test/ours_7000/gt"), [level, 51])
        fill(Path(f"{model}/test/ours_7000/renders"), [153, 51])
    outcomes = Scorer.outcomes

    def interrupt(self: Scorer, view: Any) -> Any:
        if float(view.reference[0, 0, 0]) > 102.5 / 255:
            raise KeyboardInterrupt
        return outcomes(self, view)

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    said = cli("audit", "a", "b", "--scene", "s", "--protocol", "light.yaml", "half.yaml")
    assert (said.code, said.out) == (130, "")
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


def test_auto_beside_others(cli: Callable[..., Said], opener: Opener, here: Path) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="instant-ngp"), FakeCheckpoint(2, own_protocol="nerf")]
    said = cli("audit", *RUNS, "--protocol", "light.yaml", "auto")
    assert said.code == 0
    assert protocols_in(said.out) == [["light", "instant-ngp"], ["light", "nerf"]]
