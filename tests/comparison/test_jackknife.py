"""What a verdict hangs on: the interval without each view and each scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.paired_scores import differing, drawn, ends, interval, nearly_equal, of, without

from nvs_eval.comparison.statistics.intervals import Interval, intervals
from nvs_eval.comparison.statistics.jackknife import Jackknife, Without, jackknives
from nvs_eval.comparison.statistics.scores import SceneScores, Scores, standard_error


def left_out(scores: Scores, index: int, view: int | None) -> Scores:
    scenes = list(scores.scenes)
    each = scenes.pop(index)
    if view is not None and len(each.views) > 1:
        kept = [place for place in range(len(each.views)) if place != view]
        scenes.insert(
            index, SceneScores(each.name, tuple(each.views[k] for k in kept), each.a[:, kept], each.b[:, kept])
        )
    return Scores(tuple(scenes))


def anew(scores: Scores, index: int, view: int | None, resamples: int = 2000) -> Interval:
    """The interval of what is left, as whoever scored without that view or scene would have it."""
    return intervals({"psnr": left_out(scores, index, view)}, resamples=resamples)["psnr"]


def ends_or_none(found: Interval | Without) -> Any:
    return None if found.low is None else pytest.approx(ends(found), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("scenes", "views", "runs"),
    [(1, 7, (1, 1)), (1, 25, (3, 2)), (3, 9, (1, 3)), (2, 2, (1, 1)), (5, 3, (1, 1)), (7, 4, (2, 1))],
)
def test_interval_without_a_view_or_scene_is_that_of_the_rest(scenes: int, views: int, runs: tuple[int, int]) -> None:
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


def test_interval_without_one_of_many_scenes_is_recomputed() -> None:
    scores = drawn(22, 7, 4)
    found = without(scores)
    assert len(found.scenes) == 7
    for number, each in enumerate(found.scenes):
        assert ends(each) == ends_or_none(anew(scores, number, None))


# Differences of nerfacto at two sizes on the seven test views of fox: SSIM, and LPIPS (VGG).
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
def test_closed_form_without_one_of_many_views_is_near_the_rest(count: int, runs: tuple[int, int]) -> None:
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


def test_without_a_view_of_sampled_scenes_its_scene_mean_changes() -> None:
    scores = drawn(24, 7, 15, (2, 1))
    found = without(scores)
    assert len(found.views) == 7 * 15
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


def test_rest_of_many_views_may_be_too_little_for_an_interval() -> None:
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
