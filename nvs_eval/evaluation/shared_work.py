"""The work on one view: what several protocols ask of the same images is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.prepare import Prepared, SharedSteps, check_range, prepare
from nvs_eval.images.pixels import AlphaRule, by_planes
from nvs_eval.metrics.describe import Metric
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.lpips.passes import Wanted, score_together
from nvs_eval.protocols import Protocol
from nvs_eval.sources.views import View

Job = tuple[str, str | None, int]
"""A metric's signature, what a mask means to it if there is one, and which of the images it is computed of."""


@dataclass(frozen=True)
class _Images:
    reference: Tensor
    renders: Tensor
    mask: Tensor | None

    def equal(self, other: _Images) -> bool:
        if (self.mask is None) != (other.mask is None):
            return False
        masks = self.mask is None or other.mask is None or torch.equal(self.mask, other.mask)
        return masks and torch.equal(self.reference, other.reference) and torch.equal(self.renders, other.renders)


class SharedWork:
    """The images of one view as its protocols prepare them, the metrics asked of them, and the values.

    Attributes:
        view: that is scored.
        values: of each job once `compute` was called: one a render, or what the metric refused.
    """

    def __init__(self, view: View, device: torch.device) -> None:
        self.view = view
        self.values: dict[Job, Sequence[float] | InputError] = {}
        self._device = device
        self._opaque: dict[AlphaRule, tuple[View, Tensor, Tensor]] = {}
        self._mask = None if view.mask is None else view.mask.to(device)[None]
        self._steps = SharedSteps()
        self._prepared: dict[Hashable, Prepared] = {}
        self._images: list[_Images] = []
        self._jobs: dict[Job, Metric] = {}

    def prepare(self, protocol: Protocol) -> Prepared:
        """The view's images as a protocol has them.

        Raises:
            InputError: they are not what it needs.
        """
        same = protocol.preparation
        if same not in self._prepared:
            view, reference, renders = self._on_device(protocol.alpha)
            check_range(view, protocol)
            in_range = all(low >= 0 and high <= 1 for low, high in view.bounds)
            self._prepared[same] = prepare(
                reference, renders, self._mask, protocol, view_name=view.name, in_range=in_range, steps=self._steps
            )
        return self._prepared[same]

    def _on_device(self, rule: AlphaRule) -> tuple[View, Tensor, Tensor]:
        if rule not in self._opaque:
            view = self.view.opaque(rule)
            # In one order: between two of them every operation would walk memory in leaps.
            reference, *renders = (
                by_planes(image.to(self._device)).permute(2, 0, 1)
                for image in (view.reference, *(render.image for render in view.renders))
            )
            together = torch.stack(renders) if len(renders) > 1 else renders[0][None]
            self._opaque[rule] = (view, reference, together)
        return self._opaque[rule]

    def ask(self, metric: Metric, prepared: Prepared, meaning: str, *, corrected: bool) -> Job:
        """Ask for a metric of prepared images, or of the corrected renders; the same of the same is computed once."""
        renders = prepared.renders
        if corrected:
            assert prepared.corrected is not None
            renders = prepared.corrected
        place = self._place(_Images(prepared.reference, renders, prepared.mask))
        job = (metric.signature, None if prepared.mask is None else meaning, place)
        self._jobs.setdefault(job, metric)
        return job

    def _place(self, images: _Images) -> int:
        for place, known in enumerate(self._images):
            if known.equal(images):
                return place
        self._images.append(images)
        return len(self._images) - 1

    def compute(self, max_memory: int | None = None) -> None:
        """Compute all that was asked for, once; images that are fed to one network in one way pass it together.

        Args:
            max_memory: the bytes that LPIPS may take beside the images; what is free if it is None.
        """
        # What the images were made of is needed no more, and as large as they are.
        self._opaque, self._prepared, self._steps = {}, {}, SharedSteps()
        learned: list[tuple[Job, Wanted]] = []
        for job, metric in self._jobs.items():
            images = self._images[job[2]]
            try:
                if isinstance(metric.function, Lpips):
                    metric.function.check_size(images.reference)
                    wanted = Wanted(metric.function, images.reference, images.renders, images.mask)
                    learned.append((job, wanted))
                else:
                    found = metric.function(images.reference, images.renders, mask=images.mask)
                    self.values[job] = found.tolist()
            except InputError as error:
                self.values[job] = error
        scored = score_together([wanted for _, wanted in learned], max_memory)
        for (job, _), found in zip(learned, scored, strict=True):
            self.values[job] = found if isinstance(found, InputError) else found.tolist()
