"""Preparation of a view's images: each step, and the order of the steps, which changes the scores."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.agreement import assert_agree
from support.protocols import LIGHT, changed, protocol_of, rounding
from support.scenes import float_image, image
from support.scoring import outcomes, scores, view
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.prepare import prepare
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.pixels import composite, sha256_of_image
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import Render, View

# --- The range and 8 bits -------------------------------------------------------------------------------------------

VALUES = [-0.3, -1e-7, 0.0, 0.1, 0.5, 0.999, 1.0, 1.7]


@pytest.mark.parametrize(
    ("rule", "beyond", "levels"),
    [
        ("round", "clamp", [0, 0, 0, 26, 128, 255, 255, 255]),
        ("round", "error", [0, 0, 0, 26, 128, 255, 255, 255]),
        ("truncate", "clamp", [0, 0, 0, 25, 127, 254, 255, 255]),
        ("truncate", "keep", [-77, -1, 0, 25, 127, 254, 255, 433]),
        ("none", "clamp", [0, 0, 0, 25.5, 127.5, 254.745, 255, 255]),
    ],
)
def test_values_are_clamped_and_quantised_by_the_protocol(rule: Any, beyond: Any, levels: list[float]) -> None:
    protocol = protocol_of(LIGHT)
    protocol = replace(protocol, out_of_range=beyond, quantise=replace(protocol.quantise, render=rule))
    render = torch.tensor(VALUES).expand(1, 3, 8, 8)
    prepared = prepare(torch.full((3, 8, 8), 0.3), render, None, protocol, view_name="a")
    assert_agree(prepared.renders[0, 0, 0] * 255, levels, "float32", times=300)
    assert torch.equal(prepared.reference, torch.full((3, 8, 8), 77 / 255))


# --- Cropping -------------------------------------------------------------------------------------------------------


def test_crop_applies_to_images_and_mask() -> None:
    reference, render, mask = torch.rand(3, 20, 22), torch.rand(2, 3, 20, 22), torch.rand(1, 20, 22)
    prepared = prepare(reference, render, mask, changed(crop=3), view_name="a")
    assert prepared.reference.shape == (3, 14, 16)
    assert prepared.renders.shape == (2, 3, 14, 16)
    assert prepared.mask is not None
    assert torch.equal(prepared.mask, mask[:, 3:-3, 3:-3])


def test_crop_scores_like_cropped_images() -> None:
    reference, render = float_image(0), float_image(1)
    cut = view(reference[4:-4, 4:-4], render[4:-4, 4:-4])
    assert scores(changed(crop=4), view(reference, render)) == scores(LIGHT, cut)


@pytest.mark.parametrize(("width", "first", "remaining"), [(48, 24, 24), (47, 23, 24), (23, 11, 12)])
def test_right_half_starts_at_half_the_width(width: int, first: int, remaining: int) -> None:
    reference, render = float_image(0, 40, width), float_image(1, 40, width)
    cut = view(reference[:, first:], render[:, first:])
    assert cut.reference.shape[1] == remaining
    half = scores(changed(region="right-half"), view(reference, render))
    assert half == scores(LIGHT, cut) != scores(LIGHT, view(reference, render))


def test_border_is_cropped_from_the_right_half() -> None:
    reference, render = float_image(0), float_image(1)
    cut = view(reference[3:-3, 27:-3], render[3:-3, 27:-3])
    assert scores(changed(region="right-half", crop=3), view(reference, render)) == scores(LIGHT, cut)


def test_crop_that_leaves_nothing_is_an_error() -> None:
    (outcome,) = outcomes(changed(crop=20), view(image(0), image(1)))
    assert re.search(r"20 pixels .*48x40", str(outcome.error))


# --- Alpha ----------------------------------------------------------------------------------------------------------

WHITE = (1.0, 1.0, 1.0)
ALPHA = [changed(alpha=rule) for rule in ("composite", "drop", "error")]


def with_alpha(*, background: Any = None, render_too: bool = True) -> View:
    return View(
        "cam/7",
        image(0),
        (Render(image(1), alpha=alpha(3) if render_too else None), Render(image(2))),
        reference_file=Path("gt.png"),
        reference_alpha=alpha(4),
        background=background,
    )


def alpha(seed: int) -> Tensor:
    return image(seed)[..., :1]


def test_protocols_differ_in_their_alpha_rule() -> None:
    composited, dropped, refused = outcomes(ALPHA, with_alpha(background=WHITE))
    by_hand = view(composite(image(0), alpha(4), WHITE), composite(image(1), alpha(3), WHITE), image(2))
    assert composited.scores == scores(LIGHT, by_hand)[0]
    assert dropped.scores == scores(LIGHT, view(image(0), image(1), image(2)))[0]
    assert composited.scores != dropped.scores
    with pytest.raises(InputError, match=r"reference of view 'cam/7' \(gt\.png\) .*alpha"):
        raise refused.error or AssertionError


def test_missing_background_refuses_only_compositing() -> None:
    composited, dropped, _ = outcomes(ALPHA, with_alpha())
    assert dropped.scores == scores(LIGHT, view(image(0), image(1), image(2)))[0]
    assert "--background" in str(composited.error)
    assert composited.scores == {}


def test_opaque_images_score_the_same_under_every_alpha_rule() -> None:
    first, second, third = outcomes(ALPHA, view(image(0), image(1)))
    assert first.scores == second.scores == third.scores != {}


def test_reference_hash_is_of_the_scored_image(tmp_path: Path) -> None:
    ids = (ResultId("fox", "nerfacto"), ResultId("fox", "splatfacto"))
    scorer = Scorer(ALPHA[:2], torch.device("cpu"))
    records = evaluate([with_alpha(background=(0.2, 0.4, 0.6))], ids, scorer, Session(tmp_path))
    composited = sha256_of_image(composite(image(0), alpha(4), (0.2, 0.4, 0.6)))
    expected = [composited, sha256_of_image(image(0))] * 2
    assert [record.views[0].reference_sha256 for record in records] == expected


# --- Grey of 8-bit levels -------------------------------------------------------------------------------------------


def test_grey_kernel_uses_the_quantised_levels() -> None:
    protocol = changed(
        quantise=rounding("round", "truncate"), metrics={"ssim": {"kernel": "uniform7-gray", "data_range": 255}}
    )
    reference, render = float_image(0), float_image(1)
    levels = view((reference * 255).floor() / 255, (render * 255 + 0.5).floor() / 255)
    assert scores(protocol, view(reference, render)) == scores(protocol, levels)
    assert scores(protocol, view(reference, render)) != scores(protocol, view(levels.reference, reference))
