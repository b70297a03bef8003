"""The options of a command from plain data, as a file has them: the same options, checked as their types say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nvs_eval.errors import InputError, unknown_name


def option_types(command: type) -> dict[str, Any]:
    """The types of a command's options, by name."""
    hints = get_type_hints(command)
    return {option.name: hints[option.name] for option in fields(command)}


def checked_option(value: object, hint: Any, what: str, path: Callable[[str], Path]) -> Any:
    """A value for an option.

    Args:
        value: as a file has it; one in place of several will do.
        hint: the option's type.
        what: it is, for the message.
        path: makes a path of a text.

    Raises:
        InputError: the value is of another type.
    """
    if get_origin(hint) in (Union, UnionType):
        if value is None:
            return None
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return tuple(checked_option(each, kind, what, path) for each in (value if isinstance(value, list) else [value]))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise unknown_name(f"value of {what}", str(value), get_args(hint))
        return value
    return _CHECKS[hint](value, what, path)


def _flag(value: object, what: str, _: Callable[[str], Path]) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{what} is {value!r}, and true or false is needed.")
    return value


def _number(value: object, what: str, _: Callable[[str], Path]) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{what} is {value!r}, and a whole number is needed.")
    return value


def _text(value: object, what: str, _: Callable[[str], Path]) -> str:
    if not isinstance(value, str) or not value:
        # YAML reads 0001 as the number 1, and no as false.
        raise InputError(f"{what} is {value!r}, and a text is needed: put names of digits in quotes, such as '0001'.")
    return value


def _path(value: object, what: str, path: Callable[[str], Path]) -> Path:
    return path(_text(value, what, path))


_CHECKS: Mapping[Any, Callable[[object, str, Callable[[str], Path]], Any]] = {
    bool: _flag,
    int: _number,
    str: _text,
    Path: _path,
}
