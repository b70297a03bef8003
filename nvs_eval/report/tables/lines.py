"""What a row of a table says before it is laid out: the scores of somebody, scene by scene, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from nvs_eval.records.groups import Contender
from nvs_eval.records.record import Record


@dataclass(frozen=True)
class Score:
    """A value of a metric.

    Attributes:
        value: in full.
        digits: how many decimals are known, if not all.
        mark: a sign that the notes explain, of a value that is not quite what its column says; it has no rank.
    """

    value: float
    digits: int | None = None
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """Somebody's scores.

    Attributes:
        method: its name.
        run: which run, or None.
        step: of the checkpoint, or None.
        scores: by scene and metric, the mean over the views.
        means: by metric, those over all scenes that were published: they are of more decimals than their scenes show.
        contender: whose records they are, or None for published ones.
        mark: a sign that the notes explain, of the whole row.
    """

    method: str
    run: str | None
    step: int | None
    scores: Mapping[str, Mapping[str, Score]]
    means: Mapping[str, Score] = field(default_factory=dict)
    contender: Contender | None = None
    mark: str = ""

    @property
    def name(self) -> str:
        """Method, run and step as far as there are any."""
        return "/".join(str(part) for part in (self.method, self.run, self.step) if part not in (None, ""))

    def score(self, scene: str, metric: str) -> Score | None:
        """Of one scene, or None."""
        return self.scores.get(scene, {}).get(metric)

    def records(self, scenes: Sequence[str]) -> list[Record]:
        """Those of some scenes."""
        by_scene = self.contender.records if self.contender else {}
        return [record for scene in scenes for record in by_scene.get(scene, ())]

    def missing(self, scenes: Sequence[str], metric: str) -> list[str]:
        """Of which scenes it lacks a metric."""
        return [scene for scene in scenes if self.score(scene, metric) is None]

    def says(self, metric: str) -> bool:
        """Whether it has a metric of any scene, or a mean of it."""
        return metric in self.means or any(metric in scores for scores in self.scores.values())

    def mean(self, scenes: Sequence[str], metric: str, over: Literal["scenes", "views"]) -> Score | None:
        """The mean over scenes, or over their views; None if any scene lacks the metric, and it was not published.

        Several runs of a scene count as one, their mean.
        """
        if over == "scenes" and len(scenes) > 1 and metric in self.means:
            return self.means[metric]
        scores = [score for scene in scenes if (score := self.score(scene, metric)) is not None]
        if len(scores) < len(scenes):
            return None
        if len(scenes) == 1:
            return scores[0]
        digits = min((score.digits for score in scores if score.digits is not None), default=None)
        marks = "".join(dict.fromkeys(score.mark for score in scores))
        if over == "scenes":
            return Score(fmean(score.value for score in scores), digits, marks)
        return Score(self._mean_of_views(scenes, metric), digits, marks) if self.contender else None

    def _mean_of_views(self, scenes: Sequence[str], metric: str) -> float:
        """Over the views of all scenes; of a scene with several runs, a view's score is the mean of them."""
        total, count = 0.0, 0.0
        for scene in scenes:
            runs = self.records([scene])
            total += math.fsum(row.scores[metric] for record in runs for row in record.views) / len(runs)
            count += sum(len(record.views) for record in runs) / len(runs)
        return total / count


def line_of(contender: Contender, *, mark: str = "") -> Line:
    """The line of a contender: in each scene the mean of its runs' means."""
    scores = {scene: _of_scene(records) for scene, records in contender.records.items()}
    return Line(contender.method, contender.run, contender.step, scores, contender=contender, mark=mark)


def _of_scene(records: Sequence[Record]) -> dict[str, Score]:
    """The metrics that all runs have."""
    means = [record.means for record in records]
    return {
        metric: Score(fmean(each[metric] for each in means)) for metric in means[0] if all(metric in m for m in means)
    }
