"""`--masks` and `--data-masks` on the command line: scores, records, and errors that are raised before rendering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, IGNORING, LIGHT, UNMASKED, protocol_file
from support.scenes import HEIGHT, WIDTH, image, masks_in, write_garden, write_masks

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_png
from nvs_eval.records.files import read_records
from nvs_eval.records.record import Record, read_record
from nvs_eval.sources.masks import Masks, load_mask
from nvs_eval.sources.pictures import list_images

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt")
RUN = ("run", "--load-config", "config.yml", "--steps", "all")
RENDERED = {"a": 0.5, "cam0/b": 0.25, "c": 0.75}
SCORED = {"0001": 0.5, "0002": 0.25}
COVERAGE = {**RENDERED, **SCORED}


@pytest.fixture(autouse=True)
def scene(here: Path) -> None:
    for name, text in {"light": LIGHT, "float": FLOAT, "ignoring": IGNORING, "unmasked": UNMASKED}.items():
        protocol_file(here, text, f"{name}.yaml")
    write_garden(here / "garden")


@pytest.fixture(params=["score", "one checkpoint", "checkpoints"])
def command(request: pytest.FixtureRequest, opener: Opener) -> tuple[str, ...]:
    if request.param == "one checkpoint":
        del opener.given[1:]
    return SCORE if request.param == "score" else RUN


def records(protocol: str = "light") -> list[Record]:
    return [read_record(path) for path in sorted(Path("nvs-eval-results").rglob(f"{protocol}-*.json"))]


def test_masks_are_matched_by_name_and_recorded(command: tuple[str, ...], cli: Callable[..., Said]) -> None:
    # Additional masks are ignored.
    write_masks(Path("masks"), {**COVERAGE, "another": 0.5})
    result = cli(*command, "--masks", "masks", "--protocol", "light.yaml")
    assert result.code == 0
    assert "mask:valid-pixels" in result.out
    files = sorted(Path("nvs-eval-results").rglob("light-*.json"))
    assert files
    for file in files:
        for row in read_record(file).views:
            assert row.coverage == COVERAGE[row.name]
            mask = (file.parent / str(row.mask)).resolve()
            assert mask == Path(f"masks/{row.name}.png").resolve()
            assert row.mask_sha256 == Masks({row.name: mask}).sha256(row.name)


def test_only_white_pixels_are_scored(cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), SCORED)
    cli(*SCORE, "--masks", "masks", "--protocol", "float.yaml")
    for record in records("float"):
        for row in record.views:
            first = WIDTH - round(WIDTH * SCORED[row.name])
            seed = {"ours": 10, "theirs": 20}[record.method]
            difference = (image(seed + int(row.name)) - image(int(row.name)))[:, first:].double()
            assert row.scores["psnr"] == pytest.approx(-10 * float((difference**2).mean().log10()), abs=1e-5)


def test_protocol_that_ignores_masks_records_none(command: tuple[str, ...], cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), COVERAGE)
    assert cli(*command, "--masks", "masks", "--protocol", "ignoring.yaml").code == 0
    with_masks = [record.views for record in records("ignoring")]
    assert {(row.coverage, row.mask, row.mask_sha256) for rows in with_masks for row in rows} == {(None, None, None)}
    assert cli(*command, "--protocol", "ignoring.yaml", *(["--overwrite"] if command == RUN else [])).code == 0
    assert [record.views for record in records("ignoring")] == with_masks


# --- Refused before anything is rendered ----------------------------------------------------------------------------


@pytest.fixture
def refused_early(refused: Callable[..., str], opener: Opener) -> Callable[..., str]:
    def run(*args: str) -> str:
        message = refused(*args)
        assert opener.rendered == []
        return message

    return run


def test_view_without_a_mask_raises(
    command: tuple[str, ...], refused_early: Callable[..., str], pinned: Pinned
) -> None:
    incomplete = {name: share for name, share in COVERAGE.items() if name not in ("0002", "cam0/b")}
    write_masks(Path("masks"), incomplete)
    message = refused_early(*command, "--masks", "masks", "--protocol", "light.yaml")
    pinned(command[0], message)


def test_mask_of_another_size_raises(
    command: tuple[str, ...], refused_early: Callable[..., str], pinned: Pinned
) -> None:
    write_masks(Path("masks"), COVERAGE)
    for name in ("0002", "c"):
        save_png(Path(f"masks/{name}.png"), torch.ones(HEIGHT, WIDTH + 3, 3))
    pinned(command[0], refused_early(*command, "--masks", "masks", "--protocol", "light.yaml"))


def test_protocol_without_mask_support_raises(
    command: tuple[str, ...], refused_early: Callable[..., str], pinned: Pinned
) -> None:
    write_masks(Path("masks"), COVERAGE)
    pinned(command[0], refused_early(*command, "--masks", "masks", "--protocol", "light.yaml", "unmasked.yaml"))


def test_missing_or_empty_mask_folder_raises(
    command: tuple[str, ...], refused_early: Callable[..., str], pinned: Pinned
) -> None:
    pinned(command[0], refused_early(*command, "--masks", "gone", "--protocol", "light.yaml"))
    Path("empty").mkdir()
    pinned(command[0], refused_early(*command, "--masks", "empty", "--protocol", "light.yaml"))


def test_unreadable_mask_costs_its_view(command: tuple[str, ...], cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), COVERAGE)
    for name in ("0001", "a"):
        Path(f"masks/{name}.png").write_bytes(b"no image")
    name = "0001" if command == SCORE else "a"
    result = cli(*command, "--masks", "masks", "--protocol", "light.yaml", "--output-dir", "out")
    assert result.code == 3
    assert f"masks/{name}.png must be an image" in result.err
    for record in read_records("out"):
        assert list(record.failed) == [name]
        assert name not in [row.name for row in record.views]


def test_both_mask_options_raise(refused_early: Callable[..., str], pinned: Pinned) -> None:
    write_masks(Path("masks"), COVERAGE)
    pinned("run", refused_early(*RUN, "--masks", "masks", "--data-masks", "--protocol", "light.yaml"))


def test_data_without_masks_raises(refused_early: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    opener.given[0].masks = masks_in(Path("masks"), RENDERED)
    pinned("run", refused_early(*RUN, "--data-masks", "--protocol", "light.yaml"))


# --- Masks of the data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_masks_of_the_data_are_used_on_request(
    count: int, cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    write_masks(Path("masks"), RENDERED, weight=1 / 255)
    opener.given[:] = [FakeCheckpoint(step, masks=Masks(list_images(Path("masks")), True)) for step in (1, 2)[:count]]
    result = cli(*RUN, "--protocol", "light.yaml")
    assert result.code == 0
    hints = [line for line in result.err.splitlines() if "`--data-masks`" in line]
    assert len(hints) == count
    pinned("run", "\n".join(hints))
    for record in records():
        assert [row.mask for row in record.views] == [None] * 3
        assert "masks" not in record.provenance
    result = cli(*RUN, "--protocol", "light.yaml", "--data-masks", "--overwrite")
    assert result.code == 0
    assert "`--data-masks`" not in result.err
    assert len(records()) == count
    for record in records():
        assert [row.coverage for row in record.views] == [0.5, 0.25, 0.75]
        assert record.provenance["masks"] == "binary"


class Undistorted(FakeCheckpoint):
    """Checkpoint whose data has masks that do not fit."""

    @property
    def masks(self) -> Masks | None:
        raise InputError("They do not fit.")

    @masks.setter
    def masks(self, masks: Masks | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        pass


def test_misfitting_data_masks_raise_only_on_request(
    cli: Callable[..., Said], refused_early: Callable[..., str], opener: Opener
) -> None:
    opener.given[:] = [Undistorted(1)]
    assert refused_early(*RUN, "--protocol", "light.yaml", "--data-masks") == "They do not fit."
    assert cli(*RUN, "--protocol", "light.yaml").code == 0
    write_masks(Path("masks"), RENDERED)
    assert cli(*RUN, "--protocol", "light.yaml", "--masks", "masks", "--overwrite").code == 0
    assert [row.coverage for row in records()[0].views] == [0.5, 0.25, 0.75]


def test_masks_of_a_folder_are_weights_even_if_data_masks_are_binary(cli: Callable[..., Said], opener: Opener) -> None:
    write_masks(Path("masks"), RENDERED, weight=204 / 255)
    for checkpoint in opener.given:
        checkpoint.masks = Masks(list_images(Path("masks")), binary=True)
    result = cli(*RUN, "--protocol", "light.yaml", "--masks", "masks")
    assert result.code == 0
    assert "`--data-masks`" not in result.err
    assert [row.coverage for row in records()[0].views] == pytest.approx([0.4, 0.2, 0.6])
    assert "masks" not in records()[0].provenance


# --- Existing records -----------------------------------------------------------------------------------------------


def test_record_of_changed_masks_is_replaced_only_with_overwrite(
    cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    write_masks(Path("masks"), RENDERED)
    masked = (*RUN, "--protocol", "light.yaml", "--masks", "masks")
    assert cli(*masked).code == 0
    pinned("run", cli(*masked).err)
    assert len(opener.rendered) == 6
    write_masks(Path("masks"), {"c": 0.5})
    refused = cli(*masked)
    assert refused.code == 2
    assert "was scored on other masks (" in refused.err
    assert len(opener.rendered) == 6
    assert cli(*masked, "--overwrite").code == 0
    assert len(opener.rendered) == 12
    assert [row.coverage for row in records()[0].views] == [0.5, 0.25, 0.5]


def test_replacing_records_with_or_without_masks_needs_overwrite(
    command: tuple[str, ...], cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    write_masks(Path("masks"), {**COVERAGE, "0002": 0.5})
    plain = (*command, "--protocol", "light.yaml")
    masked = (*plain, "--masks", "masks")
    for first, second in ((plain, masked), (masked, plain)):
        assert cli(*first, "--overwrite").code == 0
        before, rendered = records(), len(opener.rendered)
        refused = cli(*second)
        assert refused.code == 2
        pinned(command[0], refused.err.strip())
        assert records() == before
        assert len(opener.rendered) == rendered


def test_view_with_empty_mask_is_skipped_and_record_finished(
    command: tuple[str, ...], cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    write_masks(Path("masks"), {**COVERAGE, "cam0/b": 0.0, "0002": 0.0})
    masked = (*command, "--masks", "masks", "--protocol", "light.yaml")
    result = cli(*masked)
    assert result.code == 0
    name = "0002" if command == SCORE else "cam0/b"
    assert name in result.out
    assert "empty" in result.out
    for record in records():
        assert name not in [row.name for row in record.views]
        assert list(record.provenance["left_out"]) == [name]
        pinned(command[0], record.provenance["left_out"][name])
    rendered = len(opener.rendered)
    assert cli(*masked).out == result.out
    assert len(opener.rendered) == rendered


# --- Files ----------------------------------------------------------------------------------------------------------


def test_masks_may_be_arrays(cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), SCORED)
    assert cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml").code == 0
    expected = [[row.scores for row in record.views] for record in records()]
    Path("arrays").mkdir()
    for index, name in enumerate(SCORED):
        mask = load_mask(Path(f"masks/{name}.png")).numpy()
        np.save(f"arrays/{name}.npy", mask > 0 if index else mask[..., None])
    assert cli(*SCORE, "--masks", "arrays", "--protocol", "light.yaml").code == 0
    assert [[row.scores for row in record.views] for record in records()] == expected


@pytest.mark.parametrize("array", [np.full((HEIGHT, WIDTH), 255, np.uint8), np.ones(5)], ids=["levels", "a line"])
def test_array_that_is_not_a_mask_raises(array: np.ndarray, cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), {"0002": 0.5})
    np.save("masks/0001.npy", array)
    result = cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml")
    assert (result.code, result.out) == (2, "")
    assert "masks/0001.npy" in result.err


@pytest.mark.parametrize("value", [2.0, -0.5, float("nan"), (0.0, 1.0, 1.0)])
def test_mask_whose_values_are_wrong_costs_its_view(value: Any, cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), {"0002": 0.5})
    mask = np.ones((HEIGHT, WIDTH, 3 if isinstance(value, tuple) else 1), np.float32)
    mask[3, 4] = value
    np.save("masks/0001.npy", mask)
    result = cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml")
    assert result.code == 3
    for record in records():
        (reason,) = record.failed.values()
        assert ("masks/0001.npy" if isinstance(value, tuple) else "mask of view '0001'") in reason
        assert [row.name for row in record.views] == ["0002"]


# --- One mask for all views, masks of 0 and 1, names of image files ---------------------------------------------------


def hood(white: int = 255) -> np.ndarray:
    """Return a mask without its upper quarter."""
    mask = np.full((HEIGHT, WIDTH), white, np.uint8)
    mask[: HEIGHT // 4] = 0
    return mask


def test_one_mask_for_all_views(command: tuple[str, ...], cli: Callable[..., Said]) -> None:
    Image.fromarray(hood()).save("hood.png")
    assert cli(*command, "--masks", "hood.png", "--protocol", "light.yaml").code == 0
    files = sorted(Path("nvs-eval-results").rglob("light-*.json"))
    scored = [row for file in files for row in read_record(file).views]
    assert {row.coverage for row in scored} == {0.75}
    assert len({row.mask_sha256 for row in scored}) == 1
    for file in files:
        for row in read_record(file).views:
            assert (file.parent / str(row.mask)).resolve() == Path("hood.png").resolve()
    # Kept renders are scored with the same mask again.
    first = [record.means for record in records()]
    assert cli("rescore", "nvs-eval-results", "--protocol", "light.yaml", "--overwrite").code == 0
    assert [record.means for record in records()] == first


def test_one_mask_of_another_size_raises(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    Image.fromarray(hood()[:-1]).save("hood.png")
    message = refused_early(*command, "--masks", "hood.png", "--protocol", "light.yaml")
    assert f"the mask hood.png is {WIDTH}x{HEIGHT - 1}" in message


MULTIPLY = LIGHT.replace("valid-pixels", "multiply").replace("light", "multiplied")


def test_masks_of_0_and_1_count_fully(cli: Callable[..., Said]) -> None:
    protocol_file(Path(), MULTIPLY, "multiply.yaml")
    Path("masks").mkdir()
    for name, mask in zip(SCORED, (hood(1), hood(1)[::-1]), strict=True):
        Image.fromarray(mask).save(f"masks/{name}.png")
    result = cli(*SCORE, "--masks", "masks", "--protocol", "multiply.yaml")
    assert result.code == 0
    assert result.err.count("masks has no white pixel. Every value above 0 counts as white.") == 1
    for record in records("multiplied"):
        assert record.provenance["masks"] == "binary"
        seed = {"ours": 10, "theirs": 20}[record.method]
        for row, mask in zip(record.views, (hood(1), hood(1)[::-1]), strict=True):
            difference = (image(seed + int(row.name)) - image(int(row.name))).double().numpy() * mask[..., None]
            assert row.scores["psnr"] == pytest.approx(-10 * np.log10((difference**2).mean()), abs=1e-5)
            assert row.coverage == 0.75
    assert cli("verify", "nvs-eval-results").code == 0
    before = [record.means for record in records("multiplied")]
    assert cli("rescore", "nvs-eval-results", "--protocol", "multiply.yaml", "--overwrite").code == 0
    assert [record.means for record in records("multiplied")] == before


def test_masks_are_named_after_image_files(cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), {f"{name}.JPG": share for name, share in SCORED.items()})
    assert cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml").code == 0
    assert {row.name: row.coverage for row in records()[0].views} == SCORED
