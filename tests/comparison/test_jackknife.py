"""The interval without each view and each scene, and the pivotal ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.paired_scores import differing, drawn, ends, interval, nearly_equal, of, without

from nvs_eval.comparison.statistics.intervals import Interval, intervals
from nvs_eval.comparison.statistics.jackknife import Jackknife, Without, jackknives
from nvs_eval.comparison.statistics.scores import SceneScores, Scores


def rest_of(scores: Scores, index: int, view: int | None) -> Scores:
    scenes = list(scores.scenes)
    scene = scenes.pop(index)
    if view is not None and len(scene.views) > 1:
        kept = [k for k in range(len(scene.views)) if k != view]
        scenes.insert(
            index, SceneScores(scene.name, tuple(scene.views[k] for k in kept), scene.a[:, kept], scene.b[:, kept])
        )
    return Scores(tuple(scenes))


def recomputed(scores: Scores, index: int, view: int | None, resamples: int = 2000) -> Interval:
    """Return the interval of scores in which a view or scene was never scored."""
    return intervals({"psnr": rest_of(scores, index, view)}, resamples=resamples)["psnr"]


def ends_or_none(result: Interval | Without) -> Any:
    return None if result.low is None else pytest.approx(ends(result), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("scenes", "views", "runs"),
    [(1, 7, (1, 1)), (1, 25, (3, 2)), (3, 9, (1, 3)), (2, 2, (1, 1)), (5, 3, (1, 1)), (7, 4, (2, 1))],
)
def test_interval_without_a_view_or_scene_is_that_of_the_rest(scenes: int, views: int, runs: tuple[int, int]) -> None:
    scores = drawn(21, scenes, views, runs)
    result = without(scores)
    if interval(scores).low is not None:
        assert [(w.scene, w.view) for w in result.views] == [(s.name, v) for s in scores.scenes for v in s.views]
        assert [w.scene for w in result.scenes] == ([s.name for s in scores.scenes] if scenes > 1 else [])
    for number, view in enumerate(result.views):
        rest = recomputed(scores, *divmod(number, views))
        assert view.difference == pytest.approx(rest.difference, rel=1e-11)
        assert (view.low, view.high) == (None, None) if rest.low is None else ends(view) == ends_or_none(rest)
    for number, scene in enumerate(result.scenes):
        rest = recomputed(scores, number, None)
        assert scene.difference == pytest.approx(rest.difference, rel=1e-11)
        assert (scene.low, scene.high) == (None, None) if rest.low is None else ends(scene) == ends_or_none(rest)


def test_interval_without_one_of_many_scenes_is_recomputed() -> None:
    scores = drawn(22, 7, 4)
    result = without(scores)
    assert len(result.scenes) == 7
    for number, scene in enumerate(result.scenes):
        assert ends(scene) == ends_or_none(recomputed(scores, number, None))


# Differences in SSIM and LPIPS (VGG) of nerfacto at two sizes on the seven test views of fox.
FOX = {
    "ssim": [0.00025, 0.00065, -0.01001, -0.01789, 0.00290, -0.01089, -0.01760],
    "lpips_vgg": [0.00651, 0.00721, 0.01755, 0.02975, 0.00533, 0.03819, 0.05278],
}


@pytest.mark.parametrize(("metric", "views"), [("ssim", []), ("lpips_vgg", ["v2", "v3", "v5", "v6"])])
def test_quantile_is_recomputed_without_an_outlier(metric: str, views: list[str]) -> None:
    result = without(differing(FOX[metric]), resamples=10_000)
    assert [rest.view for rest in result.pivotal_views] == views


@pytest.mark.parametrize("count", [101, 200])
@pytest.mark.parametrize("runs", [(1, 1), (2, 3)])
def test_closed_form_without_one_of_many_views_is_close_to_the_interval_of_the_rest(
    count: int, runs: tuple[int, int]
) -> None:
    scores = drawn(23, 1, count, runs)
    result = without(scores, resamples=10_000)
    assert [rest.view for rest in result.views] == list(scores.scenes[0].views)
    for view in (0, 17, 59):
        rest = recomputed(scores, 0, view, resamples=10_000)
        assert result.views[view].difference == pytest.approx(rest.difference, rel=1e-11)
        (low, high), (rest_low, rest_high) = ends(result.views[view]), ends(rest)
        # The quantiles come from different draws, and 10,000 of them leave about 1 % of noise in each.
        assert high - low == pytest.approx(rest_high - rest_low, rel=0.04)
        half = result.interval.quantile * rest_of(scores, 0, view).standard_error  # pyright: ignore
        assert (high - low) / 2 == pytest.approx(half, rel=1e-10)


def test_closed_form_without_a_view_of_sampled_scenes_changes_the_scene_mean() -> None:
    scores = drawn(24, 7, 15, (2, 1))
    result = without(scores)
    assert len(result.views) == 7 * 15
    for number, view in enumerate(result.views):
        rest = rest_of(scores, *divmod(number, 15))
        half = result.interval.quantile * stats.sem(rest.scene_means)
        assert view.difference == pytest.approx(rest.difference, rel=1e-11)
        assert ends(view) == pytest.approx((rest.difference - half, rest.difference + half), rel=1e-10)


def test_scene_without_its_only_view_is_dropped() -> None:
    few = without(differing([1], [2, 3], [2], [4, 6], [4], [5, 5], [6]))
    assert ends(few.views[0]) == ends(few.scenes[0])
    # The same in closed form, with the quantile of all views.
    many = without(differing([1], *[np.linspace(0, end, 20) for end in (1, 2, 4, 8, 9, 3)]))
    (low, high), (scene_low, scene_high) = ends(many.views[0]), ends(many.scenes[0])
    assert many.views[0].difference == many.scenes[0].difference
    assert high - low == pytest.approx(scene_high - scene_low, rel=0.1)
    assert high - low != scene_high - scene_low
    five = without(differing([1], *[np.linspace(0, end, 25) for end in (1, 2, 4, 8, 9)]))
    assert [view.low is None for view in five.views[:2]] == [True, False]


def test_without_one_of_many_scenes_the_closed_form_is_used() -> None:
    scores = drawn(25, 51, 2)
    result = without(scores)
    rest = rest_of(scores, 50, None)
    half = result.interval.quantile * stats.sem(rest.scene_means)
    assert len(result.scenes) == 51
    assert len(result.views) == 102
    assert ends(result.scenes[50]) == pytest.approx((rest.difference - half, rest.difference + half), rel=1e-10)


def test_rest_may_have_no_interval() -> None:
    six = without(differing([1, 2, 3, 4, 5, 7]))
    assert len(six.views) == 6
    assert all(view.low is None for view in six.views)
    assert six.pivotal_views == ()
    # Six scenes are a sample of scenes; the interval of five is about their views.
    scenes = without(drawn(3, 6, 3))
    assert len(scenes.scenes) == 6
    assert all(scene.low is None for scene in scenes.scenes)
    single = without(differing([1], *[[float(index), index + 0.5] for index in range(5)]))
    assert single.views[0].view == "v0"
    assert [view.low is None for view in single.views] == [True] + [False] * 10


def test_rest_of_many_views_may_have_no_interval() -> None:
    scores = differing([0.1, -0.5, 0.9, 0.2], np.linspace(0, 1, 120))
    result = without(scores)
    assert interval(scores).low is not None
    assert recomputed(scores, 0, 2).low is None
    assert [view.low is None for view in result.views] == [True] * 4 + [False] * 120
    assert result.views[2].difference == pytest.approx(recomputed(scores, 0, 2).difference, rel=1e-11)


@pytest.mark.parametrize(("scenes", "views"), [(1, 40), (2, 9), (7, 4)])
def test_draws_do_not_depend_on_what_is_computed_at_once(
    scenes: int, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("draws", "resampling"):
        monkeypatch.setattr(f"nvs_eval.comparison.statistics.{module}.MOST_NUMBERS", 5_000)
    metrics = {name: drawn(seed, scenes, views, (3, 3)) for seed, name in enumerate(("psnr", "ssim", "lpips"))}
    full = intervals(metrics, resamples=500)
    results = jackknives(metrics, full, resamples=500)
    for name, scores in metrics.items():
        alone = intervals({name: scores}, resamples=500)[name]
        assert ends(full[name]) == pytest.approx(ends(alone), rel=1e-11)
        first, last = results[name].views[0], results[name].views[-1]
        assert ends(first) == ends_or_none(recomputed(scores, 0, 0, resamples=500))
        assert ends(last) == ends_or_none(recomputed(scores, scenes - 1, views - 1, resamples=500))


def test_fewer_resamples_lead_to_the_same_verdicts_in_a_clear_case(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = differing([0.1, 0.02, 0.19, 0.11, 0.05, 0.13, 0.16, -0.4])
    usual = without(scores, resamples=10_000)
    monkeypatch.setattr("nvs_eval.comparison.statistics.jackknife._MOST_DRAWN", 0)
    fewer = without(scores, resamples=10_000)
    assert [view.view for view in usual.pivotal_views] == ["v7"] == [view.view for view in fewer.pivotal_views]
    assert fewer.views != usual.views
    for view, view_of_fewer in zip(usual.views, fewer.views, strict=True):
        assert (view.difference, view.sign) == (view_of_fewer.difference, view_of_fewer.sign)
    # The result equals that of 2,000 resamples.
    assert ends(fewer.views[3]) == ends_or_none(recomputed(scores, 0, 3, resamples=2000))


def test_pivotal_view_is_found() -> None:
    result = without(differing([0.1, 0.12, 0.09, 0.11, 0.1, 0.13, 0.12, -0.6]))
    assert result.interval.sign == 0
    assert [view.view for view in result.pivotal_views] == ["v7"]
    assert result.views[7].sign == 1
    assert result.pivotal_scenes == ()


def test_pivotal_scene_is_found() -> None:
    steady = [[0.1, 0.12, 0.09, 0.11]] * 2
    result = without(differing(*steady, [0.1, -2.5, 0.3, 0.2]))
    assert [scene.scene for scene in result.pivotal_scenes] == ["scene2"]


def test_without_an_interval_nothing_is_pivotal() -> None:
    for scores in (differing([1, 2, 6]), differing([1])):
        assert without(scores) == Jackknife(interval(scores))


def test_rounding_errors_make_no_view_pivotal() -> None:
    scores = of(nearly_equal())
    assert any(view.difference for view in without(scores).views)
    assert without(scores).pivotal_views == ()
