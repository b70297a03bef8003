"""Checkpoints that are evaluated while training writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FakeCheckpoint
from support.commands import Said
from support.protocols import protocol_file

from nvs_eval.errors import InputError
from nvs_eval.evaluation import watching
from nvs_eval.sources import checkpoints as trained

LAST = 300


@dataclass
class Training:
    """A trainer whose runs write a checkpoint whenever the command waits.

    Attributes:
        plan: steps that exist after each wait, by run.
        waits: number of waits so far.
        opened: run and step of each checkpoint that was opened.
        broken: steps that cannot be opened.
        gone: steps that are removed when they are opened.
    """

    plan: dict[str, list[list[int]]]
    waits: int = 0
    opened: list[tuple[str, int]] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    on_wait: Callable[[int], None] = lambda number: None

    def knows(self, path: Path) -> bool:
        return path.read_text() == "whole"

    def saved_steps(self, path: Path, *, trust: bool) -> tuple[list[int], bool]:
        del trust
        of_run = self.plan[path.parent.name]
        steps = [step for step in of_run[min(self.waits, len(of_run) - 1)] if step not in self.gone - {LAST}]
        return steps, LAST in steps

    def open_run(self, path: Path, *, steps: list[int], **options: Any) -> list[FakeCheckpoint]:
        del options
        (step,) = steps
        run = path.parent.name
        self.opened.append((run, step))
        if step in self.broken or step in self.gone:
            raise InputError(f"There is no checkpoint of step {step}.")
        return [FakeCheckpoint(step, scene=run)]

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waits += 1
        self.on_wait(self.waits)
        assert self.waits < 20, "the command does not end"


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)
    made = Training({"fox": [[], [100], [100, 200], [100, 200, LAST]], "bear": [[], [], [LAST]]})
    monkeypatch.setattr(trained, "find_trainer", lambda path: made)
    monkeypatch.setattr(watching, "sleep", made.wait)
    add("fox")
    return made


def add(run: str, content: str = "whole") -> None:
    Path("runs", run).mkdir(parents=True, exist_ok=True)
    Path("runs", run, "config.yml").write_text(content)


def watch(cli: Callable[..., Said], *options: str, runs: str = "runs/fox/config.yml") -> Said:
    return cli("run", "--load-config", runs, "--watch", "--protocol", "light.yaml", *options)


def steps_of(out: str) -> list[list[str]]:
    """Return the steps in each printed table."""
    tables: list[list[str]] = []
    for line in out.splitlines():
        if line.startswith("method"):
            tables.append([])
        elif line.startswith("fake"):
            tables[-1].append(line.split()[2])
    return tables


def test_each_checkpoint_is_evaluated_once_in_order_and_then_the_command_ends(
    cli: Callable[..., Said], training: Training
) -> None:
    result = watch(cli)
    assert result.code == 0
    assert training.opened == [("fox", 100), ("fox", 200), ("fox", LAST)]
    assert steps_of(result.out) == [["100"], ["100", "200"], ["100", "200", str(LAST)]]
    assert result.err.count("Waiting for runs/fox/config.yml ...") == 1
    assert len([*Path("nvs-eval-results").rglob("light-*.json")]) == 3


def test_checkpoints_that_exist_are_not_rendered_again(cli: Callable[..., Said], training: Training) -> None:
    assert watch(cli).code == 0
    again = watch(cli)
    assert again.code == 0
    assert again.err.count("is already scored") == 3
    assert "Rendering" not in again.err


def test_runs_of_a_folder_are_found_as_they_start(cli: Callable[..., Said], training: Training) -> None:
    add("half", "!!pyth")
    training.on_wait = lambda number: add("bear") if number == 1 else None
    assert watch(cli, runs="runs").code == 0
    assert {("bear", LAST), ("fox", LAST)} <= {*training.opened}
    assert len(training.opened) == 4


def test_chosen_steps_end_the_command(cli: Callable[..., Said], training: Training) -> None:
    assert watch(cli, "--steps", "100", "200").code == 0
    assert training.opened == [("fox", 100), ("fox", 200)]


def test_a_checkpoint_that_training_removed_is_named(cli: Callable[..., Said], training: Training) -> None:
    training.gone = {200}
    training.plan["fox"] = [[100], [100, 200], [LAST]]
    saved = training.saved_steps

    def still_there(path: Path, *, trust: bool) -> tuple[list[int], bool]:
        steps, ended = saved(path, trust=trust)
        listed = training.waits == 1 and ("fox", 200) not in training.opened
        return sorted({*steps, *([200] if listed else [])}), ended

    training.saved_steps = still_there  # type: ignore[method-assign]
    result = watch(cli)
    assert result.code == 0
    assert "training removed the checkpoint of step 200 before it was evaluated" in result.err
    assert "--save-only-latest-checkpoint False" in result.err
    assert training.opened[-1] == ("fox", LAST)


def test_a_later_checkpoint_that_fails_does_not_end_the_command(cli: Callable[..., Said], training: Training) -> None:
    training.broken = {200}
    result = watch(cli)
    assert result.code == 3
    assert steps_of(result.out)[-1] == ["100", str(LAST)]
    assert "runs/fox/config.yml, step 200: There is no checkpoint of step 200." in result.err


def test_a_first_checkpoint_that_fails_is_an_error(cli: Callable[..., Said], training: Training) -> None:
    training.broken = {100}
    result = watch(cli)
    assert result.code == 2
    assert training.opened == [("fox", 100)]


def test_the_page_is_made_again_after_each_checkpoint(cli: Callable[..., Said], training: Training) -> None:
    seen: list[int] = []

    def count(number: int) -> None:
        del number
        files = [*Path("page/data").glob("*.js")]
        seen.append(len(json.loads(files[0].read_text()[len('NVS.put("data/0.js",') : -3])["columns"]) if files else 0)

    training.on_wait = count
    result = watch(cli, "--page", "page")
    assert result.code == 0
    assert result.err.splitlines()[-1] == "Page: page/index.html"
    assert "nvs-eval report" not in result.err
    assert seen == [0, 1, 2]
    assert Path("page/index.html").is_file()


def test_other_files_in_the_folder_of_the_page_are_an_error_before_any_work(
    cli: Callable[..., Said], training: Training
) -> None:
    Path("page").mkdir()
    Path("page/notes.txt").write_text("mine")
    result = watch(cli, "--page", "page")
    assert result.code == 2
    assert "files of another origin" in result.err
    assert not training.opened


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--load-config", "runs/fox/config.yml", "--page", "page"), "--page requires --watch"),
        (("--load-config", "runs", "--watch", "--method", "a", "b"), "--method must be one name for all runs"),
    ],
)
def test_impossible_options_are_errors(
    arguments: tuple[str, ...], message: str, cli: Callable[..., Said], training: Training
) -> None:
    result = cli("run", *arguments, "--protocol", "light.yaml")
    assert result.code == 2
    assert message in result.err
    assert not training.opened


def test_a_source_that_cannot_say_what_is_whole_is_named(
    cli: Callable[..., Said], training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "find_trainer", lambda path: object())
    result = watch(cli)
    assert result.code == 2
    assert "does not support --watch" in result.err
