"""Limits of an interval, in words: why there is none, why it may hold less than 95 %, what is not in it."""

from __future__ import annotations

import numpy as np

from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.statistics.spread import units, units_of_layout
from nvs_eval.errors import counted, listed, some

# The fewest views that bear an interval while scenes are fixed.
FEWEST_VIEWS = 6
# The same for scenes of different numbers of views, in views of one scene.
_FEWEST_UNITS = 4
# Fewer views or scenes than this cannot show how skewed they are, and the interval depends on it.
_ENOUGH = 15
# A sample skewness beyond which simulated intervals held clearly less than 95 %, but for so many views.
_VERY_SKEWED = 2.0
_ENOUGH_OF_SKEWED = 200
# Fewer runs than this say little of how runs differ.
_ENOUGH_RUNS = 5

_INFINITE = (
    "On {infinite} of {views} views one side alone is infinite (its image is identical to the reference), so that the "
    "mean difference is not finite: only ranks can be compared."
)
_FEW_VIEWS = "{views} can bear no interval: at least {fewest} are needed."
_SINGLE_VIEWS = "One view shared says nothing of how views spread: at least two are needed of {scenes}."
_FEW_UNITS = "{weight}, which can bear no interval: more are needed of the scene with the fewest."
_WEIGHT = "Scenes of {counts} views weigh the same, and tell as little as {units} views of one scene"
_UNSHOWN_SKEW = (
    "{units} cannot show how skewed the differences are: the interval holds {held} % where they are very skewed, and "
    "up to 98 % where they have heavy tails, instead of 95 %."
)
_SKEWED = (
    "The differences of the {units} are very skewed (a few large ones on one side): the interval may hold as little as "
    "90 % instead of 95 %."
)
_FEW_RUNS = "{runs} runs of a side say little of how much trainings differ: {enough} say more."
_ABOUT_SCENES = "The interval is about scenes of the kind of these {count}."
_ABOUT_VIEWS = "The interval is about other views of {scenes}, not about others.{runs}"
# Whether each side has one run in each scene, by the answers there are.
_SINGLE_RUNS = {
    frozenset({True}): " Each side was trained once: what another training would change is not in it.",
    frozenset({True, False}): " Where a side was trained once, what another training would change is not in it.",
}


def why_none(scores: Scores) -> str:
    """Why there can be no interval; "" where there can."""
    if scores.infinite:
        return _INFINITE.format(infinite=scores.infinite, views=scores.views)
    if scores.samples_scenes:
        return ""
    if scores.views < FEWEST_VIEWS:
        return _FEW_VIEWS.format(views=counted(scores.views, "shared view"), fewest=FEWEST_VIEWS)
    if single := [scene.name for scene in scores.scenes if len(scene.views) < 2]:
        return _SINGLE_VIEWS.format(scenes=some(single))
    if (number := units_of_layout(scores)) < _FEWEST_UNITS:
        return _FEW_UNITS.format(weight=_weight(scores, number))
    return ""


def caution(scores: Scores) -> str:
    """Why an interval may hold the truth less often than it says; "" where nothing is known against it."""
    return " ".join(filter(None, [_of_units(scores), _of_runs(scores)]))


def note(scores: Scores) -> str:
    """What an interval is about, and what is not in it."""
    count = len(scores.scenes)
    if scores.samples_scenes:
        return _ABOUT_SCENES.format(count=count)
    single = frozenset(runs == 1 for scene in scores.scenes for runs in scene.layout[:2])
    scenes = "this scene" if count == 1 else f"these {count} scenes"
    return _ABOUT_VIEWS.format(scenes=scenes, runs=_SINGLE_RUNS.get(single, ""))


def _of_units(scores: Scores) -> str:
    number = units(scores)
    fixed = not scores.samples_scenes
    all_units = counted(scores.views, "view") if fixed else counted(len(scores.scenes), "scene")
    if number < _ENOUGH:
        if fixed and number < scores.views:
            weighed = f"{_weight(scores, number)}, and {counted(number, 'view')}"
            return _UNSHOWN_SKEW.format(units=weighed, held="84 to 92")
        return _UNSHOWN_SKEW.format(units=all_units, held="88 to 93")
    if number < _ENOUGH_OF_SKEWED and abs(_skewness(scores, number)) > _VERY_SKEWED:
        return _SKEWED.format(units=all_units)
    return ""


def _weight(scores: Scores, number: int) -> str:
    """How little scenes of few views tell."""
    return _WEIGHT.format(counts=listed([str(len(scene.views)) for scene in scores.scenes]), units=number)


def _of_runs(scores: Scores) -> str:
    """Few runs of fixed scenes; where scenes are a sample, what runs add is in their spread, and known as well."""
    several = [runs for scene in scores.scenes for runs in scene.layout[:2] if runs > 1]
    if scores.samples_scenes or not several or min(several) >= _ENOUGH_RUNS:
        return ""
    return _FEW_RUNS.format(runs=min(several), enough=_ENOUGH_RUNS)


def _skewness(scores: Scores, number: int) -> float:
    """The sample skewness of what so many units contribute to the mean difference; of views about their scene's mean.

    A view of a scene of few contributes more, and so does what is skewed in that scene.
    """
    if scores.samples_scenes:
        values = scores.scene_means - scores.scene_means.mean()
    else:
        centred = [(scene.differences - scene.differences.mean()) / len(scene.views) for scene in scores.scenes]
        values = np.concatenate(centred)
    squares = (values**2).sum()
    return float((values**3).sum() / squares**1.5 * np.sqrt(number)) if squares > 0 else 0.0
