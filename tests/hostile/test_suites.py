"""Hostile suite files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.hostile import Case
from support.hostile_files import LONG, linked_to, put, scene

FILE = "protocol: light.yaml\nscenes: [garden]\nmethods: {ours: {score: '{scene}/ours', reference: '{scene}/gt'}}\n"


def suite(content: str | bytes | Callable[[Path], object], *options: str) -> Callable[[], list[str]]:
    """Return a maker of a scene with a hostile suite file."""

    def make() -> list[str]:
        scene()
        put(Path("s.yaml"), content)
        return ["suite", "s.yaml", *options]

    return make


def of_scenes(scenes: str) -> Callable[[], list[str]]:
    return suite(FILE.replace("[garden]", scenes))


def of_path(path: str) -> Callable[[], list[str]]:
    return suite(FILE.replace("'{scene}/ours'", path))


CASES = {
    "valid": Case(suite(FILE), "28.13", 0),
    "no list": Case(suite("1"), "s.yaml"),
    "scene above": Case(of_scenes("['../../etc']"), "s.yaml|Missing", 3),
    "scene that acts": Case(of_scenes('["a\\e]0;x\\a\\u202e"]'), r"x1b\]0;x", 3),
    "scene with a zero": Case(of_scenes('["a\\0b"]'), r"x00b"),
    "long scene": Case(of_scenes(f"[{LONG[:5000]}]"), r"at most 200 characters\. Got 'A{59}\.\.\."),
    "scene twice": Case(of_scenes("[garden, garden]"), "'garden' appears twice"),
    "scenes of one folder": Case(of_scenes("['a/b', 'a:b']"), "the same folder"),
    "scene of numbers": Case(of_scenes("[1]"), "in quotes"),
    "scenes in a mapping": Case(of_scenes("{a: {b: c}}"), "scenes"),
    "many scenes": Case(of_scenes(f"[{','.join(f's{index}' for index in range(200))}]"), "and 191 more", 3),
    "long method": Case(suite(FILE.replace("ours:", f"{LONG[:900]}:")), "200 characters"),
    "method that acts": Case(suite(FILE.replace("ours:", '"a\\e]0;x\\a":')), r"x1b\]0;x", 0),
    "method of other fields": Case(suite(FILE.replace("reference:", f"{LONG[:900]}:")), r"'A{59}\.\.\."),
    "method of two commands": Case(suite(FILE.replace("reference:", "run:")), "either `score:`"),
    "output that is a device": Case(suite(FILE + "output_dir: /dev/null\n"), "/dev/null is not a folder"),
    "output with a zero": Case(suite(FILE + 'output_dir: "a\\0b"\n'), "s.yaml|x00b"),
    "unknown home": Case(suite(FILE + "output_dir: ~nobody-of-this-name/x\n"), "home folder is unknown"),
    "unknown home of renders": Case(of_path("~nobody-of-this-name/x"), "home folder is unknown"),
    "attribute": Case(of_path("'{scene.__class__.__mro__}'"), "[Pp]laceholder"),
    "format": Case(of_path("'{scene:>1000000000}'"), "[Pp]laceholder"),
    "conversion": Case(of_path("'{scene!r}'"), "[Pp]laceholder"),
    "nested format": Case(of_path("'{scene:{scene}}'"), "[Pp]laceholder"),
    "open brace": Case(of_path("'{'"), "placeholders"),
    "pattern of the whole disk": Case(of_path("'/**/*'"), r"must search at most 200000 files. More lie below /\."),
    "no views": Case(suite(f"views: []\n{FILE}"), "views must have at least one value. Got none"),
    "no views of a method": Case(suite(FILE.replace("reference:", "views: [], reference:")), "views must have"),
    "unknown placeholder": Case(of_path(f"'{{{LONG[:900]}}}'"), r"A{50}"),
    "brackets": Case(of_path("'[[[[[!'"), "", 3),
    "path with a zero": Case(of_path('"a\\0b"'), "null character"),
    "long path": Case(of_path(f"'{LONG[:400]}'"), "Missing", 3),
    "renders that are a pipe": Case(lambda: (os.mkfifo("p"), of_path("p")())[1], "p", 3),
    "suite that is a pipe": Case(lambda: (os.mkfifo("q.yaml"), suite(f"suite: q.yaml\n{FILE}")())[1], "Got a pipe"),
    "suite of itself": Case(suite(f"suite: s.yaml\n{FILE}"), "s.yaml"),
    "protocol that is a pipe": Case(
        lambda: (os.mkfifo("q.yaml"), suite(FILE.replace("light", "q"))())[1], "Got a pipe"
    ),
    "pipe": Case(suite(os.mkfifo), "Got a pipe"),
    "device": Case(suite(linked_to("/dev/zero")), "Got a device"),
    "aliases": Case(
        suite(
            "a: &a [1,1,1,1]\n"
            + "".join(f"{b}: &{b} [*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True))
        ),
        "at most 100000 values",
    ),
    "device option": Case(suite(f"device: {LONG[:900]}\n{FILE}"), "device"),
    "negative option": Case(suite(f"every: -1\n{FILE}"), "the method ours: --every must be"),
    "output below a file": Case(suite(FILE + "output_dir: s.yaml/out\n"), "s.yaml is not a folder"),
    "background": Case(suite(f"background: {LONG[:900]}\n{FILE}"), r"A{50}"),
    "memory": Case(suite(f"max_memory: {'9' * 900}GB\n{FILE}"), "", 0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_suite(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)
