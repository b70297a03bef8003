"""What the reader of an interval must know, in words."""

from __future__ import annotations

import numpy as np
from support.paired_scores import differing, drawn, interval, unequal

from nvs_eval.comparison.statistics.scores import units
from nvs_eval.errors import listed


def test_few_views_are_a_reason_for_caution_and_many_are_none() -> None:
    assert interval(drawn(1, 1, 7)).caution.startswith("7 views cannot show how skewed the differences are")
    assert interval(drawn(1, 2, 7)).caution.startswith(
        "Scenes of 7 and 7 views weigh the same, and tell as little as 1"
    )
    assert interval(drawn(1, 5, 7)).caution == ""
    assert interval(drawn(1, 9, 7)).caution.startswith("9 scenes cannot show")
    assert interval(drawn(1, 1, 25)).caution == ""
    assert interval(drawn(1, 15, 3)).caution == ""


def test_one_scene_of_few_views_is_a_reason_for_caution() -> None:
    assert units(unequal(0, 6, 200)) in (6, 7)
    # That it seems to vary little is no reason to trust it.
    assert units(unequal(0, 6, 200, spread=0.01)) in (6, 7)
    # Where another varies more that is what the error rests on.
    assert units(unequal(0, 20, 20, spread=100.0)) == 20
    assert 35 < units(unequal(0, 20, 20)) <= 39
    for counts in ((6, 200), (4, 9, 20)):
        said = interval(unequal(1, *counts)).caution
        assert said.startswith(
            f"Scenes of {listed(list(map(str, counts)))} views weigh the same, and tell as little as "
        )
        assert "views cannot show how skewed the differences are: the interval holds 84 to 92 %" in said
    assert interval(unequal(1, 60, 200)).caution == ""


def test_a_scene_of_two_views_among_many_bears_no_interval() -> None:
    found = interval(unequal(0, 2, 100))
    assert found.low is None
    assert found.reason == (
        "Scenes of 2 and 100 views weigh the same, and tell as little as 2 views of one scene, which can bear no "
        "interval: more are needed of the scene with the fewest."
    )
    assert interval(unequal(0, 3, 100)).low is None
    assert interval(unequal(0, 4, 100)).low is not None
    assert interval(unequal(0, 2, 2, 2)).low is not None


def test_skewness_of_a_scene_of_few_views_is_not_hidden() -> None:
    few = np.random.default_rng(0).standard_normal(25)
    few[0] = -20
    many = np.random.default_rng(1).standard_normal(1000)
    equal = [0.1] * 6
    assert "very skewed" in interval(differing(few, many * 6)).caution
    assert "very skewed" not in interval(differing(few, many * 100)).caution
    assert interval(differing(equal, equal)).caution.startswith("Scenes of 6 and 6 views")


def test_a_few_large_differences_are_a_reason_for_caution() -> None:
    values = np.random.default_rng(0).standard_normal(25)
    values[0] = -20
    assert interval(differing(values.tolist())).caution.startswith("The differences of the 25 views are very skewed")


def test_few_runs_of_fixed_scenes_are_a_reason_for_caution() -> None:
    assert interval(drawn(1, 1, 25, (2, 3))).caution.startswith("2 runs of a side say little")
    assert interval(drawn(1, 1, 25, (1, 3))).caution.startswith("3 runs of a side say little")
    assert interval(drawn(1, 1, 25, (5, 5))).caution == ""
    assert "runs" not in interval(drawn(1, 9, 25, (2, 3))).caution


def test_note_says_what_the_interval_covers() -> None:
    assert interval(drawn(1, 1, 25)).note == (
        "The interval is about other views of this scene, not about others. Each side was trained once: what another "
        "training would change is not in it."
    )
    assert interval(drawn(1, 3, 25, (1, 2))).note == (
        "The interval is about other views of these 3 scenes, not about others. Where a side was trained once, what "
        "another training would change is not in it."
    )
    assert interval(drawn(1, 3, 25, (2, 2))).note.endswith("of these 3 scenes, not about others.")
    assert interval(drawn(1, 9, 25)).note == "The interval is about scenes of the kind of these 9."
