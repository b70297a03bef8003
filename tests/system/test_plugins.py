from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nvs_eval.errors import InputError
from nvs_eval.system import plugins
from nvs_eval.system.plugins import entry_names, find_plugin


def installed(monkeypatch: pytest.MonkeyPatch, **suffixes: str | None) -> None:
    """Install plugins that know files by their suffix; a plugin with None cannot be loaded."""

    def entry(name: str, suffix: str | None) -> SimpleNamespace:
        def load() -> SimpleNamespace:
            if suffix is None:
                raise ImportError("no module")
            return SimpleNamespace(name=name, knows=lambda path: path.suffix == suffix)

        return SimpleNamespace(name=name, load=load, dist=SimpleNamespace(name=f"{name}-package"))

    entries = [entry(name, suffix) for name, suffix in suffixes.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries)


@pytest.fixture
def find() -> Callable[[str], str]:
    return lambda path: find_plugin("group", Path(path), kind="source").name


def test_the_plugin_that_knows_a_path_is_found(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]) -> None:
    installed(monkeypatch, nerfstudio=".yml", toy=".toy")
    assert (find("config.yml"), find("run.toy")) == ("nerfstudio", "toy")
    assert entry_names("group") == ["nerfstudio", "toy"]


def test_exactly_one_plugin_must_know_a_path(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]) -> None:
    installed(monkeypatch, nerfstudio=".yml", toy=".yml", other=".toy")
    with pytest.raises(InputError, match=r"one installed source must know c\.yml; nerfstudio and toy all read it\."):
        find("c.yml")
    with pytest.raises(InputError, match=r"must know c\.txt; installed: nerfstudio, other, toy\."):
        find("c.txt")


def test_unknown_path_goes_to_the_only_plugin(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]) -> None:
    installed(monkeypatch, nerfstudio=".yml")
    assert find("c.txt") == "nerfstudio"
    installed(monkeypatch)
    with pytest.raises(InputError, match=r"installed: none\."):
        find("c.txt")


def test_broken_plugin_is_named_if_no_other_knows_the_path(
    monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]
) -> None:
    installed(monkeypatch, broken=None, toy=".toy")
    assert find("run.toy") == "toy"
    with pytest.raises(InputError, match="source 'broken' of broken-package cannot be loaded: no module"):
        find("config.yml")


def test_plugin_that_fails_to_look_is_passed_over(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], str]) -> None:
    def fail(path: Path) -> bool:
        raise ValueError("no")

    installed(monkeypatch, nerfstudio=".yml")
    good: Any = plugins.entry_points(group="group")[0]
    bad = SimpleNamespace(name="bad", load=lambda: SimpleNamespace(knows=fail), dist=SimpleNamespace(name="theirs"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [bad, good])
    assert find("config.yml") == "nerfstudio"
    with pytest.raises(InputError, match=r"'bad' cannot say whether it knows c\.txt: ValueError\('no'\)"):
        find("c.txt")
