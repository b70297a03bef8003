"""Cells of a suite, their claims and failures, and the state that the output folder alone tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nvs_eval.errors import InputError
from nvs_eval.evaluation.executors import claims as claims_module
from nvs_eval.evaluation.executors.cells import Cell, chosen_cells, command_of
from nvs_eval.evaluation.executors.claims import FOLDER, Claims, new_claims
from nvs_eval.evaluation.executors.status import status_of
from nvs_eval.evaluation.options import SuiteOptions
from nvs_eval.evaluation.suite_file import SuiteFile, load_suite_file

CELL = Cell("3dgs", "fox")


@pytest.fixture
def file(tmp_path: Path) -> SuiteFile:
    content = {
        "scenes": ["fox", "garden", "my room"],
        "methods": {name: {"score": f"{name}/{{scene}}"} for name in ("3dgs", "mcmc")},
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_suite_file(tmp_path / "suite.yaml")


def write_record(output_dir: Path, cell: Cell, name: str = "standard-f3d12c27.json") -> None:
    folder = output_dir / cell.scene / cell.method / "final"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("{}")


# --- Cells ----------------------------------------------------------------------------------------------------------


def test_cells_are_in_the_order_of_the_file(file: SuiteFile) -> None:
    assert [str(cell) for cell in chosen_cells(file)] == [
        "3dgs, fox", "mcmc, fox", "3dgs, garden", "mcmc, garden", "3dgs, my room", "mcmc, my room",
    ]  # fmt: skip
    assert chosen_cells(file, ["mcmc", "fox"]) == [("mcmc", "fox")]


@pytest.mark.parametrize("count", [1, 2, 4, 6, 9])
def test_shards_are_disjoint_and_complete(file: SuiteFile, count: int) -> None:
    parts = [chosen_cells(file, shard=f"{index}/{count}") for index in range(1, count + 1)]
    assert sorted(cell for part in parts for cell in part) == sorted(chosen_cells(file))
    assert {len(part) for part in parts} <= {6 // count, -(-6 // count)}


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/1000000000", ""])
def test_a_wrong_shard_is_refused(file: SuiteFile, shard: str) -> None:
    with pytest.raises(InputError, match="--shard must be i/n, such as 1/4 to 4/4"):
        chosen_cells(file, shard=shard)


def test_the_command_of_a_cell_has_the_options_of_the_suite() -> None:
    options = SuiteOptions(file=Path("my suite.yaml"), only=("x",), shard="1/2", device="cpu", overwrite=True)
    expected = "nvs-eval suite 'my suite.yaml' --only 3dgs 'my room' --device cpu --overwrite"
    assert command_of(options, Cell("3dgs", "my room")) == expected


# --- Claims ---------------------------------------------------------------------------------------------------------


def test_a_claim_excludes_other_commands_and_leaves_nothing(tmp_path: Path) -> None:
    mine, other = new_claims(tmp_path), new_claims(tmp_path)
    with mine.held(CELL) as taken:
        assert taken is None
        assert mine.holder(CELL) is None
        with other.held(CELL) as claim:
            assert claim is not None
            assert (claim.owner, claim.process) == (mine.owner, os.getpid())
        assert mine.running(CELL) is not None  # The other one has not removed it.
        mine.settle(CELL, [], "")
    assert not (tmp_path / FOLDER).exists()
    with other.held(CELL) as taken:
        assert taken is None


def test_workers_of_one_command_take_over_its_claims(tmp_path: Path) -> None:
    mine = new_claims(tmp_path)
    with mine.held(CELL), Claims(tmp_path, mine.owner).held(CELL) as taken:
        assert taken is None


def test_the_claim_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from nvs_eval.evaluation.executors.claims import new_claims\n"
        "from nvs_eval.evaluation.executors.cells import Cell\n"
        "new_claims(Path(sys.argv[1])).held(Cell('3dgs', 'fox')).__enter__()\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    claims = new_claims(tmp_path)
    assert claims.is_interrupted(CELL)
    assert claims.running(CELL) is None
    with claims.held(CELL) as taken:
        assert taken is None


def of_elsewhere(output_dir: Path, silent_seconds: float) -> None:
    """Write the claim of a worker on another machine, whose clock is wrong by an hour."""
    with new_claims(output_dir).held(CELL):
        file = next((output_dir / FOLDER).rglob("*.claim"))
        claim = json.loads(file.read_bytes())
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**claim, "tag": "0badcafe-1-1-", "host": "node7", "started": "1999-01-01T00:00:00"}))
    date = file.stat().st_mtime - silent_seconds
    os.utime(file, (date, date))


@pytest.mark.parametrize(("silent", "alive"), [(60, True), (400, False)])
def test_signs_of_life_count_by_the_clock_of_the_disk(
    silent: float, alive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_elsewhere(tmp_path, silent)
    monkeypatch.setattr("time.time", lambda: 4e9)  # The clock of this machine does not count.
    claims = new_claims(tmp_path)
    assert (claims.running(CELL) is not None) is alive
    with claims.held(CELL) as taken:
        assert (taken is not None and taken.host == "node7") is alive


def test_a_worker_shows_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "_SECONDS_BETWEEN_BEATS", 0.01)
    with new_claims(tmp_path).held(CELL):
        file = next((tmp_path / FOLDER).rglob("*.claim"))
        os.utime(file, (0, 0))
        for _ in range(500):
            if file.stat().st_mtime > 0:
                return
            subprocess.run(["sleep", "0.01"], check=True)
    pytest.fail("the date of the claim did not change")


def test_an_unwritable_folder_has_no_claims_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file in the place of the folder")
    claims = new_claims(tmp_path)
    with claims.held(CELL) as taken:
        assert taken is None
        claims.settle(CELL, ["reason"], "command")
    assert claims.failure(CELL) is None


# --- Status ---------------------------------------------------------------------------------------------------------


def test_status_tells_done_running_failed_and_left(file: SuiteFile, tmp_path: Path) -> None:
    done, running, failed, interrupted, incomplete, left = chosen_cells(file)
    output_dir = file.output_dir
    claims = new_claims(output_dir)
    for cell in (done, running, interrupted):
        write_record(output_dir, cell)
    write_record(output_dir, incomplete, "standard-f3d12c27-incomplete.json")
    with pytest.raises(KeyboardInterrupt), claims.held(interrupted):
        raise KeyboardInterrupt
    claims.settle(failed, ["No images."], "nvs-eval suite again")
    with claims.held(running):
        status = status_of(SuiteOptions(file=file.file))
    assert status.done == [done]
    assert list(status.running) == [running]
    assert status.left == [interrupted, incomplete, left]
    assert list(status.failed) == [failed]
    assert (status.failed[failed].error, status.failed[failed].command) == ("No images.", "nvs-eval suite again")
    claims.settle(failed, [], "")
    write_record(output_dir, failed)
    assert status_of(SuiteOptions(file=file.file)).failed == {}
    assert status_of(SuiteOptions(file=file.file, only=("fox",))).done == [done, running]


def test_status_needs_records_under_all_protocols(file: SuiteFile, tmp_path: Path) -> None:
    text = file.file.read_text() + "protocol: [standard, inria-3dgs]\n"
    file.file.write_text(text)
    write_record(file.output_dir, CELL)
    assert status_of(SuiteOptions(file=file.file)).done == []
    write_record(file.output_dir, CELL, "inria-3dgs-01234567.json")
    assert status_of(SuiteOptions(file=file.file)).done == [CELL]


def test_status_imports_no_torch() -> None:
    code = "import sys, nvs_eval.evaluation.executors.status; print({'torch', 'numpy'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"set()\n"
