"""Mean difference with its 95 % interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.paired_scores import INF, differing, drawn, ends, interval, nearly_equal, of, swapped, without
from support.pinned import Pinned

from nvs_eval import InputError
from nvs_eval.comparison.statistics import draws
from nvs_eval.comparison.statistics.intervals import intervals, sign_of
from nvs_eval.comparison.statistics.jackknife import Jackknife
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores, freedom


def brute_force_quantile(differences: Array, resamples: int) -> float:
    """Return half the width of a textbook symmetric studentised interval, in standard errors."""
    drawn = np.random.default_rng(1).choice(differences, (resamples, len(differences)))
    return float(np.quantile(np.abs(drawn.mean(axis=1) - differences.mean()) / stats.sem(drawn, axis=1), 0.95))


def test_one_scene_agrees_with_a_textbook_studentised_bootstrap() -> None:
    differences = np.random.default_rng(3).gamma(2, 1, 25)
    result = interval(differing(differences.tolist()), resamples=20_000)
    assert result.quantile == pytest.approx(brute_force_quantile(differences, 20_000), rel=0.03)
    low, high = ends(result)
    assert (low + high) / 2 == pytest.approx(differences.mean(), rel=1e-12)
    assert (high - low) / 2 == pytest.approx(result.quantile * stats.sem(differences), rel=1e-12)


def test_many_views_agree_with_scipys_bootstrap() -> None:
    differences = np.random.default_rng(4).standard_normal(500)
    expected = stats.bootstrap((differences,), np.mean, n_resamples=9999, method="percentile", rng=5)
    low, high = expected.confidence_interval
    assert ends(interval(differing(differences.tolist()), resamples=9999)) == pytest.approx((low, high), abs=0.006)


def resampled_scene(scene: SceneScores, rng: np.random.Generator) -> tuple[float, float]:
    """Draw runs and views of a scene; return the mean difference and its variance."""
    views = rng.integers(0, len(scene.views), len(scene.views))
    a, b = (side[rng.integers(0, len(side), len(side))][:, views] for side in (scene.a, scene.b))
    differences = b.mean(axis=0) - a.mean(axis=0)
    samples = (differences, a.mean(axis=1), b.mean(axis=1))
    return differences.mean(), sum(sample.var(ddof=1) / len(sample) for sample in samples if len(sample) > 1)


def hierarchical(scores: Scores, resamples: int) -> float:
    """Return the quantile of `interval`, from draws that are made one by one."""
    rng = np.random.default_rng(2)
    ratios, count = [], len(scores.scenes)
    for _ in range(resamples):
        picked = rng.integers(0, count, count) if scores.samples_scenes else range(count)
        means, variances = np.array([resampled_scene(scores.scenes[index], rng) for index in picked]).T
        error = means.std(ddof=1) / math.sqrt(count) if scores.samples_scenes else math.sqrt(variances.sum()) / count
        ratios.append(abs(means.mean() - scores.difference) / error)
    return float(np.quantile(ratios, 0.95))


@pytest.mark.parametrize(("scenes", "views", "runs"), [(2, 6, (1, 1)), (2, 12, (5, 4)), (7, 5, (1, 1)), (7, 5, (3, 2))])
def test_all_levels_are_drawn(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(5, scenes, views, runs)
    quantile = interval(scores, resamples=20_000).quantile
    assert quantile == pytest.approx(hierarchical(scores, 6000 // scenes), rel=0.1)


SHAPES = pytest.mark.parametrize(
    ("scenes", "views", "runs"),
    [(1, 7, (1, 1)), (1, 25, (3, 2)), (3, 9, (1, 3)), (7, 4, (1, 1)), (6, 5, (2, 3)), (6, 1, (1, 1))],
)


@SHAPES
def test_swapping_the_sides_mirrors_the_interval(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(11, scenes, views, runs)
    forward, back = interval(scores, resamples=999), interval(swapped(scores), resamples=999)
    assert back.difference == -(forward.difference or 0.0)
    low, high = ends(forward)
    assert ends(back) == pytest.approx((-high, -low), rel=1e-11, abs=1e-12)


@SHAPES
def test_an_offset_of_one_side_moves_the_interval(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(12, scenes, views, runs)
    moved = Scores(tuple(SceneScores(scene.name, scene.views, scene.a, scene.b + 2.5) for scene in scores.scenes))
    low, high = ends(interval(scores))
    assert ends(interval(moved)) == pytest.approx((low + 2.5, high + 2.5), rel=1e-11)


finite = st.floats(-50, 50).map(lambda value: round(value, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=6, max_size=12), st.randoms(use_true_random=False))
def test_properties_of_any_differences(values: list[float], random: object) -> None:
    scores = differing(values)
    forward, back = interval(scores, resamples=199), interval(swapped(scores), resamples=199)
    assert forward.reason == back.reason
    assert forward.difference == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12)
    if not forward.reason:
        low, high = ends(forward)
        assert low <= (forward.difference or 0.0) <= high
        assert ends(back) == (-high, -low)
    shuffled = list(values)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    assert differing(shuffled).difference == pytest.approx(scores.difference, rel=1e-12, abs=1e-12)


def test_interval_does_not_depend_on_other_metrics() -> None:
    psnr, ssim, other = drawn(1, 2, 8), drawn(2, 2, 8), drawn(3, 1, 30)
    together = intervals({"psnr": psnr, "other": other, "ssim": ssim}, resamples=500)
    assert list(together) == ["psnr", "other", "ssim"]
    for name, scores in {"psnr": psnr, "ssim": ssim, "other": other}.items():
        (alone,) = intervals({name: scores}, resamples=500).values()
        assert ends(together[name]) == pytest.approx(ends(alone), rel=1e-12)
    assert together["psnr"] != intervals({"psnr": psnr}, resamples=500, seed=1)["psnr"]


def test_memory_limit_changes_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = drawn(8, 2, 20, (2, 2))
    usual = interval(scores, resamples=20_000)
    monkeypatch.setattr("nvs_eval.comparison.statistics.draws.MOST_NUMBERS", 100)
    assert interval(scores, resamples=2_000).quantile == pytest.approx(usual.quantile, rel=0.1)


def test_scenes_computed_together_have_the_interval_of_scenes_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    shapes = [(runs, 2, 3 + index % 3) for index, runs in enumerate((1, 2, 2, 1, 3, 2, 1, 2))]
    scores = of(*[(rng.normal(size=(a, views)), rng.normal(size=(b, views))) for a, b, views in shapes])
    found = []
    for rows in (0, 10**9):
        for module in ("draws", "resampling"):
            monkeypatch.setattr(f"nvs_eval.comparison.statistics.{module}.FEW_ROWS", rows)
        draws._kept_draws.cache_clear()
        found.append(interval(scores, resamples=500))
    assert ends(found[0]) == pytest.approx(ends(found[1]), rel=1e-12)


def test_too_few_resamples_have_no_quantile() -> None:
    with pytest.raises(InputError, match=r"19 .* Got 18"):
        interval(drawn(1, 1, 7), resamples=18)
    assert interval(drawn(1, 1, 7), resamples=19).low is not None


@pytest.mark.parametrize("offset", [0.1, -0.1])
@pytest.mark.parametrize("scenes", [1, 3, 7])
def test_equal_differences_have_a_point_as_interval(scenes: int, offset: float) -> None:
    a = np.random.default_rng(0).uniform(20, 40, (1, 30))
    result = interval(of(*[(a + index, a + index + offset) for index in range(scenes)]))
    assert ends(result) == (result.difference, result.difference)
    assert result.difference == pytest.approx(offset, rel=1e-12)
    assert result.sign == (1 if offset > 0 else -1)


def test_rounding_errors_are_no_difference() -> None:
    a, b = nearly_equal()
    result = interval(of((a, b)))
    low, high = ends(result)
    assert result.difference != 0
    assert low <= 0 <= high
    assert high - low < 1e-13
    assert ends(interval(of((a, a)))) == (0.0, 0.0)


@pytest.mark.parametrize("scores", [differing([0, 0, 0, 0, 0, 0, 1]), differing([0.0], [0], [0], [0], [0], [0], [1])])
def test_interval_with_an_outlier_is_at_most_twice_students(scores: Scores) -> None:
    result = interval(scores)
    assert result.quantile == pytest.approx(2 * stats.t.ppf(0.975, 6), rel=1e-12)
    assert result.standard_error == pytest.approx(1 / 7, rel=1e-12)
    assert result.sign == 0


def test_dominant_runs_leave_few_degrees_of_freedom() -> None:
    a, b = np.array([[0.0] * 9, [2.0] * 9]), np.array([[1.0] * 9, [1.5] * 9, [5.0] * 9])
    parts = [(np.var([0, 2], ddof=1) / 2, 1), (np.var([1, 1.5, 5], ddof=1) / 3, 2)]
    expected = sum(v for v, _ in parts) ** 2 / sum(v * v / nu for v, nu in parts)
    assert freedom(of((a, b))) == pytest.approx(expected, rel=1e-12)
    assert freedom(differing([1, 2, 3, 5])) == pytest.approx(3, rel=1e-12)
    assert freedom(differing([1, 2, 3, 5], [2, 3, 4, 6])) == pytest.approx(6, rel=1e-12)
    assert freedom(drawn(1, 7, 5)) == 6


def test_scenes_with_equal_means_and_unequal_views_have_no_interval(pinned: Pinned) -> None:
    result = interval(differing(*[[1.0, 3.0]] * 6))
    assert result.low is None
    pinned("compare", result.reason)


def test_too_few_views_have_no_interval(pinned: Pinned) -> None:
    result = interval(differing([1, 2, 3, 4, 5]))
    assert (result.difference, result.low, result.quantile, result.sign) == (3.0, None, None, 0)
    pinned("compare", result.reason)
    pinned("compare", interval(differing([1, 2, 3, 4, 5, 6], [1])).reason)
    assert interval(differing([1, 2, 3, 4, 5, 7])).low is not None


def test_view_that_is_infinite_on_both_sides_has_difference_zero() -> None:
    a = [[INF, 20, 21, 22, 23, 24, 25], [30, 20, 21, 22, 23, 24, 25]]
    b = [[INF, 21, 21.5, 24, 23, 25, 26]]
    scores = of((a, b))
    assert scores.scenes[0].differences[0] == 0
    low, high = ends(interval(scores))
    assert low < scores.difference < high


@pytest.mark.parametrize("scenes", [1, 6])
def test_infinite_difference_has_no_interval(scenes: int, pinned: Pinned) -> None:
    others = [([20.0, 21, 22, 23, 24, 25], [21.0, 22, 24, 25, 25, 26])] * (scenes - 1)
    better = of(([20.0, 21, 22, 23, 24, 25], [INF, 22, 23, 24, 25, 26]), *others)
    result = interval(better)
    assert (result.difference, result.low) == (INF, None)
    pinned("compare", result.reason)
    both = of(([20.0, INF, 22, 23, 24, 25], [INF, 22, 23, 24, 25, 26]), *others)
    result = interval(both)
    assert result.difference is None
    assert "On 2 of" in result.reason
    assert without(both) == Jackknife(result)


def test_interval_without_zero_has_a_sign() -> None:
    examples = ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.1), (None, None))
    assert [sign_of(low, high) for low, high in examples] == [1, -1, 0, 0, 0]
