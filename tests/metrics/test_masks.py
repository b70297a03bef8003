"""The meanings of a mask that the field uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agreement import assert_agree, generator
from support.protocols import LIGHT, SQUEEZE, WITH_LPIPS, changed, rounding
from support.scenes import float_image, image
from support.scoring import outcomes, scores, view
from support.window_ssim import TOOLS, carry_counts
from support.window_ssim import ssim_map as reference_map
from torch import Tensor

from nvs_eval.diagnostics.verify import scores as independent
from nvs_eval.diagnostics.verify.pair import Pair
from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.prepare import EmptyMask, prepare
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.ssim.metric import KERNELS, ssim, ssim_map
from nvs_eval.protocols import Protocol, Quantise
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import View

MEANINGS = ("valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck")
FLOATS = rounding()


def half(height: int = 40, width: int = 48) -> Tensor:
    """Return a mask of the lower half."""
    mask = torch.zeros(height, width)
    mask[height // 2 :] = 1
    return mask


def blobs(seed: int, height: int = 40, width: int = 48) -> Tensor:
    """Return a mask of large blobs, which contain some whole windows."""
    coarse = (torch.rand(1, 1, 3, 3, generator=generator(seed)) > 0.4).float()
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="nearest")[0, 0]


def soft(seed: int = 9, height: int = 40, width: int = 48) -> Tensor:
    return torch.rand(height, width, generator=generator(seed))


def ssim_protocol(kernel: str, meaning: Any, **changes: Any) -> Protocol:
    parameters = {"kernel": kernel, "data_range": 255 if kernel == "uniform7-gray" else 1}
    return changed(mask=meaning, metrics={"ssim": parameters}, **changes)


def array(picture: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return picture.numpy().astype(np.float64)


# --- multiply and fill ----------------------------------------------------------------------------------------------


@st.composite
def binary_masks(draw: st.DrawFn) -> Tensor:
    seeded, density = generator(draw(st.integers(0, 10_000))), draw(st.floats(0.001, 1))
    mask = (torch.rand(24, 27, generator=seeded) < density).float()
    mask[draw(st.integers(0, 23)), draw(st.integers(0, 26))] = 1
    return mask


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    mask=binary_masks(),
    region=st.sampled_from(["full", "right-half"]),
    crop=st.integers(0, 3),
    quantise=st.sampled_from([FLOATS, rounding("round", "truncate", "truncate")]),
)
def test_psnr_under_multiply_is_higher_by_the_coverage(mask: Tensor, region: Any, crop: int, quantise: Any) -> None:
    psnr = {"psnr": {"data_range": 1}}
    protocols = [
        Protocol("a", "error", "none", "clamp", Quantise(**quantise), region, crop, meaning, psnr, None)
        for meaning in ("valid-pixels", "multiply", "fill")
    ]
    scored = view(float_image(0, 24, 27), float_image(1, 24, 27), float_image(2, 24, 27), mask=mask)
    valid, multiplied, filled = outcomes(protocols, scored)
    columns = mask[:, 13:] if region == "right-half" else mask
    cropped = columns[crop : 24 - crop, crop : columns.shape[1] - crop]
    if not cropped.any():
        assert all(isinstance(outcome.error, EmptyMask) for outcome in (valid, multiplied, filled))
        return
    coverage = cropped.double().mean().item()
    assert valid.coverage == multiplied.coverage == filled.coverage == coverage
    gain = np.subtract(multiplied.scores["psnr"], valid.scores["psnr"])
    assert np.abs(gain - 10 * math.log10(1 / coverage)).max() < 1e-9
    # A filled render has no error outside the mask, and neither have two black images.
    assert_agree(filled.scores["psnr"], multiplied.scores["psnr"], "float64", times=100)


def test_filled_renders_are_the_reference_outside() -> None:
    mask, reference, renders = half()[None], float_image(0).permute(2, 0, 1), torch.rand(2, 3, 40, 48)
    prepared = prepare(reference, renders, mask, changed(mask="fill", quantise=FLOATS), view_name="a")
    assert torch.equal(prepared.reference, reference)
    for original, filled in zip(renders, prepared.renders, strict=True):
        assert torch.equal(filled[:, :20], reference[:, :20])
        assert torch.equal(filled[:, 20:], original[:, 20:])
    assert prepared.mask is None
    assert prepared.coverage == 0.5


def test_multiplied_images_are_black_outside() -> None:
    mask, reference, renders = half()[None], float_image(0).permute(2, 0, 1), torch.rand(2, 3, 40, 48)
    protocol = changed(mask="multiply", quantise=FLOATS).colour_corrected("affine")
    prepared = prepare(reference, renders, mask, protocol, view_name="a")
    assert prepared.corrected is not None
    for images in (prepared.reference, prepared.renders, prepared.corrected):
        assert not images[..., :20, :].any()
        assert images[..., 20:, :].any()
    assert torch.equal(prepared.renders[..., 20:, :], renders[..., 20:, :])
    assert prepared.mask is None


@pytest.mark.parametrize("meaning", ["multiply", "fill"])
def test_masked_images_score_as_images_masked_before(meaning: Any) -> None:
    reference, render, mask = image(0), image(1), soft()
    outside = reference if meaning == "fill" else torch.zeros_like(reference)
    weights = mask[..., None]
    masked = [picture * weights + outside * (1 - weights) for picture in (reference, render)]
    by_hand = view(reference if meaning == "fill" else masked[0], masked[1])
    (ours,) = scores(changed(mask=meaning), view(reference, render, mask=mask))
    # These images were quantised before masking.
    (theirs,) = scores(changed(mask="none", quantise=FLOATS), by_hand)
    assert_agree(ours["psnr"], theirs["psnr"], "float32")
    assert_agree(ours["ssim"], theirs["ssim"], "float32")


# --- bbox -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [0, 2])
def test_bbox_scores_like_cropped_images(crop: int, weights_folder: Callable[[Any], Path | None]) -> None:
    reference, render = image(0), image(1)
    mask = torch.zeros(40, 48)
    mask[8, 20] = mask[27, 12] = mask[30, 30] = 0.25
    cut = view(reference[8:31, 12:31], render[8:31, 12:31])
    folder = weights_folder("squeeze")
    ours = scores(changed(WITH_LPIPS, mask="bbox", crop=crop), view(reference, render, mask=mask), weights_dir=folder)
    assert ours == scores(changed(WITH_LPIPS, mask="none"), cut, weights_dir=folder)


def test_box_smaller_than_the_window_skips_the_view() -> None:
    mask = torch.zeros(40, 48)
    mask[3:9, 4:9] = 1
    with pytest.raises(EmptyMask, match=r"Within the box of its mask: View 'cam/7': SSIM .* at least 11x11.* Got 5x6"):
        scores(changed(mask="bbox"), view(image(0), image(1), mask=mask))
    # Without a mask, the images themselves are too small.
    with pytest.raises(InputError) as caught:
        scores(changed(mask="bbox"), view(image(0, 10, 12), image(1, 10, 12)))
    assert not isinstance(caught.value, EmptyMask)


# --- valid-pixels and windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["valid", "dmpix", "uniform7-rgb"])
def test_windows_averages_the_windows_inside(kernel: str) -> None:
    reference, render, mask = image(0), image(1), blobs(1)
    side = 7 if kernel == "uniform7-rgb" else 11
    values = reference_map(TOOLS[kernel], array(reference), array(render), 1.0)
    inside = [
        values[top, left].mean()
        for top in range(40 - side + 1)
        for left in range(48 - side + 1)
        if mask[top : top + side, left : left + side].all()
    ]
    assert 0 < len(inside) < values[..., 0].size / 2
    (ours,) = scores(ssim_protocol(kernel, "windows"), view(reference, render, mask=mask))
    assert_agree(ours["ssim"], [np.mean(inside)], "float32")
    (other,) = scores(ssim_protocol(kernel, "valid-pixels"), view(reference, render, mask=mask))
    assert abs(other["ssim"][0] - ours["ssim"][0]) > 1e-4


@pytest.mark.parametrize("kernel", ["reflect", "zero", "luma5"])
def test_padding_counts_as_inside(kernel: str) -> None:
    x, y = (picture.permute(2, 0, 1) for picture in (image(0), image(1)))
    mask, border = blobs(1), KERNELS[kernel].border
    values = ssim_map(x, y, kernel=kernel)
    inside = [
        values[:, row, column].mean().item()
        for row in range(40)
        for column in range(48)
        if mask[max(0, row - border) : row + border + 1, max(0, column - border) : column + border + 1].all()
    ]
    assert 0 < len(inside) < 40 * 48 * 2 / 3
    assert_agree(ssim(x, y, mask=mask[None], kernel=kernel, mask_meaning="windows"), np.mean(inside), "float32")


def test_a_window_with_a_soft_weight_is_not_inside() -> None:
    x, y, mask = image(0), image(1), torch.ones(40, 48)
    mask[5, 7] = 0.999
    hard = torch.where(mask < 1, 0.0, mask)
    almost, without = (scores(changed(mask="windows"), view(x, y, mask=m))[0] for m in (mask, hard))
    assert almost["ssim"] == without["ssim"] != scores(LIGHT, view(x, y))[0]["ssim"]
    assert almost["psnr"] != without["psnr"]


@pytest.mark.parametrize("meaning", ["valid-pixels", "windows", "dycheck"])
def test_psnr_and_mae_are_means_weighted_by_the_mask(meaning: Any) -> None:
    protocol = changed(mask=meaning, metrics={"mae": {}}, quantise=FLOATS)
    x, y, mask = float_image(0), float_image(1), soft()
    mask[:20] = 1  # Some windows are whole.
    (ours,) = scores(protocol, view(x, y, mask=mask))
    error, weights = array(x) - array(y), array(mask)[..., None]
    assert_agree(ours["psnr"], [-10 * np.log10((error**2 * weights).sum() / (3 * weights.sum()))], "float32", times=10)
    assert_agree(ours["mae"], [(np.abs(error) * weights).sum() / (3 * weights.sum())], "float32")


def test_mask_reaches_every_metric(weights_folder: Callable[[Any], Path | None]) -> None:
    reference, render = image(0), image(1)
    inverted = render.clone()
    inverted[:20] = 1 - inverted[:20]
    mask = torch.zeros(40, 48)
    mask[32:] = 1
    folder = weights_folder("squeeze")
    (masked,), (again,), (whole,) = (
        scores(WITH_LPIPS, view(reference, picture, mask=weights), weights_dir=folder)
        for picture, weights in ((render, mask), (inverted, mask), (render, None))
    )
    # PSNR and SSIM depend only on the mask and the windows around it; LPIPS depends slightly on the whole image.
    assert masked["psnr"] == again["psnr"] != whole["psnr"]
    assert masked["ssim"] == again["ssim"] != whole["ssim"]
    assert masked["lpips_squeeze"] != whole["lpips_squeeze"]


# --- dycheck --------------------------------------------------------------------------------------------------------


DYCHECK = {"ssim": {"kernel": "dmpix", "data_range": 1, "variance_floor": 0}}


@pytest.mark.parametrize("mask", [blobs(1, 24, 27), soft(3, 24, 27), (soft(4, 24, 27) > 0.9).float()])
def test_dycheck_is_a_partial_convolution(mask: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = float_image(0, 24, 27)
    render = (reference + 0.1 * float_image(1, 24, 27)).clamp(0, 1)
    protocol = changed(mask="dycheck", metrics=DYCHECK, quantise=FLOATS)
    (ours,) = scores(protocol, view(reference, render, mask=mask))

    def expected(weights: np.ndarray) -> float:
        pair = Pair(array(reference), array(render), weights)
        return independent.ssim(pair, DYCHECK["ssim"], "dycheck")

    assert_agree(ours["ssim"], [expected(array(mask))], "float32")
    assert abs(ours["ssim"][0] - expected(np.ones((24, 27)))) > 1e-3
    # Carrying the counts over to the second pass would give another number.
    carry_counts(monkeypatch)
    assert abs(ours["ssim"][0] - expected(array(mask))) > 1e-5


def test_dycheck_scores_empty_windows_as_one() -> None:
    mask = torch.zeros(40, 48)
    mask[:, :12] = 1
    black = image(0) * mask[..., None]
    (ours,) = scores(changed(mask="dycheck", metrics=DYCHECK), view(image(0), image(1), mask=mask))
    assert ours["ssim"][0] > 0.5 > scores(LIGHT, view(image(0), image(1)))[0]["ssim"][0]
    (identical,) = scores(changed(mask="dycheck", metrics=DYCHECK), view(image(0), black, mask=mask))
    assert_agree(identical["ssim"], [1.0], "float64", times=10)


def test_dycheck_without_a_mask_equals_dycheck_with_a_full_mask(weights_folder: Callable[[Any], Path | None]) -> None:
    protocol = changed(mask="dycheck", metrics={"lpips_squeeze": SQUEEZE, **DYCHECK})
    folder = weights_folder("squeeze")
    pair = (image(0, 41, 47), image(1, 41, 47))
    (without,), (full,) = (
        outcomes(protocol, view(*pair, mask=mask), weights_dir=folder) for mask in (None, torch.ones(41, 47))
    )
    assert without.scores == full.scores
    assert (without.coverage, full.coverage) == (None, 1.0)
    # LPIPS is then the mean of the spatial map, which differs from the value without a mask.
    (plain,) = scores(changed(WITH_LPIPS, mask="none"), view(*pair), weights_dir=folder)
    assert full.scores["lpips_squeeze"] != plain["lpips_squeeze"]


def test_dychecks_lpips_ignores_pixels_outside_the_mask(weights_folder: Callable[[Any], Path | None]) -> None:
    protocol = changed(mask="dycheck", metrics={"lpips_squeeze": SQUEEZE})
    folder, mask = weights_folder("squeeze"), half()
    altered = image(1)
    altered[:20] = 0.5
    first, second = (
        scores(protocol, view(image(0), render, mask=mask), weights_dir=folder) for render in (image(1), altered)
    )
    assert first[0]["lpips_squeeze"] == second[0]["lpips_squeeze"]


# --- All of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "meaning"),
    [
        *((kernel, meaning) for kernel in KERNELS for meaning in MEANINGS if meaning != "dycheck"),
        ("valid", "dycheck"),
        ("dmpix", "dycheck"),
    ],
)
def test_a_full_mask_has_no_effect(kernel: str, meaning: str) -> None:
    pair = (image(0, 30, 33), image(1, 30, 33), image(2, 30, 33))
    (full,) = scores(ssim_protocol(kernel, meaning), view(*pair, mask=torch.ones(30, 33)))
    (none,) = scores(ssim_protocol(kernel, "none"), view(*pair))
    assert_agree(full["psnr"], none["psnr"], "float32")
    assert_agree(full["ssim"], none["ssim"], "float32")


def test_no_two_meanings_give_the_same_numbers() -> None:
    mask = blobs(1)
    results = scores([changed(mask=meaning) for meaning in MEANINGS], view(image(0), image(1), mask=mask))
    assert len({result["ssim"][0] for result in results}) == len(MEANINGS)


def test_ignored_masks_have_no_effect() -> None:
    plain, masked = view(image(0), image(1)), view(image(0), image(1), mask=torch.zeros(40, 48))
    (outcome,) = outcomes(changed(mask="ignored"), masked)
    assert outcome.scores == scores(changed(mask="none"), plain)[0]
    assert (outcome.coverage, outcome.error) == (None, None)


def test_unsupported_mask_names_view_and_other_protocols() -> None:
    masked = view(image(0), image(1), mask=torch.ones(40, 48))
    message = r"View 'cam/7' .*'light' .*standard \(valid-pixels\), .*dycheck"
    with pytest.raises(InputError, match=message):
        scores(changed(mask="none"), masked)


@pytest.mark.parametrize(("rule", "level"), [("none", 127.7), ("round", 128), ("truncate", 127)])
def test_masks_are_quantised_by_the_protocol(rule: Any, level: float) -> None:
    protocol = changed(quantise=rounding(mask=rule))
    mask = torch.full((40, 48), 127.7 / 255)
    mask[0, 0] = 1
    (outcome,) = outcomes(protocol, view(image(0), image(1), mask=mask))
    prepared = prepare(torch.zeros(3, 40, 48), torch.zeros(1, 3, 40, 48), mask[None], protocol, view_name="a")
    assert prepared.mask is not None
    assert_agree(prepared.mask[0, 1, 1] * 255, level, "float32", times=50)
    assert_agree(outcome.coverage, (level * (40 * 48 - 1) / 255 + 1) / (40 * 48), "float32")


def test_masks_are_cropped_like_the_images() -> None:
    reference, renders, mask = torch.rand(3, 20, 23), torch.rand(2, 3, 20, 23), torch.rand(1, 20, 23)
    prepared = prepare(reference, renders, mask, changed(crop=3, region="right-half"), view_name="a")
    assert prepared.mask is not None
    assert torch.equal(prepared.mask, mask[:, 3:-3, 14:-3])
    assert prepared.reference.shape == (3, 14, 6)
    assert prepared.coverage == mask[:, 3:-3, 14:-3].double().mean().item()


# --- Empty masks ----------------------------------------------------------------------------------------------------

EMPTY = torch.zeros(40, 48)


def only(rows: slice, columns: slice, value: float = 1.0) -> Tensor:
    mask = EMPTY.clone()
    mask[rows, columns] = value
    return mask


@pytest.mark.parametrize(
    ("mask", "changes"),
    [
        *((EMPTY, {"mask": meaning}) for meaning in MEANINGS),
        (only(slice(0, 2), slice(0, 48)), {"crop": 2}),
        (only(slice(0, 40), slice(0, 24)), {"region": "right-half"}),
        (only(slice(0, 40), slice(0, 48), 0.003), {"quantise": rounding("round", "round", "truncate")}),
    ],
)
def test_empty_mask_has_a_separate_error_that_names_the_view(mask: Tensor, changes: dict[str, Any]) -> None:
    scored = view(image(0), image(1), mask=mask)
    with pytest.raises(EmptyMask, match=r"^The mask of view 'cam/7' is empty: there is nothing to score"):
        scores(changed(**changes), scored)
    empty, whole = outcomes([changed(**changes), changed(mask="ignored")], scored)
    assert isinstance(empty.error, EmptyMask)
    assert (empty.scores, whole.error) == ({}, None)


@pytest.mark.parametrize(
    ("mask", "meaning"),
    [(only(slice(0, 5), slice(0, 48)), "valid-pixels"), (only(slice(8, 18), slice(0, 48)), "windows")],
)
def test_a_mask_without_whole_windows_counts_as_empty(mask: Tensor, meaning: str) -> None:
    scored = view(image(0), image(1), mask=mask)
    with pytest.raises(EmptyMask, match=r"mask of view 'cam/7' leaves ssim nothing to average: .*half a window from"):
        scores(changed(mask=meaning), scored)
    (outcome,) = outcomes(changed(mask=meaning), scored)
    assert isinstance(outcome.error, EmptyMask)
    assert outcome.scores == {}
    without_ssim = replace(changed(mask=meaning), metrics={"psnr": {"data_range": 1}})
    assert math.isfinite(scores(without_ssim, scored)[0]["psnr"][0])


IDS = (ResultId("fox", "nerfacto"), ResultId("fox", "splatfacto"))


def named(name: str, mask: Tensor | None) -> View:
    scored = view(image(0), image(1), image(2), mask=mask)
    return View(name, scored.reference, scored.renders, mask)


def test_view_with_empty_mask_is_missing_in_one_record_only(tmp_path: Path) -> None:
    views = [named("a", half()), named("b", EMPTY), named("c", only(slice(0, 5), slice(0, 48)))]
    scorer = Scorer([changed(), changed(mask="multiply", crop=6), changed(mask="ignored")], torch.device("cpu"))
    names = []
    records = evaluate(views, IDS, scorer, Session(tmp_path), on_view=lambda scored: names.append(scored.name))
    assert names == ["a", "b", "c"]
    assert len(records) == 6
    for record in records[:2] + records[3:5]:
        assert [row.name for row in record.views] == ["a"]
        assert list(record.provenance["left_out"]) == ["b", "c"]
        assert record.provenance["left_out"]["b"].startswith("The mask of view 'b' is empty")
        assert math.isfinite(record.means["psnr"])
    assert "leaves ssim nothing" in records[0].provenance["left_out"]["c"]
    assert "view 'c' is empty" in records[1].provenance["left_out"]["c"]
    for record in (records[2], records[5]):
        assert [row.name for row in record.views] == ["a", "b", "c"]
        assert "left_out" not in record.provenance
        assert {row.coverage for row in record.views} == {None}
    assert [record.views[0].coverage for record in records[:2]] == [0.5, 0.5]


def test_no_view_to_score_is_an_error(tmp_path: Path) -> None:
    scorer = Scorer([changed()], torch.device("cpu"))
    with pytest.raises(InputError, match=r"could be scored\. The mask of view 'a' is empty"):
        evaluate([named("a", EMPTY), named("b", EMPTY)], IDS, scorer, Session(tmp_path))


def test_record_has_the_coverage_of_the_scored_mask(tmp_path: Path) -> None:
    mask = only(slice(0, 10), slice(0, 48)) + half()
    scorer = Scorer([changed(), changed(crop=10), changed(region="right-half", mask="multiply")], torch.device("cpu"))
    mask[:, :24] = 0
    records = evaluate([named("a", mask)], IDS, scorer, Session(tmp_path))
    # The right half of the columns counts, and three quarters of the rows (half of the middle ones).
    assert [record.views[0].coverage for record in records[:3]] == [0.375, 0.5 * 14 / 28, 0.75]
