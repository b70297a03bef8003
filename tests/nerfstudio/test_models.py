"""Real nerfstudio models, built without internet: their own metric methods, hooked or with their metrics taken out."""

from __future__ import annotations

import functools
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from support.protocols import protocol_file
from support.scenes import nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.weights.backbones import find_backbone, load_backbone
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol
from nvs_eval_nerfstudio.hook import _evaluate, with_nvs_eval
from nvs_eval_nerfstudio.own_metrics import no_downloads, own_protocol, verified_backbones, without_own_metrics
from nvs_eval_nerfstudio.pairs import read_pair, split_pair
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

import_nerfstudio()

from nerfstudio.models.nerfacto import NerfactoModel  # noqa: E402

needs_alex = pytest.mark.skipif(
    not find_backbone("alex").verified, reason="AlexNet's weights are not here: nvs-eval weights says where to get them"
)


@pytest.fixture(autouse=True)
def _no_internet() -> Any:
    with mock.patch("torch.hub.load_state_dict_from_url", side_effect=AssertionError("a download was tried")):
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
    """Outputs and a batch as splatfacto has them: a float render, a uint8 reference."""
    seeded = torch.Generator().manual_seed(0)
    reference = torch.randint(0, 256, (40, 48, 3), dtype=torch.uint8, generator=seeded)
    render = (reference / 255 + 0.1 * torch.randn(40, 48, 3, generator=seeded)).clamp(0, 1)
    return {"rgb": render, "background": torch.tensor([0.1, 0.2, 0.3])}, {"image": reference}


@needs_alex
def test_splatfactos_own_metrics_stand_beside_ours() -> None:
    with verified_backbones():
        model = _splatfacto()
    outputs, batch = _views()
    own, _ = model.get_image_metrics_and_images(outputs, batch)
    scorer = Scorer((load_protocol("nerfstudio"),), torch.device("cpu"))
    model.get_image_metrics_and_images = functools.partial(_evaluate, model.get_image_metrics_and_images, scorer)
    metrics, images = model.get_image_metrics_and_images(outputs, batch)
    assert {name: metrics[name] for name in own} == pytest.approx(own)
    assert set(metrics) - set(own) == {"nerfstudio/psnr", "nerfstudio/ssim", "nerfstudio/lpips_alex"}
    # The same prepared pair: these two metrics are the same in both.
    assert metrics["nerfstudio/psnr"] == pytest.approx(own["psnr"], abs=1e-4)
    assert metrics["nerfstudio/lpips_alex"] == pytest.approx(own["lpips"], abs=2e-5)
    assert images["nvs_error"].shape == (40, 48, 3)


def test_a_model_without_its_metrics_prepares_the_same_pair() -> None:
    with no_downloads():
        model = _splatfacto()
    outputs, batch = _views()
    without_own_metrics(model)
    metrics, images = model.get_image_metrics_and_images(outputs, batch)
    assert set(metrics.values()) == {0.0}
    reference, render = split_pair(images, width=48, model="splatfacto")
    assert torch.equal(reference, batch["image"] / 255)
    assert torch.equal(render, outputs["rgb"])
    assert not any(key.startswith("lpips") for key in model.state_dict())


@pytest.mark.parametrize("scope", [no_downloads, verified_backbones])
def test_a_torchmetrics_of_other_names_is_named_with_its_version(scope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchmetrics.functional.image import lpips

    monkeypatch.delattr(lpips, "Vgg16")
    message = f"^torchmetrics {re.escape(version('torchmetrics'))} has no Vgg16 in torchmetrics.functional.image.lpips"
    with pytest.raises(InputError, match=message), scope():
        pass


def test_the_backbones_come_back_after_an_error() -> None:
    from torchmetrics.functional.image import lpips

    before = (lpips.Alexnet, lpips.Vgg16, lpips.SqueezeNet)
    with pytest.raises(RuntimeError, match="broken"), no_downloads():
        assert lpips.Vgg16 is not before[1]
        raise RuntimeError("broken")
    assert (lpips.Alexnet, lpips.Vgg16, lpips.SqueezeNet) == before


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_torchmetrics_lpips_gets_the_verified_backbone(net: Net) -> None:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    if not find_backbone(net).verified:
        pytest.skip(f"the weights of {net} are not here: nvs-eval weights says where to get them")
    with quiet(), verified_backbones():
        state = LearnedPerceptualImagePatchSimilarity(net_type=net).net.net.state_dict()
    published = load_backbone(net)
    for name, tensor in state.items():
        assert torch.equal(tensor, published[re.sub(r"^slices?\.?\d+\.", "features.", name)])
    assert len(state) == len(published)


def test_a_model_that_gives_no_pair_is_said_to() -> None:
    with pytest.raises(InputError, match="generfacto gives an image of 48 columns for a camera of 48"):
        split_pair({"img": torch.zeros(40, 48, 3)}, width=48, model="generfacto")
    with pytest.raises(InputError, match="no image 'img'"):
        split_pair({"depth": torch.zeros(40, 96, 3)}, width=48, model="generfacto")


@needs_alex
def test_instant_ngp_keeps_its_own_pipeline(tmp_path: Path) -> None:
    """Its pipeline is a class of its own; constructed, since it renders on CUDA alone."""
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


def test_a_views_image_must_have_the_size_of_its_camera() -> None:
    camera, _ = read_pair(_pair(24, 20), "0001")
    assert int(camera.width) == 24
    with pytest.raises(InputError, match="The image of view '0001' is 12x10 and its camera 24x20"):
        read_pair(_pair(12, 10), "0001")


@pytest.mark.parametrize("error", [OSError("image file is truncated"), SyntaxError("broken PNG file")])
def test_an_unreadable_image_of_a_view_is_named(error: Exception) -> None:
    def broken() -> Any:
        raise error
        yield

    with pytest.raises(InputError, match=f"The image of view '0001' cannot be read: {error}"):
        read_pair(broken(), "0001")


def test_data_that_is_no_data_is_said_to_be_so(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    from nvs_eval_nerfstudio.eval_data import parse_views

    (tmp_path / "transforms.json").write_text("[]")
    manager = SimpleNamespace(data=tmp_path, dataparser=NerfstudioDataParserConfig(data=tmp_path))
    config: Any = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    with quiet(), pytest.raises(InputError, match=r"cannot be read: AttributeError.*`--data`"):
        parse_views(config, "test")


def test_data_without_held_out_views_is_said_to_have_none(tmp_path: Path) -> None:
    import json
    from types import SimpleNamespace

    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    from nvs_eval_nerfstudio.eval_data import parse_views

    scene = nerfstudio_scene(tmp_path / "scene")
    said = json.loads((scene / "transforms.json").read_text())
    said["train_filenames"] = [frame["file_path"] for frame in said["frames"]]
    said["val_filenames"] = said["test_filenames"] = []
    (scene / "transforms.json").write_text(json.dumps(said))
    manager = SimpleNamespace(data=scene, dataparser=NerfstudioDataParserConfig(data=scene))
    config: Any = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    with quiet(), pytest.raises(InputError, match=r"has no test views: .* `--split train`"):
        parse_views(config, "test")
    with quiet():
        assert len(parse_views(config, "train").image_filenames) == 10


def test_a_data_manager_without_a_dataparser_is_refused() -> None:
    from types import SimpleNamespace

    from nvs_eval_nerfstudio.eval_data import prepare_data

    config: Any = SimpleNamespace(method_name="mine", pipeline=SimpleNamespace(datamanager=SimpleNamespace(data=None)))
    with pytest.raises(InputError, match=r"'mine' has a data manager without a dataparser .*`nvs-eval score`"):
        prepare_data(config, data=None)


# What the models' own code says, of which `--protocol auto` takes its name.


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
def test_each_models_own_protocol(method: str, protocol: str | None) -> None:
    from nerfstudio.configs.method_configs import method_configs

    config: Any = method_configs[method]
    assert own_protocol(config.pipeline.model._target) == protocol
    if protocol is not None:
        assert load_protocol(protocol).name == protocol


class Inheriting(NerfactoModel):
    """Renders in a way of its own, and says of it what nerfacto says."""

    def get_outputs(self, ray_bundle: Any) -> Any:
        raise NotImplementedError


class Measuring(NerfactoModel):
    """Has metrics of its own."""

    def get_image_metrics_and_images(self, outputs: Any, batch: Any) -> Any:
        raise NotImplementedError


class Grandchild(Measuring):
    """Inherits those."""


def test_a_foreign_model_has_the_protocol_of_inherited_metrics() -> None:
    assert own_protocol(Inheriting) == "nerfstudio"
    assert own_protocol(Measuring) is None
    assert own_protocol(Grandchild) is None
    assert own_protocol(torch.nn.Module) is None


def test_the_models_whose_metrics_are_known_are_there() -> None:
    """A name that nerfstudio has no more would silently stand for no model."""
    import importlib

    from nvs_eval_nerfstudio.own_metrics import _ADDING, _OWN_PROTOCOL

    for name in (*_OWN_PROTOCOL, *_ADDING):
        module, _, kind = name.rpartition(".")
        assert "get_image_metrics_and_images" in vars(getattr(importlib.import_module(module), kind)), name
