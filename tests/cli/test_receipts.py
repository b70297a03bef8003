"""A finished command that is repeated prints what it found without doing it again, unless anything has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.protocols import LIGHT
from support.receipts import SCORE
from support.scenes import write_masks, write_pngs

from nvs_eval.evaluation import audit, rescoring, run_checkpoints, score_folders, suite
from nvs_eval.report import loggers
from nvs_eval.report.loggers.runs import LoggedRecord
from nvs_eval.system import cache

pytestmark = pytest.mark.usefixtures("garden")

COMMANDS = {
    "score": SCORE,
    "score in order": (*SCORE, "--match", "order", "--masks", "masks", "--per-view", "--output-dir", "ordered"),
    "audit": ("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml"),
    "rescore": ("rescore", "earlier", "--protocol", "float.yaml"),
    "suite": ("suite", "suite.yaml", "--format", "markdown"),
    "run": ("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_repeated_command_prints_the_same_without_checking(
    command: tuple[str, ...], cli: Callable[..., Said], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener.given[:] = [FakeCheckpoint(1, doubts=["All views are training views."]), FakeCheckpoint(2)]
    first = cli(*command)
    assert first.code == 0
    with monkeypatch.context() as without:
        without.setenv("NVS_EVAL_CACHE", "")
        checked = cli(*command)
    for module, name in (
        (score_folders, "score_folders"),
        (run_checkpoints, "run_checkpoints"),
        (audit, "audit"),
        (rescoring, "rescore"),
        (suite, "open_suite"),
    ):
        monkeypatch.delattr(module, name)
    again = cli(*command)
    assert again == checked
    assert again.out == first.out


CHANGES: dict[str, Callable[[], object]] = {
    "a render": lambda: write_pngs(Path("garden/ours"), {"0001": 99}),
    "date of a render": lambda: os.utime("garden/ours/0001.png", (1, 1)),
    "new file": lambda: shutil.copy("garden/ours/0001.png", "garden/ours/0003.png"),
    "new file of references": lambda: shutil.copy("garden/gt/0001.png", "garden/gt/0003.png"),
    "new file two folders deeper": lambda: _copied("garden/ours/0001.png", "garden/ours/a/b/0003.png"),
    "new reference two folders deeper": lambda: _copied("garden/gt/0001.png", "garden/gt/a/b/0003.png"),
    "missing file": lambda: Path("garden/ours/0001.png").rename("elsewhere.png"),
    "protocol": lambda: Path("light.yaml").write_text(LIGHT.replace("composite", "drop")),
    "record": lambda: _edit(next(Path("nvs-eval-results").rglob("ours/final/*.json"))),
    "lost record": lambda: next(Path("nvs-eval-results").rglob("*.json")).unlink(),
    "record beside the renders": lambda: shutil.copy(next(Path("earlier").rglob("*.json")), "garden/light-1.json"),
    "layout": lambda: Path("garden/ours/cfg_args").write_text("Namespace(sh_degree=3)"),
    "mask": lambda: write_masks(Path("masks"), {"0001": 0.25}),
    "damaged receipt": lambda: [file.write_text("{") for file in Path("cache/receipts").iterdir()],
    "receipt of no records": lambda: _edit_receipt(records=[]),
    "pipe in place of a receipt": lambda: _make_pipes(Path("cache/receipts")),
    "lost receipt": lambda: shutil.rmtree("cache"),
    "leftover of a killed command": lambda: _leave(next(Path("nvs-eval-results").rglob("ours/final/*.json"))),
    "record that is a device": lambda: _replace_by_device(next(Path("nvs-eval-results").rglob("ours/final/*.json"))),
}


def _copied(file: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True)
    shutil.copy(file, target)


def _edit_receipt(**changes: object) -> None:
    (receipt,) = Path("cache/receipts").iterdir()
    receipt.write_text(json.dumps(json.loads(receipt.read_text()) | changes))


def _make_pipes(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
        os.mkfifo(file)


def _leave(record: Path) -> None:
    (record.parent / ".partial").mkdir()
    (record.parent / ".partial" / f"{record.stem}.jsonl").touch()


def _replace_by_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _edit(record: Path) -> None:
    plain = json.loads(record.read_text())
    plain["provenance"]["command"] = ["by", "hand"]
    record.write_text(json.dumps(plain))


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_never_missed(
    change: str, cli: Callable[..., Said], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*SCORE, "--masks", "masks")
    assert cli(*command).code == 0
    opened.clear()
    CHANGES[change]()
    result = cli(*command)
    assert opened == ["checked"]
    assert not list(Path("nvs-eval-results").rglob(".partial"))
    monkeypatch.setenv("NVS_EVAL_CACHE", "")
    again = cli(*command)
    assert again.code == result.code
    assert again.err == result.err or "Record: " in result.err


@pytest.mark.parametrize(
    "option", ["--per-view", "--overwrite", "--rehash", "--every=1 --device=cpu", "variable", "folder"]
)
def test_other_command_has_no_receipt(
    option: str, cli: Callable[..., Said], opened: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli(*SCORE)
    opened.clear()
    if option == "variable":
        monkeypatch.setenv("NVS_EVAL_WEIGHTS", str(tmp_path))
    if option == "folder":
        shutil.copytree(tmp_path, tmp_path / "other", ignore=shutil.ignore_patterns("cache", "other"))
        monkeypatch.chdir(tmp_path / "other")
    options = option.split() if option.startswith("-") else []
    assert cli(*SCORE, *options).code == 0
    assert opened == ["checked"]
    if option in ("--overwrite", "--rehash"):
        assert cli(*SCORE).code == 0  # The new records are those of the plain command.
        assert opened == ["checked"]


def test_a_repeated_command_logs_again(
    cli: Callable[..., Said], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[list[str]] = []

    def log(runs: Sequence[Sequence[LoggedRecord]]) -> list[str]:
        logged.append([one.record.method for run in runs for one in run])
        return []

    monkeypatch.setattr(loggers, "open_sinks", lambda names: dict.fromkeys(names, log))
    command = (*SCORE, "--log", "tensorboard")
    assert cli(*command).code == cli(*command).code == 0
    assert opened == ["checked"]
    assert logged == [["ours", "theirs"]] * 2


def test_upgraded_code_is_checked(cli: Callable[..., Said], opened: list[str], tmp_path: Path) -> None:
    cli(*SCORE)
    opened.clear()
    (receipt,) = Path("cache/receipts").iterdir()
    plain = json.loads(receipt.read_text())
    own = next(file for file in plain["code"] if file.endswith("nvs_eval/protocols.py"))
    plain["code"][own][1] -= 1
    receipt.write_text(json.dumps(plain))
    assert cli(*SCORE).code == 0
    assert opened == ["checked"]


def test_incomplete_and_just_changed_results_have_no_receipt(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RESOLUTION_NS", 10**18)
    assert cli(*SCORE).code == 0
    assert not Path("cache/receipts").exists()
    monkeypatch.setattr(cache, "RESOLUTION_NS", -(10**18))
    damaged = bytearray(Path("garden/ours/0001.png").read_bytes())
    damaged[200:250] = bytes(50)
    Path("garden/ours/0001.png").write_bytes(damaged)
    assert cli(*SCORE, "--output-dir", "out").code == 3
    assert not Path("cache/receipts").exists()


SCRIPT = """\
import sys
from nvs_eval.cli import main
from nvs_eval.system import cache
cache.RESOLUTION_NS = -10**18
cache._devices_in_memory = frozenset
codes = [main(command) for command in %r]
heavy = sorted({"torch", "nerfstudio", "numpy"} & {name.split(".")[0] for name in sys.modules})
print(codes, heavy, file=sys.__stderr__)
"""


def test_repeated_command_imports_no_torch(tmp_path: Path) -> None:
    commands = [command for name, command in COMMANDS.items() if name != "run"]
    (tmp_path / "script.py").write_text(SCRIPT % commands)
    lines = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "script.py"], check=False, capture_output=True, text=True)
        lines.append(done.stderr.splitlines()[-1])
    assert lines == ["[0, 0, 0, 0, 0] ['numpy', 'torch']", "[0, 0, 0, 0, 0] []"]


def test_lost_renders_of_a_run_are_reported(cli: Callable[..., Said], opener: Opener, opened: list[str]) -> None:
    command = COMMANDS["run"]
    assert [cli(*command).code for _ in range(2)] == [0, 0]
    assert opened == ["checked"]
    shutil.rmtree("nvs-eval-results/fox/fake/base/500/renders")
    assert cli(*command).err.count("and its kept renders are no longer there") == 1
    assert opened == ["checked"] * 2
    assert len(opener.rendered) == 6
