"""The scores of two sides on the views they share, their differences, and the standard error of the mean difference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nvs_eval.errors import InputError

Array = NDArray[np.float64]

# From this many scenes on they are a sample of scenes: the differences of the scenes are what inference is about. Fewer
# say too little of how scenes spread, and the views within them are the units.
FEWEST_SCENES = 6
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class SceneScores:
    """One metric's scores of both sides on the shared views of one scene.

    Attributes:
        name: of the scene.
        views: their names, in the order of the columns.
        a: of side A, [runs of A, views], in the unit of the metric; infinity where images are identical.
        b: of side B, [runs of B, views]. The runs of the two sides are not paired, their number may differ.
    """

    name: str
    views: tuple[str, ...]
    a: Array
    b: Array

    def __post_init__(self) -> None:
        """Check the scores, and keep a copy of them in float64 that cannot be changed."""
        if len(set(self.views)) != len(self.views):
            raise InputError(f"{self.name}: two of its views have one name: {', '.join(self.views)}.")
        for side in ("a", "b"):
            object.__setattr__(self, side, self._checked(side.upper(), getattr(self, side)))

    def _checked(self, side: str, values: ArrayLike) -> Array:
        scores = np.array(values, dtype=np.float64)
        if not self.views or scores.ndim != 2 or scores.shape[1] != len(self.views) or not len(scores):
            raise InputError(
                f"{self.name}: the scores of side {side} have the shape {scores.shape}, and [runs, views] is needed: "
                f"one run at least, and as many views as there are names ({len(self.views)}, one at least)."
            )
        wrong = np.argwhere(np.isnan(scores) | np.isneginf(scores))
        if len(wrong):
            run, view = wrong[0]
            raise InputError(
                f"{self.name}: the score of side {side}, run {run + 1}, view {self.views[view]} is "
                f"{scores[run, view]}: a number is needed, or infinity."
            )
        scores.flags.writeable = False
        return scores

    @cached_property
    def differences(self) -> Array:
        """B - A of each view, each side averaged over its runs first; 0 where both are infinite. [views]."""
        a, b = (np.where(self.both_infinite, 0.0, side.mean(axis=0)) for side in (self.a, self.b))
        return b - a

    @cached_property
    def both_infinite(self) -> NDArray[np.bool_]:
        """Of each view, whether both sides are infinite, each averaged over its runs."""
        return np.isinf(self.a.mean(axis=0)) & np.isinf(self.b.mean(axis=0))

    @property
    def finite(self) -> tuple[Array, Array]:
        """Both sides, with 0 in the place of every run's score where both sides are infinite: a difference of 0."""
        return np.where(self.both_infinite, 0.0, self.a), np.where(self.both_infinite, 0.0, self.b)

    @property
    def layout(self) -> tuple[int, int, int]:
        """The numbers of A's runs, of B's runs and of views."""
        return len(self.a), len(self.b), len(self.views)


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric's scores of two sides over one or more scenes."""

    scenes: tuple[SceneScores, ...]

    def __post_init__(self) -> None:
        """Check that there is a scene, and that each has a name of its own."""
        names = [scene.name for scene in self.scenes]
        if not names:
            raise InputError("There is no scene to compare on: at least one is needed.")
        if len(set(names)) != len(names):
            raise InputError(f"Two of the scenes have one name: {', '.join(names)}.")

    @property
    def layout(self) -> tuple[tuple[int, int, int], ...]:
        """Of each scene: what must be the same for metrics that share resamples."""
        return tuple(scene.layout for scene in self.scenes)

    @property
    def views(self) -> int:
        """How many views the sides share, over all scenes."""
        return sum(len(scene.views) for scene in self.scenes)

    @property
    def samples_scenes(self) -> bool:
        """Whether the scenes are a sample of scenes; else they are fixed, and only their views are a sample."""
        return len(self.scenes) >= FEWEST_SCENES

    @cached_property
    def infinite(self) -> int:
        """On how many views one side alone is infinite."""
        return sum(int(np.isinf(scene.differences).sum()) for scene in self.scenes)

    @cached_property
    def scene_means(self) -> Array:
        """The mean difference of each scene; NaN where infinities of both signs meet. [scenes]."""
        with np.errstate(invalid="ignore"):
            return np.array([scene.differences.mean() for scene in self.scenes])

    @cached_property
    def difference(self) -> float:
        """The mean over scenes of their mean differences; infinite or NaN where one side alone is infinite."""
        with np.errstate(invalid="ignore"):
            return float(self.scene_means.mean())

    @cached_property
    def rounding(self) -> float:
        """What is no larger may be what is left of rounding: far below the largest finite score."""
        values = np.concatenate([side.ravel() for scene in self.scenes for side in (scene.a, scene.b)])
        return _ROUNDING * float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def standard_error(scores: Scores) -> float:
    """The standard error of the mean difference over scenes; all differences are finite.

    Where the scenes are a sample it comes from the spread of their mean differences, which has in it whatever the views
    and the runs add. Where they are fixed it is made of the variances of their means (`variance_of_mean`).
    """
    if scores.samples_scenes:
        return float(over_scenes(scores.scene_means))
    return float(within_scenes(np.array([variance_of_mean(*scene.finite) for scene in scores.scenes])))


def over_scenes(means: Array) -> Array:
    """The standard error of the mean of scenes' mean differences [..., scenes]."""
    return means.std(axis=-1, ddof=1) / np.sqrt(means.shape[-1])


def within_scenes(variances: Array) -> Array:
    """The standard error of the mean over fixed scenes, of the variances of their means [..., scenes]."""
    return np.sqrt(variances.sum(axis=-1)) / variances.shape[-1]


def freedom(scores: Scores) -> float:
    """The degrees of freedom of the standard error, which spreads: after Satterthwaite where scenes are fixed."""
    if scores.samples_scenes:
        return len(scores.scenes) - 1.0
    parts = np.array([part for scene in scores.scenes for part in _parts(*scene.finite)])
    variances, degrees = parts.T
    return float(variances.sum() ** 2 / (variances**2 / degrees).sum())


def units(scores: Scores) -> int:
    """How many units the standard error rests on: scenes where they are a sample, else as many views of one scene.

    A scene of few views decides over how much is known of the mean over scenes, however many views the others have. It
    is no more than `units_of_layout`, as a scene of few skewed views may seem to vary little.
    """
    if scores.samples_scenes:
        return len(scores.scenes)
    counts = np.array([len(scene.views) for scene in scores.scenes])
    variances = np.array([scene.differences.var(ddof=1) for scene in scores.scenes]) / counts
    return min(_units(variances, counts), units_of_layout(scores)) if variances.any() else units_of_layout(scores)


def units_of_layout(scores: Scores) -> int:
    """The same of fixed scenes that vary alike, of two views each at least."""
    counts = np.array([len(scene.views) for scene in scores.scenes])
    return _units(1.0 / counts, counts)


def _units(variances: Array, counts: np.ndarray) -> int:
    """One more than the degrees of freedom of the sum of the means' variances, after Satterthwaite."""
    return int(variances.sum() ** 2 / (variances**2 / (counts - 1)).sum() + 1.0 + 1e-9)


def variance_of_mean(a: Array, b: Array) -> float:
    """The variance of one scene's mean difference: that of its views and, where there are several, of each side's runs.

    What a run adds on each view of its own is in both, so that it is rather too large than too small.

    Args:
        a: the scores of side A, [runs, views], two views at least, finite.
        b: those of side B.
    """
    return sum(variance for variance, _ in _parts(a, b))


def _parts(a: Array, b: Array) -> list[tuple[float, int]]:
    """What views and each side's runs add to the variance of a scene's mean difference, with the degrees of freedom."""
    differences = b.mean(axis=0) - a.mean(axis=0)
    samples = [differences, *[side.mean(axis=1) for side in (a, b) if len(side) > 1]]
    return [(float(sample.var(ddof=1)) / len(sample), len(sample) - 1) for sample in samples]
