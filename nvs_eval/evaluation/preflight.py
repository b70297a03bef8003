"""Checks and estimates before long work: the number of renders, and the memory that scoring them takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.lpips.network import Network
from nvs_eval.metrics.lpips.passes import memory_of
from nvs_eval.system.devices import free_memory
from nvs_eval.system.prefetch import GROUPS_AHEAD
from nvs_eval.system.space import in_units, too_little

# Numbers of renders and of their pixels from which on work is long enough to be announced.
_LONG, _LARGE = 500, 2 * 10**8
_BYTES_PER_PIXEL = 12


@dataclass(frozen=True)
class Work:
    """Views that are scored together.

    Attributes:
        scorer: scorer of the views.
        results: number of results, each with a render of every view.
        sizes: width and height of each view.
        from_files: whether images are read from files, ahead of the view that is scored.
    """

    scorer: Scorer
    results: int
    sizes: Sequence[tuple[int, int]]
    from_files: bool = True

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height of the largest view."""
        return max(self.sizes, key=lambda size: size[0] * size[1])

    def images(self, count: int) -> int:
        """Return the bytes of a number of images of the largest view."""
        return _BYTES_PER_PIXEL * count * self.largest[0] * self.largest[1]

    @property
    def least(self) -> int:
        """Bytes without which no view can be scored: its images, and what is made of a single pair."""
        return self.images(1 + self.results + 4)

    def without_networks(self, together: int) -> int:
        """Return about the bytes that scoring takes if `together` renders of a view are scored together."""
        views = 1 + GROUPS_AHEAD if self.from_files else 1
        preparations = len({protocol.preparation for protocol in self.scorer.protocols})
        return self.images(views * (1 + self.results) + (1 + together) * (2 + preparations))

    @property
    def of_networks(self) -> int:
        """Bytes that LPIPS and DISTS take; 0 if they lack memory, which is an error of their protocols."""
        scorer, together = self.scorer, self.scorer.limits.renders or self.results
        networks = {metric.function for metric in scorer.metrics if isinstance(metric.function, Network)}
        sizes = [0]
        for network in networks:
            with suppress(InputError):
                sizes.append(memory_of(network, self.largest, together, scorer.device, scorer.limits.memory))
        return max(sizes)


def announce(works: Sequence[Work], callbacks: Callbacks) -> None:
    """Check that the memory for scoring is free, and report what long work takes.

    If not all renders of a view fit, fewer are scored together.

    Raises:
        InputError: Too little memory is free. Nothing has been scored yet.
    """
    works, free = [work for work in works if work.sizes], free_memory(torch.device("cpu"))
    for work in works:
        if free is not None and work.least > free:
            width, height = work.largest
            least, left = too_little(work.least, free)
            raise InputError(
                f"Scoring needs at least {least} of memory for views of {width}x{height} with "
                f"{counted(work.results, 'render')} each, but only {left} are free. Score fewer folders or "
                "steps at once, or free some memory."
            )
        together = work.results
        while free is not None and together > 1 and work.without_networks(together) > free:
            together = -(-together // 2)
        if together < work.results:
            work.scorer.limits.renders = together
    renders = sum(work.results * len(work.sizes) for work in works)
    pixels = sum(work.results * sum(width * height for width, height in work.sizes) for work in works)
    if renders >= _LONG or pixels >= _LARGE:
        memory = max(
            work.without_networks(work.scorer.limits.renders or work.results) + work.of_networks for work in works
        )
        available = "" if free is None else f"; {in_units(free)} are free"
        results = counted(sum(work.results for work in works), "result")
        callbacks.say(
            f"{results} with {renders} renders of {pixels / 1e6:.0f} megapixels: images and networks take about "
            f"{in_units(memory)} of memory{available}."
        )
