"""A score depends only on its pair, not on the blocks, the threads or the other renders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agreement import assert_agree, generator
from torch import Tensor

import nvs_eval.metrics.ssim.pairs as module
from nvs_eval.metrics.ssim.metric import KERNELS, ssim, ssim_map


@dataclass(frozen=True)
class Case:
    """Images to score, and their division into blocks.

    Attributes:
        kernel: name of the kernel.
        size: height and width.
        renders: number of renders.
        data_range: argument of `ssim`.
        floor: variance floor, large enough to require clamps; or None.
        masked: whether there is a mask.
        pixels: largest number of pixels per block.
        widest: largest number of columns per block.
        threads: number of torch threads.
    """

    kernel: str
    size: tuple[int, int]
    renders: int
    data_range: float | Literal["pair"]
    floor: float | None
    masked: bool
    pixels: int
    widest: int
    threads: int

    @property
    def images(self) -> tuple[Tensor, Tensor]:
        """Interleaved images whose renders are similar to the reference."""
        height, width = self.size
        noise = torch.rand(self.renders + 1, height, width, 3, generator=generator(height * width))
        reference = noise[0].permute(2, 0, 1)
        return reference, (0.8 * reference + 0.3 * noise[1:].permute(0, 3, 1, 2) - 0.02)

    @property
    def mask(self) -> Tensor | None:
        return torch.rand(1, *self.size, generator=generator(1)) if self.masked else None

    @contextmanager
    def cut(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with patch.object(module, "_PIXELS", self.pixels), patch.object(module, "_WIDEST", self.widest):
                yield
        finally:
            torch.set_num_threads(before)


cases = st.builds(
    Case,
    kernel=st.sampled_from(list(KERNELS)),
    size=st.tuples(st.integers(11, 70), st.integers(11, 70)),
    renders=st.integers(1, 3),
    data_range=st.sampled_from([1.0, "pair"]),
    floor=st.sampled_from([None, 1e-3]),
    masked=st.booleans(),
    pixels=st.integers(400, 4000),
    widest=st.integers(9, 40),
    threads=st.integers(1, 3),
)
as_drawn = settings(max_examples=50, deadline=None, database=None, derandomize=True)


@as_drawn
@given(case=cases)
def test_a_score_depends_only_on_its_pair(case: Case) -> None:
    score = partial(ssim, kernel=case.kernel, data_range=case.data_range, variance_floor=case.floor, mask=case.mask)
    reference, renders = case.images
    alone = torch.stack([score(reference, render) for render in renders])
    with case.cut():
        assert_agree(score(reference, renders), alone, "float64")
        # With gradients, the images are a single block.
        with_gradients = score(reference, renders.clone().requires_grad_())
    assert with_gradients.requires_grad
    assert_agree(with_gradients, alone, "float64")


@as_drawn
@given(case=cases)
def test_a_map_depends_only_on_its_pair(case: Case) -> None:
    score = partial(ssim_map, kernel=case.kernel, data_range=case.data_range)
    reference, renders = case.images
    alone = torch.stack([score(reference, render) for render in renders])
    with case.cut():
        assert_agree(score(reference, renders), alone, "float64", times=10)


@settings(as_drawn, max_examples=20)
@given(case=cases, kernel=st.sampled_from(["valid", "dmpix"]))
def test_a_partial_convolution_depends_only_on_its_pair(case: Case, kernel: str) -> None:
    mask = torch.rand(1, *case.size, generator=generator(1)) > 0.7
    score = partial(ssim, kernel=kernel, data_range=1.0, mask_meaning="dycheck", mask=mask)
    reference, renders = case.images
    alone = torch.stack([score(reference, render) for render in renders])
    with case.cut():
        assert_agree(score(reference, renders), alone, "float64")


def test_blocks_cover_the_map_once() -> None:
    with patch.object(module, "_PIXELS", 1000), patch.object(module, "_WIDEST", 20):
        blocks = module.blocks_of((60, 61), KERNELS["valid"], torch.device("cpu"), whole=False)
    assert len(blocks) >= 3 * 4 * 2
    covered = torch.zeros(3, 60, 61)
    for block in blocks:
        covered[block.channels, block.rows, block.columns] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_right(kernel: str) -> None:
    x, y = (torch.rand(3, 13, 21, dtype=torch.float64, generator=generator(seed)) for seed in (0, 1))
    for image in (x, y):
        image.requires_grad_()
    assert torch.autograd.gradcheck(partial(ssim, kernel=kernel), (x, y), fast_mode=True)
    clamped = partial(ssim, kernel=kernel, variance_floor=1e-3)
    assert torch.autograd.gradcheck(clamped, (x, y), fast_mode=True)
    extents = partial(ssim, kernel=kernel, data_range="pair")
    assert torch.autograd.gradcheck(extents, (x, y), fast_mode=True)


def test_planes_of_a_large_image_are_small() -> None:
    largest = 0
    fill = module._fill

    def measure(part: Tensor, size: list[int]) -> Tensor:
        nonlocal largest
        planes = fill(part, size)
        largest = max(largest, planes.numel())
        return planes

    with patch.object(module, "_fill", measure):
        ssim(torch.zeros(3, 2160, 3840), torch.zeros(3, 2160, 3840))
    assert 2**16 < largest <= 2**17
