"""Values that `config.yml` may build by a call, as PyYAML writes paths, enumerations and generic classes."""

from __future__ import annotations

import enum
import typing
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any


def windows_path(*parts: str) -> Path:
    """Return a path of Windows as one of this system."""
    return Path(PureWindowsPath(*parts).as_posix())


def _generic(cls: Any, parameters: Any) -> Any:
    """Return a generic class with its parameters, such as `VanillaDataManager[DepthDataset]`.

    Only the subscript of `typing.Generic` is used, because a class could define its own.
    """
    owner = next((base for base in getattr(cls, "__mro__", ()) if "__class_getitem__" in vars(base)), None)
    if owner is not typing.Generic:
        raise TypeError(f"{cls!r} is not a generic class")
    if not all(isinstance(value, type) for value in (parameters if isinstance(parameters, tuple) else (parameters,))):
        raise TypeError("its parameters are not classes")  # typing would evaluate a text.
    return cls[parameters]


def by_value(cls: type[enum.Enum], value: Any) -> enum.Enum:
    """Return the member with a value. Exactly one argument, because more would create a new enumeration."""
    return cls(value)


def _by_name(cls: Any, name: Any) -> Any:
    """Return the member with a name. Python 3.11.0 to 3.11.4 wrote members as `getattr(cls, name)`."""
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        raise TypeError(f"{cls!r} is not an enumeration")
    return cls[name]


def _ordered(pairs: Any) -> Any:
    if not isinstance(pairs, list):
        raise TypeError("expected a list of pairs")
    return OrderedDict(pairs)


CALLS: dict[str, Callable[..., Any]] = {
    "_operator.getitem": _generic,
    "builtins.getattr": _by_name,
    "collections.OrderedDict": _ordered,
}
