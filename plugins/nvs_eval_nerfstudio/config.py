"""Safe loading of a trained run's `config.yml`.

nerfstudio writes its configuration with `yaml.dump` and reads it with a loader that calls any function named in the
file. nvs-eval opens files from other people, so `ConfigLoader` builds only

- configuration classes (dataclasses) and enumerations of admitted packages,
- names of their classes, and of torch's optimisers and schedulers,
- paths, tuples and plain values.

No constructor of a configuration class runs, no function is called, and no module outside those packages is imported.
Any other tag is refused, with its line number.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from nvs_eval.errors import InputError
from nvs_eval.system.bounded_yaml import BoundedLoader, read_yaml
from nvs_eval.system.untrusted import Refused
from nvs_eval_nerfstudio.admitted import OURS, admitted_packages, fits, reading, unreviewed
from nvs_eval_nerfstudio.field_types import check_field_types
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet
from nvs_eval_nerfstudio.yaml_calls import CALLS, by_value, windows_path

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

_BEGINNING = b"!!python/object:"
_NAMED = re.compile(r"!!python/(?:name|object|object/apply):([\w.]+)\.\w+")
_HOOK = "nvs_eval_nerfstudio.hook.Instrumented"


EXPECTED = "the config.yml of a nerfstudio run"
SUFFIXES = (".yml", ".yaml")


def knows(path: Path) -> bool:
    """Return whether a path is a file that begins as `yaml.dump` writes a configuration."""
    try:
        if not path.is_file():  # Opening a pipe would block.
            return False
        with path.open("rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def load_config(path: Path, *, trust: bool = False) -> TrainerConfig:
    """Load the configuration of a trained nerfstudio run from its `config.yml`.

    Fields that are missing from the file, because an older nerfstudio wrote it, get their defaults. Fields that the
    class no longer has are kept as attributes, as in nerfstudio's own loader.

    Args:
        path: `config.yml` that nerfstudio wrote into the run's folder.
        trust: whether to admit data parsers and datasets that may unpickle files or fetch code.

    Raises:
        InputError: if nerfstudio is not installed, if the file cannot be read or is not the configuration of a run, or
            if it names a class that is not installed or not admitted.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder. Pass the config.yml of a nerfstudio run, such as {path / 'config.yml'}.")
    if not path.exists():
        raise InputError(f"{path} does not exist. Pass the config.yml of a nerfstudio run.")
    text = read_yaml(path, f"The config.yml {path}")
    admitted = admitted_packages()
    import_nerfstudio(_named_modules(text, admitted - OURS))
    from nerfstudio.engine.trainer import TrainerConfig

    try:
        with reading(path, trust=trust):
            config = ConfigLoader(path, text, admitted, trust=trust).load()
    except (_Refusal, Refused):
        raise
    except ValueError as error:
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: {error}") from error
    if not isinstance(config, TrainerConfig):
        content = "nothing" if config is None else f"a {type(config).__name__}"
        raise InputError(
            f"{path} is not the config.yml of a nerfstudio run. It must be a TrainerConfig. Got {content}."
        )
    check_field_types(path, config)
    return config


def _named_modules(text: str, packages: frozenset[str]) -> set[str]:
    """Return the modules of these packages whose classes and functions a configuration names."""
    named = set(_NAMED.findall(text))
    return {name for name in named if name.split(".")[0] in packages and ".__" not in name}


# --- The loader ---

_YAML = "tag:yaml.org,2002:"
_PLAIN = ("none", "bool", "str", "unicode", "bytes", "int", "long", "float", "complex", "list", "tuple", "dict")
# Only Python 3.13 names the module pathlib._local.
_PATH = re.compile(r"pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path")


class _Refusal(InputError):
    """A tag that is not admitted."""


class ConfigLoader(BoundedLoader):
    """YAML loader that builds admitted values and raises an `InputError` with file, line and tag for the rest."""

    def __init__(self, path: Path, text: str, admitted: frozenset[str], *, trust: bool) -> None:
        super().__init__(text)
        self._path = path
        self._trust = trust
        self._method = re.search(r"^method_name: *['\"]?([\w.-]+)", text, re.MULTILINE)
        self._admitted = admitted

    def build_name(self, name: str, node: yaml.Node) -> Any:
        """Build `!!python/name:`, which is a class or a function such as `collate_fn`. It is not called here."""
        value = self._find(name, node)
        module = value.__module__
        if inspect.isfunction(value) and module.startswith("nerfstudio.") and not module.startswith("nerfstudio.data."):
            # The functions in nerfstudio's own configurations collate batches. Others include one that runs shell
            # commands, and a model might call it later.
            raise self._refusal(node, "a configuration may name functions of nerfstudio.data only")
        return value

    def build_object(self, name: str, node: yaml.Node) -> Iterator[Any]:
        """Build `!!python/object:`, which is a configuration class, without running its constructor."""
        cls = self._find(name, node)
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise self._refusal(node, "it is not a configuration class (dataclass)")
        if risky := [method for method in ("__setstate__", "__del__") if hasattr(cls, method)]:
            raise self._refusal(node, f"its {risky[0]} would run on data from the file")
        if not cls.__dictoffset__:
            raise self._refusal(node, "it has slots, which nerfstudio's configurations never have")
        instance = object.__new__(cls)
        yield instance  # Aliases may refer to it before its fields are read.
        vars(instance).update(self._state(cls, node))

    def build_call(self, name: str, node: yaml.Node) -> Any:
        """Build `!!python/object/apply:`, as PyYAML writes paths, enumerations and generic classes."""
        if not isinstance(node, yaml.SequenceNode):
            raise self._refusal(node, "its arguments must be a plain list")
        build = CALLS.get(name) or self._path_or_enumeration(name, node)
        arguments = self.construct_sequence(node, deep=True)
        try:
            return build(*arguments)
        except (TypeError, ValueError, KeyError) as error:
            raise self._refusal(node, f"its arguments do not fit: {error}") from error

    def refuse(self, node: yaml.Node) -> Any:
        """Refuse any other tag, such as modules, `object/new` and private tags."""
        raise self._refusal(node, "only configuration classes, names, paths and plain values are allowed")

    def _path_or_enumeration(self, name: str, node: yaml.Node) -> Callable[..., Any]:
        if _PATH.fullmatch(name):
            return windows_path if "Windows" in name else Path
        cls = self._find(name, node)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise self._refusal(node, "only paths and enumerations may be built by a call")
        return functools.partial(by_value, cls)

    def _state(self, cls: Any, node: yaml.Node) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._refusal(node, "its fields are missing")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        state = cast(dict[str, Any], self.construct_mapping(node))
        for key in state:
            if not isinstance(key, str) or not key.isidentifier() or key.startswith("__"):
                raise self._refusal(node, f"{key!r} is not the name of a field")
            if key not in fields and inspect.isroutine(inspect.getattr_static(cls, key, None)):
                raise self._refusal(node, f"{key!r} would replace a method")
        state = _defaults(field for name, field in fields.items() if name not in state) | state
        self._check_targets(cls, fields, state, node)
        return state

    def _check_targets(self, cls: Any, fields: Mapping[str, Any], state: Mapping[str, Any], node: yaml.Node) -> None:
        """Check the class that a configuration, or the hook in the place of a pipeline, would build."""
        from nerfstudio.pipelines.base_pipeline import Pipeline

        from nvs_eval_nerfstudio.hook import Instrumented

        if cls is Instrumented:
            self._check_target(state.get("original"), Pipeline, node)
        elif "_target" in state:
            default = _defaults(field for name, field in fields.items() if name == "_target").get("_target")
            if not (isinstance(state["_target"], Instrumented) and fits(Pipeline, default)):
                self._check_target(state["_target"], default, node)

    def _check_target(self, target: Any, default: Any, node: yaml.Node) -> None:
        """Check the class that a configuration would build."""
        if not isinstance(target, type) and typing.get_origin(target) is None:
            raise self._refusal(node, "it names no class to build (_target)")
        if not fits(target, default):
            raise self._refusal(node, f"its _target must be of the kind of {getattr(default, '__name__', default)}")
        if not self._trust and (name := unreviewed(target)):
            reason = f"{name} is not known to load plain files only, and could run code that lies beside the data"
            raise self._refusal(node, f"{reason}. Use `--trust` if you trust the author of this run")

    def _find(self, name: str, node: yaml.Node) -> Any:
        """Return the class or function of this name. Its module is imported only if its package is admitted."""
        module_name, _, attribute = name.rpartition(".")
        package = module_name.split(".")[0]
        if package in OURS and name != _HOOK:
            raise self._refusal(node, "of nvs-eval a configuration may name only the hook, Instrumented")
        optimiser = module_name.startswith("torch.optim.")
        if not optimiser and package not in self._admitted:
            raise self._refusal(node, self._why_foreign(package))
        if ".__" in name:  # Importing a package's __main__ runs the package.
            raise self._refusal(node, "it is not a class or function defined in that package")
        try:
            with quiet():
                value = vars(importlib.import_module(module_name)).get(attribute)
        except (Exception, SystemExit) as error:
            raise self._refusal(node, f"{module_name} cannot be imported: {error}{_other_version()}") from error
        if value is None:
            raise self._refusal(node, f"{module_name} has no {attribute}{_other_version()}")
        if optimiser and not _is_optimiser(value):
            raise self._refusal(node, self._why_foreign("torch"))
        # A module also contains its imports, such as subprocess.Popen, which the package does not define.
        is_code = isinstance(value, type) or inspect.isfunction(value)
        if not is_code or not (optimiser or value.__module__.split(".")[0] in self._admitted):
            raise self._refusal(node, "it is not a class or function defined in that package")
        return value

    def _why_foreign(self, package: str) -> str:
        if package == "torch":
            return "a configuration may name only optimisers and schedulers of torch"
        if package in sys.stdlib_module_names or package == "__main__" or not package.isidentifier():
            return "a configuration may name only classes of nerfstudio and its registered plugins"
        if importlib.util.find_spec(package) is None:
            method = f" (method {self._method[1]!r})" if self._method else ""
            return f"the package {package!r} is not installed. Install the plugin that the run was trained with{method}"
        return f"the package {package!r} registers no nerfstudio method or dataparser"

    def _refusal(self, node: yaml.Node, reason: str) -> _Refusal:
        tag = node.tag.replace(_YAML, "!!")
        return _Refusal(f"{self._path}, line {node.start_mark.line + 1}: {tag} is refused: {reason}.")


for _tag in _PLAIN:
    ConfigLoader.add_constructor(f"{_YAML}python/{_tag}", yaml.FullLoader.yaml_constructors[f"{_YAML}python/{_tag}"])
ConfigLoader.add_multi_constructor(f"{_YAML}python/name:", ConfigLoader.build_name)
ConfigLoader.add_multi_constructor(f"{_YAML}python/object:", ConfigLoader.build_object)
ConfigLoader.add_multi_constructor(f"{_YAML}python/object/apply:", ConfigLoader.build_call)
ConfigLoader.add_constructor(None, ConfigLoader.refuse)  # pyright: ignore[reportArgumentType]: PyYAML's "any other"


def _defaults(fields: Iterable[dataclasses.Field]) -> dict[str, Any]:
    """Return default values by field name, without the fields that have none."""
    defaults = {}
    for field in fields:
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _is_optimiser(value: object) -> bool:
    import torch.optim.lr_scheduler

    kinds = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    return isinstance(value, type) and issubclass(value, kinds)


def _other_version() -> str:
    return f" (nerfstudio {version('nerfstudio')} is installed; install the version that the run was trained with)"
