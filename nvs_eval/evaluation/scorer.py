"""Scores one view under one or several protocols; what they share, images and networks' passes, is computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from nvs_eval.errors import InputError
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.shared_work import Job, SharedWork
from nvs_eval.metrics.describe import Description, Metric
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.mipnerf_average import mipnerf_average
from nvs_eval.metrics.registry import CORRECTED
from nvs_eval.metrics.weights.backbones import require
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import AVERAGE, Protocol
from nvs_eval.sources.views import View

Scores = Mapping[str, Sequence[float]]
"""Each metric's value for each render of a view, in the columns' order."""


@dataclass(frozen=True)
class Outcome:
    """What a protocol says of a view: its scores, or why there are none.

    Attributes:
        scores: of all renders.
        coverage: the mean of the mask that they were scored with, None without one.
        error: what was wrong with the view for this protocol; `EmptyMask` where it is to be left out.
    """

    scores: Scores
    coverage: float | None = None
    error: InputError | None = None


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
        return _Plan(asked, prepared.coverage, masked=prepared.mask is not None)

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
        return Outcome({name: scores[name] for name in protocol.metrics}, plan.coverage)


@dataclass(frozen=True)
class _Plan:
    """What was asked for of a view under one protocol."""

    asked: Mapping[str, Job]
    coverage: float | None
    masked: bool


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
