"""Commands fail or end at each of their operations on files and memory: what is on disk is whole, and the repeat works.

`make test` tries a sample of the points; `make test-long` tries all of them and prints how many there were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.faults.checks import Report, try_points
from support.faults.process import apart
from support.faults.scenarios import SCENARIOS, Scenario

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the layer forks processes and reads /proc"),
    pytest.mark.usefixtures("unchecked"),
]

_SAMPLED = {"score": 6, "run-staged": 6, "suite": 3}


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> Callable[..., None]:
    """Try points of a scenario and compare what holds afterwards."""
    # A folder of its own for what commands keep between calls.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(scenario: Scenario, sample: int | None = None) -> None:
        report: Report = apart(partial(try_points, scenario, tmp_path / "trial", sample=sample))
        if sample is None:
            survived = report.faults - len({text.split(":")[0] for text in report.problems})
            record_property(f"fault points of {scenario.name}", [report.points, report.hit, report.faults, survived])
        assert not report.problems, f"{len(report.problems)} problems:\n" + "\n".join(report.problems)
        assert report.hit == (report.points if sample is None else sample)

    return run


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.name in _SAMPLED], ids=lambda one: one.name)
def test_a_sample_of_the_points(scenario: Scenario, check: Callable[..., None]) -> None:
    check(scenario, sample=_SAMPLED[scenario.name])


@pytest.mark.long
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_every_point(scenario: Scenario, check: Callable[..., None]) -> None:
    check(scenario)
