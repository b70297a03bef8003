"""Scores of a protocol beside reported numbers: their differences, and whether they agree to the decimals shown.

Scores are exact to 1e-6. Tools compute in float32, which shifts SSIM by up to 6e-5 on photographs and LPIPS by up to
7e-5 (with TF32 convolutions), each of a view.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nvs_eval.diagnostics.identify.numbers import Number, Reported

FLOAT32 = 1e-4
"""Largest error of a tool that computes in float32, in units of the metric."""


@dataclass(frozen=True)
class Scores:
    """Scores of a metric under a protocol.

    Attributes:
        views: score of each view that is not skipped.
        pixels: number of pixels of each of these views.
        names: names of all views.
    """

    views: Mapping[str, float]
    pixels: Mapping[str, int]
    names: Sequence[str]

    @property
    def mean(self) -> float:
        """Mean over views."""
        return math.fsum(self.views.values()) / len(self.views)

    @property
    def of_mean_error(self) -> float:
        """PSNR of the mean squared error over the pixels of all views, as tools have it that score them as a batch."""
        errors = [self.pixels[name] * 10 ** (-value / 10) for name, value in self.views.items()]
        error = math.fsum(errors) / sum(self.pixels.values())
        return math.inf if error == 0 else -10 * math.log10(error)


@dataclass(frozen=True)
class Fit:
    """Scores of one metric beside its reported numbers.

    Attributes:
        key: key of the metric in the protocol.
        value: mean of the scores, over the views of the numbers.
        off: difference of the score from the number: of the mean, or of the view with the largest one if there is no
            mean, or the mean agrees and the view does not.
        view: name of that view; "" for the mean.
        scores: scores of all views, by name.
        distance: largest difference, in units of the largest that agrees.
        rounded: whether all numbers are the scores, rounded to the decimals shown.
        truncated: whether all numbers are the scores, truncated to the decimals shown.
    """

    key: str
    value: float
    off: float
    view: str
    scores: Mapping[str, float]
    distance: float
    rounded: bool
    truncated: bool

    def beside(self, other: Fit) -> Iterator[tuple[float, float]]:
        """Yield the scores of each view that two fits have."""
        yield from ((score, other.scores[name]) for name, score in self.scores.items() if name in other.scores)

    @classmethod
    def of(cls, key: str, reported: Reported, scores: Scores, *, pooled: bool = False) -> Fit | None:
        """Compare scores with all numbers of a metric; None if a view of the numbers has no score.

        Args:
            key: key of the metric.
            reported: the numbers.
            scores: the scores.
            pooled: compare the mean with the PSNR of the mean error.
        """
        numbers = list(_numbers(reported, scores, pooled=pooled))
        if any(score is None for _, _, score in numbers):
            return None
        pairs = [(view, number, score) for view, number, score in numbers if score is not None]
        offs = [_difference(score, number.value) for _, number, score in pairs]
        units = [(number.unit, off) for (_, number, _), off in zip(pairs, offs, strict=True)]
        distances = [abs(off) / (unit / 2 + FLOAT32) for unit, off in units]
        worst = max(range(len(pairs)), key=distances.__getitem__)
        place = 0 if reported.mean and not distances[0] <= 1 < distances[worst] else worst
        return cls(
            key,
            pairs[0][2] if reported.mean else math.fsum(score for *_, score in pairs) / len(pairs),
            offs[place],
            pairs[place][0],
            scores.views,
            distances[worst],
            distances[worst] <= 1,
            all(-FLOAT32 <= off < unit + FLOAT32 for unit, off in units),
        )


def agree(fits: Sequence[Fit]) -> bool:
    """Return whether all numbers agree. A tool rounds all of them, or truncates all."""
    return all(fit.rounded for fit in fits) or all(fit.truncated for fit in fits)


def distance_of(fits: Sequence[Fit]) -> tuple[float, float]:
    """Return the distance of all numbers: the largest of the metrics, then the sum, which tells equal ones apart."""
    distances = [fit.distance for fit in fits]
    return max(distances), sum(distances)


def _numbers(reported: Reported, scores: Scores, *, pooled: bool) -> Iterator[tuple[str, Number, float | None]]:
    """Yield the name of the view ("" for the mean), the number and the score."""
    if reported.mean is not None:
        yield "", reported.mean, scores.of_mean_error if pooled else scores.mean
    if reported.views:
        numbers = reported.of_views(scores.names)
        unit = min(number.unit for number in numbers.values())  # JSON drops zeros at the end.
        for name, number in numbers.items():
            yield name, Number(number.value, unit), scores.views.get(name)


def _difference(score: float, number: float) -> float:
    return 0.0 if score == number else score - number
