"""Score a view under one or several protocols. Images and network passes that they share are computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from nvs_eval.errors import InputError, ResourceError, listed, quoted
from nvs_eval.evaluation.limits import Limits
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.shared_work import Job, SharedWork
from nvs_eval.metrics.describe import Description, Metric
from nvs_eval.metrics.lpips.network import Network
from nvs_eval.metrics.mipnerf_average.metric import mipnerf_average
from nvs_eval.metrics.registry import CORRECTED
from nvs_eval.metrics.weights.backbones import require
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import AVERAGE, Protocol
from nvs_eval.sources.views import View
from nvs_eval.system.devices import empty_caches, out_of_memory

Scores = Mapping[str, Sequence[float]]
"""Values of each metric, one per render of a view, in their order."""


@dataclass(frozen=True)
class Outcome:
    """Result of one view under one protocol: scores, or the errors that prevent them.

    Attributes:
        scores: scores of all renders. Those of the renders in `failed` are undefined.
        coverage: mean of the mask; None without a mask.
        error: error of this protocol on all renders; `EmptyMask` if the view is to be skipped.
        failed: errors of this protocol on each render that has one of its own, by index.
        reference: reference with its alpha composited or dropped, `[H, W, 3]`; None if it has no alpha.
        neutral: steps that changed nothing in the scores of each render.
    """

    scores: Scores
    coverage: float | None = None
    error: InputError | None = None
    failed: Mapping[int, InputError] = field(default_factory=dict)
    reference: Tensor | None = None
    neutral: Sequence[frozenset[str]] = ()

    @classmethod
    def of_parts(cls, parts: Sequence[Outcome], sizes: Sequence[int]) -> Outcome:
        """Return the outcome of a view from those of its parts, which have `sizes` renders each."""
        if lack := [part for part in parts if isinstance(part.error, ResourceError)]:
            return lack[0]
        scored = [part for part in parts if part.error is None]
        if len(parts) == 1 or not scored:
            return parts[0]
        failed: dict[int, InputError] = {}
        for start, size, part in zip(accumulate(sizes, initial=0), sizes, parts, strict=False):
            errors = dict.fromkeys(range(size), part.error) if part.error else {}
            failed |= {start + place: error for place, error in {**errors, **part.failed}.items()}
        undefined = [[math.nan] * size for size in sizes]
        scores = {
            name: [score for part, none in zip(parts, undefined, strict=True) for score in part.scores.get(name, none)]
            for name in scored[0].scores
        }
        nothing = [[frozenset[str]()] * size for size in sizes]
        neutral = [steps for part, none in zip(parts, nothing, strict=True) for steps in part.neutral or none]
        return cls(scores, scored[0].coverage, failed=failed, reference=scored[0].reference, neutral=neutral)


@dataclass(frozen=True)
class Scorer:
    """Scorer of views under protocols. Creating one loads and verifies all weights, so that missing ones raise early.

    Attributes:
        protocols: protocols to score under.
        device: device to compute on; views may be on any device.
        weights_dir: folder to search first for backbones of LPIPS and DISTS.
        max_memory: memory for LPIPS and DISTS in addition to the images, in bytes (default: what is free).
            Changes scores by at most 1e-6.

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
                f"protocols must be a list of nvs_eval.Protocol. Got {quoted(self.protocols)}. Load them by name with "
                "nvs_eval.load_protocol."
            )
        if not isinstance(self.device, torch.device):
            raise InputError(
                f"device must be a torch.device. Got {quoted(self.device)}. Use torch.device('cpu') or ('cuda')."
            )
        _ = self.weights, self._metrics

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """Identity (sha256) of the weights of each net in use."""
        nets: set[Net] = {net for protocol in self.protocols for net in protocol.nets}
        return require(sorted(nets), directory=self.weights_dir)

    @cached_property
    def limits(self) -> Limits:
        """How much is scored at a time; lowered when the device runs out of memory."""
        return Limits(self.max_memory)

    @property
    def metrics(self) -> list[Metric]:
        """Metrics of all protocols."""
        return [metric for metrics in self._metrics for metric in metrics.values()]

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
            for error in (outcome.error, *outcome.failed.values()):
                if error is not None:
                    raise error
        return [outcome.scores for outcome in outcomes]

    def outcomes(self, view: View) -> list[Outcome]:
        """Return the outcome of a view for each protocol. An error of one protocol does not affect the others.

        If the device runs out of memory, fewer renders are scored together, then LPIPS and DISTS get less memory.
        Scores change by at most 1e-6.

        Raises:
            ResourceError: Not even one render fits into memory.
        """
        while True:
            parts = list(self.limits.parts(view))
            try:
                outcomes = zip(*map(self._outcomes, parts), strict=True)
                sizes = [len(part.renders) for part in parts]
                return [Outcome.of_parts(of_protocol, sizes) for of_protocol in outcomes]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                reason = str(error)
            # Here the error no longer keeps the images of the failed computation alive.
            empty_caches(self.device)
            kinds = dict.fromkeys(m.function.kind for m in self.metrics if isinstance(m.function, Network))
            self.limits.lower(view, self.device, reason, networks=listed(list(kinds)))

    def _outcomes(self, view: View) -> list[Outcome]:
        with torch.inference_mode():
            work = SharedWork(view, self.device)
            plans = [self._plan(work, index) for index in range(len(self.protocols))]
            work.compute(self.limits.memory)
        return [self._outcome(work, index, plan) for index, plan in enumerate(plans)]

    def _plan(self, work: SharedWork, index: int) -> _Plan | Outcome:
        """Prepare the images for one protocol and request its metrics."""
        protocol = self.protocols[index]
        try:
            failed = work.range_errors(protocol)
            if len(failed) == len(work.view.renders):
                return Outcome({}, error=next(iter(failed.values())), failed=failed)
            prepared = work.prepare(protocol)
        except InputError as error:
            return Outcome({}, error=error)
        jobs = {
            name: work.ask(metric, prepared, protocol.mask, corrected=name.startswith(CORRECTED))
            for name, metric in self._metrics[index].items()
        }
        reference = None if work.view.reference_alpha is None else work.opaque_reference(protocol.alpha)
        return _Plan(jobs, prepared.coverage, prepared.mask is not None, reference, failed)

    def _outcome(self, work: SharedWork, index: int, plan: _Plan | Outcome) -> Outcome:
        if isinstance(plan, Outcome):
            return plan
        protocol = self.protocols[index]
        scores: dict[str, Sequence[float]] = {}
        failed = dict(plan.failed)
        try:
            for name, job in plan.jobs.items():
                values, metric = _values(work.values[job], work.view), self._metrics[index][name]
                scores[name] = values
                for place in [place for place, value in enumerate(values) if math.isnan(value)]:
                    failed.setdefault(place, _undefined(metric, work.view, masked=plan.masked))
        except ResourceError as error:
            return Outcome({}, plan.coverage, self.limits.refusal(work.view, self.device, error))
        except InputError as error:
            # The box of the mask may be too small for a metric; then the view is skipped.
            boxed = protocol.mask == "bbox" and plan.coverage is not None
            return Outcome({}, plan.coverage, EmptyMask(f"Within the box of its mask: {error}") if boxed else error)
        if AVERAGE in protocol.metrics:
            parts = zip(*(scores[part] for part in _parts(protocol)), strict=True)
            scores[AVERAGE] = [mipnerf_average(*values) for values in parts]
        ordered = {name: scores[name] for name in protocol.metrics}
        neutral = work.neutral(protocol)
        return Outcome(ordered, plan.coverage, failed=failed, reference=plan.reference, neutral=neutral)


@dataclass(frozen=True)
class _Plan:
    """Metrics requested for a view under one protocol."""

    jobs: Mapping[str, Job]
    coverage: float | None
    masked: bool
    reference: Tensor | None
    failed: Mapping[int, InputError]


def _parts(protocol: Protocol) -> tuple[str, str, str]:
    """Return the names of the metrics that the average combines."""
    parts = protocol.metrics[AVERAGE]
    return parts["psnr"], parts["ssim"], parts["lpips"]


def _values(values: Sequence[float] | InputError, view: View) -> Sequence[float]:
    if isinstance(values, ResourceError):
        raise ResourceError(f"View {quoted(view.name)}: {values}") from values
    if isinstance(values, InputError):
        raise InputError(f"View {quoted(view.name)}: {values}") from values
    return values


def _undefined(metric: Metric, view: View, *, masked: bool) -> InputError:
    """Return the error for a value that is NaN.

    Raises:
        EmptyMask: The mask leaves nothing to average.
    """
    if masked and not metric.undefined:
        raise EmptyMask(
            f"The mask of view {quoted(view.name)} leaves {metric.name} nothing to average: it contains no pixel "
            "half a window from the border, or no whole window."
        )
    undefined = f"{metric.name} is undefined for view {quoted(view.name)} (signature {metric.signature})."
    return InputError(f"{undefined} {metric.undefined or 'Skip the view, or use another protocol.'}")
