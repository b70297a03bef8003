"""Distribution of cells over workers: deaths, other versions, slow disks, and a first cell that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nvs_eval.errors import InputError
from nvs_eval.evaluation.executors import spread
from nvs_eval.evaluation.executors.cells import Cell
from nvs_eval.evaluation.executors.claims import new_claims
from nvs_eval.evaluation.executors.local import local_settings
from nvs_eval.evaluation.executors.options import ExecutorOptions
from nvs_eval.evaluation.executors.spread import Spread, Tally
from nvs_eval.evaluation.executors.worker import Outcome, Task, evaluate_cell
from nvs_eval.evaluation.options import SuiteOptions

CELLS = [Cell("a", f"scene{index}") for index in range(5)]


class FakePool:
    """Workers that end at once, as a script says."""

    def __init__(self, end: Callable[[Task, int], Outcome | str], *, slots: int = 2, probes: bool = False) -> None:
        self.slots, self.probes, self.end = slots, probes, end
        self.at_work: list[Task] = []
        self.started: list[Cell] = []
        self.batches: list[int] = []
        self.is_closed = False

    def start(self, tasks: Sequence[Task]) -> None:
        self.at_work += tasks
        self.started += [task.cell for task in tasks]
        self.batches.append(len(tasks))
        assert len(self.at_work) <= self.slots

    def ended(self) -> list[tuple[Task, Outcome | str]]:
        tasks, self.at_work = self.at_work, []
        return [(task, self.end(task, self.started.count(task.cell))) for task in tasks]

    def close(self) -> None:
        self.is_closed = True


def task(cell: Cell, version: str = "1", folder: Path = Path()) -> Task:
    return Task(cell, SuiteOptions(file=Path("s.yaml")), "owner", ("x",), str(folder), version, lambda: None)


def done(of: Task, _: int = 1) -> Outcome:
    return Outcome(of.cell, version="1", host="node1", seconds=2)


def run(tmp_path: Path, pool: FakePool) -> tuple[dict[Cell, Outcome], list[str], list[Tally]]:
    said: list[str] = []
    tallies: list[Tally] = []

    def show(tally: Tally, sentence: str) -> None:
        tallies.append(tally)
        said.extend(filter(None, [sentence]))

    distribution = Spread([task(cell) for cell in CELLS], pool, new_claims(tmp_path), show)
    try:
        return distribution.run(), said, tallies
    finally:
        assert pool.is_closed


def test_all_cells_are_evaluated_once(tmp_path: Path) -> None:
    pool = FakePool(done)
    outcomes, said, tallies = run(tmp_path, pool)
    assert sorted(outcomes) == pool.started == CELLS
    assert pool.batches == [2, 2, 1]
    assert said[0] == "a, scene0: done in 2 s on node1"
    assert {(t.done + len(t.running) + len(t.failed) + t.left) for t in tallies} == {5}
    assert (tallies[-1].done, tallies[-1].left, tallies[-1].time_left) == (5, 0, "")


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_cell_whose_worker_dies_is_tried_again(deaths: int, tmp_path: Path) -> None:
    def end(of: Task, tries: int) -> Outcome | str:
        return "its worker was killed." if of.cell == CELLS[1] and tries <= deaths else done(of)

    pool = FakePool(end)
    outcomes, said, _ = run(tmp_path, pool)
    assert pool.started.count(CELLS[1]) == min(deaths + 1, 3)
    assert "a, scene1: its worker was killed. Trying again (1 of 2)." in said
    expected = ("its worker was killed. It was tried 3 times.",) if deaths == 3 else ()
    assert outcomes[CELLS[1]].reasons == expected
    failure = new_claims(tmp_path).failure(CELLS[1])
    assert (failure is not None) == bool(expected)
    if failure is not None:
        assert failure.command == "nvs-eval suite s.yaml --only a scene1"


def test_records_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    pool = FakePool(lambda of, _: Outcome(of.cell, version="0.9", host="old", records=("r.json",)))
    outcomes, _, _ = run(tmp_path, pool)
    assert outcomes[CELLS[0]].records == ()
    assert "The worker on old must have nvs-eval 1, as this command. Got 0.9." in outcomes[CELLS[0]].reasons[0]


def test_a_worker_of_another_version_evaluates_nothing(tmp_path: Path) -> None:
    outcome = evaluate_cell(task(CELLS[0], version="77"))
    assert "must have nvs-eval 77" in outcome.reasons[0]


def test_a_worker_without_the_working_folder_says_so(tmp_path: Path) -> None:
    from importlib.metadata import version

    outcome = evaluate_cell(task(CELLS[0], version("nvs-eval"), tmp_path / "nowhere"))
    assert "must be on a disk that all machines share. It cannot be opened on" in outcome.reasons[0]


@pytest.mark.parametrize("appears", [True, False])
def test_records_may_become_visible_late(appears: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_LONGEST_WAIT", 30.0 if appears else 0.05)
    file = tmp_path / "record.json"

    def end(of: Task, _: int) -> Outcome:
        if appears and of.cell == CELLS[2]:
            threading.Timer(0.1, file.touch).start()
        return Outcome(of.cell, version="1", host="far", records=(str(file),) if of.cell == CELLS[2] else ())

    outcomes, _, _ = run(tmp_path, FakePool(end))
    assert outcomes[CELLS[2]].records == ((str(file),) if appears else ())
    if not appears:
        assert f"{file}, a record from far, is not visible here" in outcomes[CELLS[2]].reasons[0]


def test_a_first_cell_that_fails_stops_the_others_on_a_cluster(tmp_path: Path) -> None:
    pool = FakePool(lambda of, _: Outcome(of.cell, ("Nothing at data.",), version="1", host="n3"), probes=True)
    with pytest.raises(
        InputError, match=r"a, scene0 was evaluated first, alone, and failed on n3: Nothing at data\. The"
    ):
        run(tmp_path, pool)
    assert pool.started == CELLS[:1]


def test_after_the_first_cell_the_others_start_together(tmp_path: Path) -> None:
    pool = FakePool(done, slots=9, probes=True)
    run(tmp_path, pool)
    assert pool.batches == [1, 4]


def test_workers_are_stopped_on_ctrl_c(tmp_path: Path) -> None:
    def end(of: Task, _: int) -> Outcome:
        raise KeyboardInterrupt

    pool = FakePool(end)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pool)
    assert pool.is_closed


def test_a_cell_of_another_command_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "PAUSE", 0.01)
    other, ends = new_claims(tmp_path), threading.Event()

    def hold() -> None:
        with other.held(CELLS[0]):
            ends.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    while other.running(CELLS[0]) is None:
        time.sleep(0.01)
    pool = FakePool(lambda of, _: (ends.set() if of.cell == CELLS[4] else None) or done(of))
    outcomes, said, _ = run(tmp_path, pool)
    thread.join()
    assert pool.started == [*CELLS[1:], CELLS[0]]
    assert not outcomes[CELLS[0]].reasons
    assert said[0].startswith("a, scene0 is evaluated by another command (process ")


# --- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 2}, "--jobs requires --executor"),
        ({"executor": "local", "jobs": 0}, "--jobs must be at least 1. Got 0."),
        ({"executor": "local", "gres": "gpu:1"}, "--gres requires --executor slurm or ray."),
        ({"partition": "x"}, "--partition requires --executor slurm."),
        ({"executor": "ray", "time": "30"}, "--time requires --executor slurm."),
    ],
)
def test_options_of_another_engine_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExecutorOptions(**options).check_executor()


def test_processes_share_cores_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.evaluation.executors import local

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "_cores", lambda: 16)
    monkeypatch.setattr(local, "_gpus", lambda: ["2", "5"])
    assert local_settings(None, {"auto"}) == [
        {"OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": "2"},
        {"OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": "5"},
    ]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in local_settings(3, {"auto"})] == ["2", "5", "2"]
    assert local_settings(None, {"cpu"}) == [{}]
    assert local_settings(2, {"cuda:1"}) == [{"OMP_NUM_THREADS": "8"}] * 2
