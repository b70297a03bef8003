"""A suite in parts: `--shard`, `--status`, and two commands on one store."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cells import SCENES, finished, normal_records, write_suite
from support.commands import Said

from nvs_eval.evaluation.executors.cells import Cell
from nvs_eval.evaluation.executors.claims import new_claims

pytestmark = pytest.mark.usefixtures("here")


def test_shards_give_the_records_of_one_command(cli: Callable[..., Said]) -> None:
    write_suite()
    whole = cli("suite", "suite.yaml", "--output-dir", "whole")
    counts = []
    for part in ("1/3", "2/3", "3/3"):
        said = cli("suite", "suite.yaml", "--output-dir", "parts", "--shard", part)
        counts.append(len(finished(Path("parts"))))
        assert said.code == 0
    assert counts == [6, 9, 12]  # Three checkpoints for each of four methods on scenes.
    assert normal_records(Path("parts")) == normal_records(Path("whole"))
    assert said.out == whole.out
    assert not Path("parts/.suite").exists()


def test_a_wrong_shard_is_refused_before_any_work(refused: Callable[..., str]) -> None:
    write_suite()
    assert refused("suite", "suite.yaml", "--shard", "3/2").startswith("--shard must be i/n")


def test_status_lists_failures_with_the_command_that_repeats_them(cli: Callable[..., Said]) -> None:
    write_suite()
    assert cli("suite", "suite.yaml", "--status").out == "suite of tests: 0 done, 0 running, 0 failed, 4 left\n"
    hidden = shutil.move(f"renders/a/{SCENES[0]}/test/ours_100/renders/0001.png", "0001.png")
    assert cli("suite", "suite.yaml").code == 3
    said = cli("suite", "suite.yaml", "--status")
    assert said.code == 3
    first, failed, command = said.out.splitlines()
    assert first == "suite of tests: 3 done, 0 running, 1 failed, 0 left"
    assert failed.startswith(f"  failed: a, {SCENES[0]} (on ")
    assert "1 reference without a render: 0001" in failed
    assert command == f"    again: nvs-eval suite suite.yaml --only a {SCENES[0]}"
    shutil.move(hidden, f"renders/a/{SCENES[0]}/test/ours_100/renders/0001.png")
    assert cli(*command.split()[2:]).code == 0
    said = cli("suite", "suite.yaml", "--status")
    assert (said.code, said.out) == (0, "suite of tests: 4 done, 0 running, 0 failed, 0 left\n")


def test_the_work_of_another_command_is_waited_for(cli: Callable[..., Said]) -> None:
    write_suite()
    claims, ends = new_claims(Path("nvs-eval-results")), threading.Event()

    def other() -> None:
        with claims.held(Cell("a", SCENES[0])):
            ends.wait(60)

    def end() -> None:  # When all other records are there.
        for _ in range(3000):
            if len(finished(Path("nvs-eval-results"))) == 9:
                break
            time.sleep(0.01)
        ends.set()

    threads = [threading.Thread(target=target) for target in (other, end)]
    for thread in threads:
        thread.start()
    while claims.running(Cell("a", SCENES[0])) is None:
        time.sleep(0.01)
    said = cli("suite", "suite.yaml")
    for thread in threads:
        thread.join()
    assert said.code == 0
    assert f"a, {SCENES[0]} is evaluated by another command (process " in said.err
    assert [line for line in said.err.splitlines() if line.startswith("[")][-1] == f"[4/4] a, {SCENES[0]}"
    assert len(finished(Path("nvs-eval-results"))) == 12
