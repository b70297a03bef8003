"""Work on one view that several protocols share: images and network passes that they have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.neutral import neutral_steps
from nvs_eval.evaluation.prepare import Prepared, SharedSteps, prepare, range_errors
from nvs_eval.images.pixels import AlphaRule, by_planes
from nvs_eval.metrics.describe import Metric
from nvs_eval.metrics.together import Request, Together, Values
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View
from nvs_eval.system.tensors import equal, read_back

Job = tuple[str, str | None, int]
"""A metric's signature, the meaning of the mask if there is one, and the index of the prepared images."""


class _Images(NamedTuple):
    reference: Tensor
    renders: Tensor
    mask: Tensor | None

    def equal(self, other: _Images) -> bool:
        if self.mask is None or other.mask is None:
            masks = self.mask is other.mask
        else:
            masks = equal(self.mask, other.mask)
        return masks and equal(self.reference, other.reference) and equal(self.renders, other.renders)


class SharedWork:
    """Work on one view that its protocols share: prepared images, requested metrics, and values.

    Attributes:
        view: view to score.
        values: values of each job after `compute`: one per render, or the error of the metric.
    """

    def __init__(self, view: View, device: torch.device) -> None:
        self.view = view
        self.values: dict[Job, Sequence[float] | InputError] = {}
        self._device = device
        self._opaque: dict[AlphaRule, tuple[View, Tensor, Tensor]] = {}
        self._mask = None if view.mask is None else view.mask.cpu()[None]
        self._steps = SharedSteps()
        self._prepared: dict[Hashable, Prepared] = {}
        self._images: list[_Images] = []
        self._jobs: dict[Job, Metric] = {}
        self._bounds: dict[AlphaRule, Sequence[tuple[float, float]]] = {}
        self._levels: dict[Hashable, Tensor] = {}
        self._read_levels: dict[Hashable, Sequence[float]] = {}

    def prepare(self, protocol: Protocol) -> Prepared:
        """Prepare the view's images for a protocol.

        Raises:
            InputError: The images do not fit the protocol.
        """
        preparation = protocol.preparation
        if preparation not in self._prepared:
            view, reference, renders = self._on_device(protocol.alpha)
            in_range = all(low >= 0 and high <= 1 for low, high in view.bounds)
            prepared = prepare(
                reference, renders, self._mask, protocol, view_name=view.name, in_range=in_range, steps=self._steps
            )
            self._prepared[preparation], self._levels[preparation] = prepared, prepared.levels
        return self._prepared[preparation]

    def range_errors(self, protocol: Protocol) -> dict[int, InputError]:
        """Return an error for each render that the protocol cannot score because of values outside [0, 1].

        Raises:
            InputError: The protocol does not allow the view's alpha channel.
        """
        return range_errors(self._on_device(protocol.alpha)[0], protocol)

    def _on_device(self, rule: AlphaRule) -> tuple[View, Tensor, Tensor]:
        if rule not in self._opaque:
            view = self.view.opaque(rule)
            # Use one memory layout for all images; mixing two makes every operation slow.
            reference, *renders = (
                by_planes(image.to(self._device)).permute(2, 0, 1)
                for image in (view.reference, *(render.image for render in view.renders))
            )
            batch = torch.stack(renders) if len(renders) > 1 else renders[0][None]
            self._opaque[rule], self._bounds[rule] = (view, reference, batch), view.bounds
        return self._opaque[rule]

    def neutral(self, protocol: Protocol) -> list[frozenset[str]]:
        """Return the steps of a protocol that changed nothing in the score of each render, after `compute`."""
        bounds, levels = self._bounds[protocol.alpha], self._read_levels[protocol.preparation]
        return neutral_steps(self.view, bounds, levels, protocol)

    def opaque_reference(self, rule: AlphaRule) -> Tensor:
        """Return the reference without alpha, `[H, W, 3]`, as prepared images use it."""
        return self._on_device(rule)[0].reference

    def ask(self, metric: Metric, prepared: Prepared, meaning: str, *, corrected: bool) -> Job:
        """Request a metric of prepared images or of the corrected renders; equal requests are computed once."""
        renders = prepared.renders
        if corrected:
            assert prepared.corrected is not None
            renders = prepared.corrected
        index = self._index(_Images(prepared.reference, renders, prepared.mask))
        job = (metric.signature, None if prepared.mask is None else meaning, index)
        self._jobs.setdefault(job, metric)
        return job

    def _index(self, images: _Images) -> int:
        for index, stored in enumerate(self._images):
            if stored.equal(images):
                return index
        self._images.append(images)
        return len(self._images) - 1

    def compute(self, max_memory: int | None = None) -> None:
        """Compute all requested metrics once. Metrics that share work, such as a network's pass, do it together.

        Args:
            max_memory: memory for networks in addition to the images, in bytes (default: what is free).
        """
        # Free the unprepared images, which are as large as the prepared ones.
        self._opaque, self._prepared, self._steps = {}, {}, SharedSteps()
        groups: dict[Callable[..., Values], dict[Job, Request]] = {}
        computed: dict[Job, Tensor | InputError] = {}
        for job, metric in self._jobs.items():
            images = self._images[job[2]]
            if isinstance(metric.function, Together):
                request = Request(metric.function, images.reference, images.renders, images.mask)
                groups.setdefault(metric.function.together, {})[job] = request
            else:
                computed[job] = _values(metric, images)
        for together, requests in groups.items():
            computed |= zip(requests, together(list(requests.values()), max_memory), strict=True)
        self._read(computed)

    def _read(self, computed: Mapping[Job, Tensor | InputError]) -> None:
        """Read the values, and what is known of the images, back from the device together."""
        scored = {job: values for job, values in computed.items() if isinstance(values, Tensor)}
        read = read_back([*scored.values(), *self._levels.values()])
        self.values = {job: values for job, values in computed.items() if isinstance(values, InputError)}
        self.values |= zip(scored, read[: len(scored)], strict=True)
        self._read_levels = dict(zip(self._levels, read[len(scored) :], strict=True))


def _values(metric: Metric, images: _Images) -> Tensor | InputError:
    """Return the values of a metric that shares no work, or its error."""
    try:
        values = metric.function(images.reference, images.renders, mask=images.mask)
    except InputError as error:
        return error
    count = len(images.renders)
    if isinstance(values, Tensor) and tuple(values.shape) == (count,):
        return values
    shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__  # A plugin's metric.
    return InputError(f"{metric.name} must return a tensor of shape [{count}]. Got {shape}.")
