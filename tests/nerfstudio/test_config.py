"""Loading a run's config.yml: everything that nerfstudio writes is read, and no code from the file runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PosixPath
from textwrap import dedent
from typing import Any

import pytest
import yaml

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.admitted import admitted_packages
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()

from nerfstudio.configs.method_configs import all_methods  # noqa: E402
from nerfstudio.engine.trainer import TrainerConfig  # noqa: E402

FOX = Path("../shared/runs/fox/nerfacto")
METHODS = sorted(name for name, config in all_methods.items() if isinstance(config, TrainerConfig))
TRAINER = "!!python/object:nerfstudio.engine.trainer.TrainerConfig"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Create an importable package, registered as a plugin unless the test disables that."""

    def make(name: str, source: str, *, registered: bool = True) -> None:
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "config.py").write_text(dedent(source))
        monkeypatch.syspath_prepend(folder.parent)
        if registered:
            monkeypatch.setenv("NERFSTUDIO_METHOD_CONFIGS", f"mine={name}.config:method")

    yield make
    for name in [name for name in sys.modules if name.split(".")[0].startswith("ns_test_")]:
        del sys.modules[name]


def field(value: str) -> str:
    """Return the configuration of a run with a hostile or unusual value on line 2."""
    return f"{TRAINER}\nprompt: {value}\nmethod_name: mine\n"


def refusal(path: Path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(InputError) as error:
        load_config(path)
    return str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_every_registered_method_round_trips(method, write):
    written = yaml.dump(all_methods[method])
    # Its dataset fetches code: see tests/hostile/nerfstudio/test_configs.py.
    assert yaml.dump(load_config(write(written), trust=method == "depth-nerfacto")) == written


def test_methods_include_the_common_ones():
    assert {"nerfacto", "splatfacto", "depth-nerfacto", "instant-ngp", "tensorf"} <= set(METHODS)


@pytest.mark.parametrize("run", ["base", "small"])
def test_trained_run_round_trips(run):
    path = FOX / run / "config.yml"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    config = load_config(path)
    assert yaml.dump(config) == path.read_text()
    assert config.timestamp == run
    assert config.pipeline.datamanager.data is config.data  # An alias refers to one object.
    assert config.get_checkpoint_dir() == FOX / run / "nerfstudio_models"


# --- Hostile files. With nerfstudio's own loader, each would create the file `canary` or help to do so. ---

HOSTILE = {
    "os.system": "!!python/object/apply:os.system ['touch canary']",
    "posix.system": "!!python/object/apply:posix.system ['touch canary']",
    "builtins.eval": "!!python/object/apply:builtins.eval [\"open('canary', 'w')\"]",
    "eval without module": "!!python/object/apply:eval [\"open('canary', 'w')\"]",
    "Popen applied": "!!python/object/apply:subprocess.Popen [[touch, canary]]",
    "Popen made": "!!python/object/new:subprocess.Popen [[touch, canary]]",
    "Popen object": "!!python/object:subprocess.Popen {args: [touch, canary]}",
    "nerfstudio's shell": "!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch canary']",
    "nerfstudio's shell, named": "!!python/name:nerfstudio.utils.scripts.run_command ''",
    "nerfstudio's import": "!!python/name:nerfstudio.utils.scripts.subprocess ''",
    "a class that nerfstudio imported": "!!python/name:nerfstudio.utils.rich_utils.Console ''",
    "a nerfstudio class, applied": "!!python/object/apply:nerfstudio.configs.base_config.MachineConfig [1]",
    "a nerfstudio class, made": "!!python/object/new:nerfstudio.configs.base_config.MachineConfig [1]",
    "not a dataclass": "!!python/object:nerfstudio.engine.trainer.Trainer {}",
    "a function by name": "!!python/name:os.system ''",
    "a builtin by name": "!!python/name:exec ''",
    "a module": "!!python/module:os ''",
    "a module of nerfstudio": "!!python/module:nerfstudio.utils.scripts ''",
    "a program of ours": "!!python/name:nvs_eval.__main__.main ''",
    "torch.load": "!!python/object/apply:torch.load [canary]",
    "torch.hub.load": "!!python/name:torch.hub.load ''",
    "not an optimiser": "!!python/name:torch.optim.optimizer.Path ''",
    "getattr of a class": "!!python/object/apply:builtins.getattr [!!python/name:torch.optim.adam.Adam '', step]",
    "getattr of a value": "!!python/object/apply:builtins.getattr ['', __class__]",
    "getitem of a value": "!!python/object/apply:_operator.getitem [[1, 2], 0]",
    "a new enumeration": "!!python/object/apply:nerfstudio.utils.writer.EventName [Made, [A, B]]",
    "keyword arguments": "!!python/object/apply:pathlib.PosixPath {args: [a]}",
    "a path that is not text": "!!python/object/apply:pathlib.PosixPath [[a]]",
    "a private tag": "!system 'touch canary'",
    "a state that is a list": "!!python/object:nerfstudio.configs.base_config.MachineConfig [1]",
    "the class": "!!python/object:nerfstudio.configs.base_config.MachineConfig {__class__: 1}",
    "the dictionary": "!!python/object:nerfstudio.configs.base_config.MachineConfig {__dict__: {}}",
    "a key of another type": "!!python/object:nerfstudio.configs.base_config.MachineConfig {1: 2}",
    "a method": (
        "!!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig "
        "{setup: !!python/name:nerfstudio.data.utils.nerfstudio_collate.nerfstudio_collate ''}"
    ),
    "a function as target": (
        "!!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig "
        "{_target: !!python/name:nerfstudio.data.utils.nerfstudio_collate.nerfstudio_collate ''}"
    ),
    "deep in a list": "[1, {a: !!python/tuple [!!python/object/apply:os.system ['touch canary']]}]",
    "as a key": "{!!python/object/apply:os.system ['touch canary'] : 1}",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_values_are_refused_by_line_and_do_not_run(value, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(field(value))
    message = refusal(path)
    assert message.startswith(f"{path}, line 2: !")
    tags = re.findall(r"!+[\w/]+:?[\w.]*", value)
    assert any(f"line 2: {tag} is refused" in message for tag in tags), message
    assert not (tmp_path / "canary").exists()


def test_unsafe_loader_creates_the_canary(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yaml.load(write(field(HOSTILE["os.system"])).read_text(), Loader=yaml.UnsafeLoader)
    assert (tmp_path / "canary").exists()


def test_hostile_file_that_is_not_a_configuration(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(write(HOSTILE["os.system"]))
    assert "line 1: !!python/object/apply:os.system is refused" in message
    assert not (tmp_path / "canary").exists()


TOUCHES_CANARY = "from pathlib import Path\nPath('canary').touch()\n"


def test_unregistered_package_is_not_imported(write, plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin("ns_test_foreign", TOUCHES_CANARY, registered=False)
    message = refusal(write(field("!!python/name:ns_test_foreign.config.Thing ''")))
    assert "'ns_test_foreign' registers no nerfstudio method" in message
    assert not (tmp_path / "canary").exists()
    assert "ns_test_foreign" not in sys.modules


def test_error_names_the_missing_package_and_the_method(write):
    message = refusal(write(field("!!python/object:ns_test_absent.config.Thing {}")))
    assert "'ns_test_absent' is not installed" in message
    assert "'mine'" in message


@pytest.mark.parametrize("method", ["__setstate__", "__del__"])
def test_class_whose_method_would_run_is_refused(method, write, plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin(
        "ns_test_runs",
        f"""
        from dataclasses import dataclass
        from pathlib import Path

        @dataclass
        class Thing:
            a: int = 1

            def {method}(self, *state):
                Path("canary").touch()
        """,
    )
    assert method in refusal(write(field("!!python/object:ns_test_runs.config.Thing {a: 2}")))
    assert not (tmp_path / "canary").exists()


def test_slots_are_refused(write, plugin):
    plugin(
        "ns_test_slots",
        """
        from dataclasses import dataclass

        @dataclass(slots=True)
        class Thing:
            a: int = 1
        """,
    )
    assert "slots" in refusal(write(field("!!python/object:ns_test_slots.config.Thing {a: 2}")))


# --- Registered plugins ---


def test_constructors_do_not_run(write, plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin(
        "ns_test_init",
        """
        from dataclasses import dataclass
        from pathlib import Path

        @dataclass
        class Thing:
            a: int = 1

            def __new__(cls, *arguments):
                Path("canary").touch()

            def __init__(self, a):
                Path("canary").touch()

            def __post_init__(self):
                Path("canary").touch()

            def __setattr__(self, name, value):
                Path("canary").touch()
        """,
    )
    config: Any = load_config(write(field("!!python/object:ns_test_init.config.Thing {a: 2}")))
    assert config.prompt.a == 2
    assert not (tmp_path / "canary").exists()


FROZEN = """
from dataclasses import dataclass, field
from enum import Enum

class Kind(str, Enum):
    FINE = "fine"
    COARSE = "coarse"

def shade(x):
    return x

@dataclass(frozen=True)
class Inner:
    name: str
    numbers: tuple[int, ...] = ()

@dataclass(frozen=True)
class Thing:
    original: type
    inner: tuple[Inner, ...] = ()
    kind: Kind = Kind.FINE
    shade: object = shade
    made: dict = field(default_factory=dict)

    def __call__(self, config, **kwargs):
        return self.original(config, **kwargs)
"""


def test_values_of_a_plugin_round_trip(write, plugin):
    plugin("ns_test_frozen", FROZEN)
    from ns_test_frozen.config import Inner, Kind, Thing  # pyright: ignore[reportMissingImports]

    config = load_config(write(yaml.dump(all_methods["nerfacto"])))
    inner = Inner("a", (1, 2))
    thing = vars(config.pipeline)["thing"] = Thing(config.pipeline._target, (inner, inner), Kind.COARSE)
    written = yaml.dump(config)
    read: Any = load_config(write(written))
    assert yaml.dump(read) == written
    assert read.pipeline.thing == thing
    assert hash(read.pipeline.thing.inner) == hash((inner, inner))
    assert read.pipeline.thing.inner[0] is read.pipeline.thing.inner[1]
    config.pipeline._target = thing
    assert "VanillaPipelineConfig is refused: it names no class to build" in refusal(write(yaml.dump(config)))


def test_error_names_a_plugin_whose_import_fails(write, plugin):
    plugin("ns_test_broken", "import ns_test_lacking\n")
    message = refusal(write(field("!!python/name:ns_test_broken.config.Thing ''")))
    assert "ns_test_broken.config" in message
    assert "No module named 'ns_test_lacking'" in message


def test_packages_of_a_registered_distribution_are_admitted(tmp_path, monkeypatch):
    info = tmp_path / "ns_test_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ns-test-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nerfstudio.dataparser_configs]\nx = ns_test_a.b:c\n")
    (info / "RECORD").write_text("ns_test_a/b.py,,\nns_test_more/__init__.py,,\n../../bin/tool.py,,\nos.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NERFSTUDIO_DATAPARSER_CONFIGS", "one=ns_test_env.x:y,,two=ns_test_two:y")
    admitted = admitted_packages()
    assert {"ns_test_a", "ns_test_more", "ns_test_env", "ns_test_two"} <= admitted
    assert {"nerfstudio", "nvs_eval", "nvs_eval_nerfstudio"} <= admitted
    assert not admitted & {"os", "..", "torch", "yaml", ""}


def test_top_level_txt_is_read_if_present(tmp_path, monkeypatch):
    info = tmp_path / "ns_test_old-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ns-test-old\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nerfstudio.method_configs]\nx = ns_test_a.b:c\n")
    (info / "top_level.txt").write_text("ns_test_a\nns_test_second\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert {"ns_test_a", "ns_test_second"} <= admitted_packages()


# --- Files from other versions and machines ---


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("pathlib.PosixPath [.., data, fox]", Path("../data/fox")),
        ("pathlib.PosixPath [/, data]", Path("/data")),
        ("pathlib.PosixPath []", Path()),
        ("pathlib._local.PosixPath [data/fox]", Path("data/fox")),
        ("pathlib.PurePosixPath [data, fox]", Path("data/fox")),
        ("pathlib.WindowsPath [data, fox]", Path("data/fox")),
        ("pathlib.WindowsPath ['C:\\', Users, fox]", Path("C:/Users/fox")),
        ("pathlib._local.WindowsPath ['..\\data\\fox']", Path("../data/fox")),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="tests paths on POSIX")
def test_paths_from_any_platform_are_converted(written, path, write):
    read = load_config(write(field(f"!!python/object/apply:{written}"))).prompt
    assert read == path
    assert type(read) is PosixPath


def test_plain_values(write):
    plain = "[!!python/tuple [1, 2.5], !!set {a}, !!python/dict {a: !!python/none null}, !!python/str x, 1e-3, off]"
    assert load_config(write(field(plain))).prompt == [(1, 2.5), {"a"}, {"a": None}, "x", "1e-3", False]


def test_ordered_dictionary(write):
    read: Any = load_config(write(field("!!python/object/apply:collections.OrderedDict [[[b, 1], [a, 2]]]"))).prompt
    assert list(read.items()) == [("b", 1), ("a", 2)]


def test_enumeration_members_by_name_are_read(write):
    from nerfstudio.utils.writer import EventName

    member = "!!python/object/apply:builtins.getattr [!!python/name:nerfstudio.utils.writer.EventName '', ETA]"
    assert load_config(write(field(member))).prompt is EventName.ETA


def test_optimisers_and_schedulers_of_torch_by_name(write):
    import torch

    names = "[!!python/name:torch.optim.sgd.SGD '', !!python/name:torch.optim.lr_scheduler.StepLR '']"
    assert load_config(write(field(names))).prompt == [torch.optim.SGD, torch.optim.lr_scheduler.StepLR]


def test_missing_fields_get_defaults_and_unknown_ones_are_kept(write):
    from nerfstudio.configs.base_config import LoggingConfig

    config: Any = load_config(write(f"{TRAINER}\nmethod_name: mine\nonce_upon_a_time: 3\n"))
    assert config.method_name == "mine"
    assert vars(config)["relative_model_dir"] == Path("nerfstudio_models")
    assert isinstance(config.logging, LoggingConfig)  # From a default factory, which nerfstudio's loader ignores.
    assert config.once_upon_a_time == 3


def test_aliases_to_an_object_under_construction(write):
    config: Any = load_config(write(f"&run {TRAINER}\nprompt: [*run]\n"))
    assert config.prompt[0] is config


def test_error_mentions_the_version_if_a_class_is_missing(write):
    message = refusal(write(field("!!python/name:nerfstudio.models.nerfacto.GoneModel ''")))
    assert "nerfstudio.models.nerfacto has no GoneModel (nerfstudio 1." in message
    assert "nerfstudio.models.gone cannot" in refusal(write(field("!!python/name:nerfstudio.models.gone.GoneModel ''")))


# --- Files that are not configurations ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Got nothing"),
        ("a: 1\n", "Got a dict"),
        ("just a line", "Got a str"),
        ("!!python/object:nerfstudio.configs.base_config.MachineConfig {}", "Got a MachineConfig"),
        ("a: [1", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("a: !!int x\n", "invalid literal"),
        ("a: !!timestamp x\n", "AttributeError"),
        ("? [1]\n: 2\n", "unhashable key"),
        ("[" * 5000, "at most 64 levels deep"),
        ("a: \x00", "is not allowed"),
    ],
)
def test_other_files_are_refused(text, reason, write):
    path = write(text)
    message = refusal(path)
    assert message.startswith(f"{path} is not the config.yml of a nerfstudio run")
    assert reason in message


def test_binary_folder_and_missing_files_are_refused(tmp_path):
    binary = tmp_path / "config.yml"
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    assert "not text" in refusal(binary)
    assert "is a folder" in refusal(tmp_path)
    assert "gone.yml does not exist" in refusal(tmp_path / "gone.yml")


class Absent:
    """Import hook that hides nerfstudio."""

    def find_spec(self, name, path=None, target=None):
        if name == "nerfstudio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_error_names_the_extra_if_nerfstudio_is_missing(write, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "nerfstudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    assert "pip install 'nvs-eval[nerfstudio]'" in refusal(write(TRAINER + " {}"))


def test_error_names_what_a_broken_plugin_lacks(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "nerfstudio.configs.method_configs", None)
    monkeypatch.setenv("NERFSTUDIO_METHOD_CONFIGS", "mine=ns_test_any.config:method")
    text = field("!!python/name:ns_test_any.config.Thing ''")
    assert "registered methods cannot be imported: import of nerfstudio.configs.method_configs" in refusal(write(text))


def test_registry_of_methods_is_not_imported_for_methods_of_nerfstudio(write, monkeypatch):
    text = yaml.dump(all_methods["nerfacto"])
    monkeypatch.setitem(sys.modules, "nerfstudio.configs.method_configs", None)
    assert load_config(write(text)) == all_methods["nerfacto"]
