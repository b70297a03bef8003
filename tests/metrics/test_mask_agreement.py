"""The six meanings of a mask, against independent implementations, on every pair that they are defined for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from support.agreement import assert_agree
from support.pairs import array_masks, array_pairs
from support.protocols import FLOAT, protocol_of
from support.window_ssim import DMPIX_WITHOUT_FLOOR, TOOLS, Array, carry_counts, ssim_map

from nvs_eval.diagnostics.verify import scores as independent
from nvs_eval.diagnostics.verify.pair import Pair, apply_mask, masked_mean
from nvs_eval.diagnostics.verify.scores import psnr
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.sources.views import Render, View

CPU = torch.device("cpu")
SIDE = 11
SSIM = {"ssim": {"kernel": "valid", "data_range": 1}}
DMPIX = {"ssim": {"kernel": "dmpix", "data_range": 1, "variance_floor": 0}}
every_pair = pytest.mark.parametrize("name", array_pairs())


def scores(meaning: Any, name: str, mask: Array, metrics: dict[str, Any] = SSIM) -> dict[str, float]:
    protocol = replace(protocol_of(FLOAT), mask=meaning, metrics={"psnr": {"data_range": 1}, **metrics})
    reference, render = (torch.from_numpy(image) for image in array_pairs()[name])
    view = View(name, reference, (Render(render),), torch.from_numpy(mask.astype(np.float32)))
    (scored,) = Scorer([protocol], CPU).score(view)
    return {metric: values[0] for metric, values in scored.items()}


def masked(name: str) -> Pair:
    reference, render = (image.astype(np.float64) for image in array_pairs()[name])
    return Pair(reference, render, array_masks()[name].astype(np.float64))


def windows(pair: Pair) -> Array:
    return ssim_map(TOOLS["valid"], pair.reference, pair.render, 1)


def plain(pair: Pair) -> dict[str, float]:
    assert pair.mask is None
    return {"psnr": psnr(pair), "ssim": float(windows(pair).mean())}


def assert_same(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert ours.keys() == theirs.keys()
    for metric, value in theirs.items():
        assert_agree(ours[metric], value, "float32")


@every_pair
def test_valid_pixels(name: str) -> None:
    pair = masked(name)
    theirs = {"psnr": psnr(pair), "ssim": masked_mean(windows(pair), pair.mask)}
    assert_same(scores("valid-pixels", name, array_masks()[name]), theirs)


@every_pair
@pytest.mark.parametrize("meaning", ["multiply", "fill"])
def test_masks_that_change_images(name: str, meaning: str) -> None:
    assert_same(scores(meaning, name, array_masks()[name]), plain(apply_mask(masked(name), meaning)))


@pytest.mark.parametrize(
    "name", [name for name in array_pairs() if min(apply_mask(masked(name), "bbox").render.shape[:2]) >= SIDE]
)
def test_bbox(name: str) -> None:
    assert_same(scores("bbox", name, array_masks()[name]), plain(apply_mask(masked(name), "bbox")))


@every_pair
def test_windows(name: str) -> None:
    pair, mask = masked(name), array_masks()[name]
    cut: Any = sliding_window_view  # numpy's stubs know no tuple of axes.
    inside = cut(mask, (SIDE, SIDE)).min(axis=(-2, -1)) == 1
    if not inside.any():
        with pytest.raises(EmptyMask, match=r"no whole window"):
            scores("windows", name, mask)
        return
    assert_same(scores("windows", name, mask), {"psnr": psnr(pair), "ssim": float(windows(pair)[inside].mean())})


@every_pair
def test_dycheck(name: str) -> None:
    pair = masked(name)
    theirs = {"psnr": psnr(pair), "ssim": independent.ssim(pair, DMPIX["ssim"], "dycheck")}
    assert_same(scores("dycheck", name, array_masks()[name], DMPIX), theirs)


def test_the_meanings_give_different_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a mask that treats all windows and pixels alike, the meanings could not be distinguished.
    name = "photograph and noise"
    mask = array_masks()[name]
    meanings = ("valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck")
    ssims = sorted(scores(meaning, name, mask, DMPIX)["ssim"] for meaning in meanings)
    assert min(np.diff(ssims)) > 1e-3
    exact = independent.ssim(masked(name), DMPIX["ssim"], "dycheck")
    carry_counts(monkeypatch)
    assert abs(exact - independent.ssim(masked(name), DMPIX["ssim"], "dycheck")) > 1e-3


@every_pair
def test_dycheck_with_a_full_mask_is_dm_pix_without_floor(name: str) -> None:
    pair = masked(name)
    theirs = ssim_map(DMPIX_WITHOUT_FLOOR, pair.reference, pair.render, 1).mean()
    assert_agree(scores("dycheck", name, np.ones_like(array_masks()[name]), DMPIX)["ssim"], theirs, "float32")
