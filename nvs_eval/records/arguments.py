"""What is given to the functions of the Python API, checked against their own annotations, as tyro does for a command.

Without it a word that stands for nothing, such as `mean="scene"`, would be taken for another, and give other numbers.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.records.comparable import check_distinct_cells
from nvs_eval.records.record import Record

_P = ParamSpec("_P")
_R = TypeVar("_R")
_RECORDS = "a list of records is needed: give those that nvs_eval.score, run or read_records gave, in [brackets] if one"
_PLURALS = {str: "texts", os.PathLike: "paths", int: "whole numbers", float: "numbers"}
_WORDS = {str: "a text", os.PathLike: "a path", int: "a whole number", float: "a number", bool: "True or False"}
_MOST_SHOWN = 60


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, with an InputError that says what is needed where it is given what its annotations do not allow.

    Annotations may be Literals, texts, paths, numbers, booleans, None, records, unions of these, and sequences, tuples
    and mappings of them. What the function returns is not looked at.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        given = signature.bind(*args, **kwargs).arguments
        for name, hint in _hints(function).items():
            if name in given:
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for value in given[name] if several else [given[name]]:
                    _check(name, value, hint)
        return function(*args, **kwargs)

    return call


def check_cells(records: Sequence[Record], name: str = "records") -> None:
    """Check that no two records that were given are of one cell.

    Args:
        records: any number.
        name: what they are called in an error, with their place.

    Raises:
        InputError: naming two of them.
    """
    check_distinct_cells(records, [Path(f"{name}[{place}]") for place in range(len(records))])


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Those of the arguments: what is returned may be of a module that is not imported yet."""
    arguments = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    return typing.get_type_hints(SimpleNamespace(__annotations__=arguments), getattr(function, "__globals__", {}))


def _check(name: str, value: object, hint: Any) -> None:
    """Check one argument.

    Raises:
        InputError: it is something else than its annotation says.
    """
    if _is(value, hint):
        return
    parts = _parts(hint)
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    if words and isinstance(value, str):
        raise unknown_name(name, value, words)
    if any(Record in get_args(part) for part in parts):
        raise InputError(f"{name} is {_shown(value)}, and {_RECORDS}.")
    needed = ([f"one of {', '.join(map(repr, words))}"] if words else []) + [
        _in_words(part) for part in parts if get_origin(part) is not Literal
    ]
    raise InputError(f"{name} is {_shown(value)}, and {' or '.join(needed)} is needed.")


def _is(value: object, hint: Any) -> bool:
    """Whether a value is of an annotation."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is(value, part) for part in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return _is_collection(value) and len(value) == len(inner) and all(map(_is, value, inner))
    if origin is Sequence:
        return _is_collection(value) and all(_is(each, inner[0]) for each in value)
    if hint in (int, float):
        number = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _is_collection(value: object) -> typing.TypeGuard[Collection[Any]]:
    """Whether a value is several, in some order, and may be looked at twice."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | set | frozenset)


def _parts(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _in_words(hint: Any) -> str:
    """What is needed; a hint that is no Literal."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is type(None):
        return "None"
    if origin is tuple:
        return f"{len(inner)} {_PLURALS[inner[0]]}"
    if origin is Sequence:
        kinds = [_PLURALS[get_origin(part) or part] for part in _parts(inner[0])]
        return f"a list of {' or '.join(kinds)}"
    return _WORDS.get(origin or hint, f"a {(origin or hint).__name__.lower()}")


def _shown(value: object) -> str:
    """A value as it is written, if that is short; else of what kind it is."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"a {type(value).__name__}"
