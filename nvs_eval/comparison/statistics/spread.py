"""The standard error of a mean difference, in closed form."""

from __future__ import annotations

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, Scores


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
