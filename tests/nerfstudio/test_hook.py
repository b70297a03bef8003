"""The hook adds nvs-eval's scores to the evaluation of any method, and changes nothing else."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from support.pinned import Pinned
from support.protocols import protocol_file, rounding, variant
from torch import Tensor, nn

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.hook import ERROR_FULL_SCALE, ERROR_IMAGE, Instrumented, error_map, with_nvs_eval
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()


class FakeModel(nn.Module):
    """A model that returns reference and renders side by side, like a nerfstudio model."""

    def __init__(self, *images: Tensor) -> None:
        super().__init__()
        self.images = images

    def get_image_metrics_and_images(
        self, outputs: dict[str, Any], batch: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"psnr": 1.5, "own/key": torch.tensor(2.0)}, {
            "img": torch.cat(self.images, dim=1),
            "depth": outputs["d"],
        }


class FakePipeline:
    """A pipeline with the interface that the hook uses."""

    def __init__(self, config: Any, *, test_mode: str = "val", device: str = "cpu") -> None:
        self.model = FakeModel(*config.images)
        self.device = device
        self.test_mode = test_mode


@pytest.fixture
def protocol(tmp_path: Path) -> str:
    return str(protocol_file(tmp_path, variant(name="quick", quantise=rounding(), mask="none"), "quick.yaml"))


def _evaluate(protocol: str, *images: Tensor, test_mode: str = "test") -> tuple[dict[str, Any], dict[str, Tensor]]:
    pipeline: Any = Instrumented(FakePipeline, (protocol,))(SimpleNamespace(images=images), test_mode=test_mode)
    outputs = {"rgb": images[-1], "d": torch.zeros(4, 4, 3)}
    return pipeline.model.get_image_metrics_and_images(outputs, {"image": images[0]})


def test_scores_and_error_map_are_added_to_the_models_own(protocol: str) -> None:
    reference = torch.rand(20, 24, 3) * 0.5
    metrics, images = _evaluate(protocol, reference, reference + 0.1)
    assert metrics["psnr"] == 1.5 and metrics["own/key"] == 2.0
    assert metrics["quick/psnr"] == pytest.approx(20, abs=1e-5)
    assert 0 < metrics["quick/ssim"] < 1
    assert list(metrics) == ["psnr", "own/key", "quick/psnr", "quick/ssim"]
    assert torch.equal(images["img"], torch.cat([reference, reference + 0.1], dim=1))
    assert images[ERROR_IMAGE].shape == (20, 24, 3)
    assert "/" not in ERROR_IMAGE


def test_finest_of_several_renders_is_scored(protocol: str) -> None:
    reference = torch.rand(20, 24, 3) * 0.5
    metrics, _ = _evaluate(protocol, reference, reference + 0.4, reference + 0.1)
    assert metrics["quick/psnr"] == pytest.approx(20, abs=1e-5)


def test_unscorable_render_does_not_stop_training(protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    reference = torch.rand(20, 24, 3)
    metrics, _ = _evaluate(protocol, reference, torch.full_like(reference, torch.nan))
    assert math.isnan(metrics["quick/psnr"]) and math.isnan(metrics["quick/ssim"])
    assert metrics["psnr"] == 1.5
    printed = capsys.readouterr()
    assert printed.out.startswith("nvs-eval: ")
    assert "NaN" in printed.out
    assert printed.err == ""


def test_inference_is_not_hooked(protocol: str) -> None:
    image = torch.rand(20, 24, 3)
    metrics, images = _evaluate(protocol, image, image, test_mode="inference")
    assert "quick/psnr" not in metrics and ERROR_IMAGE not in images


def test_error_map_has_a_fixed_scale() -> None:
    black = torch.zeros(2, 2, 3)
    no_error, full_scale, beyond = (error_map(black, black + e)[0, 0] for e in (0.0, ERROR_FULL_SCALE, 1.0))
    assert torch.equal(full_scale, beyond)
    assert not torch.equal(no_error, full_scale)


@pytest.mark.parametrize(
    "method", ["nerfacto", "tensorf", "instant-ngp", "splatfacto", "vanilla-nerf", "depth-nerfacto"]
)
def test_hooked_configuration_survives_yaml_pickle_and_copying(method: str, tmp_path: Path) -> None:
    from nerfstudio.configs.method_configs import method_configs

    original: Any = method_configs[method]
    before = original.pipeline._target
    hooked: Any = with_nvs_eval(original, protocols=("standard", "nerfstudio"), method_name=f"{method}-mine")
    assert original.pipeline._target is before, "the original method must not change"
    assert hooked.pipeline._target == Instrumented(before, ("standard", "nerfstudio"))
    file = tmp_path / "config.yml"
    file.write_text(yaml.dump(hooked))
    for loaded in (load_config(file, trust=True), pickle.loads(pickle.dumps(hooked)), copy.deepcopy(hooked)):
        assert loaded.pipeline._target == hooked.pipeline._target
        assert loaded.method_name == f"{method}-mine"


def test_unknown_protocol_is_refused_immediately() -> None:
    from nerfstudio.configs.method_configs import method_configs

    config: Any = method_configs["nerfacto"]
    with pytest.raises(InputError, match="'standard'"):
        with_nvs_eval(config, protocols=("standrd",))


def test_registered_methods_are_hooked() -> None:
    from nerfstudio.configs.method_configs import all_methods

    for name in ("nerfacto", "splatfacto"):
        config: Any = all_methods[f"{name}-nvs"]
        assert config.method_name == f"{name}-nvs"
        assert config.pipeline._target == Instrumented(all_methods[name].pipeline._target, ("standard",))


def test_model_without_a_pair_does_not_stop_training(
    protocol: str, capsys: pytest.CaptureFixture[str], pinned: Pinned
) -> None:
    metrics, images = _evaluate(protocol, torch.rand(20, 24, 3))
    assert metrics["psnr"] == 1.5 and math.isnan(metrics["quick/psnr"])
    assert ERROR_IMAGE not in images
    pinned("training-hook", capsys.readouterr().out)
