"""Notes on methods of third parties, and the protocols that they name, compared with the methods' own definitions."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import third_party
from support.pinned import Pinned
from support.protocols import protocol_of
from support.scenes import HEIGHT, WIDTH
from support.third_party import REFERENCE, Camera
from support.views import views_of
from torch import Tensor

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

import yaml

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.sources.views import Render, View
from nvs_eval_nerfstudio.downloads import downloads_explained
from nvs_eval_nerfstudio.hook import Instrumented
from nvs_eval_nerfstudio.own_metrics import own_protocol
from nvs_eval_nerfstudio.pairs import render_view
from nvs_eval_nerfstudio.quiet import import_nerfstudio
from nvs_eval_nerfstudio.third_party import _NOTES, note_on

import_nerfstudio()

CPU = torch.device("cpu")


def config_of(package: str, *, hooked: bool = False, **model: Any) -> Any:
    """Return the configuration of a method whose model is of a package."""
    kind = type("Model", (), {"__module__": f"{package}.model"})
    pipeline: Any = type("Pipeline", (), {"__module__": "nerfstudio.pipelines.base_pipeline"})
    target = Instrumented(pipeline, ("standard",)) if hooked else pipeline
    settings = SimpleNamespace(_target=kind, **model)
    return SimpleNamespace(method_name="mine", pipeline=SimpleNamespace(_target=target, model=settings))


@pytest.mark.parametrize("package", _NOTES)
def test_note_on_a_method(package: str, pinned: Pinned) -> None:
    note = note_on(config_of(package, eval_right_half=True))
    assert note == note_on(config_of(package, hooked=True, eval_right_half=True))
    pinned("run", note)


def test_methods_without_a_note() -> None:
    assert note_on(config_of("nerfstudio")) is None
    assert note_on(config_of("splatfactow", eval_right_half=False)) is None


def test_package_of_the_pipeline_counts() -> None:
    config = config_of("nerfstudio")
    config.pipeline._target = type("Pipeline", (), {"__module__": "nerfgs.nerfgs_pipeline"})
    assert "sky" in str(note_on(config))


# --- The protocols that the notes name ---


def copy_of(name: str, metrics: tuple[str, ...] = ("psnr", "ssim"), **changes: Any) -> Any:
    """Return a copy of a named protocol with some fields changed, without LPIPS."""
    definition = yaml.safe_load(Path("configs/protocols", f"{name}.yaml").read_text())
    kept = {key: value for key, value in definition["metrics"].items() if key in metrics}
    ssim = {"ssim": changes.pop("ssim")} if "ssim" in changes else {}
    return protocol_of(yaml.safe_dump({**definition, **changes, "name": "mine", "metrics": {**kept, **ssim}}))


def scores_of(view: View, protocol: Any) -> dict[str, float]:
    (scores,) = Scorer((protocol,), CPU).score(view)
    return {name: values[0] for name, values in scores.items()}


def psnr(reference: Tensor, render: Tensor) -> float:
    return float(-10 * torch.log10(((reference.double() - render.double()) ** 2).mean()))


def ssim(reference: Tensor, render: Tensor) -> float:
    from pytorch_msssim import SSIM

    first, second = (image.permute(2, 0, 1)[None] for image in (reference, render))
    return float(SSIM(data_range=1.0, size_average=True, channel=3)(first, second))


@pytest.fixture(autouse=True)
def _at_the_checkouts_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])


@pytest.fixture
def view() -> View:
    render = (REFERENCE + 0.1 * torch.randn(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    return View("0001", REFERENCE, (Render(render),))


def test_right_half_of_splatfacto_w(view: View) -> None:
    reference, render = (image[:, WIDTH // 2 :] for image in (view.reference, view.renders[0].image))
    scores = scores_of(view, copy_of("nerfstudio-splatfacto", region="right-half"))
    assert scores["psnr"] == pytest.approx(psnr(reference, render), abs=1e-4)
    assert scores["ssim"] == pytest.approx(ssim(reference, render), abs=1e-5)


def test_black_outside_the_masks(view: View) -> None:
    """dn-splatter, street-gaussians-ns and nerfgs."""
    mask = torch.ones(HEIGHT, WIDTH)
    mask[: HEIGHT // 2, 5:] = 0
    reference, render = (image * mask[..., None] for image in (view.reference, view.renders[0].image))
    scores = scores_of(view.with_mask(mask, None), copy_of("nerfstudio-splatfacto", mask="multiply"))
    assert scores["psnr"] == pytest.approx(psnr(reference, render), abs=1e-4)
    assert scores["ssim"] == pytest.approx(ssim(reference, render), abs=1e-5)


def test_columns_of_pynerf(view: View) -> None:
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[:, WIDTH // 2 :] = 1
    reference, render = (image[:, WIDTH // 2 :] for image in (view.reference, view.renders[0].image))
    definition = {"kernel": "zero", "data_range": 1}
    scores = scores_of(view.with_mask(mask, None), copy_of("nerfstudio", ("psnr",), mask="bbox", ssim=definition))
    assert scores["psnr"] == pytest.approx(psnr(reference, render), abs=1e-4)
    assert scores["ssim"] == pytest.approx(_ssim_with_zeros(reference, render), abs=1e-5)


def _ssim_with_zeros(reference: Tensor, render: Tensor) -> float:
    """Return SSIM with a Gaussian window of 11 pixels and zeros outside the image, in float64."""
    line = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = (torch.outer(line, line) / line.sum() ** 2).expand(3, 1, 11, 11)
    x, y = (image.double().permute(2, 0, 1)[None] for image in (reference, render))

    def blur(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image, window, padding=5, groups=3)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    ssim_map = (
        (2 * mean_x * mean_y + 1e-4) * (2 * cov + 9e-4) / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
    )
    return float(ssim_map.mean())


def test_unclipped_renders_of_zipnerf(pinned: Pinned) -> None:
    model: Any = third_party.Unclipped()
    view = next(views_of([render_view(model, Camera(), model.batch(), name="0001", device=CPU, timed=False)]))
    with pytest.raises(InputError) as error:
        scores_of(view, copy_of("nerfstudio"))
    pinned("run", error.value)
    render = view.renders[0].image
    assert scores_of(view, copy_of("nerfstudio", out_of_range="keep"))["psnr"] == pytest.approx(
        psnr(REFERENCE, render), abs=1e-4
    )
    clamped = scores_of(view, copy_of("nerfstudio", out_of_range="clamp"))
    assert clamped["psnr"] == pytest.approx(psnr(REFERENCE, render.clamp(0, 1)), abs=1e-4)
    assert clamped["psnr"] > psnr(REFERENCE, render)


# --- `--protocol auto` ---


def test_pipeline_that_evaluates_in_its_own_way_has_no_known_protocol() -> None:
    from nerfstudio.models.splatfacto import SplatfactoModel
    from nerfstudio.pipelines.base_pipeline import VanillaPipeline
    from nerfstudio.pipelines.dynamic_batch import DynamicBatchPipeline

    class Training(VanillaPipeline):
        def get_train_loss_dict(self, step: int) -> Any:
            raise NotImplementedError

    class Evaluating(VanillaPipeline):
        def get_average_eval_image_metrics(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    for known in (VanillaPipeline, DynamicBatchPipeline, Training):
        assert own_protocol(SplatfactoModel, known) == "nerfstudio-splatfacto"
    assert own_protocol(SplatfactoModel, Evaluating) is None


# --- Downloads while a model is built ---


def _refused() -> None:
    raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution"))


def _wrapped() -> None:
    try:
        _refused()
    except OSError as error:
        raise RuntimeError("Failed to load CLIP") from error


def _silent() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{server.getsockname()[1]}")
    finally:
        server.close()


@pytest.mark.parametrize("build", [_refused, _wrapped, _silent], ids=["no network", "wrapped", "no answer"])
def test_failed_download_names_the_offline_way(
    build: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nvs_eval_nerfstudio.downloads._SECONDS", 0.2)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(InputError) as error, downloads_explained("lerf"):
        build()
    pinned("run", error.value)
    assert socket.getdefaulttimeout() is None


def test_other_errors_of_a_model_are_kept() -> None:
    def broken() -> None:
        raise RuntimeError("CUDA is required")

    with pytest.raises(RuntimeError, match="CUDA is required"), downloads_explained("lerf"):
        broken()
