"""Scores one view under one or several protocols; what they share, images and networks' passes, is computed once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.prepare import EmptyMask, Prepared, SharedSteps, check_range, prepare
from nvs_eval.images.pixels import AlphaRule, by_planes
from nvs_eval.metrics.describe import Description, Metric
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.lpips.passes import Wanted, score_together
from nvs_eval.metrics.mipnerf_average import mipnerf_average
from nvs_eval.metrics.registry import CORRECTED
from nvs_eval.metrics.weights.backbones import require
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import AVERAGE, Protocol
from nvs_eval.sources.views import View

Scores = Mapping[str, Sequence[float]]
"""Each metric's value for each render of a view, in the columns' order."""
Job = tuple[str, str | None, int]
"""A metric's signature, what a mask means to it if there is one, and which of the images it is computed of."""


@dataclass(frozen=True)
class Outcome:
    """What a protocol says of a view: its scores, or why there are none.

    Attributes:
        scores: of all renders.
        coverage: the mean of the mask that they were scored with, None without one.
        error: what was wrong with the view for this protocol; `EmptyMask` where it is to be left out.
        reference: `[H, W, 3]`, with its alpha composited or dropped; None for a reference that has none.
    """

    scores: Scores
    coverage: float | None = None
    error: InputError | None = None
    reference: Tensor | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores views under protocols; making one reads and verifies all weights, so that nothing is missing later.

    Attributes:
        protocols: what to compute.
        device: where; views lie on any device.
        weights_dir: a folder to look for LPIPS backbones first.
        max_memory: the bytes that LPIPS may take beside the images themselves; if it is None, what is free decides.
            It changes no number by more than 1e-6.

    Raises:
        InputError: a protocol needs weights that cannot be had.
    """

    protocols: Sequence[Protocol]
    device: torch.device
    weights_dir: Path | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        _ = self.weights, self._metrics

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """The identity (sha256) of the weights of each LPIPS net in use."""
        nets: set[Net] = {net for protocol in self.protocols for net in protocol.nets}
        return require(sorted(nets), directory=self.weights_dir)

    @cached_property
    def _metrics(self) -> Sequence[Mapping[str, Metric]]:
        """The metrics of each protocol by name; those that are the same are built once."""
        built: dict[tuple[str, str], Metric] = {}

        def build(description: Description, mask: str) -> Metric:
            key = (description.signature, mask)
            if key not in built:
                built[key] = description.build(weights_dir=self.weights_dir)
            return built[key]

        return [{d.name: build(d, protocol.mask) for d in protocol.descriptions} for protocol in self.protocols]

    def score(self, view: View) -> list[Scores]:
        """The scores of all renders of a view, for each protocol in order.

        Raises:
            InputError: an image is out of range and a protocol makes that an error, the view has a mask that a
                protocol has no meaning for, or a metric is not defined for the images; the message names the view.
            EmptyMask: nothing is left of the view's mask.
        """
        outcomes = self.outcomes(view)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return [outcome.scores for outcome in outcomes]

    def outcomes(self, view: View) -> list[Outcome]:
        """Likewise, where what is wrong for one protocol leaves the others their scores."""
        with torch.inference_mode():
            work = SharedWork(view, self.device)
            plans = [self._plan(work, which) for which in range(len(self.protocols))]
            work.compute(self.max_memory)
        return [self._outcome(work, which, plan) for which, plan in enumerate(plans)]

    def _plan(self, work: SharedWork, which: int) -> _Plan | InputError:
        """Prepare the images of one protocol, and ask for its metrics of them."""
        protocol = self.protocols[which]
        try:
            prepared = work.prepare(protocol)
        except InputError as error:
            return error
        asked = {
            name: work.ask(metric, prepared, protocol.mask, corrected=name.startswith(CORRECTED))
            for name, metric in self._metrics[which].items()
        }
        reference = None if work.view.reference_alpha is None else work.opaque_reference(protocol.alpha)
        return _Plan(asked, prepared.coverage, prepared.mask is not None, reference)

    def _outcome(self, work: SharedWork, which: int, plan: _Plan | InputError) -> Outcome:
        if isinstance(plan, InputError):
            return Outcome({}, error=plan)
        protocol = self.protocols[which]
        scores: dict[str, Sequence[float]] = {}
        try:
            for name, job in plan.asked.items():
                scores[name] = _checked(work.values[job], self._metrics[which][name], work.view, masked=plan.masked)
        except InputError as error:
            # What the mask leaves of a view may be too little for a metric: then the view is left out.
            boxed = protocol.mask == "bbox" and plan.coverage is not None
            return Outcome({}, plan.coverage, EmptyMask(f"Within the box of its mask: {error}") if boxed else error)
        if AVERAGE in protocol.metrics:
            parts = zip(*(scores[part] for part in _parts(protocol)), strict=True)
            scores[AVERAGE] = [mipnerf_average(*values) for values in parts]
        return Outcome({name: scores[name] for name in protocol.metrics}, plan.coverage, reference=plan.reference)


@dataclass(frozen=True)
class _Plan:
    """What was asked for of a view under one protocol."""

    asked: Mapping[str, Job]
    coverage: float | None
    masked: bool
    reference: Tensor | None


def _parts(protocol: Protocol) -> tuple[str, str, str]:
    """The metrics that the average is made of."""
    parts = protocol.metrics[AVERAGE]
    return parts["psnr"], parts["ssim"], parts["lpips"]


def _checked(values: Sequence[float] | InputError, metric: Metric, view: View, *, masked: bool) -> Sequence[float]:
    """The values of a metric, none of them NaN: finite images give a number but where the metric is not defined."""
    if isinstance(values, InputError):
        raise InputError(f"View {view.name!r}: {values}") from values
    if not any(math.isnan(value) for value in values):
        return values
    if isinstance(metric.function, Lpips):
        raise InputError(
            f"{metric.name} of view {view.name!r} is not a number: an activation of its network is beyond what its "
            "products can hold. Score without `--precision fast`."
        )
    if masked and "range:pair" not in metric.signature:
        raise EmptyMask(
            f"The mask of view {view.name!r} leaves {metric.name} nothing to average: it has no pixel half a window "
            "from the border, or no whole window."
        )
    raise InputError(
        f"{metric.name} is not defined for view {view.name!r} (its signature is {metric.signature}): SSIM over the "
        "data range of the pair has none where both images are of one colour. Leave the view out, or use a protocol "
        "that is defined for it."
    )


# --- The work on one view ---------------------------------------------------------------------------------------------


class _Images(NamedTuple):
    reference: Tensor
    renders: Tensor
    mask: Tensor | None

    def equal(self, other: _Images) -> bool:
        if self.mask is None or other.mask is None:
            masks = self.mask is other.mask
        else:
            masks = torch.equal(self.mask, other.mask)
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

    def opaque_reference(self, rule: AlphaRule) -> Tensor:
        """The reference without its alpha, `[H, W, 3]`, as images that were prepared have it."""
        return self._on_device(rule)[0].reference

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
