"""Real nerfstudio models, built without internet access: their metric methods, hooked or without their metrics."""

from __future__ import annotations

import functools
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from support.pinned import Pinned
from support.protocols import protocol_file
from support.scenes import nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.weights.backbones import find_backbone, load_backbone
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol
from nvs_eval_nerfstudio.hook import _evaluate, with_nvs_eval
from nvs_eval_nerfstudio.own_metrics import (
    finite_values,
    no_downloads,
    own_protocol,
    verified_backbones,
    without_own_metrics,
)
from nvs_eval_nerfstudio.pairs import Expected, read_pair
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

import_nerfstudio()

from nerfstudio.models.nerfacto import NerfactoModel  # noqa: E402

needs_alex = pytest.mark.skipif(
    not find_backbone("alex").verified, reason="AlexNet's weights are missing; see nvs-eval weights"
)


@pytest.fixture(autouse=True)
def _no_internet() -> Any:
    with mock.patch("torch.hub.load_state_dict_from_url", side_effect=AssertionError("unexpected download")):
        yield


def _splatfacto() -> Any:
    from nerfstudio.configs.method_configs import method_configs
    from nerfstudio.data.scene_box import SceneBox

    config: Any = method_configs["splatfacto"]
    box = SceneBox(aabb=torch.tensor([[-1.0, -1, -1], [1, 1, 1]]))
    with quiet():
        model = config.pipeline.model.setup(
            scene_box=box, num_train_data=3, metadata={}, device="cpu", grad_scaler=None, seed_points=None
        )
    return model.eval()


def _views() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return outputs and a batch like splatfacto's: a float render and a uint8 reference."""
    seeded = torch.Generator().manual_seed(0)
    reference = torch.randint(0, 256, (40, 48, 3), dtype=torch.uint8, generator=seeded)
    render = (reference / 255 + 0.1 * torch.randn(40, 48, 3, generator=seeded)).clamp(0, 1)
    return {"rgb": render, "background": torch.tensor([0.1, 0.2, 0.3])}, {"image": reference}


@needs_alex
def test_own_metrics_of_splatfacto_are_kept() -> None:
    with verified_backbones():
        model = _splatfacto()
    outputs, batch = _views()
    before, _ = model.get_image_metrics_and_images(outputs, batch)
    scorer = Scorer((load_protocol("nerfstudio"),), torch.device("cpu"))
    model.get_image_metrics_and_images = functools.partial(_evaluate, model.get_image_metrics_and_images, scorer)
    metrics, images = model.get_image_metrics_and_images(outputs, batch)
    assert {name: metrics[name] for name in before} == pytest.approx(before)
    assert set(metrics) - set(before) == {"nerfstudio/psnr", "nerfstudio/ssim", "nerfstudio/lpips_alex"}
    # Both score the same prepared pair, and define these two metrics alike.
    assert metrics["nerfstudio/psnr"] == pytest.approx(before["psnr"], abs=1e-4)
    assert metrics["nerfstudio/lpips_alex"] == pytest.approx(before["lpips"], abs=2e-5)
    assert images["nvs_error"].shape == (40, 48, 3)


def test_model_without_its_metrics_prepares_the_same_pair() -> None:
    with no_downloads():
        model = _splatfacto()
    outputs, batch = _views()
    without_own_metrics(model)
    expected = Expected.of(outputs, batch)
    metrics, images = model.get_image_metrics_and_images(outputs, batch)
    assert finite_values(metrics, model="splatfacto", warn=pytest.fail) == {}
    reference, render = expected.find_pair(images, model="splatfacto")
    assert torch.equal(reference, batch["image"] / 255)
    assert torch.equal(render, outputs["rgb"])
    assert not any(key.startswith("lpips") for key in model.state_dict())


@pytest.mark.parametrize("scope", [no_downloads, verified_backbones])
def test_torchmetrics_without_a_backbone_is_refused(scope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchmetrics.functional.image import lpips

    monkeypatch.delattr(lpips, "Vgg16")
    message = f"^torchmetrics {re.escape(version('torchmetrics'))} .*Vgg16 in torchmetrics.functional.image.lpips"
    with pytest.raises(InputError, match=message), scope():
        pass


def test_backbones_are_restored_after_an_error() -> None:
    from torchmetrics.functional.image import lpips

    before = (lpips.Alexnet, lpips.Vgg16, lpips.SqueezeNet)
    with pytest.raises(RuntimeError, match="broken"), no_downloads():
        assert lpips.Vgg16 is not before[1]
        raise RuntimeError("broken")
    assert (lpips.Alexnet, lpips.Vgg16, lpips.SqueezeNet) == before


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_torchmetrics_lpips_uses_the_verified_backbone(net: Net) -> None:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    if not find_backbone(net).verified:
        pytest.skip(f"the weights of {net} are missing; see nvs-eval weights")
    with quiet(), verified_backbones():
        state = LearnedPerceptualImagePatchSimilarity(net_type=net).net.net.state_dict()
    published = load_backbone(net)
    for name, tensor in state.items():
        assert torch.equal(tensor, published[re.sub(r"^slices?\.?\d+\.", "features.", name)])
    assert len(state) == len(published)


@needs_alex
def test_instant_ngp_keeps_its_own_pipeline(tmp_path: Path) -> None:
    """The pipeline is only constructed, because instant-ngp renders on CUDA only."""
    from nerfstudio.configs.method_configs import method_configs
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
    from nerfstudio.pipelines.dynamic_batch import DynamicBatchPipeline

    original: Any = method_configs["instant-ngp"]
    config = with_nvs_eval(original, protocols=[str(protocol_file(tmp_path))])
    manager: Any = config.pipeline.datamanager
    manager.data, manager.dataparser = nerfstudio_scene(tmp_path / "scene"), NerfstudioDataParserConfig()
    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager

    manager._target = VanillaDataManager
    with quiet():
        pipeline: Any = config.pipeline.setup(device="cpu", test_mode="val")
    assert type(pipeline) is DynamicBatchPipeline
    hooked: Any = pipeline.model.get_image_metrics_and_images
    assert hooked.func is _evaluate


def _pair(width: int, height: int) -> Any:
    from types import SimpleNamespace

    camera = SimpleNamespace(width=torch.tensor([[24]]), height=torch.tensor([[20]]))
    return iter([(camera, {"image": torch.zeros(height, width, 3)})])


def test_image_of_a_view_must_have_the_size_of_its_camera(pinned: Pinned) -> None:
    camera, _ = read_pair(_pair(24, 20), "0001")
    assert int(camera.width) == 24
    with pytest.raises(InputError) as error:
        read_pair(_pair(12, 10), "0001")
    pinned("run", error.value)


@pytest.mark.parametrize("error", [OSError("image file is truncated"), SyntaxError("broken PNG file")])
def test_error_names_the_view_of_an_unreadable_image(error: Exception) -> None:
    def broken() -> Any:
        raise error
        yield

    with pytest.raises(InputError, match=f"'0001' .*{error}"):
        read_pair(broken(), "0001")


def test_invalid_data_is_refused(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    from nvs_eval_nerfstudio.eval_data import parse_views

    (tmp_path / "transforms.json").write_text("[]")
    manager = SimpleNamespace(data=tmp_path, dataparser=NerfstudioDataParserConfig(data=tmp_path))
    config: Any = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    with quiet(), pytest.raises(InputError, match=r"cannot be parsed \(AttributeError: [^`]*\)\.$"):
        parse_views(config, "test")


def test_data_without_held_out_views_is_refused(tmp_path: Path, pinned: Pinned) -> None:
    import json
    from types import SimpleNamespace

    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    from nvs_eval_nerfstudio.eval_data import parse_views

    scene = nerfstudio_scene(tmp_path / "scene")
    transforms = json.loads((scene / "transforms.json").read_text())
    transforms["train_filenames"] = [frame["file_path"] for frame in transforms["frames"]]
    transforms["val_filenames"] = transforms["test_filenames"] = []
    (scene / "transforms.json").write_text(json.dumps(transforms))
    dataparser = NerfstudioDataParserConfig(data=scene)
    manager = SimpleNamespace(_target=VanillaDataManager, data=scene, dataparser=dataparser)
    config: Any = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    with quiet(), pytest.raises(InputError) as error:
        parse_views(config, "test")
    pinned("run", error.value)
    with quiet():
        assert len(parse_views(config, "train").image_filenames) == 10


def test_data_manager_without_a_dataparser_is_refused(pinned: Pinned) -> None:
    from types import SimpleNamespace

    from nvs_eval_nerfstudio.eval_data import prepare_data

    config: Any = SimpleNamespace(method_name="mine", pipeline=SimpleNamespace(datamanager=SimpleNamespace(data=None)))
    with pytest.raises(InputError) as error:
        prepare_data(config, data=None)
    pinned("run", error.value)


# --- The protocols of the models' own code, for `--protocol auto` ---


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        *((method, "nerfstudio") for method in ("nerfacto", "depth-nerfacto", "instant-ngp", "tensorf")),
        *((method, "nerfstudio") for method in ("vanilla-nerf", "mipnerf", "semantic-nerfw", "dnerf")),
        ("splatfacto", "nerfstudio-splatfacto"),
        *((method, "nerfstudio-surface") for method in ("neus", "neus-facto")),
        ("generfacto", None),
    ],
)
def test_own_protocol_of_a_model(method: str, protocol: str | None) -> None:
    from nerfstudio.configs.method_configs import method_configs

    config: Any = method_configs[method]
    assert own_protocol(config.pipeline.model._target) == protocol
    if protocol is not None:
        assert load_protocol(protocol).name == protocol


class Inheriting(NerfactoModel):
    """A model with its own rendering and nerfacto's metrics."""

    def get_outputs(self, ray_bundle: Any) -> Any:
        raise NotImplementedError


class Measuring(NerfactoModel):
    """A model with its own metrics."""

    def get_image_metrics_and_images(self, outputs: Any, batch: Any) -> Any:
        raise NotImplementedError


class Grandchild(Measuring):
    """A model that inherits metrics unknown to nvs-eval."""


def test_third_partys_model_has_the_protocol_of_inherited_metrics() -> None:
    assert own_protocol(Inheriting) == "nerfstudio"
    assert own_protocol(Measuring) is None
    assert own_protocol(Grandchild) is None
    assert own_protocol(torch.nn.Module) is None


def test_models_with_known_metrics_exist() -> None:
    """Without this test, a class that nerfstudio renames would silently lose its protocol."""
    import importlib

    from nvs_eval_nerfstudio.own_metrics import _ADDING, _OWN_PROTOCOL

    for name in (*_OWN_PROTOCOL, *_ADDING):
        module, _, kind = name.rpartition(".")
        assert "get_image_metrics_and_images" in vars(getattr(importlib.import_module(module), kind)), name
