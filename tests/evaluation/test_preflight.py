"""Checks and estimates before long work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.allocator import Allocator
from support.commands import Said
from support.pinned import Pinned
from support.protocols import ALEX, LIGHT, changed, protocol_of
from support.scoring import CPU, view

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.preflight import Work, announce
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.suite import _time_left
from nvs_eval.metrics.weights.pins import Net

SIZE = (640, 480)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the number of bytes that are free."""
    return lambda size: monkeypatch.setattr("nvs_eval.evaluation.preflight.free_memory", lambda _: size)


def work_of(results: int, views: int, *protocols: str, size: tuple[int, int] = SIZE) -> Work:
    return Work(Scorer([protocol_of(text) for text in protocols or (LIGHT,)], CPU), results, [size] * views)


def said(*works: Work) -> list[str]:
    sentences: list[str] = []
    announce(works, Callbacks(say=sentences.append))
    return sentences


def test_long_work_is_announced_and_short_work_is_not(free: Callable[[int], None], pinned: Pinned) -> None:
    free(8 * 10**9)
    assert said(work_of(1, 499)) == said() == said(work_of(3, 0)) == []
    (sentence,) = said(work_of(3, 200), work_of(2, 10))
    pinned("score", sentence)
    free(8 * 10**11)
    (large,) = said(work_of(1, 20, size=(4000, 3000)))
    assert large.startswith("1 result with 20 renders of 240 megapixels: images and networks take about ")


@pytest.mark.parametrize("renders", [1, 8])
def test_the_estimate_is_near_what_scoring_takes(renders: int) -> None:
    picture = torch.rand(SIZE[1], SIZE[0], 3)
    scored, work = view(picture, *(picture.flip(0).clone() for _ in range(renders))), work_of(renders, 1)
    work.scorer.outcomes(scored)
    with Allocator() as allocator:
        work.scorer.outcomes(scored)
    read = work.images(3 * (1 + renders))
    assert allocator.peak == pytest.approx(work.without_networks(renders) - read, rel=0.6)
    assert work.least < allocator.peak + read


def test_lpips_is_part_of_the_estimate(weights_folder: Callable[[Net], Path | None]) -> None:
    scorer = Scorer([changed(metrics={"lpips_alex": ALEX})], CPU, weights_folder("alex"), 10**9)
    assert 10**7 < Work(scorer, 2, [SIZE]).of_networks < 10**9
    assert Work(scorer, 2, [(20, 20)]).of_networks == 0  # An error of its protocol.
    assert work_of(2, 1).of_networks == 0


def test_as_many_renders_are_scored_together_as_fit(free: Callable[[int], None]) -> None:
    work = work_of(8, 1)
    free(work.without_networks(3))
    assert said(work) == []
    assert work.scorer.limits.renders == 2
    assert work.scorer.limits.provenance == {}


def test_too_little_memory_is_an_error_before_anything_is_scored(
    free: Callable[[int], None], pinned: Pinned, here: Path, refused: Callable[..., str]
) -> None:
    work = work_of(8, 1)
    free(work.least - 1)
    with pytest.raises(InputError) as error:
        said(work)
    pinned("score", error.value)
    free(1000)
    assert "Scoring needs at least" in refused(
        "score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml"
    )


def test_a_suite_shows_the_time_left_of_long_work() -> None:
    assert _time_left([], 5) == _time_left([0.1, 0.2], 500) == _time_left([10.0], 5) == ""
    assert _time_left([0.1, 50.0, 70.0], 90) == " (about 90 min left)"


def test_work_of_a_command_is_announced(here: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nvs_eval.evaluation.preflight._LONG", 2)
    result = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml")
    (line,) = [line for line in result.err.splitlines() if "of memory" in line]
    assert line.startswith("1 result with 2 renders of ")
