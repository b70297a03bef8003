"""The command `inspect`: reports of runs and records, wrong input, and plugins that are missing or broken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.inspecting import put, run_data, scored, view
from support.scenes import HEIGHT, WIDTH, bitmap

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
    inspect: Callable[..., RunData]
    dist: Any = None

    def load(self) -> Callable[..., RunData]:
        return self.inspect


def plugin(monkeypatch: pytest.MonkeyPatch, inspect: Callable[..., RunData]) -> None:
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", inspect)])


def test_reports_of_runs_and_records(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def inspect(path: Path, *, data: Path | None) -> RunData:
        asked.append((path, data))
        views = [view(put("a.jpg", bitmap(1), format="PNG"))]
        return run_data(views, config=path, name="fox\x1b[31m", training=[view(put("t.png", bitmap(101)))])

    plugin(monkeypatch, inspect)
    write_record(Path("record.json"), scored())
    Path("config.yml").touch()
    said = cli("config.yml", "record.json", "--data", "elsewhere")
    assert (said.code, said.err) == (0, "")
    assert asked == [(Path("config.yml"), Path("elsewhere"))]
    assert said.out.splitlines()[:12] == [
        "fox\\x1b[31m",
        "! References are of another format than their names say: a.jpg is PNG.",
        "config     config.yml",
        "data       ., read by Nerfstudio",
        "split      interval 8",
        "training   1 view",
        "held out   1 of 2: a",
        f"references PNG, {WIDTH}x{HEIGHT}",
        "masks      none with the held-out views",
        "compared   files, bytes and pixels; near duplicates are not looked for",
        "",
        "fox/nerfacto",
    ]
    assert said.out.splitlines()[12] == "· Nothing here invalidates the numbers."


def test_a_terminal_has_the_text_folded_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert lines[1:3] == [
        "! The views are those that were trained on: the",
        "  scores say how well training images are",
    ]


def test_wrong_input_is_said_to_be_so(cli: Callable[..., Said]) -> None:
    needed = "the config.yml of a nerfstudio run, or a record (.json), is needed"
    Path("run").mkdir()
    Path("image.png").touch()
    Path("results.json").write_text("{}")
    cases = {
        ("gone.yml",): f"There is no file gone.yml: {needed}.",
        ("run",): f"run is a folder, and {needed}.",
        ("image.png",): f"image.png is neither of what can be inspected: {needed}.",
        ("results.json",): "results.json is not a record of nvs-eval: it has no schema_version.",
        (): "Nothing was given to inspect: say the config.yml of a run, or a record.",
        ("results.json", "--data", "x"): (
            "--data says where the data of a run lies, and no config.yml of a run was given."
        ),
    }
    for given, message in cases.items():
        assert cli(*given) == (2, "", f"Error: {message}\n")
    Path("run/config.yml").touch()
    assert cli("run").err == f"Error: run is a folder, and {needed}: say run/config.yml.\n"


def test_nothing_is_printed_before_all_was_read(cli: Callable[..., Said]) -> None:
    write_record(Path("record.json"), scored())
    said = cli("record.json", "gone.json")
    assert (said.code, said.out) == (2, "")


def test_the_plugin_is_missing_or_broken(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yml").touch()
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [])
    assert cli("config.yml").err == "Error: Unknown inspector 'nerfstudio'. Known: none.\n"

    class Broken(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise ImportError("No module named 'something'")

    class Distribution(NamedTuple):
        name: str

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Broken("nerfstudio", Distribution("a-plugin"))])
    with pytest.raises(InputError, match="'nerfstudio' of a-plugin cannot be loaded: No module named 'something'"):
        find_inspector("nerfstudio")
