"""What is said of two sides that were scored on the same views: intervals, ranks, wins, and what hangs on one view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nvs_eval import InputError
from nvs_eval.comparison.statistics.intervals import Interval, intervals, sign_of
from nvs_eval.comparison.statistics.jackknife import Jackknife, Without, jackknives
from nvs_eval.comparison.statistics.ranks import holm, least_p, signed_rank, wins
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores
from nvs_eval.comparison.statistics.spread import freedom, standard_error, units, variance_of_mean
from nvs_eval.errors import listed

INF = math.inf


def scene(a: object, b: object, name: str = "garden") -> SceneScores:
    """Scores of one scene; a plain list is one run."""
    sides = [np.atleast_2d(np.asarray(side, dtype=float)) for side in (a, b)]
    return SceneScores(name, tuple(f"v{index}" for index in range(sides[0].shape[1])), *sides)


def of(*scenes: tuple[object, object]) -> Scores:
    return Scores(tuple(scene(a, b, f"scene{index}") for index, (a, b) in enumerate(scenes)))


def differing(*differences: Sequence[float] | Array) -> Scores:
    """Scenes with one run a side and these differences."""
    return of(*[(np.zeros(len(each)), each) for each in differences])


def drawn(seed: int, scenes: int, views: int, runs: tuple[int, int] = (1, 1), shift: float = 0.3) -> Scores:
    """Scores around 25 with a spread between views, runs and scenes."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(scenes):
        level = 25 + 3 * rng.standard_normal(views)
        sides = [level + 0.2 * rng.standard_normal((n, 1)) + 0.5 * rng.standard_normal((n, views)) for n in runs]
        found.append(scene(sides[0], sides[1] + shift + 0.3 * rng.standard_normal(), f"scene{index}"))
    return Scores(tuple(found))


def interval(scores: Scores, resamples: int = 2000, seed: int = 7) -> Interval:
    return intervals({"psnr": scores}, resamples=resamples, seed=seed)["psnr"]


def swapped(scores: Scores) -> Scores:
    return Scores(tuple(SceneScores(each.name, each.views, each.b, each.a) for each in scores.scenes))


def ends(found: Interval | Without) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


# --- Scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([[1, 2]], [[1, 2, 3]], r"garden: the scores of side B have the shape \(1, 3\), and \[runs, views\] is needed"),
        ([1, 2], [[1, 2]], r"garden: the scores of side A have the shape \(2,\)"),
        (np.zeros((0, 2)), [[1, 2]], r"garden: the scores of side A have the shape \(0, 2\)"),
        ([[1, 2]], [[1, 2], [3, math.nan]], "garden: the score of side B, run 2, view v1 is nan: a number is needed"),
        ([[-INF, 2]], [[1, 2]], "garden: the score of side A, run 1, view v0 is -inf"),
    ],
)
def test_scores_that_are_none_are_refused(a: Array, b: Array, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SceneScores("garden", ("v0", "v1"), a, b)


def test_names_are_given_once_and_something_is_there() -> None:
    with pytest.raises(InputError, match="garden: two of its views have one name: a, a"):
        SceneScores("garden", ("a", "a"), np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(InputError, match=r"the shape \(1, 0\)"):
        SceneScores("garden", (), np.zeros((1, 0)), np.zeros((1, 0)))
    with pytest.raises(InputError, match="Two of the scenes have one name: garden, garden"):
        Scores((scene([1], [1]), scene([1], [1])))
    with pytest.raises(InputError, match="There is no scene"):
        Scores(())


def test_scores_are_kept_as_they_were_given() -> None:
    a = np.ones((1, 2))
    kept = SceneScores("garden", ("v0", "v1"), a, a)
    a[0, 0] = 5
    assert kept.a[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        kept.b[0, 0] = 5


def test_the_difference_is_of_runs_then_views_then_scenes() -> None:
    scores = of(([[1, 2], [3, 4]], [[5, 7]]), ([[0, 0, 0]], [[1, 2, 6]]))
    assert [each.differences.tolist() for each in scores.scenes] == [[3.0, 4.0], [1.0, 2.0, 6.0]]
    assert scores.difference == (3.5 + 3.0) / 2


# --- The spread, in closed form -------------------------------------------------------------------------------------


def test_one_scene_has_the_standard_error_of_a_mean() -> None:
    assert standard_error(differing([1, 2, 3, 4, 10])) == pytest.approx(stats.sem([1, 2, 3, 4, 10]), rel=1e-14)


def test_a_few_scenes_are_fixed() -> None:
    scores = differing([1, 2, 4], [10, 30])
    expected = math.sqrt(np.var([1, 2, 4], ddof=1) / 3 + np.var([10, 30], ddof=1) / 2) / 2
    assert standard_error(scores) == pytest.approx(expected, rel=1e-14)


def test_six_scenes_are_a_sample() -> None:
    means = [1, 2, 4, 8, 16, 32]
    scores = differing(*[[mean - 3, mean + 3] for mean in means])
    assert standard_error(scores) == pytest.approx(stats.sem(means), rel=1e-14)


def test_runs_of_both_sides_add_to_the_variance() -> None:
    a, b = np.array([[1.0, 2, 3], [2, 3, 7]]), np.array([[4.0, 4, 4], [5, 6, 7], [6, 8, 10]])
    differences = np.array([5 - 1.5, 6 - 2.5, 7 - 5])
    expected = differences.var(ddof=1) / 3 + np.var([2, 4], ddof=1) / 2 + np.var([4, 6, 8], ddof=1) / 3
    assert variance_of_mean(a, b) == pytest.approx(expected, rel=1e-14)


# --- Intervals ------------------------------------------------------------------------------------------------------


def brute_force_quantile(differences: Array, resamples: int) -> float:
    """Half of a symmetric studentised interval, as the textbook has it."""
    drawn = np.random.default_rng(1).choice(differences, (resamples, len(differences)))
    return float(np.quantile(np.abs(drawn.mean(axis=1) - differences.mean()) / stats.sem(drawn, axis=1), 0.95))


def test_one_scene_agrees_with_the_textbooks_studentised_bootstrap() -> None:
    differences = np.random.default_rng(3).gamma(2, 1, 25)
    found = interval(differing(differences.tolist()), resamples=20_000)
    assert found.quantile == pytest.approx(brute_force_quantile(differences, 20_000), rel=0.03)
    low, high = ends(found)
    assert (low + high) / 2 == pytest.approx(differences.mean(), rel=1e-12)
    assert (high - low) / 2 == pytest.approx(found.quantile * stats.sem(differences), rel=1e-12)


def test_many_views_agree_with_scipys_bootstrap() -> None:
    differences = np.random.default_rng(4).standard_normal(500)
    theirs = stats.bootstrap((differences,), np.mean, n_resamples=9999, method="percentile", rng=5)
    low, high = theirs.confidence_interval
    assert ends(interval(differing(differences.tolist()), resamples=9999)) == pytest.approx((low, high), abs=0.006)


def resampled_scene(scene: SceneScores, rng: np.random.Generator) -> tuple[float, float]:
    """The mean difference of one draw of a scene's runs and views, and the variance of it."""
    views = rng.integers(0, len(scene.views), len(scene.views))
    a, b = (side[rng.integers(0, len(side), len(side))][:, views] for side in (scene.a, scene.b))
    differences = b.mean(axis=0) - a.mean(axis=0)
    variances = [
        each.var(ddof=1) / len(each) for each in (differences, a.mean(axis=1), b.mean(axis=1)) if len(each) > 1
    ]
    return differences.mean(), sum(variances)


def hierarchical(scores: Scores, resamples: int) -> float:
    """The quantile of `interval`, drawn one by one from the levels as they are said to be."""
    rng = np.random.default_rng(2)
    ratios, count = [], len(scores.scenes)
    for _ in range(resamples):
        picked = rng.integers(0, count, count) if scores.samples_scenes else range(count)
        means, variances = np.array([resampled_scene(scores.scenes[index], rng) for index in picked]).T
        error = means.std(ddof=1) / math.sqrt(count) if scores.samples_scenes else math.sqrt(variances.sum()) / count
        ratios.append(abs(means.mean() - scores.difference) / error)
    return float(np.quantile(ratios, 0.95))


@pytest.mark.parametrize(("scenes", "views", "runs"), [(2, 6, (1, 1)), (2, 12, (5, 4)), (7, 5, (1, 1)), (7, 5, (3, 2))])
def test_every_level_is_drawn_as_it_is_said_to_be(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(5, scenes, views, runs)
    found = interval(scores, resamples=20_000)
    assert found.quantile == pytest.approx(hierarchical(scores, 6000 // scenes), rel=0.1)


SHAPES = pytest.mark.parametrize(
    ("scenes", "views", "runs"),
    [(1, 7, (1, 1)), (1, 25, (3, 2)), (3, 9, (1, 3)), (7, 4, (1, 1)), (6, 5, (2, 3)), (6, 1, (1, 1))],
)


@SHAPES
def test_swapping_the_sides_mirrors_the_interval(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(11, scenes, views, runs)
    there, back = interval(scores, resamples=999), interval(swapped(scores), resamples=999)
    assert back.difference == -(there.difference or 0.0)
    low, high = ends(there)
    assert ends(back) == pytest.approx((-high, -low), rel=1e-11, abs=1e-12)


@SHAPES
def test_an_offset_of_one_side_moves_the_interval(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(12, scenes, views, runs)
    moved = Scores(tuple(SceneScores(each.name, each.views, each.a, each.b + 2.5) for each in scores.scenes))
    low, high = ends(interval(scores))
    assert ends(interval(moved)) == pytest.approx((low + 2.5, high + 2.5), rel=1e-11)


finite = st.floats(-50, 50).map(lambda value: round(value, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=6, max_size=12), st.randoms(use_true_random=False))
def test_properties_of_any_differences(values: list[float], random: object) -> None:
    scores = differing(values)
    there, back = interval(scores, resamples=199), interval(swapped(scores), resamples=199)
    assert there.reason == back.reason
    assert there.difference == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12)
    if not there.reason:
        low, high = ends(there)
        assert low <= (there.difference or 0.0) <= high
        assert ends(back) == (-high, -low)
    shuffled = list(values)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    assert differing(shuffled).difference == pytest.approx(scores.difference, rel=1e-12, abs=1e-12)


def test_the_same_scores_have_the_same_interval_alone_and_among_others() -> None:
    psnr, ssim, other = drawn(1, 2, 8), drawn(2, 2, 8), drawn(3, 1, 30)
    together = intervals({"psnr": psnr, "other": other, "ssim": ssim}, resamples=500)
    assert list(together) == ["psnr", "other", "ssim"]
    for name, scores in {"psnr": psnr, "ssim": ssim, "other": other}.items():
        (alone,) = intervals({name: scores}, resamples=500).values()
        assert ends(together[name]) == pytest.approx(ends(alone), rel=1e-12)
    assert together["psnr"] != intervals({"psnr": psnr}, resamples=500, seed=1)["psnr"]


def test_how_many_numbers_are_held_at_once_changes_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = drawn(8, 2, 20, (2, 2))
    usual = interval(scores, resamples=20_000)
    monkeypatch.setattr("nvs_eval.comparison.statistics.resampling._MOST_NUMBERS", 100)
    assert interval(scores, resamples=2_000).quantile == pytest.approx(usual.quantile, rel=0.1)


def test_too_few_resamples_have_no_quantile() -> None:
    with pytest.raises(InputError, match="18 resamples have no 95% quantile"):
        interval(drawn(1, 1, 7), resamples=18)
    assert interval(drawn(1, 1, 7), resamples=19).low is not None


def nearly_equal() -> tuple[Array, Array]:
    """Two sides that differ by what is lost when a number is added and taken off again."""
    a = np.random.default_rng(0).uniform(20, 40, 30)
    return a, (a + 100.3) - 100.3


@pytest.mark.parametrize("offset", [0.1, -0.1])
@pytest.mark.parametrize("scenes", [1, 3, 7])
def test_where_all_differences_are_equal_the_interval_is_the_point(scenes: int, offset: float) -> None:
    a = np.random.default_rng(0).uniform(20, 40, (1, 30))
    found = interval(of(*[(a + index, a + index + offset) for index in range(scenes)]))
    assert ends(found) == (found.difference, found.difference)
    assert found.difference == pytest.approx(offset, rel=1e-12)
    assert found.sign == (1 if offset > 0 else -1)


def test_what_is_left_of_rounding_is_no_difference() -> None:
    a, b = nearly_equal()
    found = interval(of((a, b)))
    low, high = ends(found)
    assert found.difference != 0
    assert low <= 0 <= high
    assert high - low < 1e-13
    assert ends(interval(of((a, a)))) == (0.0, 0.0)


@pytest.mark.parametrize("scores", [differing([0, 0, 0, 0, 0, 0, 1]), differing([0.0], [0], [0], [0], [0], [0], [1])])
def test_an_outlier_makes_no_interval_wider_than_twice_students(scores: Scores) -> None:
    found = interval(scores)
    assert found.quantile == pytest.approx(2 * stats.t.ppf(0.975, 6), rel=1e-12)
    assert found.standard_error == pytest.approx(1 / 7, rel=1e-12)
    assert found.sign == 0


def test_runs_that_decide_leave_students_interval_few_degrees_of_freedom() -> None:
    a, b = np.array([[0.0] * 9, [2.0] * 9]), np.array([[1.0] * 9, [1.5] * 9, [5.0] * 9])
    parts = [(np.var([0, 2], ddof=1) / 2, 1), (np.var([1, 1.5, 5], ddof=1) / 3, 2)]
    expected = sum(v for v, _ in parts) ** 2 / sum(v * v / nu for v, nu in parts)
    assert freedom(of((a, b))) == pytest.approx(expected, rel=1e-12)
    assert freedom(differing([1, 2, 3, 5])) == pytest.approx(3, rel=1e-12)
    assert freedom(differing([1, 2, 3, 5], [2, 3, 4, 6])) == pytest.approx(6, rel=1e-12)
    assert freedom(drawn(1, 7, 5)) == 6


def test_scenes_whose_means_are_equal_bear_no_interval_where_their_views_differ() -> None:
    found = interval(differing(*[[1.0, 3.0]] * 6))
    assert found.low is None
    assert "The mean differences of all scenes are equal" in found.reason


def test_too_few_views_bear_no_interval() -> None:
    found = interval(differing([1, 2, 3, 4, 5]))
    assert (found.difference, found.low, found.quantile, found.sign) == (3.0, None, None, 0)
    assert found.reason == "5 shared views can bear no interval: at least 6 are needed."
    assert "One view shared" in interval(differing([1, 2, 3, 4, 5, 6], [1])).reason
    assert "of scene1:" not in interval(differing([1, 2, 3, 4, 5, 6], [1])).reason
    assert interval(differing([1, 2, 3, 4, 5, 6], [1])).reason.endswith("are needed of scene1.")
    assert interval(differing([1, 2, 3, 4, 5, 7])).low is not None


def test_images_that_are_identical_on_both_sides_do_not_differ() -> None:
    a = [[INF, 20, 21, 22, 23, 24, 25], [30, 20, 21, 22, 23, 24, 25]]
    b = [[INF, 21, 21.5, 24, 23, 25, 26]]
    scores = of((a, b))
    assert scores.scenes[0].differences[0] == 0
    found = interval(scores)
    assert ends(found)[0] < scores.difference < ends(found)[1]


@pytest.mark.parametrize("scenes", [1, 6])
def test_a_difference_that_is_not_finite_has_no_interval(scenes: int) -> None:
    others = [([20.0, 21, 22, 23, 24, 25], [21.0, 22, 24, 25, 25, 26])] * (scenes - 1)
    better = of(([20.0, 21, 22, 23, 24, 25], [INF, 22, 23, 24, 25, 26]), *others)
    found = interval(better)
    assert (found.difference, found.low) == (INF, None)
    assert found.reason.startswith(f"On 1 of {6 * scenes} views one side alone is infinite")
    both = of(([20.0, INF, 22, 23, 24, 25], [INF, 22, 23, 24, 25, 26]), *others)
    found = interval(both)
    assert found.difference is None
    assert "On 2 of" in found.reason
    assert without(both) == Jackknife(found)


def test_an_interval_has_a_sign_where_zero_is_not_in_it() -> None:
    assert [sign_of(*each) for each in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.1), (None, None))] == [
        1, -1, 0, 0, 0,
    ]  # fmt: skip


# --- In words -------------------------------------------------------------------------------------------------------


def test_few_views_are_a_reason_for_caution_and_many_are_none() -> None:
    assert interval(drawn(1, 1, 7)).caution.startswith("7 views cannot show how skewed the differences are")
    assert interval(drawn(1, 2, 7)).caution.startswith(
        "Scenes of 7 and 7 views weigh the same, and tell as little as 1"
    )
    assert interval(drawn(1, 5, 7)).caution == ""
    assert interval(drawn(1, 9, 7)).caution.startswith("9 scenes cannot show")
    assert interval(drawn(1, 1, 25)).caution == ""
    assert interval(drawn(1, 15, 3)).caution == ""


def unequal(seed: int, *counts: int, spread: float = 1.0) -> Scores:
    """Scenes of so many views, of which the first has another spread."""
    rng = np.random.default_rng(seed)
    scales = [spread] + [1.0] * (len(counts) - 1)
    return differing(*[scale * rng.standard_normal(count) for scale, count in zip(scales, counts, strict=True)])


def test_a_scene_of_few_views_is_a_reason_for_caution_whatever_the_others_have() -> None:
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


def test_skewness_in_a_scene_of_few_views_is_not_hidden_by_another() -> None:
    few = np.random.default_rng(0).standard_normal(25)
    few[0] = -20
    many = np.random.default_rng(1).standard_normal(1000)
    equal = [0.1] * 6
    assert "very skewed" in interval(differing(few, many * 6)).caution
    assert "very skewed" not in interval(differing(few, many * 100)).caution
    assert interval(differing(equal, equal)).caution.startswith("Scenes of 6 and 6 views")


def test_differences_with_a_few_large_ones_are_a_reason_for_caution() -> None:
    values = np.random.default_rng(0).standard_normal(25)
    values[0] = -20
    assert interval(differing(values.tolist())).caution.startswith("The differences of the 25 views are very skewed")


def test_few_runs_are_a_reason_for_caution_where_scenes_are_fixed() -> None:
    assert interval(drawn(1, 1, 25, (2, 3))).caution.startswith("2 runs of a side say little")
    assert interval(drawn(1, 1, 25, (1, 3))).caution.startswith("3 runs of a side say little")
    assert interval(drawn(1, 1, 25, (5, 5))).caution == ""
    assert "runs" not in interval(drawn(1, 9, 25, (2, 3))).caution


def test_the_note_says_what_the_interval_is_about_and_what_is_not_in_it() -> None:
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


# --- Ranks ----------------------------------------------------------------------------------------------------------


def scipys(values: Sequence[float], **options: Any) -> float:
    """The p-value of scipy's test."""
    return float(np.asarray(stats.wilcoxon(values, **options))[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-9, 9).filter(bool), min_size=6, max_size=60, unique_by=abs))
def test_the_test_of_ranks_is_scipys(values: list[float]) -> None:
    found = signed_rank(differing(values))
    method = "exact" if len(values) <= 50 else "approx"
    assert found.p == pytest.approx(scipys(values, method=method, correction=method == "approx"))
    assert (found.units, found.n) == ("views", len(values))


def test_views_without_a_difference_are_left_out() -> None:
    some = [0.5, -0.25, 1, 2, 3, 4, 0, 0]
    assert signed_rank(differing(some)) == signed_rank(differing(some[:6]))
    assert signed_rank(differing(some)).n == 6
    assert signed_rank(differing([0.0] * 9)).p == 1


def test_infinite_differences_rank_highest() -> None:
    highest = of(([20.0] * 6, [21, 22, 23, 18.5, 25, INF]))
    assert signed_rank(highest).p == signed_rank(differing([1, 2, 3, -1.5, 5, 6])).p
    lowest = of(([20.0] * 5 + [INF], [21, 22, 23, 18.5, 25, 20]))
    assert signed_rank(lowest).p == signed_rank(differing([1, 2, 3, -1.5, 5, -6])).p


def test_equal_differences_are_no_more_certain_than_ranks_can_be() -> None:
    found = signed_rank(differing([0.5] * 6))
    assert found.p == found.least_p == 2 / 2**6
    assert signed_rank(differing([0.5] * 30)).p == pytest.approx(scipys([0.5] * 30, method="approx", correction=True))
    assert signed_rank(differing([0.5])).p == 1


def test_six_scenes_are_what_is_ranked() -> None:
    means = [1, 2, 4, -3, 8, 16]
    found = signed_rank(differing(*[[mean - 30, mean + 30] for mean in means]))
    assert (found.units, found.n) == ("scenes", 6)
    assert found.p == pytest.approx(scipys(means))
    undefined = of(([INF, 1], [1, INF]), *[([0.0], [mean]) for mean in means])
    assert signed_rank(undefined).p is None
    assert signed_rank(undefined).reason.startswith("A scene's mean difference is undefined")


def test_ranks_have_the_sign_of_the_heavier_side() -> None:
    assert [signed_rank(differing(each)).sign for each in ([5, -1, -2], [-5, 1, 2], [-7, 1, 2])] == [0, 0, 0]
    assert [signed_rank(differing(each)).sign for each in ([1, 2, 3, -9], [-1, -2, -3, 9], [0, 0])] == [1, -1, 0]
    assert signed_rank(differing(*[[mean - 30, mean + 30] for mean in (-1, -2, -4, 3, -8, -16)])).sign == -1


@pytest.mark.parametrize("runs", [(3, 3), (1, 2), (2, 1)])
def test_views_are_not_ranked_where_runs_differ_too(runs: tuple[int, int]) -> None:
    found = signed_rank(drawn(1, 1, 25, runs))
    assert (found.p, found.sign, found.n) == (None, 0, 25)
    assert found.reason.startswith("With several runs of a side there is no p-value")
    # Scenes that are a sample have it in their spread.
    assert signed_rank(drawn(1, 6, 5, runs)).p is not None
    assert signed_rank(drawn(1, 6, 5, runs)).reason == ""


def test_under_the_null_no_test_rejects_more_often_than_it_says() -> None:
    rng = np.random.default_rng(6)
    for views, runs in ((25, 1), (25, 3), (200, 3)):
        rejected = 0
        for _ in range(200):
            sides = 0.5 * (rng.standard_normal((2, runs, 1)) + rng.standard_normal((2, runs, views))) * (runs > 1)
            p = signed_rank(of((sides[0], sides[1] + rng.standard_normal(views)))).p
            rejected += p is not None and p < 0.05
        assert rejected <= 20


def test_scenes_of_different_numbers_of_views_are_not_ranked_view_by_view() -> None:
    assert signed_rank(drawn(1, 3, 5)).p is not None
    found = signed_rank(differing([-3.0, -2.0], [1.0, 2.0, 3.0]))
    assert (found.p, found.sign, found.n) == (None, 0, 5)
    assert "the scenes have different numbers of views" in found.reason


@pytest.mark.parametrize("n", [1, 2, 6, 7, 20])
def test_the_least_p_is_that_of_differences_that_all_agree(n: int) -> None:
    assert least_p(n) == pytest.approx(scipys(range(1, n + 1), method="exact"))
    assert least_p(0) == 1


def test_holm_on_worked_examples() -> None:
    # Of four tests at 5 %: 0.005 and 0.01 are rejected, 0.03 and 0.04 are not (the example of Wikipedia's article).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.02, 0.4]) == [0.06, None, 0.06, 0.4]
    assert holm([]) == []
    assert holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_between_the_p_value_and_bonferronis(values: list[float]) -> None:
    adjusted = holm(values)
    for p, each in zip(values, adjusted, strict=True):
        assert each is not None
        assert p <= each <= min(1.0, len(values) * p)
    assert [each for _, each in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)  # pyright: ignore


def test_wins_follow_the_direction_of_the_metric() -> None:
    scores = differing([1, 2, -1, 0, 0], [3])
    up, down = (wins(scores, higher_is_better=each) for each in (True, False))
    assert (up.wins, up.losses, up.ties) == (3, 1, 2)
    assert (down.wins, down.losses, down.ties) == (1, 3, 2)


# --- What hangs on one view -----------------------------------------------------------------------------------------


def left_out(scores: Scores, index: int, view: int | None) -> Scores:
    scenes = list(scores.scenes)
    each = scenes.pop(index)
    if view is not None and len(each.views) > 1:
        kept = [place for place in range(len(each.views)) if place != view]
        scenes.insert(
            index, SceneScores(each.name, tuple(each.views[k] for k in kept), each.a[:, kept], each.b[:, kept])
        )
    return Scores(tuple(scenes))


def without(scores: Scores, resamples: int = 2000) -> Jackknife:
    """The jackknife of one metric alone."""
    found = intervals({"psnr": scores}, resamples=resamples)
    return jackknives({"psnr": scores}, found, resamples=resamples)["psnr"]


def anew(scores: Scores, index: int, view: int | None, resamples: int = 2000) -> Interval:
    """The interval of what is left, as whoever scored without that view or scene would have it."""
    return intervals({"psnr": left_out(scores, index, view)}, resamples=resamples)["psnr"]


def ends_or_none(found: Interval | Without) -> Any:
    return None if found.low is None else pytest.approx(ends(found), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("scenes", "views", "runs"),
    [(1, 7, (1, 1)), (1, 25, (3, 2)), (3, 9, (1, 3)), (2, 2, (1, 1)), (5, 3, (1, 1)), (7, 4, (2, 1))],
)
def test_without_each_view_and_scene_the_interval_is_what_it_would_have_been(
    scenes: int, views: int, runs: tuple[int, int]
) -> None:
    scores = drawn(21, scenes, views, runs)
    found = without(scores)
    if interval(scores).low is not None:
        assert [(e.scene, e.view) for e in found.views] == [(s.name, v) for s in scores.scenes for v in s.views]
        assert [each.scene for each in found.scenes] == ([s.name for s in scores.scenes] if scenes > 1 else [])
    for number, each in enumerate(found.views):
        rest = anew(scores, *divmod(number, views))
        assert each.difference == pytest.approx(rest.difference, rel=1e-11)
        assert (each.low, each.high) == (None, None) if rest.low is None else ends(each) == ends_or_none(rest)
    for number, each in enumerate(found.scenes):
        rest = anew(scores, number, None)
        assert each.difference == pytest.approx(rest.difference, rel=1e-11)
        assert (each.low, each.high) == (None, None) if rest.low is None else ends(each) == ends_or_none(rest)


def test_without_one_of_many_scenes_the_interval_is_computed_anew() -> None:
    scores = drawn(22, 7, 4)
    for number, each in enumerate(without(scores).scenes):
        assert ends(each) == ends_or_none(anew(scores, number, None))


# Differences of nerfacto at two sizes on the seven test views of fox: SSIM, and LPIPS (vgg).
FOX = {
    "ssim": [0.00025, 0.00065, -0.01001, -0.01789, 0.00290, -0.01089, -0.01760],
    "lpips_vgg": [0.00651, 0.00721, 0.01755, 0.02975, 0.00533, 0.03819, 0.05278],
}


@pytest.mark.parametrize(("metric", "views"), [("ssim", []), ("lpips_vgg", ["v2", "v3", "v5", "v6"])])
def test_the_quantile_without_an_outlier_is_another(metric: str, views: list[str]) -> None:
    found = without(differing(FOX[metric]), resamples=10_000)
    assert [each.view for each in found.pivotal_views] == views


@pytest.mark.parametrize("count", [101, 200])
@pytest.mark.parametrize("runs", [(1, 1), (2, 3)])
def test_without_one_of_many_views_the_closed_form_is_near_what_is_computed_anew(
    count: int, runs: tuple[int, int]
) -> None:
    scores = drawn(23, 1, count, runs)
    found = without(scores, resamples=10_000)
    assert [each.view for each in found.views] == list(scores.scenes[0].views)
    for view in (0, 17, 59):
        rest = anew(scores, 0, view, resamples=10_000)
        assert found.views[view].difference == pytest.approx(rest.difference, rel=1e-11)
        (low, high), (other_low, other_high) = ends(found.views[view]), ends(rest)
        # The quantiles are of other draws, and 10,000 of them leave some 1 % of noise in each.
        assert high - low == pytest.approx(other_high - other_low, rel=0.04)
        half = found.interval.quantile * standard_error(left_out(scores, 0, view))  # pyright: ignore
        assert (high - low) / 2 == pytest.approx(half, rel=1e-10)


def test_without_a_view_of_scenes_that_are_a_sample_its_scene_has_another_mean() -> None:
    scores = drawn(24, 7, 15, (2, 1))
    found = without(scores)
    for number, each in enumerate(found.views):
        rest = left_out(scores, *divmod(number, 15))
        half = found.interval.quantile * stats.sem(rest.scene_means)  # pyright: ignore
        assert each.difference == pytest.approx(rest.difference, rel=1e-11)
        assert ends(each) == pytest.approx((rest.difference - half, rest.difference + half), rel=1e-10)


def test_without_its_only_view_a_scene_is_gone() -> None:
    few = without(differing([1], [2, 3], [2], [4, 6], [4], [5, 5], [6]))
    assert ends(few.views[0]) == ends(few.scenes[0])
    # In closed form, too, where the quantile is that of all.
    many = without(differing([1], *[np.linspace(0, each, 20) for each in (1, 2, 4, 8, 9, 3)]))
    (low, high), (other_low, other_high) = ends(many.views[0]), ends(many.scenes[0])
    assert many.views[0].difference == many.scenes[0].difference
    assert high - low == pytest.approx(other_high - other_low, rel=0.1)
    assert high - low != other_high - other_low
    five = without(differing([1], *[np.linspace(0, each, 25) for each in (1, 2, 4, 8, 9)]))
    assert [each.low is None for each in five.views[:2]] == [True, False]


def test_without_one_of_many_scenes_the_closed_form_is_used() -> None:
    scores = drawn(25, 51, 2)
    found = without(scores)
    rest = left_out(scores, 50, None)
    half = found.interval.quantile * stats.sem(rest.scene_means)  # pyright: ignore
    assert len(found.scenes) == 51
    assert len(found.views) == 102
    assert ends(found.scenes[50]) == pytest.approx((rest.difference - half, rest.difference + half), rel=1e-10)


def test_what_is_left_may_be_too_little_for_an_interval() -> None:
    six = without(differing([1, 2, 3, 4, 5, 7]))
    assert len(six.views) == 6
    assert all(each.low is None for each in six.views)
    assert six.pivotal_views == ()
    # Six scenes are a sample of scenes; five would be about their views.
    scenes = without(drawn(3, 6, 3))
    assert len(scenes.scenes) == 6
    assert all(each.low is None for each in scenes.scenes)
    single = without(differing([1], *[[float(index), index + 0.5] for index in range(5)]))
    assert single.views[0].view == "v0"
    assert [each.low is None for each in single.views] == [True] + [False] * 10


def test_of_many_views_too_what_is_left_may_be_too_little_for_an_interval() -> None:
    scores = differing([0.1, -0.5, 0.9, 0.2], np.linspace(0, 1, 120))
    found = without(scores)
    assert interval(scores).low is not None
    assert anew(scores, 0, 2).low is None
    assert [each.low is None for each in found.views] == [True] * 4 + [False] * 120
    assert found.views[2].difference == pytest.approx(anew(scores, 0, 2).difference, rel=1e-11)


@pytest.mark.parametrize(("scenes", "views"), [(1, 40), (2, 9), (7, 4)])
def test_draws_are_the_same_however_much_is_computed_at_once(
    scenes: int, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nvs_eval.comparison.statistics.resampling._MOST_NUMBERS", 5_000)
    metrics = {name: drawn(seed, scenes, views, (3, 3)) for seed, name in enumerate(("psnr", "ssim", "lpips"))}
    found = intervals(metrics, resamples=500)
    left = jackknives(metrics, found, resamples=500)
    for name, scores in metrics.items():
        alone = intervals({name: scores}, resamples=500)[name]
        assert ends(found[name]) == pytest.approx(ends(alone), rel=1e-11)
        for index, each in ((0, left[name].views[0]), (scenes - 1, left[name].views[-1])):
            rest = anew(scores, index, 0 if each is left[name].views[0] else views - 1, resamples=500)
            assert ends(each) == ends_or_none(rest)


def test_fewer_resamples_say_the_same_of_a_plain_case(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = differing([0.1, 0.02, 0.19, 0.11, 0.05, 0.13, 0.16, -0.4])
    usual = without(scores, resamples=10_000)
    monkeypatch.setattr("nvs_eval.comparison.statistics.jackknife._MOST_DRAWN", 0)
    fewer = without(scores, resamples=10_000)
    assert [each.view for each in usual.pivotal_views] == ["v7"] == [each.view for each in fewer.pivotal_views]
    assert fewer.views != usual.views
    for one, other in zip(usual.views, fewer.views, strict=True):
        assert (one.difference, one.sign) == (other.difference, other.sign)
    # It is as if fewer had been asked for.
    assert ends(fewer.views[3]) == ends_or_none(anew(scores, 0, 3, resamples=2000))


def test_the_view_that_a_verdict_hangs_on_is_named() -> None:
    found = without(differing([0.1, 0.12, 0.09, 0.11, 0.1, 0.13, 0.12, -0.6]))
    assert found.interval.sign == 0
    assert [each.view for each in found.pivotal_views] == ["v7"]
    assert found.views[7].sign == 1
    assert found.pivotal_scenes == ()


def test_the_scene_that_a_verdict_hangs_on_is_named() -> None:
    steady = [[0.1, 0.12, 0.09, 0.11]] * 2
    found = without(differing(*steady, [0.1, -2.5, 0.3, 0.2]))
    assert [each.scene for each in found.pivotal_scenes] == ["scene2"]


def test_where_there_is_no_interval_no_verdict_hangs_on_anything() -> None:
    for scores in (differing([1, 2, 6]), differing([1])):
        assert without(scores) == Jackknife(interval(scores))


def test_rounding_does_not_make_a_verdict_hang_on_a_view() -> None:
    scores = of(nearly_equal())
    assert any(each.difference for each in without(scores).views)
    assert without(scores).pivotal_views == ()
