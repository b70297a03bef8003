from __future__ import annotations

from pathlib import Path
from typing import Any, cast

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


# --- Values in [0, 255], and other types ------------------------------------------------------------------------------


def bright(share: float, value: float = 255.0) -> Tensor:
    """Return an image of 100x100 with a share of its values at a value above 1."""
    values = torch.full((30_000,), 0.5)
    values[: round(share * 30_000)] = value
    return values.reshape(100, 100, 3)


@pytest.mark.parametrize(
    ("reference", "render", "message"),
    [
        (
            bright(0),
            bright(0) * 510,
            r"The render of view 'a' \(b\.npy\) must be in \[0, 1\]\. Got values up to 255, 100 %",
        ),
        (bright(0) * 510, bright(0), r"The reference of view 'a' must be in \[0, 1\]\. Got values up to 255, 100 %"),
        (bright(0), bright(0.011, 4.1), r"Got values up to 4\.1, 1 % of them above 4\. Divide it by its range"),
    ],
)
def test_values_in_0_to_255_are_refused(reference: Tensor, render: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        View("a", reference, (Render(render, file=Path("b.npy")),))


@pytest.mark.parametrize("render", [bright(0.01), bright(0.01, 1e6), bright(1, 4.0)])
def test_a_few_highlights_are_not_in_0_to_255(render: Tensor) -> None:
    assert View("a", bright(0), (Render(render),)).bounds[1][1] == render.max()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reference": IMAGE.numpy()}, r"The reference of view 'a' must be a torch tensor .*Got numpy\.ndarray"),
        (
            {"renders": (Render(cast(Any, IMAGE.numpy())),)},
            r"The render of view 'a' must be a torch tensor .*Got numpy\.ndarray",
        ),
        ({"renders": (IMAGE,)}, r"renders of view 'a' must be a tuple of nvs_eval\.Render\. Got Tensor"),
        ({"renders": IMAGE}, r"renders of view 'a' must be a tuple of nvs_eval\.Render\. Got Tensor"),
        ({"renders": Render(IMAGE)}, r"renders of view 'a' must be a tuple of nvs_eval\.Render\. Got Render"),
        ({"mask": torch.ones(4, 5).numpy()}, r"The mask of view 'a' must be a torch tensor .*Got numpy\.ndarray"),
        ({"reference_alpha": torch.ones(4, 5)}, r"alpha must be float32 of shape \[4, 5, 1\]\. Got .* \[4, 5\]"),
        ({"reference_alpha": torch.ones(4, 5, 1).double()}, r"alpha must be float32 .*Got torch\.float64"),
    ],
)
def test_other_types_are_errors(fields: dict[str, Any], message: str) -> None:
    make: Any = View
    with pytest.raises(InputError, match=message):
        make(**{"name": "a", "reference": IMAGE, "renders": (Render(IMAGE),), **fields})


def test_alpha_in_0_to_255_is_composited_by_no_rule() -> None:
    view = View("a", IMAGE, (Render(IMAGE, alpha=torch.full((4, 5, 1), 255.0)),), background=(1, 1, 1))
    assert torch.equal(view.opaque("drop").renders[0].image, IMAGE)
    with pytest.raises(InputError, match=r"The render of view 'a' has alpha outside \[0, 1\]"):
        view.opaque("composite")
