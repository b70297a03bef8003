"""`--masks` and `--data-masks` from the outside: what is scored, what is recorded, what is refused before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.protocols import FLOAT, IGNORING, LIGHT, UNMASKED, protocol_file
from support.scenes import HEIGHT, WIDTH, image, masks_in, write_garden, write_masks

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_png
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
    # More masks than views do no harm.
    write_masks(Path("masks"), {**COVERAGE, "another": 0.5})
    said = cli(*command, "--masks", "masks", "--protocol", "light.yaml")
    assert said.code == 0
    assert "mask:valid-pixels" in said.out
    files = sorted(Path("nvs-eval-results").rglob("light-*.json"))
    assert files
    for file in files:
        for row in read_record(file).views:
            assert row.coverage == COVERAGE[row.name]
            mask = (file.parent / str(row.mask)).resolve()
            assert mask == Path(f"masks/{row.name}.png").resolve()
            assert row.mask_sha256 == Masks({row.name: mask}).sha256(row.name)


def test_a_score_is_of_the_pixels_that_count(cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), SCORED)
    cli(*SCORE, "--masks", "masks", "--protocol", "float.yaml")
    for record in records("float"):
        for row in record.views:
            left = WIDTH - round(WIDTH * SCORED[row.name])
            seed = {"ours": 10, "theirs": 20}[record.method]
            difference = (image(seed + int(row.name)) - image(int(row.name)))[:, left:].double()
            assert row.scores["psnr"] == pytest.approx(-10 * float((difference**2).mean().log10()), abs=1e-5)


def test_to_a_protocol_that_ignores_masks_they_are_none(command: tuple[str, ...], cli: Callable[..., Said]) -> None:
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


def test_a_view_without_a_mask(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    lacking = {name: share for name, share in COVERAGE.items() if name not in ("0002", "cam0/b")}
    write_masks(Path("masks"), lacking)
    message = refused_early(*command, "--masks", "masks", "--protocol", "light.yaml")
    assert ("1 of 2 views have none: 0002." if command == SCORE else "1 of 3 views have none: cam0/b.") in message
    assert message.startswith("Every view must have a mask with the view's name (white counts, black does not).")


def test_a_mask_of_another_size(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    write_masks(Path("masks"), COVERAGE)
    for name in ("0002", "c"):
        save_png(Path(f"masks/{name}.png"), torch.ones(HEIGHT, WIDTH + 3, 3))
    name = "0002" if command == SCORE else "c"
    assert refused_early(*command, "--masks", "masks", "--protocol", "light.yaml") == (
        f"View {name!r}: the mask masks/{name}.png is 51x40, but the image is 48x40. Masks are never resized. Provide "
        "one of the image's size."
    )


def test_a_protocol_that_has_no_meaning_for_masks(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    write_masks(Path("masks"), COVERAGE)
    assert refused_early(*command, "--masks", "masks", "--protocol", "light.yaml", "unmasked.yaml") == (
        "There are masks, and the protocol 'unmasked' has no meaning for one: use a protocol that has, such as "
        "standard (valid-pixels), nerfbaselines (multiply) or dycheck, or a file of your own."
    )


def test_a_mask_folder_that_is_none(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    assert refused_early(*command, "--masks", "gone", "--protocol", "light.yaml") == "The folder gone does not exist."
    Path("empty").mkdir()
    message = refused_early(*command, "--masks", "empty", "--protocol", "light.yaml")
    assert message.startswith("The folder empty has no images (")


def test_a_mask_that_cannot_be_read(command: tuple[str, ...], refused_early: Callable[..., str]) -> None:
    write_masks(Path("masks"), COVERAGE)
    for name in ("0001", "a"):
        Path(f"masks/{name}.png").write_bytes(b"no image")
    name = "0001" if command == SCORE else "a"
    assert f"masks/{name}.png cannot be read" in refused_early(*command, "--masks", "masks", "--protocol", "light.yaml")


def test_both_kinds_of_masks(refused_early: Callable[..., str]) -> None:
    write_masks(Path("masks"), COVERAGE)
    assert refused_early(*RUN, "--masks", "masks", "--data-masks", "--protocol", "light.yaml") == (
        "--masks names masks and --data-masks takes those of the data: give one of the two."
    )


def test_data_without_masks(refused_early: Callable[..., str], opener: Opener) -> None:
    opener.given[0].masks = masks_in(Path("masks"), RENDERED)
    assert refused_early(*RUN, "--data-masks", "--protocol", "light.yaml") == (
        "The data of fox/fake/base/2500 has no masks: leave `--data-masks` out."
    )


# --- The masks of the data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_the_masks_of_the_data_are_used_where_they_are_asked_for(
    count: int, cli: Callable[..., Said], opener: Opener
) -> None:
    write_masks(Path("masks"), RENDERED, weight=1 / 255)
    opener.given[:] = [FakeCheckpoint(step, masks=Masks(list_images(Path("masks")), True)) for step in (1, 2)[:count]]
    said = cli(*RUN, "--protocol", "light.yaml")
    assert said.code == 0
    for step in (1, 2)[:count]:
        assert f"The data of fox/fake/base/{step} has masks; say `--data-masks` to score with them." in said.err
    for record in records():
        assert [row.mask for row in record.views] == [None] * 3
        assert "masks" not in record.provenance
    said = cli(*RUN, "--protocol", "light.yaml", "--data-masks", "--overwrite")
    assert said.code == 0
    assert "say `--data-masks`" not in said.err
    assert len(records()) == count
    for record in records():
        assert [row.coverage for row in record.views] == [0.5, 0.25, 0.75]
        assert record.provenance["masks"] == "binary"


class Undistorted(FakeCheckpoint):
    """Its data has masks that do not fit."""

    @property
    def masks(self) -> Masks | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise InputError("They do not fit.")

    @masks.setter
    def masks(self, masks: Masks | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        pass


def test_misfitting_data_masks_matter_only_on_request(
    cli: Callable[..., Said], refused_early: Callable[..., str], opener: Opener
) -> None:
    opener.given[:] = [Undistorted(1)]
    assert refused_early(*RUN, "--protocol", "light.yaml", "--data-masks") == "They do not fit."
    assert cli(*RUN, "--protocol", "light.yaml").code == 0
    write_masks(Path("masks"), RENDERED)
    assert cli(*RUN, "--protocol", "light.yaml", "--masks", "masks", "--overwrite").code == 0
    assert [row.coverage for row in records()[0].views] == [0.5, 0.25, 0.75]


def test_masks_of_a_folder_are_weights_beside_data_masks(cli: Callable[..., Said], opener: Opener) -> None:
    write_masks(Path("masks"), RENDERED, weight=51 / 255)
    for checkpoint in opener.given:
        checkpoint.masks = Masks(list_images(Path("masks")), binary=True)
    said = cli(*RUN, "--protocol", "light.yaml", "--masks", "masks")
    assert said.code == 0
    assert "say `--data-masks`" not in said.err
    assert [row.coverage for row in records()[0].views] == pytest.approx([0.1, 0.05, 0.15])
    assert "masks" not in records()[0].provenance


# --- Going on -------------------------------------------------------------------------------------------------------


def test_finished_records_are_those_under_these_masks(cli: Callable[..., Said], opener: Opener) -> None:
    write_masks(Path("masks"), RENDERED)
    masked = (*RUN, "--protocol", "light.yaml", "--masks", "masks")
    assert cli(*masked).code == 0
    assert "has its records already" in cli(*masked).err
    assert len(opener.rendered) == 6
    write_masks(Path("masks"), {"c": 0.5})
    assert cli(*masked).code == 0
    assert len(opener.rendered) == 12
    assert [row.coverage for row in records()[0].views] == [0.5, 0.25, 0.5]


def test_records_with_and_without_masks_need_overwrite(
    command: tuple[str, ...], cli: Callable[..., Said], opener: Opener
) -> None:
    write_masks(Path("masks"), {**COVERAGE, "0002": 0.5})
    plain = (*command, "--protocol", "light.yaml")
    masked = (*plain, "--masks", "masks")
    for first, other, said in ((plain, masked, "without masks"), (masked, plain, "with masks")):
        assert cli(*first, "--overwrite").code == 0
        before, rendered = records(), len(opener.rendered)
        refused = cli(*other)
        assert refused.code == 2
        assert f"was scored {said}, and would be replaced: say another `--output-dir`, or `--overwrite`" in refused.err
        assert records() == before
        assert len(opener.rendered) == rendered


def test_view_with_empty_mask_is_skipped_and_record_finished(
    command: tuple[str, ...], cli: Callable[..., Said], opener: Opener
) -> None:
    write_masks(Path("masks"), {**COVERAGE, "cam0/b": 0.0, "0002": 0.0})
    masked = (*command, "--masks", "masks", "--protocol", "light.yaml")
    said = cli(*masked)
    assert said.code == 0
    name = "0002" if command == SCORE else "cam0/b"
    assert name in said.out
    assert "empty" in said.out
    for record in records():
        assert name not in [row.name for row in record.views]
        assert record.provenance["left_out"] == {
            name: f"The mask of view {name!r} is empty: there is nothing to score."
        }
    rendered = len(opener.rendered)
    assert cli(*masked).out == said.out
    assert len(opener.rendered) == rendered


# --- Files ----------------------------------------------------------------------------------------------------------


def test_masks_in_arrays(cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), SCORED)
    assert cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml").code == 0
    expected = [[row.scores for row in record.views] for record in records()]
    Path("arrays").mkdir()
    for index, name in enumerate(SCORED):
        mask = load_mask(Path(f"masks/{name}.png")).numpy()
        np.save(f"arrays/{name}.npy", mask > 0 if index else mask[..., None])
    assert cli(*SCORE, "--masks", "arrays", "--protocol", "light.yaml").code == 0
    assert [[row.scores for row in record.views] for record in records()] == expected


@pytest.mark.parametrize(
    "array",
    [np.full((HEIGHT, WIDTH), 255, np.uint8), np.ones((HEIGHT, WIDTH, 3), np.float32) * [0, 1, 1], np.ones(5)],
    ids=["levels", "colours", "a line"],
)
def test_arrays_that_are_no_masks(array: np.ndarray, cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), {"0002": 0.5})
    np.save("masks/0001.npy", array)
    said = cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml")
    assert (said.code, said.out) == (2, "")
    assert "Error: The mask masks/0001.npy must " in said.err


@pytest.mark.parametrize("value", [2.0, -0.5, float("nan")])
def test_weights_must_be_in_range(value: float, cli: Callable[..., Said]) -> None:
    write_masks(Path("masks"), {"0002": 0.5})
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    mask[3, 4] = value
    np.save("masks/0001.npy", mask)
    said = cli(*SCORE, "--masks", "masks", "--protocol", "light.yaml")
    assert (said.code, said.out) == (2, "")
    assert "The mask of view '0001'" in said.err
