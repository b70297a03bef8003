"""Causes of error: planted amounts are recovered, and clean pairs have none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.planted import (
    BLURS,
    CLEAN,
    GAINS,
    GROUPS,
    NOISES,
    SHIFTS,
    Pixels,
    clean,
    photograph,
    planted,
    psnr_of,
)

from nvs_eval.diagnostics.causes.view import diagnose_view
from nvs_eval.diagnostics.causes.words import NOTHING, view_words

PHOTOGRAPHS = ("astronaut", "coffee", "brick")  # A portrait, a still life and a texture.
# A texture has no flat part for a floater.
SINGLE = [(photo, cause) for photo in PHOTOGRAPHS for cause in GROUPS if (photo, cause) != ("brick", "floater")]
MIXED = [("exposure", "shift"), ("exposure", "blur"), ("shift", "blur"), ("contrast", "rotation"), ("blur", "noise")]


@pytest.mark.parametrize(("photo", "cause"), SINGLE)
def test_a_planted_cause_is_recovered(photo: str, cause: str) -> None:
    for strength in range(3):
        reference, render, decibels, _ = planted(photograph(photo), {cause: strength}, seed=strength)
        view = diagnose_view(reference, render)
        assert view.psnr == pytest.approx(psnr_of(reference, render), abs=1e-3)
        assert view.decibels == {GROUPS[cause]: pytest.approx(decibels[GROUPS[cause]], rel=0.1, abs=0.1)}
        assert view.total == sum(view.decibels.values())
        assert NOTHING not in view_words(view)


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("strength", range(3))
def test_amounts_are_recovered(photo: str, strength: int) -> None:
    reference, render, *_ = planted(photograph(photo), {"exposure": strength, "shift": strength}, seed=3)
    view = diagnose_view(reference, render)
    assert view.colour.chosen == "gain"
    assert view.colour.gains == pytest.approx([GAINS[strength]] * 3, abs=0.1 * (GAINS[strength] - 1) + 0.002)
    assert view.pose is not None and view.pose.chosen == "shift"
    assert view.pose.pixels == pytest.approx(
        (0.6 * SHIFTS[strength], 0.8 * SHIFTS[strength]), abs=0.1 * SHIFTS[strength]
    )
    reference, render, *_ = planted(photograph(photo), {"blur": strength}, seed=4)
    blurred = diagnose_view(reference, render).sharpness
    assert blurred is not None and blurred.chosen == "blur"
    assert blurred.blur == pytest.approx(BLURS[strength], rel=0.1)
    reference, render, *_ = planted(photograph(photo), {"noise": strength}, seed=5)
    assert diagnose_view(reference, render).noise == pytest.approx(NOISES[strength], rel=0.1)


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("causes", MIXED)
def test_mixed_causes_are_told_apart(photo: str, causes: tuple[str, ...]) -> None:
    for strength in range(3):
        mixed = dict.fromkeys(causes, strength)
        reference, render, decibels, total = planted(photograph(photo), mixed, seed=10 + strength)
        view = diagnose_view(reference, render)
        assert view.total == pytest.approx(total, rel=0.1)
        assert {group for group in decibels if decibels[group] > 0.2} <= view.decibels.keys() <= decibels.keys()
        for group, amount in view.decibels.items():
            assert amount == pytest.approx(decibels[group], abs=0.1 * total)


@pytest.mark.parametrize("kind", CLEAN)
def test_clean_pairs_have_no_cause(kind: str) -> None:
    photos = (*PHOTOGRAPHS, "chelsea", "grass")
    for photo in photos:
        view = diagnose_view(*clean(photograph(photo), kind, seed=1))
        assert (photo, view.decibels, view_words(view)) == (photo, {}, [NOTHING])


def test_identical_images_have_no_cause() -> None:
    image = photograph("coffee")
    view = diagnose_view(image, image)
    assert (view.psnr, view.decibels, view_words(view)) == ("inf", {}, [NOTHING])


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (7, 9), (31, 31), (48, 48), (50, 400)])
def test_small_and_flat_images_have_finite_numbers(size: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    for reference in (draw.random((*size, 3)).astype(np.float32), np.full((*size, 3), 0.5, np.float32)):
        view = diagnose_view(reference, (reference * 0.9 + 0.02).astype(np.float32))
        assert all(map(math.isfinite, (view.mse, view.total, *view.decibels.values())))
        assert all(math.isfinite(share) for share in view.frequencies.values())


def test_only_pixels_inside_the_mask_count() -> None:
    reference, render, *_ = planted(photograph("astronaut"), {"exposure": 1}, seed=0)
    mask = np.ones(reference.shape[:2], np.float32)
    mask[:, :80] = 0
    wrong: Pixels = render.copy()
    wrong[:, :80] = 0
    view, other = (diagnose_view(reference, image, mask) for image in (render, wrong))
    assert view.decibels.keys() == other.decibels.keys() == {"colour"}
    assert other.decibels["colour"] == pytest.approx(view.decibels["colour"], rel=0.02)
    assert other.mse == pytest.approx(view.mse, rel=1e-6)


def test_regions_are_named_where_the_error_is_concentrated() -> None:
    reference, render, *_ = planted(photograph("coffee"), {}, seed=0)
    render = render.copy()
    render[:10] = render[:10] + 0.2 * np.random.default_rng(1).normal(size=render[:10].shape)
    assert any(
        "of the squared error is in the borders" in sentence
        for sentence in view_words(diagnose_view(reference, render))
    )
