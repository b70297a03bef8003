"""The pair that a model shows is found by its content, in `run` and in the training hook."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import third_party
from support.pinned import Pinned
from support.protocols import protocol_file, rounding, variant
from support.scenes import HEIGHT, WIDTH
from support.third_party import BLURRED, MODELS, OFFSET, REFERENCE, RENDER, Camera, StandIn
from support.views import views_of
from torch import Tensor

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import load_protocol
from nvs_eval.sources.views import View
from nvs_eval_nerfstudio import own_metrics
from nvs_eval_nerfstudio.hook import ERROR_IMAGE, _evaluate
from nvs_eval_nerfstudio.own_metrics import without_own_metrics
from nvs_eval_nerfstudio.pairs import render_view

Hooked = Callable[[StandIn], dict[str, Any]]


def rendered(model: Any, warnings: list[str] | None = None) -> View:
    """Return the view as `nvs-eval run` gets it."""
    warn = pytest.fail if warnings is None else warnings.append
    camera, device = Camera(), torch.device("cpu")
    view = render_view(model, camera, model.batch(), name="0001", device=device, timed=True, warn=warn)
    return next(views_of([view]))


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    """Return what a hooked model's evaluation returns: metrics, and whether there is an error map."""
    file = protocol_file(tmp_path, variant(name="quick", quantise=rounding(), mask="none"), "quick.yaml")
    scorer = Scorer((load_protocol(str(file)),), torch.device("cpu"))

    def evaluate(model: StandIn) -> dict[str, Any]:
        outputs, own = model.get_outputs_for_camera(Camera()), model.get_image_metrics_and_images
        metrics, images = _evaluate(own, scorer, outputs, model.batch())
        return {**metrics, ERROR_IMAGE: ERROR_IMAGE in images}

    return evaluate


@pytest.mark.parametrize("name", MODELS)
def test_pair_of_a_model(name: str, hooked: Hooked) -> None:
    model = MODELS[name]()
    view = rendered(model, [])
    (render,) = view.renders
    assert torch.allclose(render.image - view.reference, torch.full_like(view.reference, OFFSET), atol=1e-6)
    metrics = hooked(model)
    assert metrics[ERROR_IMAGE]
    assert metrics["quick/psnr"] == pytest.approx(20, abs=0.1)  # Images are rounded to 8 bits.


def test_bad_nerf_scores_the_render_against_the_reference(hooked: Hooked) -> None:
    """By their places, the blurred input would be the reference, and the reference the render."""
    view = rendered(third_party.BadNerf())
    assert torch.equal(view.reference, REFERENCE)
    assert torch.equal(view.renders[0].image, RENDER)
    wrong = -10 * math.log10(float(((BLURRED - REFERENCE) ** 2).mean()))
    assert abs(hooked(third_party.BadNerf())["quick/psnr"] - wrong) > 1


def test_images_that_a_model_changes_in_place_are_scored_unchanged() -> None:
    view = rendered(third_party.MaskedInPlace())
    assert torch.equal(view.reference, REFERENCE)
    assert torch.equal(view.renders[0].image, RENDER)


def test_finest_render_is_scored() -> None:
    assert torch.equal(rendered(third_party.CoarseAndFine()).renders[0].image, RENDER)


@pytest.mark.parametrize(("model", "high"), [(third_party.Unclipped, 1.001), (third_party.Clipped, 1.0)])
def test_render_is_scored_as_the_model_shows_it(model: type[StandIn], high: float) -> None:
    assert float(rendered(model()).renders[0].image.max()) == pytest.approx(high, abs=1e-7)


def test_transparent_reference_has_the_models_background(hooked: Hooked) -> None:
    view = rendered(third_party.Blended())
    expected = REFERENCE.clone()
    expected[:, :4] = 1
    expected[:, 4:8] = REFERENCE[:, 4:8] / 2 + 0.5
    assert torch.allclose(view.reference, expected, atol=1e-6)
    assert view.renders[0].image.shape == (HEIGHT, WIDTH, 3)


def test_cropped_references_are_reported() -> None:
    warnings: list[str] = []
    view = rendered(third_party.Cropped(), warnings)
    assert torch.equal(view.reference, REFERENCE[:-2, :-3])
    assert warnings == [
        "Cropped crops its references to the size of its renders. The scores are of the upper left part."
    ]


def test_images_that_are_painted_outside_their_masks_are_reported() -> None:
    warnings: list[str] = []
    view = rendered(third_party.MaskedBefore(), warnings)
    assert torch.equal(view.reference[HEIGHT // 2 :], REFERENCE[HEIGHT // 2 :])
    assert not view.reference[: HEIGHT // 2].any() and not view.renders[0].image[: HEIGHT // 2].any()
    assert warnings == ["MaskedBefore paints its images over outside their masks. The scores count these pixels."]


@pytest.mark.parametrize(
    "parts",
    [(BLURRED, RENDER), (REFERENCE, BLURRED), (BLURRED, REFERENCE, BLURRED), (RENDER,), (), (REFERENCE[:, 1:], RENDER)],
    ids=["no reference", "no render", "permuted without a render", "only a render", "nothing", "another size"],
)
def test_model_without_a_pair_is_refused(
    parts: tuple[Tensor, ...], pinned: Pinned, hooked: Hooked, capsys: pytest.CaptureFixture[str]
) -> None:
    model = third_party.Showing(*parts)
    with pytest.raises(InputError) as error:
        rendered(model)
    pinned("run", error.value)
    metrics = hooked(model)
    assert math.isnan(metrics["quick/psnr"]) and not metrics[ERROR_IMAGE]
    assert str(error.value).replace("Showing", "This model") in capsys.readouterr().out


def test_model_without_an_image_among_its_outputs_is_refused(pinned: Pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "get_outputs_for_camera", lambda self, camera: {"depth": torch.ones(HEIGHT, WIDTH, 1)})
    with pytest.raises(InputError) as error:
        rendered(third_party.Showing(REFERENCE, RENDER))
    pinned("run", error.value)


def test_batch_of_a_lidar_has_nothing_to_score(hooked: Hooked, capsys: pytest.CaptureFixture[str]) -> None:
    class Lidar(StandIn):
        def batch(self) -> dict[str, Any]:
            return {"lidar": torch.zeros(5, 3)}

        def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Any:
            return {"chamfer_distance": 0.5}, {}

    assert hooked(Lidar()) == {"chamfer_distance": 0.5, ERROR_IMAGE: False}
    assert capsys.readouterr().out == ""


def _missing_key() -> Any:
    return {}["degraded"]


def _channels_differ() -> Any:
    return torch.cat([torch.zeros(2, 2, 4), torch.zeros(2, 2, 3)], dim=1)


@pytest.mark.parametrize("fail", [_missing_key, _channels_differ])
def test_error_of_the_models_own_evaluation_names_the_view(fail: Callable[[], Any], pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        rendered(third_party.Failing(fail))
    pinned("run", error.value)


# --- The model's own metrics ---


def test_own_metrics_are_kept_as_floats() -> None:
    own = rendered(third_party.FourDimensional()).renders[0].own
    assert own == {"depth_rmse": 0.25, "depth_a1": 0.5}
    assert all(type(value) is float for value in own.values())


def test_own_metrics_on_a_part_of_the_image_are_kept_but_lpips() -> None:
    model = third_party.RightHalf()
    without_own_metrics(model)
    own = rendered(model).renders[0].own
    assert own == {"psnr": pytest.approx(40, abs=1e-3)}


def test_model_with_known_metrics_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--protocol auto` gives these numbers."""
    monkeypatch.setitem(own_metrics._OWN_PROTOCOL, "support.third_party.RightHalf", "nerfstudio-splatfacto")
    model = third_party.RightHalf()
    without_own_metrics(model)
    assert rendered(model).renders[0].own == {}


def test_own_metrics_that_are_not_numbers_are_reported_and_left_out() -> None:
    class Odd(StandIn):
        def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Any:
            metrics = {
                "depth": math.nan,
                "error": math.inf,
                "pose": torch.zeros(3),
                "note": "x",
                "masked_psnr": math.nan,
            }
            return {**metrics, "fine": 1}, super().get_image_metrics_and_images(outputs, batch)[1]

    warnings: list[str] = []
    assert rendered(Odd(), warnings).renders[0].own == {"fine": 1.0}
    assert warnings == ["Odd also returns depth, error, pose and note, not recorded where they are not finite."]


def test_metric_that_fails_on_an_image_is_left_out() -> None:
    def too_small(*_: Tensor) -> Tensor:
        raise ValueError("the image is smaller than the window")

    model = third_party.RightHalf()
    model.psnr = too_small
    without_own_metrics(model)
    assert rendered(model).renders[0].own == {}
