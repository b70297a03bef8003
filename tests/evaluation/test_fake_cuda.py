"""All metrics and protocols on CUDA tensors without values: nothing is left on the CPU, nothing is read halfway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.fake_cuda import CUDA, Reads, fake_cuda, on_card
from support.protocols import changed
from support.scenes import image
from support.scoring import view

import nvs_eval
from nvs_eval.evaluation import prepare, shared_work
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.upload import _moved
from nvs_eval.images import pixels
from nvs_eval.metrics.flip.metric import flip
from nvs_eval.metrics.lpips import plan
from nvs_eval.metrics.ssim.formula import KERNELS
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.sources.views import View

SIZE = (176, 192)
SSIMS = [(kernel, extent) for kernel in KERNELS for extent in (1.0, "pair")]


@pytest.fixture(autouse=True)
def _card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda device: 2**33)
    # Masks stay on the CPU, where fake tensors have no values either.
    monkeypatch.setattr(prepare, "_coverage", lambda mask: 0.5)
    monkeypatch.setattr(pixels, "is_quantised", lambda *_: False)
    monkeypatch.setattr(
        torch.linalg, "lstsq", lambda a, b, **_: SimpleNamespace(solution=a[..., :1, :].mT + b[..., :1, :])
    )
    flip(torch.rand(3, 8, 8), torch.rand(3, 8, 8))  # Its constants are computed once, on the CPU.


def check(metric: Callable[..., torch.Tensor], *, masked: bool = True) -> None:
    """Score two renders at once, with and without a mask."""
    pair, mask = torch.rand(3, *SIZE), torch.rand(1, *SIZE)
    for weights in (None, mask)[: 1 + masked]:
        with fake_cuda() as copies:
            given = None if weights is None else on_card(weights)
            values = metric(on_card(pair), on_card(torch.stack([pair, pair])), mask=given)
        assert (values.device, values.dtype, tuple(values.shape)) == (CUDA, torch.float64, (2,))
        assert copies.count == 0


@pytest.mark.parametrize("name", ["psnr", "mae", "flip", "ms_ssim"])
def test_metrics_stay_on_the_device(name: str) -> None:
    check(getattr(nvs_eval, name))


@pytest.mark.parametrize(("kernel", "extent"), SSIMS)
def test_ssim_stays_on_the_device(kernel: str, extent: Any) -> None:
    def metric(reference: torch.Tensor, render: torch.Tensor, **mask: Any) -> torch.Tensor:
        return nvs_eval.ssim(reference, render, kernel=kernel, data_range=extent, **mask)

    check(metric)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_lpips_stays_on_the_device(net: Net, precision: str, lpips_of: Callable[..., Any]) -> None:
    check(lpips_of(net, precision=precision))


def test_dists_stays_on_the_device(weights_in_place: Callable[[Net], None]) -> None:
    weights_in_place("vgg")
    check(nvs_eval.load_dists())


@pytest.mark.parametrize("kind", ["affine", "quadratic"])
def test_colour_correction_reads_the_small_problems_of_its_iterations_only(kind: Any) -> None:
    with fake_cuda() as copies:
        corrected = nvs_eval.correct_colours(on_card(torch.rand(3, *SIZE)), on_card(torch.rand(3, *SIZE)), kind)
    assert (corrected.device, copies.count) == (CUDA, {"affine": 0, "quadratic": 5}[kind])


def on_device(given: View) -> View:
    return _moved(given, on_card)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    stand_in = Reads()
    monkeypatch.setattr(shared_work, "read_back", stand_in)
    return stand_in


def pictures(*, masked: bool) -> View:
    seen = view(image(0, *SIZE), image(1, *SIZE), image(2, *SIZE))
    return seen.with_mask(torch.rand(SIZE), None) if masked else seen


@pytest.mark.parametrize("name", named_protocols())
def test_a_view_is_read_back_once_under_every_protocol(
    name: str, reads: Reads, weights_folder: Callable[[Net], Path | None]
) -> None:
    protocol = load_protocol(name)
    folders = {weights_folder(net) for net in protocol.nets} - {None}
    scorer = Scorer([protocol], CUDA, weights_dir=folders.pop() if folders else None)
    for masked in (False, True)[: 1 + protocol.takes_masks]:
        given = pictures(masked=masked)
        reads.count = 0
        with fake_cuda() as copies:
            (outcome,) = scorer.outcomes(on_device(given))
        assert outcome.error is None
        assert set(outcome.scores) == set(protocol.metrics)
        fits = 5 * len(given.renders) if protocol.colour_correction == "quadratic" else 0
        assert (reads.count, copies.count) == (1, fits)


def test_protocols_that_share_images_share_their_metrics(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values cannot be compared, images are equal if they are one tensor."""
    protocols = [changed(name=name) for name in ("one", "other")]
    indices: list[int] = []
    index = shared_work.SharedWork._index
    monkeypatch.setattr(
        shared_work.SharedWork, "_index", lambda self, images: indices.append(index(self, images)) or indices[-1]
    )
    given = pictures(masked=False)
    with fake_cuda():
        one, other = Scorer(protocols, CUDA).outcomes(on_device(given))
    assert (one.error, other.error, set(indices), reads.count) == (None, None, {0}, 1)
