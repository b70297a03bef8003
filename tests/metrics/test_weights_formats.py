from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.weights_files import Tensors, save_zip
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.formats import load_whole
from nvs_eval.metrics.weights.pins import NETS, Net, backbone_pins, head_pins

pytestmark = pytest.mark.usefixtures("own_places")


@pytest.fixture(scope="module", params=NETS)
def whole(request: pytest.FixtureRequest) -> tuple[Net, Tensors]:
    """State dict of the peer's module, as saved by a training."""
    import warnings

    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=request.param, pnet_rand=True, verbose=False)
    return request.param, {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_whole_network_from_a_file(suffix: str, whole: tuple[Net, Tensors], tmp_path: Path) -> None:
    net, state = whole
    path = tmp_path / f"tune{suffix}"
    (save_file if suffix == ".safetensors" else save_zip)(state, path)
    backbone, heads = load_whole(path, net, heads=True)
    theirs = [tensor for name, tensor in state.items() if name.startswith("net.")]
    assert list(backbone) == list(backbone_pins(net))
    assert all(torch.equal(a, b) for a, b in zip(backbone.values(), theirs, strict=True))
    theirs = [tensor for name, tensor in state.items() if name.startswith("lins.")]
    assert all(torch.equal(a, b) for a, b in zip(heads, theirs, strict=True))


def test_whole_network_names(whole: tuple[Net, Tensors], tmp_path: Path) -> None:
    net, state = whole
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("lin0")}, tmp_path / "lins.pth")
    assert len(load_whole(tmp_path / "lins.pth", net, heads=True)[1]) == len(head_pins(net, "0.1"))
    bare = {name: tensor for name, tensor in state.items() if name.startswith("net.")}
    torch.save(bare, tmp_path / "bare.pth")
    assert load_whole(tmp_path / "bare.pth", net, heads=False)[1] == []
    with pytest.raises(InputError, match=r"bare\.pth .* Missing: lin0\.model\.1\.weight, lin1\.model\.1\.weight"):
        load_whole(tmp_path / "bare.pth", net, heads=True)
    first = next(iter(bare))
    torch.save({name: tensor for name, tensor in bare.items() if name != first}, tmp_path / "less.pth")
    with pytest.raises(InputError, match=rf"without heads\. Missing: {first}\. Got"):
        load_whole(tmp_path / "less.pth", net, heads=False)


@pytest.mark.parametrize(
    ("corrupt", "reason"),
    [
        (lambda x: x[:, :, :-1], r"net\.slice1\.0\.weight must have shape .* Got \["),
        (lambda x: x * float("nan"), "finite floats"),
        (lambda x: x.int(), "finite floats"),
    ],
)
def test_corrupt_whole_network_is_refused(
    corrupt: Callable[[Tensor], Tensor], reason: str, whole: tuple[Net, Tensors], tmp_path: Path
) -> None:
    net, state = whole
    torch.save(state | {"net.slice1.0.weight": corrupt(state["net.slice1.0.weight"])}, tmp_path / "corrupt.pth")
    with pytest.raises(InputError, match=reason):
        load_whole(tmp_path / "corrupt.pth", net, heads=False)
