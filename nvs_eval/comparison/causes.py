"""Causes of the difference of two sides in PSNR, from the causes of the errors of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.shared import Shared
from nvs_eval.comparison.statistics.intervals import Interval, intervals, sign_of_several
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores
from nvs_eval.errors import listed
from nvs_eval.records.causes import CAUSES, ViewCauses, usual_kind
from nvs_eval.records.groups import Contender
from nvs_eval.records.known_causes import KnownCauses

_LEAST = 0.05
"""Difference in dB that is shown as 0.1, below which a cause is not named."""
Views = Mapping[str, Mapping[str, list[ViewCauses]]]
"""Causes of one side by scene and view, one for each run."""


@dataclass(frozen=True)
class CauseDifference:
    """PSNR that B gains over A by a cause, in dB; below 0 if B has more of it.

    Attributes:
        kind: name of the cause on the side that has more of it, in a sentence.
        interval: mean difference with its 95 % interval.
        sign: 1 if the difference is above its noise and above 0, -1 if it is below 0, and 0 otherwise.
    """

    kind: str
    interval: Interval
    sign: int

    @property
    def amount(self) -> float:
        """Size of the difference, in dB."""
        return abs(self.interval.difference or 0.0)


@dataclass(frozen=True)
class Attribution:
    """Difference in PSNR, and the parts of it that have a cause.

    Attributes:
        views: number of views whose causes are known on both sides, to which all numbers belong.
        whole: difference in PSNR.
        causes: parts by cause.
    """

    views: int
    whole: Interval
    causes: Mapping[str, CauseDifference]


def attribute(shared: Shared, known: KnownCauses, metric: str, *, resamples: int) -> Attribution | None:
    """Return what the difference of two sides in PSNR comes from; None if no view has causes on both sides.

    The intervals of the causes are widened so that all of them together have 95 % coverage.

    Args:
        shared: both sides, and the views that they share.
        known: causes of their records.
        metric: key of the PSNR.
        resamples: number of bootstrap resamples.
    """
    sides = tuple(_views(side, shared, known, metric) for side in (shared.a, shared.b))
    names = {
        scene: [view for view in views if all(view in side.get(scene, {}) for side in sides)]
        for scene, views in shared.views.items()
    }
    names = {scene: views for scene, views in names.items() if views}
    if not names:
        return None
    of_psnr = shared.scores(metric)
    scores: dict[str, Scores] = {metric: _part(of_psnr, names)}
    for cause in CAUSES:
        of_cause = [_decibels(side, names, cause) for side in sides]
        if any(values.any() for side in of_cause for values in side.values()):
            a, b = of_cause
            scores[cause] = Scores(
                tuple(SceneScores(scene, tuple(names[scene]), a[scene], b[scene]) for scene in names)
            )
    found = intervals(scores, resamples=resamples)
    whole = found.pop(metric)
    causes = {}
    for cause, interval in found.items():
        difference = interval.difference or 0.0
        side = sides[1 if difference < 0 else 0]
        having = [one for of in side.values() for runs in of.values() for one in runs if cause in one.decibels]
        sign = sign_of_several(scores[cause], interval, len(found)) if abs(difference) >= _LEAST else 0
        causes[cause] = CauseDifference(usual_kind(cause, having) if having else cause, interval, sign)
    return Attribution(sum(map(len, names.values())), whole, causes)


def _views(side: Contender, shared: Shared, known: KnownCauses, metric: str) -> Views:
    """Return the causes of the shared views of a side that are known for all of its runs."""
    found: dict[str, dict[str, list[ViewCauses]]] = {}
    for scene, views in shared.views.items():
        runs = [known.views(record, metric) for record in side.records[scene]]
        found[scene] = {view: [run[view] for run in runs] for view in views if all(view in run for run in runs)}
    return found


def _part(scores: Scores, names: Mapping[str, list[str]]) -> Scores:
    """Return the scores on some views."""
    parts = []
    for scene in scores.scenes:
        if chosen := names.get(scene.name):
            places = [scene.views.index(view) for view in chosen]
            parts.append(SceneScores(scene.name, tuple(chosen), scene.a[:, places], scene.b[:, places]))
    return Scores(tuple(parts))


def _decibels(side: Views, names: Mapping[str, list[str]], cause: str) -> dict[str, Array]:
    """Return what a cause adds to the PSNR of a side, at most 0, as [runs, views] by scene."""
    return {
        scene: -np.array([[one.decibels.get(cause, 0.0) for one in side[scene][view]] for view in views]).T
        for scene, views in names.items()
    }


_OF_WHICH = "{loser} loses {whole:.1f} dB of PSNR to {winner}{places}, of which {parts}."
_MORE_THAN_WHOLE = "{loser} loses {whole:.1f} dB of PSNR to {winner}{places}: {parts}, while {rest}."
_ALTHOUGH = "{loser} loses {whole:.1f} dB of PSNR to {winner}{places}, although {others}."
_NONE = "No cause of error differs between {a} and {b}{places} by more than its noise."


def cause_words(attribution: Attribution, *, a: str, b: str, shared: int) -> Iterator[str]:
    """Yield the sentence on what a difference in PSNR comes from.

    Args:
        attribution: the difference and its parts.
        a: name of A.
        b: name of B.
        shared: number of views that both sides share.
    """
    views = attribution.views
    places = "" if views == shared else f" on the {views} of {shared} views with known causes"
    named = sorted((part for part in attribution.causes.values() if part.sign), key=lambda part: -part.amount)
    reasons = {part.interval.reason for part in attribution.causes.values()} - {""}
    if not named:
        yield f"Causes: {reasons.pop()}" if reasons else _NONE.format(a=a, b=b, places=places)
        return
    whole, sign = abs(attribution.whole.difference or 0.0), attribution.whole.sign
    if sign == 0:
        losses = [
            _losses([part for part in named if part.sign == s], *names) for s, names in ((-1, (b, a)), (1, (a, b)))
        ]
        yield f"{', and '.join(filter(None, losses))}{places}."
        return
    loser, winner = (a, b) if sign > 0 else (b, a)
    own, others = ([part for part in named if part.sign == s] for s in (sign, -sign))
    facts = {"loser": loser, "winner": winner, "whole": whole, "places": places}
    against = _losses(others, winner, loser)
    if not own:
        yield _ALTHOUGH.format(**facts, others=against)
    elif sum(part.amount for part in own) <= whole + _LEAST:
        parts = listed([f"{part.amount:.1f} dB is {part.kind}" for part in own])
        yield _OF_WHICH.format(**facts, parts=parts)[:-1] + (f"; {against}." if against else ".")
    else:
        parts = listed([f"{part.amount:.1f} dB by {part.kind}" for part in own])
        yield _MORE_THAN_WHOLE.format(**facts, parts=parts, rest=against or "the rest of its error is smaller")


def _losses(parts: list[CauseDifference], loser: str, winner: str) -> str:
    """Return what a side loses by causes, as a clause; "" if there are none."""
    losses = listed([f"{part.amount:.1f} dB by {part.kind}" for part in parts])
    return f"{loser} loses {losses} to {winner}" if parts else ""
