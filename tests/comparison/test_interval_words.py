"""Reasons, cautions and notes of an interval."""

from __future__ import annotations

import numpy as np
from support.paired_scores import differing, drawn, interval, unequal
from support.pinned import Pinned

from nvs_eval.comparison.statistics.scores import units


def test_few_views_cause_a_caution_and_many_do_not(pinned: Pinned) -> None:
    pinned("compare", interval(drawn(1, 1, 7)).caution)
    pinned("compare", interval(drawn(1, 2, 7)).caution)
    assert interval(drawn(1, 5, 7)).caution == ""
    assert interval(drawn(1, 9, 7)).caution.startswith("With only 9 scenes")
    assert interval(drawn(1, 1, 25)).caution == ""
    assert interval(drawn(1, 15, 3)).caution == ""


def test_one_scene_with_few_views_causes_a_caution(pinned: Pinned) -> None:
    assert units(unequal(0, 6, 200)) in (6, 7)
    # Low variance of the small scene is no evidence.
    assert units(unequal(0, 6, 200, spread=0.01)) in (6, 7)
    # If one scene varies much more than the other, the error depends on it alone.
    assert units(unequal(0, 20, 20, spread=100.0)) == 20
    assert 35 < units(unequal(0, 20, 20)) <= 39
    for counts in ((6, 200), (4, 9, 20)):
        pinned("compare", interval(unequal(1, *counts)).caution)
    assert interval(unequal(1, 60, 200)).caution == ""


def test_scene_with_two_views_among_many_has_no_interval(pinned: Pinned) -> None:
    result = interval(unequal(0, 2, 100))
    assert result.low is None
    pinned("compare", result.reason)
    assert interval(unequal(0, 3, 100)).low is None
    assert interval(unequal(0, 4, 100)).low is not None
    assert interval(unequal(0, 2, 2, 2)).low is not None


def test_skewness_of_a_scene_with_few_views_is_not_hidden() -> None:
    few = np.random.default_rng(0).standard_normal(25)
    few[0] = -20
    many = np.random.default_rng(1).standard_normal(1000)
    equal = [0.1] * 6
    assert "very skewed" in interval(differing(few, many * 6)).caution
    assert "very skewed" not in interval(differing(few, many * 100)).caution
    assert interval(differing(equal, equal)).caution.startswith("Scenes of 6 and 6 views")


def test_a_few_large_differences_cause_a_caution(pinned: Pinned) -> None:
    values = np.random.default_rng(0).standard_normal(25)
    values[0] = -20
    pinned("compare", interval(differing(values.tolist())).caution)


def test_few_runs_on_fixed_scenes_cause_a_caution(pinned: Pinned) -> None:
    pinned("compare", interval(drawn(1, 1, 25, (2, 3))).caution)
    assert "3 runs" in interval(drawn(1, 1, 25, (1, 3))).caution
    assert interval(drawn(1, 1, 25, (5, 5))).caution == ""
    assert "runs" not in interval(drawn(1, 9, 25, (2, 3))).caution


def test_note_states_what_the_interval_is_about(pinned: Pinned) -> None:
    pinned("compare", interval(drawn(1, 1, 25)).note)
    pinned("compare", interval(drawn(1, 3, 25, (1, 2))).note)
    pinned("compare", interval(drawn(1, 3, 25, (2, 2))).note)
    pinned("compare", interval(drawn(1, 9, 25)).note)
