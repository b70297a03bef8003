"""YAML is bounded before its values are built."""

from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path

import pytest

from nvs_eval.errors import InputError
from nvs_eval.system import bounded_yaml
from nvs_eval.system.bounded_yaml import BoundedLoader, UniqueKeyLoader, read_yaml
from nvs_eval.system.yaml_files import config_folder, read_as


def laughs(levels: int, opening: str = "[", closing: str = "]") -> str:
    """Return a document in which each line repeats the one before it nine times."""
    lines = ["a0: &a0 ha"]
    lines += [f"a{n}: &a{n} {opening}{', '.join([f'*a{n - 1}'] * 9)}{closing}" for n in range(1, levels)]
    return "\n".join(lines)


EXPANDING = {
    "aliases": laughs(12),
    "merge keys": "a0: &a0 {k0: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}" for n in range(1, 12)),
    "one long text": f"a: &a {'x' * 60_000}\nb: [{', '.join(['*a'] * 5000)}]",
    "keys of pairs": "\n".join(["? &k0 [a, b]\n: 1", *(f"? &k{n} [*k{n - 1}, *k{n - 1}]\n: 1" for n in range(1, 40))]),
}


@pytest.mark.parametrize("text", EXPANDING.values(), ids=EXPANDING.keys())
@pytest.mark.parametrize("loader", [BoundedLoader, UniqueKeyLoader])
def test_expanding_documents_are_refused_before_they_are_built(text: str, loader: type[BoundedLoader]) -> None:
    tracemalloc.start()
    with pytest.raises(InputError, match=r"at most 100000 values, with each alias counted"):
        loader(text).load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8


def test_a_control_character_is_named_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"^the character '\\x1b' in line 3 is not allowed$"):
        BoundedLoader("a: 1\nb: 2\nc: \x1b[0m\n").load()


def test_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_yaml, "_MOST_VALUES", 1000)
    assert len(BoundedLoader(f"[{'1,' * 999}]").load()) == 999
    with pytest.raises(InputError, match=r"at most 1000 values"):
        BoundedLoader(f"[{'1,' * 1000}]").load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100, r"at most 64 levels deep\. Line 1 is deeper"),
        ("a:\n  b: " + "{c: " * 70, r"Line 2 is deeper"),
        ("- " * 100, r"64 levels"),
        (f"a: 1\nb: {'x' * 70_000}", r"at most 65536 characters\. Line 2 has 70000"),
        ("a: " + ":".join(["1"] * 40_000), r"at most 65536 characters"),
        ("a: 0x" + "f" * 60_000, r"at most 64 bits\. Line 1 has more"),
        (f"a: !<{'t' * 400}> 1", r"at most 300 characters"),
        (f"a: &{'t' * 400} 1", r"at most 300 characters"),
        (f"{'k' * 80}: 1\n{'k' * 80}: 2", r"^k{60}... is given twice, the second time in line 2"),
    ],
)
def test_long_and_deep_documents_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        UniqueKeyLoader(text).load()


@pytest.mark.parametrize("text", [f"a: !!int {'x' * 5000}", f"a: !!{'t' * 280} 1", f"a: {'9' * 5000}"])
def test_other_errors_have_short_messages(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        BoundedLoader(text).load()
    assert not isinstance(error.value, InputError)
    assert len(str(error.value)) < 400


def test_aliases_and_merge_keys_are_read() -> None:
    assert UniqueKeyLoader("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}").load() == {
        "a": {"x": 1},
        "b": {"x": 1, "y": [{"x": 1}, {"x": 1}]},
    }
    (recursive,) = BoundedLoader("- &a [*a]").load()
    assert recursive[0] is recursive


def test_files_of_nvs_eval_are_far_below_the_bounds() -> None:
    for path in config_folder().rglob("*.yaml"):
        loader = UniqueKeyLoader(read_yaml(path, "A file"))
        loader.load()
        assert loader._count < 2000


def test_large_and_special_files_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(InputError, match=rf"^The suite file {re.escape(str(large))} must have at most 4\.2 MB"):
        read_as(large, "suite", lambda value: value)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match=r"pipe\.yaml must be a regular file"):
        read_as(tmp_path / "pipe.yaml", "suite", lambda value: value)
    (tmp_path / "text.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"text\.yaml is not YAML, because it is not text"):
        read_as(tmp_path / "text.yaml", "suite", lambda value: value)
    with pytest.raises(InputError, match=r"gone\.yaml cannot be read: No such file"):
        read_as(tmp_path / "gone.yaml", "suite", lambda value: value)
