"""The six meanings of a mask, against the independent implementations, on every pair that they are defined for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from reference import dycheck, whole
from reference.preparation import bbox, fill, multiply
from reference.ssim import DMPIX_WITHOUT_FLOOR, TOOLS, Array, ssim_map
from support.agreement import assert_agree
from support.pairs import array_masks, array_pairs
from support.protocols import FLOAT, protocol_of

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
    (found,) = Scorer([protocol], CPU).score(view)
    return {metric: values[0] for metric, values in found.items()}


def doubles(name: str) -> tuple[Array, Array, Array]:
    reference, render = (image.astype(np.float64) for image in array_pairs()[name])
    return reference, render, array_masks()[name].astype(np.float64)


def plain(reference: Array, render: Array) -> dict[str, float]:
    return {"psnr": whole.psnr(reference, render), "ssim": float(ssim_map(TOOLS["valid"], reference, render, 1).mean())}


def assert_same(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert ours.keys() == theirs.keys()
    for metric, value in theirs.items():
        assert_agree(ours[metric], value, "float32")


@every_pair
def test_valid_pixels(name: str) -> None:
    reference, render, mask = doubles(name)
    values = ssim_map(TOOLS["valid"], reference, render, 1)
    theirs = {"psnr": whole.psnr(reference, render, mask), "ssim": whole.mean(values, mask)}
    assert_same(scores("valid-pixels", name, mask), theirs)


@every_pair
def test_multiply(name: str) -> None:
    reference, render, mask = doubles(name)
    assert_same(scores("multiply", name, mask), plain(multiply(reference, mask), multiply(render, mask)))


@every_pair
def test_fill(name: str) -> None:
    reference, render, mask = doubles(name)
    assert_same(scores("fill", name, mask), plain(reference, fill(reference, render, mask)))


@pytest.mark.parametrize("name", [name for name, mask in array_masks().items() if min(bbox(mask, mask).shape) >= SIDE])
def test_bbox(name: str) -> None:
    reference, render, mask = doubles(name)
    assert_same(scores("bbox", name, mask), plain(bbox(reference, mask), bbox(render, mask)))


@every_pair
def test_windows(name: str) -> None:
    reference, render, mask = doubles(name)
    values = ssim_map(TOOLS["valid"], reference, render, 1)
    inside = whole.mean_over_windows_inside(values, mask, SIDE)
    if math.isnan(inside):
        with pytest.raises(EmptyMask, match=r"no whole window"):
            scores("windows", name, mask)
        return
    assert_same(scores("windows", name, mask), {"psnr": whole.psnr(reference, render, mask), "ssim": inside})


@every_pair
def test_dycheck(name: str) -> None:
    reference, render, mask = doubles(name)
    theirs = {"psnr": dycheck.psnr(reference, render, mask), "ssim": dycheck.ssim(reference, render, mask)}
    assert_same(scores("dycheck", name, mask, DMPIX), theirs)


def test_the_meanings_are_told_apart() -> None:
    # A mask in which every window and pixel counts alike would let any of them pass for another.
    name = "photograph and noise"
    mask = array_masks()[name]
    meanings = ("valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck")
    ssims = sorted(scores(meaning, name, mask, DMPIX)["ssim"] for meaning in meanings)
    assert min(np.diff(ssims)) > 1e-3
    reference, render, weights = doubles(name)
    assert (
        abs(dycheck.ssim(reference, render, weights) - dycheck.ssim(reference, render, weights, binarise=False)) > 1e-3
    )


@every_pair
def test_a_full_mask_makes_dychecks_ssim_that_of_dm_pix_without_its_floor(name: str) -> None:
    reference, render, mask = doubles(name)
    theirs = ssim_map(DMPIX_WITHOUT_FLOOR, reference, render, 1).mean()
    assert_agree(scores("dycheck", name, np.ones_like(mask), DMPIX)["ssim"], theirs, "float32")
