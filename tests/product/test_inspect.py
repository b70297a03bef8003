"""`nvs-eval inspect`: reports of runs and records, wrong input, and missing or broken plugins."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from support.inspecting import put, run_data, scored, view
from support.pinned import Pinned
from support.scenes import bitmap

from nvs_eval.cli import main
from nvs_eval.diagnostics.inspection import RunData, find_inspector
from nvs_eval.errors import InputError
from nvs_eval.records.record import write_record

ENTRY_POINTS = "nvs_eval.system.plugins.entry_points"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*args: str) -> Said:
        capsys.readouterr()
        code = main(["inspect", *args])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


class Entry(NamedTuple):
    name: str
    inspect: Any
    dist: Any = None

    def load(self) -> Callable[..., RunData]:
        return self.inspect


def plugin(monkeypatch: pytest.MonkeyPatch, inspect: Callable[..., RunData]) -> None:
    monkeypatch.setattr(
        ENTRY_POINTS, lambda group: [Entry("nerfstudio", SimpleNamespace(knows=bool, inspect_run=inspect))]
    )


def test_reports_of_runs_and_records(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    calls = []

    def inspect(path: Path, *, data: Path | None, trust: bool) -> RunData:
        calls.append((path, data, trust))
        views = [view(put("a.jpg", bitmap(1), format="PNG"))]
        return run_data(views, config=path, name="fox\x1b[31m", training=[view(put("t.png", bitmap(101)))])

    plugin(monkeypatch, inspect)
    write_record(Path("record.json"), scored())
    Path("config.yml").touch()
    result = cli("config.yml", "record.json", "--data", "elsewhere", "--trust")
    assert (result.code, result.err) == (0, "")
    assert calls == [(Path("config.yml"), Path("elsewhere"), True)]
    lines = result.out.splitlines()
    assert lines[0] == "fox\\x1b[31m"
    assert lines[1].startswith("! ")
    assert [line.split()[0] for line in lines[2:10]] == [
        *("config", "data", "split", "training", "held", "references", "masks", "compared"),
    ]
    assert lines[12].startswith("· ")
    pinned("inspect", "\n".join(lines[:13]))


def test_text_is_wrapped_with_an_indent_in_a_terminal(monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    for name, value in {"TERM": "xterm", "COLUMNS": "50", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    write_record(Path("record.json"), scored(split="train"))
    assert main(["inspect", "record.json"]) == 0
    lines = [line.rstrip() for line in terminal.getvalue().splitlines()]
    assert (lines[1][:2], lines[2][:2]) == ("! ", "  ")
    pinned("inspect", "\n".join(lines[1:3]))


@pytest.mark.parametrize(
    "args",
    [["gone.yml"], ["run"], ["results.json"], [], ["results.json", "--data", "x"], ["trained"]],
    ids=["missing", "a folder", "another JSON file", "nothing", "data of no run", "the folder of a config"],
)
def test_wrong_input(args: list[str], cli: Callable[..., Said], pinned: Pinned) -> None:
    Path("run").mkdir()
    Path("trained").mkdir()
    Path("trained/config.yml").touch()
    Path("results.json").write_text("{}")
    result = cli(*args)
    assert (result.code, result.out) == (2, "")
    pinned("inspect", result.err)


def test_nothing_is_printed_unless_all_arguments_are_read(cli: Callable[..., Said]) -> None:
    write_record(Path("record.json"), scored())
    result = cli("record.json", "gone.json")
    assert (result.code, result.out) == (2, "")


def test_a_missing_or_broken_plugin(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yml").touch()
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [])
    assert cli("config.yml").err == "Error: Exactly one installed inspector must know config.yml; installed: none.\n"

    class Broken(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise ImportError("No module named 'something'")

    class Distribution(NamedTuple):
        name: str

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Broken("nerfstudio", Distribution("a-plugin"))])
    with pytest.raises(InputError, match="'nerfstudio' of a-plugin cannot be loaded: No module named 'something'"):
        find_inspector(Path("config.yml"))
