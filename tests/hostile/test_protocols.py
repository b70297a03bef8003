"""Hostile protocols, and published numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.hostile import TOUCH, Case
from support.hostile_files import LONG, PROTOCOL, linked_to, put, scene, sparse

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)


def protocol(content: str | bytes | Callable[[Path], object]) -> Callable[[], list[str]]:
    """Return a maker of a scene with a hostile protocol."""

    def make() -> list[str]:
        scene()
        put(Path("p.yaml"), content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return ["score", "garden/ours", "--reference", "garden/gt", "--protocol", "p.yaml"]

    return make


def changed(field: str, value: str) -> Callable[[], list[str]]:
    lines = [f"{field}: {value}" if line.startswith(f"{field}:") else line for line in PROTOCOL.splitlines()]
    return protocol("\n".join(lines))


def psnr(parameters: str, key: str = "psnr") -> Callable[[], list[str]]:
    return protocol(PROTOCOL.replace("  psnr: {data_range: 1}", f"  {key}: {parameters}"))


CASES = {
    "aliases that expand": Case(protocol(LAUGHS), r"at most 100000 values, with each alias counted"),
    "merge keys that expand": Case(protocol(MERGES), "at most 100000 values"),
    "alias inside itself": Case(protocol("a: &a [*a]\n" + PROTOCOL), r"p\.yaml"),
    "many metrics": Case(
        psnr("{data_range: 1}\n" + "".join(f"  psnr_{index}: {{data_range: 1}}\n" for index in range(2000))),
        "metrics must be at most 64. Got 200[12]",
        seconds=5,
    ),
    "name of ours": Case(changed("name", "standard"), "'standard' belongs to the protocol [0-9a-f]{8} of nvs"),
    "lone surrogate": Case(changed("name", '"\\uD800"'), r"must be Unicode.*Got '\\ud800'"),
    "deep": Case(protocol("a: " + "[" * 3000 + "]" * 3000), "at most 64 levels deep"),
    "deep without an end": Case(protocol("[" * 100_000), r"p\.yaml"),
    "5 MB": Case(protocol("a: " + "x" * 5_000_000), "at most 4.2 MB"),
    "terabyte": Case(protocol(sparse(2**40, PROTOCOL.encode())), "at most 4.2 MB"),
    "long value": Case(changed("name", LONG), "at most 65536 characters"),
    "long choice": Case(changed("alpha", LONG[:60_000]), r"'A{59}\.\.\."),
    "long field": Case(protocol(f"{PROTOCOL}{LONG[:1000]}: 1\n"), r"'A{59}\.\.\."),
    "long tag": Case(protocol(f"a: !{LONG} 1"), "at most 300 characters"),
    "long anchor": Case(protocol(f"a: &{LONG} 1"), "at most 300 characters"),
    "tag of Python": Case(
        protocol(f"a: !!python/object/apply:os.system ['{TOUCH}']"), "could not determine a constructor"
    ),
    "name of Python": Case(protocol("a: !!python/name:os.system"), "could not determine a constructor"),
    "10^5000": Case(changed("crop", "1" + "0" * 5000), r"p\.yaml"),
    "10^40": Case(changed("crop", "1" + "0" * 40), "at most 64 bits"),
    "digits of base 60": Case(changed("crop", "1:" * 30_000 + "1"), r"p\.yaml"),
    "1e999": Case(psnr("{data_range: 1.0e+999}"), "data_range"),
    "infinity": Case(psnr("{data_range: .inf}"), "data_range"),
    "NaN": Case(psnr("{data_range: .nan}"), "data_range"),
    "negative": Case(changed("crop", "-1"), "crop must be a whole number of at least 0"),
    "larger than images": Case(changed("crop", "9223372036854775807"), "crop|removes the whole image", 2),
    "field twice": Case(protocol(PROTOCOL + "crop: 1\n"), "crop is given twice"),
    "long field twice": Case(protocol(f"{LONG[:999]}: 1\n{LONG[:999]}: 2\n"), r"A{60}\.\.\. is given twice"),
    "list as a field": Case(protocol("? [[a]]\n: 1\n"), r"p\.yaml"),
    "mapping as a field": Case(protocol("? {a: {b: c}}\n: 1\n"), r"p\.yaml"),
    "set": Case(protocol("a: !!set {x, y}\n"), r"p\.yaml"),
    "impossible date": Case(changed("name", "2024-13-45"), r"p\.yaml"),
    "date": Case(changed("name", "2024-12-31"), "name must be a string"),
    "binary": Case(changed("name", "!!binary AAAA"), "name must be a string"),
    "unknown metric": Case(psnr("{}", LONG[:1000]), r"A{50}"),
    "metric that acts": Case(psnr("{}", '"\\e]0;x\\a"'), r"x1b\]0;x"),
    "name that acts": Case(changed("name", '"a\\e[31m\\u202e"'), "", 0),
    "long name": Case(changed("name", "a" * 5000), r"p\.yaml|name"),
    "name of a path": Case(changed("name", "../../../etc/x"), "", 0),
    "bytes that are no text": Case(protocol(b"\xff\xfe\xfd"), "not text"),
    "zeros": Case(protocol(bytes(100)), "is not YAML"),
    "several documents": Case(protocol(f"{PROTOCOL}---\n{PROTOCOL}"), "single document"),
    "empty": Case(protocol(b""), "must be"),
    "list": Case(protocol("[1, 2]"), "must be"),
    "undefined alias": Case(protocol("a: *b"), "undefined alias"),
    "pipe": Case(protocol(os.mkfifo), "Got a pipe"),
    "device": Case(protocol(linked_to("/dev/zero")), "Got a device"),
    "folder": Case(protocol(os.mkdir), "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_protocol(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)


PUBLISHED = """\
name: a
title: b
source: c
protocol: {name: standard, fingerprint: "9f2c51ab"}
suites: [mipnerf360]
scores:
  garden: {psnr: "27.41"}
"""


def published(old: str = "", new: str = "") -> Callable[[], list[str]]:
    def make() -> list[str]:
        assert old in PUBLISHED
        Path("p.yaml").write_text(PUBLISHED.replace(old, new) if old else PUBLISHED)
        return ["published", "p.yaml"]

    return make


NUMBERS = {
    "valid": Case(published(), "27.41", 0),
    "many digits": Case(published("27.41", "1" * 50_000), r"must be between .* Got 1{60}\.\.\."),
    "scene": Case(published("garden", LONG[:1000]), r"'A{59}\.\.\."),
    "metric": Case(published("psnr", LONG[:1000]), r"'A{59}\.\.\."),
    "suite": Case(published("mipnerf360", LONG[:1000]), r"'A{59}\.\.\."),
    "suite that is a path": Case(published("mipnerf360", "/dev/zero"), "Unknown suite"),
    "suite twice": Case(
        published("[mipnerf360]", f"[{LONG[:999]}, {LONG[:999]}]"), r"at most 200 characters\. Got 'A{59}\.\.\."
    ),
    "title that acts": Case(published("title: b", 'title: "\\e]0;x\\a\\u202e"'), r"x1b\]0;x", 0),
    "fingerprint": Case(published("9f2c51ab", "9" * 9000), "fingerprint"),
}


@pytest.mark.parametrize("case", NUMBERS.values(), ids=NUMBERS)
def test_hostile_published_numbers(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)
