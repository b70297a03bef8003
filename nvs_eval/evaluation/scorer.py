"""Score a view under one or several protocols. Images and network passes that they share are computed once."""

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
"""Values of each metric, one per render of a view, in their order."""
Job = tuple[str, str | None, int]
"""A metric's signature, the meaning of the mask if there is one, and the index of the prepared images."""


@dataclass(frozen=True)
class Outcome:
    """Result of one view under one protocol: scores, or the error that prevents them.

    Attributes:
        scores: scores of all renders.
        coverage: mean of the mask; None without a mask.
        error: error of this protocol on this view; `EmptyMask` if the view is to be skipped.
        reference: reference with its alpha composited or dropped, `[H, W, 3]`; None if it has no alpha.
    """

    scores: Scores
    coverage: float | None = None
    error: InputError | None = None
    reference: Tensor | None = None


@dataclass(frozen=True)
class Scorer:
    """Scorer of views under protocols. Creating one loads and verifies all weights, so that missing ones raise early.

    Attributes:
        protocols: protocols to score under.
        device: device to compute on; views may be on any device.
        weights_dir: folder to search first for LPIPS backbones.
        max_memory: memory for LPIPS in addition to the images, in bytes (default: what is free). Changes scores by at
            most 1e-6.

    Raises:
        InputError: An argument has another type, or weights of a protocol are not available.
    """

    protocols: Sequence[Protocol]
    device: torch.device
    weights_dir: Path | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.protocols, Sequence) or not all(isinstance(p, Protocol) for p in self.protocols):
            raise InputError(
                f"protocols must be a list of nvs_eval.Protocol. Got {self.protocols!r}. Load them by name with "
                "nvs_eval.load_protocol."
            )
        if not isinstance(self.device, torch.device):
            raise InputError(
                f"device must be a torch.device. Got {self.device!r}. Use torch.device('cpu') or ('cuda')."
            )
        _ = self.weights, self._metrics

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """Identity (sha256) of the weights of each LPIPS net in use."""
        nets: set[Net] = {net for protocol in self.protocols for net in protocol.nets}
        return require(sorted(nets), directory=self.weights_dir)

    @cached_property
    def _metrics(self) -> Sequence[Mapping[str, Metric]]:
        """Metrics of each protocol by name; identical metrics are built once."""
        built: dict[tuple[str, str], Metric] = {}

        def build(description: Description, mask: str) -> Metric:
            key = (description.signature, mask)
            if key not in built:
                built[key] = description.build(weights_dir=self.weights_dir)
            return built[key]

        return [{d.name: build(d, protocol.mask) for d in protocol.descriptions} for protocol in self.protocols]

    def score(self, view: View) -> list[Scores]:
        """Return the scores of all renders of a view, one mapping per protocol.

        Raises:
            InputError: An image is out of range and a protocol makes that an error, the view has a mask and a protocol
                does not support masks, or a metric is undefined for the images. The message names the view.
            EmptyMask: The view's mask is empty.
        """
        outcomes = self.outcomes(view)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return [outcome.scores for outcome in outcomes]

    def outcomes(self, view: View) -> list[Outcome]:
        """Return the outcome of a view for each protocol. An error of one protocol does not affect the others."""
        with torch.inference_mode():
            work = SharedWork(view, self.device)
            plans = [self._plan(work, index) for index in range(len(self.protocols))]
            work.compute(self.max_memory)
        return [self._outcome(work, index, plan) for index, plan in enumerate(plans)]

    def _plan(self, work: SharedWork, index: int) -> _Plan | InputError:
        """Prepare the images for one protocol and request its metrics."""
        protocol = self.protocols[index]
        try:
            prepared = work.prepare(protocol)
        except InputError as error:
            return error
        jobs = {
            name: work.ask(metric, prepared, protocol.mask, corrected=name.startswith(CORRECTED))
            for name, metric in self._metrics[index].items()
        }
        reference = None if work.view.reference_alpha is None else work.opaque_reference(protocol.alpha)
        return _Plan(jobs, prepared.coverage, prepared.mask is not None, reference)

    def _outcome(self, work: SharedWork, index: int, plan: _Plan | InputError) -> Outcome:
        if isinstance(plan, InputError):
            return Outcome({}, error=plan)
        protocol = self.protocols[index]
        scores: dict[str, Sequence[float]] = {}
        try:
            for name, job in plan.jobs.items():
                scores[name] = _checked(work.values[job], self._metrics[index][name], work.view, masked=plan.masked)
        except InputError as error:
            # The box of the mask may be too small for a metric; then the view is skipped.
            boxed = protocol.mask == "bbox" and plan.coverage is not None
            return Outcome({}, plan.coverage, EmptyMask(f"Within the box of its mask: {error}") if boxed else error)
        if AVERAGE in protocol.metrics:
            parts = zip(*(scores[part] for part in _parts(protocol)), strict=True)
            scores[AVERAGE] = [mipnerf_average(*values) for values in parts]
        return Outcome({name: scores[name] for name in protocol.metrics}, plan.coverage, reference=plan.reference)


@dataclass(frozen=True)
class _Plan:
    """Metrics requested for a view under one protocol."""

    jobs: Mapping[str, Job]
    coverage: float | None
    masked: bool
    reference: Tensor | None


def _parts(protocol: Protocol) -> tuple[str, str, str]:
    """Return the names of the metrics that the average combines."""
    parts = protocol.metrics[AVERAGE]
    return parts["psnr"], parts["ssim"], parts["lpips"]


def _checked(values: Sequence[float] | InputError, metric: Metric, view: View, *, masked: bool) -> Sequence[float]:
    """Return the values of a metric after checking for NaN: an undefined metric, or an overflow in LPIPS."""
    if isinstance(values, InputError):
        raise InputError(f"View {view.name!r}: {values}") from values
    if not any(math.isnan(value) for value in values):
        return values
    if isinstance(metric.function, Lpips):
        raise InputError(
            f"{metric.name} of view {view.name!r} is not a number: an activation of its network overflows at this "
            "precision. Score without `--precision fast`."
        )
    if masked and "range:pair" not in metric.signature:
        raise EmptyMask(
            f"The mask of view {view.name!r} leaves {metric.name} nothing to average: it contains no pixel half a "
            "window from the border, or no whole window."
        )
    raise InputError(
        f"{metric.name} is undefined for view {view.name!r} (signature {metric.signature}). SSIM over the data range "
        "of the pair has no value if both images have a single colour. Skip the view, or use another protocol."
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
        self._mask = None if view.mask is None else view.mask.to(device)[None]
        self._steps = SharedSteps()
        self._prepared: dict[Hashable, Prepared] = {}
        self._images: list[_Images] = []
        self._jobs: dict[Job, Metric] = {}

    def prepare(self, protocol: Protocol) -> Prepared:
        """Prepare the view's images for a protocol.

        Raises:
            InputError: The images do not fit the protocol.
        """
        preparation = protocol.preparation
        if preparation not in self._prepared:
            view, reference, renders = self._on_device(protocol.alpha)
            check_range(view, protocol)
            in_range = all(low >= 0 and high <= 1 for low, high in view.bounds)
            self._prepared[preparation] = prepare(
                reference, renders, self._mask, protocol, view_name=view.name, in_range=in_range, steps=self._steps
            )
        return self._prepared[preparation]

    def _on_device(self, rule: AlphaRule) -> tuple[View, Tensor, Tensor]:
        if rule not in self._opaque:
            view = self.view.opaque(rule)
            # Use one memory layout for all images; mixing two makes every operation slow.
            reference, *renders = (
                by_planes(image.to(self._device)).permute(2, 0, 1)
                for image in (view.reference, *(render.image for render in view.renders))
            )
            batch = torch.stack(renders) if len(renders) > 1 else renders[0][None]
            self._opaque[rule] = (view, reference, batch)
        return self._opaque[rule]

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
        """Compute all requested metrics once. Images that enter a network in the same way pass it together.

        Args:
            max_memory: memory for LPIPS in addition to the images, in bytes (default: what is free).
        """
        # Free the unprepared images, which are as large as the prepared ones.
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
                    values = metric.function(images.reference, images.renders, mask=images.mask)
                    count = len(images.renders)
                    if not isinstance(values, Tensor) or tuple(values.shape) != (count,):  # A plugin's metric.
                        shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
                        raise InputError(f"{metric.name} must return a tensor of shape [{count}]. Got {shape}.")
                    self.values[job] = values.tolist()
            except InputError as error:
                self.values[job] = error
        scored = score_together([wanted for _, wanted in learned], max_memory)
        for (job, _), values in zip(learned, scored, strict=True):
            self.values[job] = values if isinstance(values, InputError) else values.tolist()
