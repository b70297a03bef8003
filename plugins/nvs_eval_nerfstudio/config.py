"""A trained run's `config.yml`, read without trusting it.

nerfstudio writes its configuration with `yaml.dump` and reads it with a loader that calls whatever the file names. A
referee opens other people's files, so `ConfigLoader` builds only the configuration classes (dataclasses) and
enumerations of admitted packages; the names of their classes, and of torch's optimisers and schedulers; paths, tuples
and plain values. No constructor of a configuration class runs, no function is called, and no module outside those
packages is imported. Everything else is refused with its line.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import Distribution, entry_points, version
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, cast

import yaml

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

_OURS = frozenset({"nerfstudio", "nvs_eval", "nvs_eval_nerfstudio"})
_GROUPS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
_VARIABLES = ("NERFSTUDIO_METHOD_CONFIGS", "NERFSTUDIO_DATAPARSER_CONFIGS")


def load_config(path: Path) -> TrainerConfig:
    """Load the configuration of a trained nerfstudio run from its `config.yml`.

    Fields that the file lacks, because an older nerfstudio wrote it, get their defaults; fields that the class no
    longer has stay attributes, as nerfstudio's own loader leaves them.

    Args:
        path: `config.yml` that nerfstudio wrote into the run's folder.

    Raises:
        InputError: nerfstudio is not installed, the file cannot be read or is no configuration of a run, or it names
            a class that is not installed or not admitted.
    """
    text = _read(path)
    import_nerfstudio()
    from nerfstudio.engine.trainer import TrainerConfig

    try:
        config = ConfigLoader(path, text, admitted_packages()).get_single_data()
    except InputError:
        raise
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: it is not valid YAML: {reason}") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # Values that contradict their own tag (!!int x, a list as a key) surface as whatever the conversion raises.
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: {error!r} while reading it.") from error
    if not isinstance(config, TrainerConfig):
        content = "nothing" if config is None else f"a {type(config).__name__}"
        raise InputError(
            f"{path} is not the config.yml of a nerfstudio run: it holds {content}, needed a TrainerConfig. "
            "Give the config.yml that ns-train wrote into the run's folder."
        )
    return config


def admitted_packages() -> frozenset[str]:
    """Return the packages whose classes a configuration may name: nerfstudio's, ours, and registered plugins'."""
    names = set(_OURS)
    for point in (point for group in _GROUPS for point in entry_points(group=group)):
        names.add(point.module.split(".")[0])
        if point.dist is not None:
            names |= _top_level(point.dist)
    for definition in (part for name in _VARIABLES for part in os.environ.get(name, "").split(",")):
        names.add(definition.partition("=")[2].split(":")[0].split(".")[0].strip())
    return frozenset(name for name in names if name.isidentifier() and name not in sys.stdlib_module_names)


def _top_level(distribution: Distribution) -> set[str]:
    if names := (distribution.read_text("top_level.txt") or "").split():
        return set(names)
    return {file.parts[0].removesuffix(".py") for file in distribution.files or () if file.suffix == ".py"}


def _read(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the config.yml of a nerfstudio run, such as {path / 'config.yml'}.")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; give the config.yml of a nerfstudio run.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: it is not text.") from error


# --- the loader ---


_YAML = "tag:yaml.org,2002:"
_PLAIN = ("none", "bool", "str", "unicode", "bytes", "int", "long", "float", "complex", "list", "tuple", "dict")
# Python 3.13 alone calls the module pathlib._local.
_PATH = re.compile(r"pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path")


class ConfigLoader(yaml.SafeLoader):
    """Builds what a configuration may hold; refuses the rest with an `InputError` that names file, line and tag."""

    def __init__(self, path: Path, text: str, admitted: frozenset[str]) -> None:
        super().__init__(text)
        self._path = path
        self._method = re.search(r"^method_name: *['\"]?([\w.-]+)", text, re.MULTILINE)
        self._admitted = admitted

    def build_name(self, name: str, node: yaml.Node) -> Any:
        """`!!python/name:`: a class, or a function such as `collate_fn`; named, never called here."""
        named = self._find(name, node)
        module = named.__module__
        if inspect.isfunction(named) and module.startswith("nerfstudio.") and not module.startswith("nerfstudio.data."):
            # The functions that nerfstudio's own configurations name collate batches. One that runs a shell command
            # has no place here, wherever a model would call it.
            raise self._refusal(node, "of nerfstudio's functions only those that handle data may be named")
        return named

    def build_object(self, name: str, node: yaml.Node) -> Iterator[Any]:
        """`!!python/object:`: a configuration class, filled without running its constructor."""
        cls = self._find(name, node)
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise self._refusal(node, "it is no configuration class (no dataclass)")
        if risky := [method for method in ("__setstate__", "__del__") if hasattr(cls, method)]:
            raise self._refusal(node, f"its {risky[0]} would run on what the file says")
        if not cls.__dictoffset__:
            raise self._refusal(node, "it has slots, which configurations of nerfstudio have not")
        instance = object.__new__(cls)
        yield instance  # Aliases may point at it while its fields are still being read.
        vars(instance).update(self._state(cls, node))

    def build_call(self, name: str, node: yaml.Node) -> Any:
        """`!!python/object/apply:`: the few calls by which paths, enumerations and generic classes are written."""
        if not isinstance(node, yaml.SequenceNode):
            raise self._refusal(node, "a plain list of arguments was needed")
        build = _CALLS.get(name) or self._path_or_enumeration(name, node)
        arguments = self.construct_sequence(node, deep=True)
        try:
            return build(*arguments)
        except (TypeError, ValueError, KeyError) as error:
            raise self._refusal(node, f"its arguments do not fit: {error}") from error

    def refuse(self, node: yaml.Node) -> Any:
        """Any other tag: modules, `object/new`, private ones."""
        raise self._refusal(node, "a configuration holds configuration classes, names, paths and plain values only")

    def _path_or_enumeration(self, name: str, node: yaml.Node) -> Callable[..., Any]:
        if _PATH.fullmatch(name):
            return _windows_path if "Windows" in name else Path
        cls = self._find(name, node)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise self._refusal(node, "nothing is called; only paths and enumerations are written this way")
        return functools.partial(_by_value, cls)

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
        if "_target" in state and not _is_target(state["_target"]):
            raise self._refusal(node, "its _target is not a class")
        return _defaults(field for name, field in fields.items() if name not in state) | state

    def _find(self, name: str, node: yaml.Node) -> Any:
        """The class or function of this name, whose module is imported only if its package is admitted."""
        module_name, _, attribute = name.rpartition(".")
        package = module_name.split(".")[0]
        optimiser = module_name.startswith("torch.optim.")
        if not optimiser and package not in self._admitted:
            raise self._refusal(node, self._why_foreign(package))
        if ".__" in name:  # Importing a package's __main__ runs the package.
            raise self._refusal(node, "it is no class or function of that package's own")
        try:
            with quiet():
                named = vars(importlib.import_module(module_name)).get(attribute)
        except (Exception, SystemExit) as error:
            raise self._refusal(node, f"{module_name} cannot be imported: {error}{_other_version()}") from error
        if named is None:
            raise self._refusal(node, f"{module_name} has no {attribute}{_other_version()}")
        if optimiser and not _is_optimiser(named):
            raise self._refusal(node, self._why_foreign("torch"))
        # A module also holds what it imported itself, such as subprocess.Popen: that is not the package's own.
        own = isinstance(named, type) or inspect.isfunction(named)
        if not own or not (optimiser or named.__module__.split(".")[0] in self._admitted):
            raise self._refusal(node, "it is no class or function of that package's own")
        return named

    def _why_foreign(self, package: str) -> str:
        if package == "torch":
            return "of torch only the classes of optimisers and schedulers may be named"
        if package in sys.stdlib_module_names or package == "__main__" or not package.isidentifier():
            return "a configuration may name only nerfstudio's and its registered plugins' own classes"
        if importlib.util.find_spec(package) is None:
            method = f" (its method is {self._method[1]!r})" if self._method else ""
            return f"the package {package!r} is not installed: install the plugin that the run was trained with{method}"
        return f"the package {package!r} is installed, but registers no nerfstudio method or dataparser"

    def _refusal(self, node: yaml.Node, reason: str) -> InputError:
        tag = node.tag.replace(_YAML, "!!")
        return InputError(f"{self._path}, line {node.start_mark.line + 1}: {tag} is refused: {reason}.")


for _tag in _PLAIN:
    ConfigLoader.add_constructor(f"{_YAML}python/{_tag}", yaml.FullLoader.yaml_constructors[f"{_YAML}python/{_tag}"])
ConfigLoader.add_multi_constructor(f"{_YAML}python/name:", ConfigLoader.build_name)
ConfigLoader.add_multi_constructor(f"{_YAML}python/object:", ConfigLoader.build_object)
ConfigLoader.add_multi_constructor(f"{_YAML}python/object/apply:", ConfigLoader.build_call)
ConfigLoader.add_constructor(None, ConfigLoader.refuse)  # pyright: ignore[reportArgumentType]: PyYAML's "any other"


def _defaults(fields: Iterable[dataclasses.Field]) -> dict[str, Any]:
    """Default values of fields, by name. A field without default is absent."""
    defaults = {}
    for field in fields:
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _is_target(value: object) -> bool:
    """A class, a generic one with its parameters, or a frozen value that stands for one (`Instrumented`)."""
    return isinstance(value, type) or typing.get_origin(value) is not None or dataclasses.is_dataclass(value)


def _is_optimiser(named: object) -> bool:
    import torch.optim.lr_scheduler

    kinds = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    return isinstance(named, type) and issubclass(named, kinds)


def _other_version() -> str:
    return f" (here is nerfstudio {version('nerfstudio')}; install what the run was trained with)"


def _windows_path(*parts: str) -> Path:
    return Path(PureWindowsPath(*parts).as_posix())


def _generic(cls: Any, parameters: Any) -> Any:
    """`VanillaDataManager[DepthDataset]`, by typing's own subscript and no other."""
    owner = next((base for base in getattr(cls, "__mro__", ()) if "__class_getitem__" in vars(base)), None)
    if owner is not typing.Generic:
        raise TypeError(f"{cls!r} is not a generic class")
    return cls[parameters]


def _by_value(cls: type[enum.Enum], value: Any) -> enum.Enum:
    """One argument exactly: with more, calling an enumeration makes a new class."""
    return cls(value)


def _by_name(cls: Any, name: Any) -> Any:
    """Python 3.11.0 to 3.11.4 wrote a member of an enumeration as `getattr(cls, name)`."""
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        raise TypeError(f"{cls!r} is not an enumeration")
    return cls[name]


def _ordered(pairs: Any) -> Any:
    if not isinstance(pairs, list):
        raise TypeError("a list of pairs was needed")
    return OrderedDict(pairs)


_CALLS: dict[str, Callable[..., Any]] = {
    "_operator.getitem": _generic,
    "builtins.getattr": _by_name,
    "collections.OrderedDict": _ordered,
}
