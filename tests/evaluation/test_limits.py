"""A device that runs out of memory while a view is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from support.allocator import Allocator
from support.pinned import Pinned
from support.protocols import ALEX, LIGHT, changed, protocol_of
from support.scoring import CPU, view
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Outcome, Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import View

SIZE = (40, 56)


def noise(seed: int, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))


def view_of(renders: int, size: tuple[int, int] = SIZE) -> View:
    return view(noise(0, size), *(noise(1 + index, size) for index in range(renders)))


def peak_of(protocols: Sequence[Protocol], scored: View, folder: Path | None = None) -> int:
    """Return the bytes that scoring a view takes, with the networks loaded."""
    scorer = Scorer(protocols, CPU, folder)
    scorer.outcomes(scored)
    with Allocator() as allocator:
        scorer.outcomes(scored)
    return allocator.peak


def same(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> bool:
    return [outcome.scores for outcome in outcomes] == [outcome.scores for outcome in expected]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.cuda.OutOfMemoryError])
def test_fewer_renders_are_scored_together_to_the_same_bits(error: type[Exception], pinned: Pinned) -> None:
    protocols, scored = [protocol_of(LIGHT), changed(name="cropped", crop=2)], view_of(8)
    scorer, whole = Scorer(protocols, CPU), Scorer(protocols, CPU).outcomes(scored)
    limit = (peak_of(protocols, view_of(2)) + peak_of(protocols, view_of(4))) // 2
    with Allocator(limit, error) as allocator:
        assert same(scorer.outcomes(scored), whole)
        assert (allocator.failures, scorer.limits.renders) == (2, 2)
        assert same(scorer.outcomes(scored), whole)
        assert allocator.failures == 2, "what was lowered must stay for the next view"
    pinned("score", scorer.limits.take_news())
    assert scorer.limits.take_news() == ""
    assert scorer.limits.provenance == {"out_of_memory": {"renders_together": 2, "lpips_bytes": None}}


def test_lpips_gets_less_memory_once_a_single_render_is_scored(
    weights_folder: Callable[[Net], Path | None], pinned: Pinned
) -> None:
    protocols, folder = [changed(metrics={"lpips_alex": ALEX})], weights_folder("alex")
    scored = view_of(2, (320, 480))
    whole = Scorer(protocols, CPU, folder).outcomes(scored)[0]
    scorer = Scorer(protocols, CPU, folder)
    scorer.limits.memory = 2**28
    limit = int(0.8 * peak_of(protocols, view_of(1, (320, 480)), folder))
    with Allocator(limit) as allocator:
        (lowered,) = scorer.outcomes(scored)
    assert allocator.failures > 1
    assert scorer.limits.memory is not None
    assert (scorer.limits.renders, scorer.limits.memory < 2**28) == (1, True)
    for metric, values in whole.scores.items():
        assert lowered.scores[metric] == pytest.approx(values, abs=1e-6)
    pinned("score", scorer.limits.take_news())


def test_a_view_that_does_not_fit_is_an_error_that_says_what_to_do(pinned: Pinned) -> None:
    scorer, scored = Scorer([protocol_of(LIGHT)], CPU), view_of(3)
    with Allocator(noise(0).nbytes * 4), pytest.raises(InputError) as error:
        scorer.outcomes(scored)
    pinned("score", error.value)


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, scored = Scorer([protocol_of(LIGHT)], CPU), view_of(2)
    with Allocator(0, ZeroDivisionError), pytest.raises(ZeroDivisionError):
        scorer.outcomes(scored)
    monkeypatch.setattr("nvs_eval.evaluation.scorer.out_of_memory", lambda error: "")
    with Allocator(0), pytest.raises(RuntimeError, match="can't allocate memory"):
        scorer.outcomes(scored)


def test_errors_of_parts_are_those_of_the_whole_view() -> None:
    renders = [noise(1), noise(2) + 1, noise(3), noise(4) + 1, noise(5) + 1]
    scored = view(noise(0), *renders)
    protocols = [protocol_of(LIGHT), changed(name="clamping", out_of_range="clamp")]
    whole, scorer = Scorer(protocols, CPU).outcomes(scored), Scorer(protocols, CPU)
    for together in (1, 2, 3, 4):
        scorer.limits.renders = together
        for outcome, expected in zip(scorer.outcomes(scored), whole, strict=True):
            assert {place: str(error) for place, error in outcome.failed.items()} == {
                place: str(error) for place, error in expected.failed.items()
            }
            for metric, values in expected.scores.items():
                for place in {*range(5)} - {*expected.failed}:
                    assert outcome.scores[metric][place] == values[place]
    masked = view(noise(0), *renders, mask=torch.zeros(SIZE))
    assert [str(outcome.error) for outcome in scorer.outcomes(masked)] == [
        str(outcome.error) for outcome in Scorer(protocols, CPU).outcomes(masked)
    ]


def test_the_record_and_one_warning_say_what_was_lowered() -> None:
    scored, warnings = view_of(4), []
    ids = [ResultId("garden", str(index)) for index in range(4)]
    limit = (peak_of([protocol_of(LIGHT)], view_of(2)) + peak_of([protocol_of(LIGHT)], scored)) // 2
    with Allocator(limit):
        views = [scored, scored.trusted(name="b"), scored.trusted(name="c")]
        records = evaluate(views, ids, Scorer([protocol_of(LIGHT)], CPU), Session(Path("out")), warn=warnings.append)
    assert len(warnings) == 1
    expected = evaluate(views, ids, Scorer([protocol_of(LIGHT)], CPU), Session(Path("out")))
    assert [record.views for record in records] == [record.views for record in expected]
    assert all(record.provenance["out_of_memory"]["renders_together"] == 2 for record in records)
    assert not any("out_of_memory" in record.provenance for record in expected)


def test_a_view_that_cannot_be_copied_to_the_device_is_copied_by_the_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("nvs_eval.evaluation.upload._moved", fail)
    scored = view_of(1)
    assert [pair[0] is pair[1] is scored for pair in on_device([scored], torch.device("meta"))] == [True]
    assert math.isfinite(Scorer([protocol_of(LIGHT)], CPU).score(scored)[0]["psnr"][0])
