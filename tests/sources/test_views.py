from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.scenes import float_image
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import Render, View

IMAGE = float_image(0, 4, 5)


def test_a_view_has_a_reference_and_renders_in_order() -> None:
    renders = tuple(Render(float_image(seed, 4, 5), seconds=seed) for seed in (1, 2))
    view = View("cam0/0001", IMAGE, renders, torch.ones(4, 5), reference_file=Path("a.png"))
    assert view.renders == renders
    assert [render.seconds for render in view.renders] == [1, 2]


def corrupted(image: Tensor, value: float) -> Tensor:
    image = image.clone()
    image[1, 2, 0] = value
    return image


@pytest.mark.parametrize(
    ("reference", "render", "message"),
    [
        (IMAGE, corrupted(IMAGE, torch.nan), r"The render of view 'a' \(b\.png\) .* NaN or infinite values in 1 pixel"),
        (IMAGE, corrupted(IMAGE, -torch.inf), r"The render of view 'a' \(b\.png\) .* NaN or infinite values"),
        (corrupted(IMAGE, torch.nan), IMAGE, r"The reference of view 'a' .* NaN or infinite values"),
        (IMAGE, (IMAGE * 255).byte(), r"The render of view 'a' \(b\.png\) must be float32 .* Got torch.uint8"),
        (IMAGE.permute(2, 0, 1), IMAGE, r"The reference of view 'a' .* \[height, width, 3\]\. Got \[3, 4, 5\]"),
        (IMAGE, IMAGE[:3], r"View 'a': the render \(b\.png\) is 5x3, but the reference is 5x4"),
    ],
)
def test_the_contract_is_checked_when_a_view_is_created(reference: Tensor, render: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        View("a", reference, (Render(IMAGE), Render(render, file=Path("b.png"))))


def test_a_view_needs_a_render() -> None:
    with pytest.raises(InputError, match=r"View 'a' has no render to score"):
        View("a", IMAGE, ())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("mask", [torch.ones(5, 4), torch.ones(4, 5, dtype=torch.bool), torch.full((4, 5), 255.0)])
def test_the_mask_is_checked_too(mask: Tensor) -> None:
    with pytest.raises(InputError, match=r"The mask of view 'a' (must be|has) "):
        View("a", IMAGE, (Render(IMAGE),), mask)


def test_an_opaque_view_is_unchanged_by_every_rule() -> None:
    view = View("a", IMAGE, (Render(IMAGE),))
    assert view.opaque("composite") is view.opaque("drop") is view.opaque("error") is view


def test_alpha_is_composited_or_dropped_of_reference_and_renders() -> None:
    alpha = float_image(1, 4, 5)[..., :1]
    view = View("a", IMAGE, (Render(IMAGE, alpha=alpha), Render(IMAGE)), reference_alpha=alpha, background=(1, 0, 0))
    dropped, composited = view.opaque("drop"), view.opaque("composite")
    assert torch.equal(dropped.reference, IMAGE)
    over = IMAGE * alpha + torch.tensor([1.0, 0.0, 0.0]) * (1 - alpha)
    assert torch.equal(composited.reference, over)
    assert torch.equal(composited.renders[0].image, over)
    assert torch.equal(composited.renders[1].image, IMAGE)
    for opaque in (dropped, composited):
        assert opaque.reference_alpha is None
        assert [render.alpha for render in opaque.renders] == [None, None]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (ResultId("fox", "nerfacto", "base", 2500), "fox/nerfacto/base/2500"),
        (ResultId("fox", "nerfacto", step=0), "fox/nerfacto/0"),
        (ResultId("fox", "nerfacto"), "fox/nerfacto"),
    ],
)
def test_the_text_of_a_result_id_is_its_label(column: ResultId, text: str) -> None:
    assert str(column) == text
