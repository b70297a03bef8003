"""Names that act on a terminal, in records, images and arguments. No command prints them as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.hostile import Case
from support.hostile_files import ESCAPE, LONG, SCORE, picture, plain_record, scene, zipped

NAMES = {
    "scene": f"s{ESCAPE}",
    "method": f"m{ESCAPE}",
    "run": f"r{ESCAPE}",
    "split": "test",
    "provenance": {"left_out": {f"w{ESCAPE}": f"y{ESCAPE}"}},
}


def records(folder: str, methods: str = "ab", loss: float = 0.0) -> None:
    """Write records of two methods at two steps, with names that act on a terminal everywhere."""
    Path(folder).mkdir()
    for method in methods:
        for step in (10, 20):
            plain = plain_record(**{**NAMES, "method": f"{method}{ESCAPE}", "step": step})
            plain["protocol"]["name"] = f"p{ESCAPE}"
            for index, view in enumerate(plain["views"]):
                view.update(name=f"{index}{ESCAPE}", render=f"{ESCAPE}.png", own={f"o{ESCAPE}": 1.0})
                view["scores"]["psnr"] += step / 100 - loss + ord(method) / 100
            plain["means"]["psnr"] = sum(view["scores"]["psnr"] for view in plain["views"]) / len(plain["views"])
            del plain["views_sha256"]
            from nvs_eval.records.result_id import sha256_of_lines

            plain["views_sha256"] = sha256_of_lines([view["name"] for view in plain["views"]])
            Path(folder, f"{method}{step}.json").write_text(json.dumps(plain))


COMMANDS = {
    "table": (["table", "r", "--per-view"], 0),
    "table of an unknown metric": (["table", "r", "--metrics", "x"], 2),
    "table in Markdown": (["table", "r", "--format", "markdown"], 0),
    "table in LaTeX": (["table", "r", "--format", "latex"], 0),
    "table in HTML": (["table", "r", "--format", "html"], 0),
    "table in JSON": (["table", "r", "--format", "json"], 0),
    "table in long JSON": (["table", "r", "--format", "json", "--long"], 0),
    "compare": (["compare", "r", "--per-view"], 0),
    "compare in JSON": (["compare", "r", "--format", "json"], 0),
    "compare two": (["compare", "r/a20.json", "q/a20.json"], 0),
    "check": (["check", "r", "--baseline", "q"], 0),
    "check that fails": (["check", "q", "--baseline", "r"], 1),
    "check in JSON": (["check", "q", "--baseline", "r", "--format", "json"], 1),
    "check of others": (["check", "r/a10.json", "--baseline", "r"], 2),
    "curve": (["curve", "r"], 0),
    "curve in JSON": (["curve", "r", "--format", "json"], 0),
    "verify": (["verify", "r"], 2),
    "inspect": (["inspect", "r/a10.json", "r/b20.json"], 0),
    "export": (["export", "r/a10.json", "--as", "ns-eval", "--output", "out"], 0),
    "rescore": (["rescore", "r", "--protocol", "light.yaml"], 2),
}


@pytest.mark.parametrize(("arguments", "code"), COMMANDS.values(), ids=COMMANDS)
def test_no_command_prints_names_as_they_are(
    arguments: list[str], code: int, cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scene()
    records("r")
    records("q", loss=1.0)
    said = cli(*arguments)
    assert said.code == code, said
    for text in (said.out, said.err):
        assert "Traceback" not in text
        bad = [line for line in text.split("\n") if not line.isprintable()]
        assert not bad, bad


def in_folder(name: str, *options: str) -> Callable[[], list[str]]:
    """Return a maker of a scene one of whose views has this name in the references alone."""

    def make() -> list[str]:
        scene()
        Path(os.fsencode("garden/gt").decode(), name).write_bytes(picture())
        return [*SCORE, *options]

    return make


def folder_named(name: str) -> Callable[[], list[str]]:
    def make() -> list[str]:
        scene()
        Path("garden/ours").rename(Path("garden", name))
        return ["score", f"garden/{name}", *SCORE[2:]]

    return make


def archive_named(name: str) -> Callable[[], list[str]]:
    def make() -> list[str]:
        scene()
        Path(name).write_bytes(zipped(("0001.png", picture()), ("0002.png", picture())))
        return ["score", name, *SCORE[2:]]

    return make


ACTS = "\x1b]0;x\x07\u202e"
FILES = {
    "view": Case(in_folder(f"{ACTS}.png"), r"x1b\]0;x"),
    "view that is left out": Case(in_folder(f"{ACTS}.png", "--allow-missing"), "", 0),
    "view of bytes": Case(in_folder(os.fsdecode(b"\xff\xfe.png")), "udcff"),
    "view with a line break": Case(in_folder("a\nError: b.png"), r"a\\nError"),
    "method": Case(folder_named(f"m{ACTS}"), r"x1b\]0;x", 0),
    "method of bytes": Case(folder_named(os.fsdecode(b"m\xff")), "valid Unicode"),
    "archive": Case(archive_named(f"m{ACTS}.zip"), r"x1b\]0;x", 0),
    "argument": Case(lambda: ["table", f"r{ACTS}"], r"x1b\]0;x"),
    "long argument": Case(lambda: ["table", LONG[:4000]], r"'A{59}\.\.\."),
    "long value": Case(lambda: (scene(), [*SCORE, "--background", LONG])[1], r"'A{59}\.\.\."),
}


@pytest.mark.parametrize("case", FILES.values(), ids=FILES)
def test_a_hostile_name(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)


@pytest.mark.parametrize("arguments", [[f"tab{ACTS}"], ["table", "r", f"--nope{ACTS}"], ["curve", "r", f"{ACTS}"]])
def test_errors_of_arguments_escape_them(arguments: list[str], cli: Callable[..., Said]) -> None:
    said = cli(*arguments)
    assert said.code == 2
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Run a command of the shell, with `nvs-eval` as a function, in a folder with a scene."""
    monkeypatch.chdir(tmp_path)
    scene()
    command = f'nvs_eval() {{ "{sys.executable}" -m nvs_eval "$@"; }}; '

    def run(line: str, **environment: str) -> Any:
        environment = {**os.environ, "HOME": str(tmp_path / "home"), **environment}
        done = subprocess.run(
            ["bash", "-c", command + line], env=environment, capture_output=True, text=True, check=False, timeout=100
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    yield run


SCORED = f"nvs_eval {' '.join(SCORE)}"


@pytest.mark.slow
def test_work_is_kept_without_a_stdout(work: Callable[..., Any]) -> None:
    done = work(f"{SCORED} >&-")
    assert (done.returncode, len(list(Path("nvs-eval-results").rglob("*.json")))) == (0, 1), done.stderr
    done = work("nvs_eval table nvs-eval-results | true; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_little_address_space_is_an_error(work: Callable[..., Any]) -> None:
    done = work(f"ulimit -v 1000000; {SCORED}")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: This process has no more memory")


@pytest.mark.slow
def test_an_encoding_of_few_characters(work: Callable[..., Any]) -> None:
    done = work(f"{SCORED} --method ours", LC_ALL="C", PYTHONIOENCODING="ascii", COLUMNS="5")
    assert done.returncode == 0, done.stderr
    assert not list(Path("home").rglob("*")), "the home folder has new files"
