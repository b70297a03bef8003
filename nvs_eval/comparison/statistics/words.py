"""What an interval's reader has to know, in words: why there is none, why it may hold less, what is not in it."""

from __future__ import annotations

import numpy as np

from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.statistics.spread import units, units_of_layout
from nvs_eval.errors import listed, some

# The least of views, while scenes are fixed.
FEWEST_VIEWS = 6
# The least that scenes of different numbers of views may tell, in views of one scene.
_FEWEST_UNITS = 4
# Fewer views or scenes than this cannot show how skewed they are, and the interval depends on it.
_ENOUGH = 15
# A sample skewness beyond which what was simulated held clearly less than 95 %, but for so many views.
_VERY_SKEWED = 2.0
_ENOUGH_OF_SKEWED = 200
# Fewer runs than this say little of how runs differ.
_ENOUGH_RUNS = 5


def why_none(scores: Scores) -> str:
    """Why there can be no interval; "" where there can."""
    if scores.infinite:
        return (
            f"On {scores.infinite} of {scores.views} views one side alone is infinite (its image is identical to the "
            "reference), so that the mean difference is not finite: only ranks can be compared."
        )
    if scores.samples_scenes:
        return ""
    if scores.views < FEWEST_VIEWS:
        return f"{_count(scores.views, 'shared view')} can bear no interval: at least {FEWEST_VIEWS} are needed."
    single = [scene.name for scene in scores.scenes if len(scene.views) < 2]
    if single:
        return f"One view shared says nothing of how views spread: at least two are needed of {some(single)}."
    if (number := units_of_layout(scores)) < _FEWEST_UNITS:
        return f"{_weighed(scores, number)}, which can bear no interval: more are needed of the scene with the fewest."
    return ""


def caution(scores: Scores) -> str:
    """Why an interval may hold the truth less often than it says; "" where nothing is known against it."""
    return " ".join(filter(None, [_of_units(scores), _of_runs(scores)]))


def note(scores: Scores) -> str:
    """What an interval is about, and what is not in it."""
    count = len(scores.scenes)
    if scores.samples_scenes:
        return f"The interval is about scenes of the kind of these {count}."
    about = "this scene, not about others" if count == 1 else f"these {count} scenes, not about others"
    single = {runs == 1 for scene in scores.scenes for runs in scene.layout[:2]}
    noise = {
        frozenset({True}): " Each side was trained once: what another training would change is not in it.",
        frozenset({True, False}): " Where a side was trained once, what another training would change is not in it.",
    }
    return f"The interval is about other views of {about}.{noise.get(frozenset(single), '')}"


def _of_units(scores: Scores) -> str:
    number = units(scores)
    if number < _ENOUGH:
        counted, held = _counted(scores), "88 to 93"
        if not scores.samples_scenes and number < scores.views:
            counted, held = f"{_weighed(scores, number)}, and {_count(number, 'view')}", "84 to 92"
        return (
            f"{counted} cannot show how skewed the differences are: the interval holds {held} % where they are very "
            "skewed, and up to 98 % where they have heavy tails, instead of 95 %."
        )
    if number < _ENOUGH_OF_SKEWED and abs(_skewness(scores, number)) > _VERY_SKEWED:
        return (
            f"The differences of the {_counted(scores)} are very skewed (a few large ones on one side): the "
            "interval may hold as little as 90 % instead of 95 %."
        )
    return ""


def _counted(scores: Scores) -> str:
    return _count(len(scores.scenes), "scene") if scores.samples_scenes else _count(scores.views, "view")


def _weighed(scores: Scores, number: int) -> str:
    """How little scenes of few views tell, in words."""
    counts = [str(len(scene.views)) for scene in scores.scenes]
    return f"Scenes of {listed(counts)} views weigh the same, and tell as little as {number} views of one scene"


def _of_runs(scores: Scores) -> str:
    """Where scenes are a sample, what runs add is in their spread, and known as well as that."""
    several = [runs for scene in scores.scenes for runs in scene.layout[:2] if runs > 1]
    if scores.samples_scenes or not several or min(several) >= _ENOUGH_RUNS:
        return ""
    return f"{min(several)} runs of a side say little of how much trainings differ: {_ENOUGH_RUNS} say more."


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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
