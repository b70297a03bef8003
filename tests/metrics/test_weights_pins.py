from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.weights_files import SHARED, SQUEEZE, Tensors, needs_squeeze
from torch import Tensor

from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, backbone_pins, head_pins

pytestmark = pytest.mark.usefixtures("own_places")


def test_every_tensor_is_pinned() -> None:
    assert {net: len(backbone_pins(net)) for net in NETS} == {"alex": 10, "vgg": 26, "squeeze": 50}
    assert {net: len(head_pins(net, "0.0")) for net in NETS} == {"alex": 5, "vgg": 5, "squeeze": 7}
    pins = [pin for net in NETS for pin in backbone_pins(net).values()]
    pins += [pin for net in NETS for version in VERSIONS for pin in head_pins(net, version).values()]
    assert all(len(pin.sha256) == 64 and int(pin.sha256, 16) for pin in pins)
    assert len({pin.sha256 for pin in pins}) == len(pins)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than a weight")
def test_pinned_shapes_agree_with_torchvision() -> None:
    from torchvision import models

    with torch.device("meta"):
        built = {"alex": models.alexnet(), "vgg": models.vgg16(), "squeeze": models.squeezenet1_1()}
    for net in NETS:
        features = {name: tuple(x.shape) for name, x in built[net].state_dict().items() if name.startswith("features.")}
        assert {name: pin.shape for name, pin in backbone_pins(net).items()} == features


def golden_lpips() -> list[tuple[Net, str, float]]:
    golden = SHARED / "golden" / "known.json"
    if not golden.is_file():
        return []
    return [(entry["net"], entry["b"], entry["value"]) for entry in json.loads(golden.read_text())["lpips"]]


def lpips_network(net: Net, backbone: Tensors) -> torch.nn.Module:
    """Return the peer's network with our weights, assigned by order, so that our table of names is not used."""
    import lpips

    network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    theirs = [name for name in network.state_dict() if name.startswith("net.")]
    network.load_state_dict(dict(zip(theirs, backbone.values(), strict=True)), strict=False)
    return network


@pytest.mark.skipif(not golden_lpips(), reason=f"the golden values are not at {SHARED / 'golden'}")
@pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other than a weight:UserWarning")
@pytest.mark.parametrize(("net", "other", "value"), golden_lpips())
def test_pinned_weights_give_the_published_lpips(net: Net, other: str, value: float, jax_cache: Path) -> None:
    import imageio.v3 as iio

    def image(name: str) -> Tensor:
        pixels = torch.from_numpy(iio.imread(SHARED / "golden" / name))
        return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1

    network = lpips_network(net, load_backbone(net, directory=jax_cache))
    with torch.no_grad():
        assert network(image("lpips/ex_ref.png"), image(other)).item() == pytest.approx(value, abs=5e-4)


@needs_squeeze
@pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other than a weight:UserWarning")
def test_pinned_squeezenet_gives_torchmetrics_values() -> None:
    generator = torch.Generator().manual_seed(42)
    a, b = (torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1 for _ in range(2))
    network = lpips_network("squeeze", load_backbone("squeeze", directory=SQUEEZE.parent))
    with torch.no_grad():
        assert network(a, b).flatten().tolist() == pytest.approx([0.1024, 0.0938], abs=5e-5)
