"""Scores of two sides on shared views, their differences, and the standard error of the mean difference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nvs_eval.errors import InputError, counted

Array = NDArray[np.float64]

# From this number on, scenes are a sample, and inference is about scenes. Fewer show too little of how scenes differ:
# they are fixed, and their views are the units.
FEWEST_SCENES = 6
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class SceneScores:
    """Scores of both sides under one metric, on the shared views of one scene.

    Attributes:
        name: name of the scene.
        views: names of the views, in the order of the columns.
        a: scores of side A, [runs of A, views], in the unit of the metric; infinite where images are identical.
        b: scores of side B, [runs of B, views]. Runs are not paired, and their numbers may differ.
    """

    name: str
    views: tuple[str, ...]
    a: Array
    b: Array

    def __post_init__(self) -> None:
        """Check the scores, and keep read-only copies in float64."""
        if len(set(self.views)) != len(self.views):
            raise InputError(f"{self.name}: names of views must be unique. Got {', '.join(self.views)}.")
        for side in ("a", "b"):
            object.__setattr__(self, side, self._checked(side.upper(), getattr(self, side)))

    def _checked(self, side: str, values: ArrayLike) -> Array:
        # Sides share an array that was checked before, which makes comparisons of many sides fast.
        scores = np.asarray(values, dtype=np.float64)
        if scores.flags.writeable:
            scores = scores.copy()
        if not self.views or scores.ndim != 2 or scores.shape[1] != len(self.views) or not len(scores):
            raise InputError(
                f"{self.name}: scores of side {side} must have the shape [runs, views], with at least one run and one "
                f"view. Got {scores.shape} for {counted(len(self.views), 'view')}."
            )
        if not np.isfinite(scores).all() and len(wrong := np.argwhere(np.isnan(scores) | np.isneginf(scores))):
            run, view = wrong[0]
            raise InputError(
                f"{self.name}: the score of side {side}, run {run + 1}, view {self.views[view]} must be a number or "
                f"infinity. Got {scores[run, view]}."
            )
        scores.flags.writeable = False
        return scores

    @cached_property
    def differences(self) -> Array:
        """B - A of each view after averaging each side over its runs, [views]; 0 where both are infinite."""
        a, b = (side.mean(axis=0) if len(side) > 1 else side[0] for side in self.finite)
        return b - a

    @cached_property
    def both_infinite(self) -> NDArray[np.bool_]:
        """Whether the means over runs of both sides are infinite, [views]."""
        return np.isinf(self.a.mean(axis=0)) & np.isinf(self.b.mean(axis=0))

    @cached_property
    def finite(self) -> tuple[Array, Array]:
        """Both sides with all scores 0 on views where both are infinite, so that their difference is 0."""
        if not np.isinf(self.a).any() or not self.both_infinite.any():
            return self.a, self.b
        return np.where(self.both_infinite, 0.0, self.a), np.where(self.both_infinite, 0.0, self.b)

    @property
    def layout(self) -> tuple[int, int, int]:
        """Numbers of A's runs, B's runs and views."""
        return len(self.a), len(self.b), len(self.views)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of two sides under one metric, on one or more scenes."""

    scenes: tuple[SceneScores, ...]

    def __post_init__(self) -> None:
        """Check that there is a scene and that names are unique."""
        names = [scene.name for scene in self.scenes]
        if not names:
            raise InputError("A comparison needs at least one scene. Got none.")
        if len(set(names)) != len(names):
            raise InputError(f"Names of scenes must be unique. Got {', '.join(names)}.")

    @property
    def layout(self) -> tuple[tuple[int, int, int], ...]:
        """Layout of each scene. Metrics with equal layouts share resamples."""
        return tuple(scene.layout for scene in self.scenes)

    @property
    def views(self) -> int:
        """Number of shared views, over all scenes."""
        return sum(len(scene.views) for scene in self.scenes)

    @property
    def samples_scenes(self) -> bool:
        """Whether the scenes are a sample. Otherwise they are fixed, and only their views are a sample."""
        return len(self.scenes) >= FEWEST_SCENES

    @cached_property
    def infinite(self) -> int:
        """Number of views where only one side is infinite."""
        return sum(int(np.isinf(scene.differences).sum()) for scene in self.scenes)

    @cached_property
    def scene_means(self) -> Array:
        """Mean difference of each scene, [scenes]; NaN where infinities of both signs meet."""
        with np.errstate(invalid="ignore"):
            return np.array([scene.differences.mean() for scene in self.scenes])

    @cached_property
    def difference(self) -> float:
        """Mean over scenes of their mean differences; infinite or NaN if only one side is infinite on a view."""
        with np.errstate(invalid="ignore"):
            return float(self.scene_means.mean())

    @cached_property
    def standard_error(self) -> float:
        """Standard error of the mean difference over scenes, from finite differences.

        For sampled scenes it is computed from the spread of their mean differences, which contains the noise of views
        and runs. For fixed scenes it combines the variances of their means (`variance_of_mean`).
        """
        if self.samples_scenes:
            return float(over_scenes(self.scene_means))
        return float(within_scenes(np.array([variance_of_mean(*scene.finite) for scene in self.scenes])))

    @cached_property
    def rounding(self) -> float:
        """Largest difference that may be due to rounding, far below the largest finite score."""
        values = np.concatenate([side.ravel() for scene in self.scenes for side in (scene.a, scene.b)])
        return _ROUNDING * float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def over_scenes(means: Array) -> Array:
    """Return the standard error of the mean of sampled scenes from their mean differences, [..., scenes]."""
    return means.std(axis=-1, ddof=1) / np.sqrt(means.shape[-1])


def within_scenes(variances: Array) -> Array:
    """Return the standard error of the mean over fixed scenes from the variances of their means, [..., scenes]."""
    return np.sqrt(variances.sum(axis=-1)) / variances.shape[-1]


def freedom(scores: Scores) -> float:
    """Return the degrees of freedom of the standard error, which is not 0 (Satterthwaite's for fixed scenes)."""
    if scores.samples_scenes:
        return len(scores.scenes) - 1.0
    parts = np.array([part for scene in scores.scenes for part in _parts(*scene.finite)])
    variances, degrees = parts.T
    return float(variances.sum() ** 2 / (variances**2 / degrees).sum())


def units(scores: Scores) -> int:
    """Return the effective number of units: scenes if they are a sample, otherwise equivalent views of one scene.

    A scene with few views limits what is known of the mean over scenes, however many views the others have. The number
    is at most `units_of_layout`, because a scene with few skewed views may seem to vary little.
    """
    if scores.samples_scenes:
        return len(scores.scenes)
    counts = np.array([len(scene.views) for scene in scores.scenes])
    variances = np.array([scene.differences.var(ddof=1) for scene in scores.scenes]) / counts
    return min(_units(variances, counts), units_of_layout(scores)) if variances.any() else units_of_layout(scores)


def units_of_layout(scores: Scores) -> int:
    """Return the effective number of units of fixed scenes that vary alike, with at least two views each."""
    counts = np.array([len(scene.views) for scene in scores.scenes])
    return _units(1.0 / counts, counts)


def _units(variances: Array, counts: np.ndarray) -> int:
    """Return one more than Satterthwaite's degrees of freedom of the sum of the variances of means."""
    return int(variances.sum() ** 2 / (variances**2 / (counts - 1)).sum() + 1.0 + 1e-9)


def variance_of_mean(a: Array, b: Array) -> float:
    """Return the variance of a scene's mean difference, from its views and from each side with several runs.

    Noise of a run on single views is in both parts, so the variance is rather too large than too small.

    Args:
        a: finite scores of side A, [runs, views], with at least two views.
        b: finite scores of side B, [runs, views].
    """
    return sum(variance for variance, _ in _parts(a, b))


def _parts(a: Array, b: Array) -> list[tuple[float, int]]:
    """Return what views and runs add to the variance of a scene's mean difference, with degrees of freedom."""
    differences = b.mean(axis=0) - a.mean(axis=0)
    samples = [differences, *[side.mean(axis=1) for side in (a, b) if len(side) > 1]]
    return [(float(sample.var(ddof=1)) / len(sample), len(sample) - 1) for sample in samples]
