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
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_file
from support.scenes import write_garden, write_masks, write_pngs

from nvs_eval.cli import receipts
from nvs_eval.evaluation import audit, rescoring, run_checkpoints, score_folders, suite
from nvs_eval.report import loggers
from nvs_eval.report.loggers.runs import LoggedRecord
from nvs_eval.system import cache

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")
COMMANDS = {
    "score": SCORE,
    "score in order": (*SCORE, "--match", "order", "--masks", "masks", "--per-view", "--output-dir", "ordered"),
    "audit": ("audit", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml"),
    "rescore": ("rescore", "earlier", "--protocol", "float.yaml"),
    "suite": ("suite", "suite.yaml", "--format", "markdown"),
    "run": ("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml"),
}
SUITE = """\
scenes: [garden]
protocol: light.yaml
output_dir: of suite
methods:
  ours: {score: "{scene}/ours", reference: "{scene}/gt"}
"""


@pytest.fixture(autouse=True)
def garden(here: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said]) -> Path:
    for text, name in ((LIGHT, "light"), (FLOAT, "float"), (IGNORING, "ignoring")):
        protocol_file(here, text, f"{name}.yaml")
    shutil.rmtree("garden")
    write_masks(Path("masks"), {"0001": 1.0, "0002": 0.5})
    (here / "suite.yaml").write_text(SUITE)
    (here / "config.yml").touch()
    write_garden(here / "garden")
    assert cli(*SCORE, "--output-dir", "earlier").code == 0
    monkeypatch.setenv("NVS_EVAL_CACHE", str(here / "cache"))
    monkeypatch.setattr(cache, "RESOLUTION_NS", -(10**18))  # Files that were written just now count.
    return here / "garden"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands that are not answered by a receipt."""
    calls: list[str] = []
    place = receipts.Receipt.find

    def find(self: receipts.Receipt, callbacks: object) -> object:
        found = place(self, callbacks)  # pyright: ignore[reportArgumentType]
        if found is None:
            calls.append("checked")
        return found

    monkeypatch.setattr(receipts.Receipt, "find", find)
    return calls


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
    "lost receipt": lambda: shutil.rmtree("cache"),
}


def _copied(file: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True)
    shutil.copy(file, target)


def _edit(record: Path) -> None:
    plain = json.loads(record.read_text())
    plain["provenance"]["command"] = ["by", "hand"]
    record.write_text(json.dumps(plain))


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_never_missed(change: str, cli: Callable[..., Said], opened: list[str]) -> None:
    command = (*SCORE, "--masks", "masks")
    assert cli(*command).code == 0
    opened.clear()
    CHANGES[change]()
    result = cli(*command)
    assert opened == ["checked"]
    with_cache = dict(os.environ)
    os.environ["NVS_EVAL_CACHE"] = ""
    assert cli(*command).code == result.code
    os.environ.update(with_cache)


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


@pytest.mark.parametrize("output", [".", "garden", "garden/ours"])
def test_renders_in_the_output_folder_are_checked(
    output: str, garden: Path, cli: Callable[..., Said], opened: list[str]
) -> None:
    command = (*SCORE, "--output-dir", output)
    assert [cli(*command).code for _ in range(3)] == [0, 0, 0]
    assert len(opened) in (1, 2)  # The first command changes a folder that it reads.
    write_pngs(garden / "ours", {"0001": 77})
    opened.clear()
    assert cli(*command).code == 2
    assert opened


@pytest.mark.parametrize("place", ["cache", "home"])
def test_a_protocol_in_a_cache_is_checked(
    place: str, garden: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    del garden
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    Path(place).mkdir(exist_ok=True)
    file = Path(place, "light.yaml")
    file.write_text(LIGHT)
    command = (*SCORE[:-1], str(file))
    assert [cli(*command).code for _ in range(2)] == [0, 0]
    before = sorted(Path("nvs-eval-results").rglob("*.json"))
    file.write_text(LIGHT.replace("crop: 0", "crop: 1") if "crop: 0" in LIGHT else LIGHT + "crop: 1\n")
    assert cli(*command).code == 0
    assert sorted(Path("nvs-eval-results").rglob("*.json")) != before
