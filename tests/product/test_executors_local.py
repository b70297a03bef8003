"""`nvs-eval suite --executor local`, with a worker that is killed midway."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cells import normal_records, started, write_suite
from support.commands import Said

pytestmark = pytest.mark.usefixtures("here")


def test_a_killed_worker_costs_nothing(cli: Callable[..., Said]) -> None:
    write_suite(views=4)
    whole = cli("suite", "suite.yaml", "--output-dir", "whole")
    command = started("--output-dir", "parts", "--executor", "local", "--jobs", "2")
    os.kill(command.claimed("parts").process, signal.SIGKILL)
    said = command.end()
    assert said.code == 0, said.err
    assert "was killed (SIGKILL). Trying again (1 of 2)." in said.err
    assert normal_records(Path("parts")) == normal_records(Path("whole"))
    assert said.out == whole.out
    assert not Path("parts/.suite").exists()


def test_a_failed_cell_is_reported_and_the_others_are_done(cli: Callable[..., Said]) -> None:
    write_suite()
    Path("renders/b/fox/test/ours_200/renders/0001.png").unlink()
    said = started("--executor", "local", "--jobs", "9").end()
    assert said.code == 3
    assert "] b, fox: failed on " in said.err
    assert "1 reference without a render: 0001" in said.err
    status = cli("suite", "suite.yaml", "--status")
    assert status.out.startswith("suite of tests: 3 done, 0 running, 1 failed, 0 left\n")


def test_ctrl_c_stops_the_workers_and_the_same_command_continues(cli: Callable[..., Said]) -> None:
    write_suite(views=4)
    command = started("--executor", "local", "--jobs", "2")
    worker = command.claimed("nvs-eval-results").process
    command.process.send_signal(signal.SIGINT)
    assert command.end().code == 130
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert " 0 running, 0 failed" in cli("suite", "suite.yaml", "--status").out
    assert cli("suite", "suite.yaml").code == 0
