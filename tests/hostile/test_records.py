"""Hostile records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.hostile import Case
from support.hostile_files import LONG, linked_to, plain_record, put, recorded, sparse

TEXT = json.dumps(plain_record())


def replaced(old: str, new: str) -> bytes:
    assert old in TEXT, old
    return TEXT.replace(old, new).encode("utf-8", "surrogatepass")


def at(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets a part of a record, by its path."""

    def change(plain: Any) -> None:
        *path, last = [int(part) if part.isdigit() else part for part in place.split("/")]
        for part in path:
            plain = plain[part]
        plain[last] = value

    return change


def made(content: str | Callable[[Path], object], *command: str) -> Callable[[], list[str]]:
    def make() -> list[str]:
        put(Path("r.json"), content)
        return [*(command or ("table",)), "r.json"]

    return make


def score(value: str) -> bytes:
    return replaced('"scores": {"psnr": 28.25}', f'"scores": {{"psnr": {value}}}')


CASES = {
    "deep list": Case(recorded(b"[" * 100_000), "is not JSON"),
    "deep object": Case(recorded(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "is not JSON"),
    "deep provenance": Case(
        recorded(replaced('{"nvs_eval": "0.1.0"}', '{"a":' * 5000 + "1" + "}" * 5000)), "is not JSON"
    ),
    "surrogate in place of a mapping": Case(
        recorded(replaced('{"nvs_eval": "0.1.0"}', '"\\ud800"')), "must be Unicode text"
    ),
    "millions of values": Case(made("[" + "[]," * 2_500_000 + "[]]"), "at most 4000000 values"),
    "70 MB": Case(made(sparse(70_000_000, TEXT.encode())), "at most 67.1 MB"),
    "terabyte": Case(made(sparse(2**40)), "at most 67.1 MB"),
    "pipe": Case(made(os.mkfifo), "r.json"),
    "pipe in a folder": Case(made(os.mkfifo, "table", "."), "r.json must be a regular file. Got a pipe"),
    "device": Case(made(linked_to("/dev/zero")), "r.json"),
    "device in a folder": Case(made(linked_to("/dev/zero"), "table", "."), "must be a regular file. Got a device"),
    "link to itself": Case(made(linked_to("r.json")), "r.json"),
    "folder": Case(made(os.mkdir), "There is no record"),
    "not UTF-8": Case(recorded(b"\xff\xfe" + TEXT.encode()), "is not JSON"),
    "UTF-16": Case(recorded(TEXT.encode("utf-16")), "is not JSON"),
    "zeros": Case(recorded(bytes(1000)), "is not JSON"),
    "NaN": Case(recorded(score("NaN")), "NaN is not a JSON number"),
    "Infinity": Case(recorded(score("Infinity")), "Infinity is not a JSON number"),
    "1e999": Case(recorded(score("1e999")), "1e999 is too large for a float64"),
    "a float of many digits": Case(recorded(score("1" * 5000 + "e999")), r"1{60}\.\.\. is too large"),
    "10^5000": Case(recorded(score("1" + "0" * 5000)), "is not JSON"),
    "10^400": Case(recorded(score("1" + "0" * 400)), r"psnr must be a number or .inf."),
    "text for a score": Case(recorded(score(f'"{LONG}"')), r"Got .A{59}\.\.\."),
    "list for a score": Case(recorded(score("[" * 200 + "]" * 200)), "psnr must be"),
    "scores twice": Case(
        recorded(score(b"28.25, \\u0022psnr\\u0022: 1".decode("unicode_escape"))), "'psnr' is given twice"
    ),
    "scene twice": Case(
        recorded(replaced('"scene": "fox"', '"scene": "fox", "scene": "garden"')), "'scene' is given twice"
    ),
    "scene twice with a space": Case(
        recorded(replaced('"scene": "fox"', '"scene": "fox", "scene" : "garden"')), "'scene' is given twice"
    ),
    "scene twice by an escape": Case(
        recorded(replaced('"scene": "fox"', r'"scene": "fox", "scen\u0065": "garden"')), "'scene' is given twice"
    ),
    "long key twice": Case(
        recorded(replaced('"scene": "fox"', f'"scene": "fox", "{LONG}": 1, "{LONG}": 2')),
        r"A{59}\.\.\.'? is given twice",
    ),
    "step of 10^30": Case(recorded(at("step", 10**30)), "step"),
    "negative step": Case(recorded(at("step", -60)), "step must be a whole number of at least 0"),
    "width of 0": Case(recorded(at("views/0/width", 0)), "width must be a whole number of at least 1"),
    "negative height": Case(recorded(at("views/0/height", -48)), "height must be a whole number of at least 1"),
    "negative coverage": Case(recorded(at("views/0/coverage", -1)), "coverage must be a number from 0 to 1"),
    "coverage of 150 %": Case(recorded(at("views/1/coverage", 1.5)), "coverage must be a number from 0 to 1"),
    "coverage of 10^308": Case(recorded(at("views/1/coverage", 1e308)), "coverage must be a number from 0 to 1"),
    "width of 10^30": Case(recorded(at("views/0/width", 10**30)), "width"),
    "many decimals": Case(recorded(at("metrics/psnr/decimals", 10**9)), "decimals"),
    "means of many decimals": Case(recorded(at("protocol/definition/round_means", 10**12)), "r.json"),
    "later version": Case(recorded(at("schema_version", 10**60)), r"at most 1\. Got 10{59}\.\.\."),
    "text for the version": Case(recorded(at("schema_version", LONG)), r"Got .A{59}\.\.\."),
    "text for views": Case(recorded(at("views", LONG)), r"views must be .* Got 'A{59}\.\.\."),
    "text for the metrics": Case(recorded(at("metrics", LONG)), "metrics must be"),
    "unknown metric": Case(recorded(at("metrics", {LONG: plain_record()["metrics"]["psnr"]})), r"A{59}"),
    "views of other metrics": Case(recorded(at("views/0/scores", {LONG: 1})), r"must have scores of .*A{40}"),
    "means of other metrics": Case(recorded(at("means", {LONG: 1})), r"means must be of its metrics"),
    "edited mean": Case(recorded(at("means/psnr", 1e300)), "must be 28.25, from its views. Got 1e.300"),
    "edited hash": Case(recorded(at("views_sha256", LONG)), "views_sha256 must be that of its views"),
    "view twice": Case(recorded(at("views/0/name", "0002")), "'0002' must be listed once"),
    "long view twice": Case(
        recorded(lambda plain: [view.update(name=LONG) for view in plain["views"]]),
        r"at most 4096 characters\. Got 'A{59}\.\.\.",
    ),
    "nothing": Case(recorded(b""), "is not JSON"),
    "null": Case(recorded(b"null"), "has no schema_version"),
    "render of another folder": Case(recorded(at("views/0/render", "../../../../../etc/passwd"), "inspect"), "", 0),
    "render with a zero": Case(recorded(at("views/0/render", "a\0b"), "rescore"), "r.json"),
    "render that is a device": Case(
        recorded(
            lambda plain: [view.update(render="/dev/zero", reference="/dev/zero") for view in plain["views"]], "inspect"
        ),
        "",
        0,
    ),
    "renders from a list": Case(recorded(at("provenance/renders_from", [LONG]), "rescore"), "was not kept"),
    "renders from a long path": Case(recorded(at("provenance/renders_from", LONG), "rescore"), "was not kept"),
    "provenance of other types": Case(recorded(at("provenance", {"failed": [1]})), "failed"),
    "failed views of other types": Case(recorded(at("provenance/failed", {"a": {}})), "failed"),
    "null for the definition": Case(recorded(at("protocol/definition", None)), "definition"),
    "unknown definition": Case(
        recorded(at("protocol/definition", {"round_means": None, LONG: LONG}), "inspect"), "", 0
    ),
    "curve of one step": Case(recorded(at("method", LONG[:200]), "curve"), "several steps"),
    "exported surrogates": Case(
        recorded(at("views/0/name", "\ud800"), "export", "--as", "ns-eval", "--output", "out"), "r.json"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_record(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)
