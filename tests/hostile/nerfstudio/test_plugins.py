"""Classes of nerfstudio plugins that a hostile configuration names, given to `nvs-eval run`."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.hostile import Case, Payload

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from support.tiny_run import RUN, write_run

from nvs_eval_nerfstudio import source

UNKNOWN = r"is not known to load plain files only.*--trust"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    source._built.clear()


PLUGIN = """
import pickle, subprocess, urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Type
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.dataparsers.nerfstudio_dataparser import Nerfstudio, NerfstudioDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset

class Parser(Nerfstudio): pass
class Data(InputDataset): pass
class OfData(VanillaDataManager[Data]): pass

class Unpickles(VanillaDataManager):
    def create_eval_dataset(self):
        pickle.loads(Path("payload").read_bytes())

class Starts(VanillaDataManager):
    def create_eval_dataset(self):
        try:
            subprocess.run("touch canary", shell=True)
        except Exception:
            pass
        return super().create_eval_dataset()

class Fetches(VanillaDataManager):
    def create_eval_dataset(self):
        urllib.request.urlopen("http://127.0.0.1:1/")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A registered plugin of a few classes."""
    folder = tmp_path / "packages" / "ns_test_hostile"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "config.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("NERFSTUDIO_METHOD_CONFIGS", "hostile=ns_test_hostile.config:method")
    import ns_test_hostile.config as module  # pyright: ignore[reportMissingImports]

    yield module
    for name in [name for name in sys.modules if name.startswith("ns_test_hostile")]:
        del sys.modules[name]


OF_PLUGINS = {
    "a data parser": ("dataparser", "Parser", rf"ns_test_hostile\.config\.Parser {UNKNOWN}"),
    "a dataset": ("manager", "OfData", rf"ns_test_hostile\.config\.Data {UNKNOWN}"),
    "a pickle": ("manager", "Unpickles", r"ns_test_hostile\.config\.Unpickles tried to unpickle posix\.system"),
    "a program": ("manager", "Starts", r"ns_test_hostile\.config\.Starts tried to start a program \(.*touch canary\)"),
    "the network": ("manager", "Fetches", r"ns_test_hostile\.config\.Fetches tried to use the network"),
}


@pytest.mark.parametrize(("place", "name", "message"), OF_PLUGINS.values(), ids=OF_PLUGINS.keys())
def test_hostile_classes_of_plugins(
    place: str, name: str, message: str, plugin: Any, meets: Callable[[Case], Said]
) -> None:
    def change(run: Any) -> None:
        parent = run.pipeline.datamanager
        (parent.dataparser if place == "dataparser" else parent)._target = getattr(plugin, name)

    def make() -> list[str]:
        write_run(change)
        Path("payload").write_bytes(pickle.dumps(Payload()))
        return RUN

    meets(Case(make, message))
