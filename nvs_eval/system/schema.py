"""Conversion of plain data, from YAML files or callers, into the types of this project, with readable errors.

msgspec decides whether a value fits a type; this module turns its errors into messages for people. A type can describe
its valid values for the message with a `msgspec.Meta` that has a description or examples.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import numbers
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from nvs_eval.errors import InputError, quoted, shortened, some, unknown_name

T = TypeVar("T")

Text = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=1000)]
"""A string that is not blank."""
Name = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=200)]
"""A string that is not blank and can be the name of a folder."""
Count = Annotated[int, msgspec.Meta(ge=1)]
"""An integer of at least 1."""

_SINGULAR = {str: "a string", Path: "a path", int: "a whole number", float: "a number"}
_SINGULAR |= {bool: "True or False", type(None): "None"}
_PLURAL = {str: "strings", Path: "paths", int: "whole numbers", float: "numbers"}
_LISTS = (list, tuple, Sequence)


class Field(NamedTuple):
    """A field of a dataclass or Struct: its type, and whether it is required."""

    hint: Any
    required: bool


class _One(list[Any]):
    """A single value where a list of values is expected."""


def convert(value: object, kind: type[T], what: str, *, path: Callable[[str], Path] = Path) -> T:
    """Convert plain data into a type.

    Dataclass fields that are tuples of any length also accept a single value. Unknown fields are an error, except in
    Structs that do not forbid them and in dataclasses within a Struct.

    Args:
        value: mappings, lists, strings and numbers.
        kind: a dataclass, a `msgspec.Struct`, or any other type that msgspec supports.
        what: name of the value in errors.
        path: function that converts a string to a path.

    Raises:
        InputError: the value does not fit. The message names the part, the valid values and the actual value.
    """
    custom_type, plain = functools.partial(_custom_type, path), value
    try:
        plain = _prepared(_plain(value), kind, what)
        return msgspec.convert(plain, kind, dec_hook=custom_type)
    except msgspec.ValidationError as error:
        raise _refusal(plain, kind, what, "", custom_type) from error
    except UnicodeEncodeError as error:
        raise InputError(f"{what} must be Unicode text. Got a surrogate ({error.object[error.start]!a}).") from error
    except RecursionError as error:
        raise InputError(f"{what} is nested too deeply.") from error


@functools.cache
def fields_of(kind: Any) -> Mapping[str, Field]:
    """Return the fields of a dataclass or Struct by name; empty for other types."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        missing = dataclasses.MISSING
        return {
            field.name: Field(hints[field.name], field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(kind)
            if field.init
        }
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: Field(field.type, field.required) for field in msgspec.structs.fields(kind)}
    return {}


def convert_fields(values: Mapping[str, object], fields: Mapping[str, Field], what: str) -> dict[str, Any]:
    """Convert the value of each field into the field's type.

    Raises:
        InputError: a field is unknown or missing, or its value does not fit.
    """
    _check_names(values, fields, what)
    return {name: convert(value, fields[name].hint, f"{name} of {what}") for name, value in values.items()}


# --- Values ---------------------------------------------------------------------------------------------------------


def _plain(value: object) -> Any:
    """Return a value with the numbers, lists and mappings of other libraries converted to Python's own."""
    if value is None or isinstance(value, str | bytes | bool) or type(value) in (int, float):
        return value
    if getattr(value, "ndim", None) == 0:  # A scalar array or tensor.
        return typing.cast("Any", value).item()
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        raise InputError(f"{quoted(value)} is a set, which has no order. Give a list.")
    return [_plain(item) for item in value] if isinstance(value, Collection) else value


def _prepared(value: Any, hint: Any, what: str, place: str = "") -> Any:
    """Wrap single values of dataclass fields that expect a list; refuse unknown fields, which msgspec ignores."""
    kind = _member(value, hint)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        fields = fields_of(kind)
        _check_names(value, fields, place or what)
        return {name: _prepared(item, fields[name].hint, what, _joined(place, name)) for name, item in value.items()}
    only = {bare_type(member) for member in union_members(bare_type(hint))} <= {kind, type(None)}
    several = only and get_origin(kind) is tuple and Ellipsis in get_args(kind)
    return _One([value]) if several and not isinstance(value, list | None) else value


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _custom_type(path: Callable[[str], Path], kind: type, value: object) -> object:
    """Convert a value to a path, or accept an instance of a type that msgspec does not support."""
    if kind is Path:
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(text, str) or not text or "\0" in text:
            raise msgspec.ValidationError("Not a path")
        return path(text) if isinstance(value, str) else Path(text)
    if not isinstance(value, get_origin(kind) or kind):
        raise msgspec.ValidationError(f"Not a {kind}")
    return value


def _check_names(value: Mapping[Any, Any], fields: Mapping[str, Field], what: str, *, others: bool = False) -> None:
    """Check that no field is missing and, unless `others` are allowed, that none is unknown."""
    for name in () if others else value:
        if name not in fields:
            raise unknown_name(f"field of {what}", str(name), fields)
    if missing := [name for name, field in fields.items() if field.required and name not in value]:
        raise InputError(f"{what} lacks {some(missing)}: there is no default.")


# --- Errors ---------------------------------------------------------------------------------------------------------


def _refusal(value: Any, hint: Any, what: str, place: str, custom_type: Callable[[type, Any], Any]) -> InputError:
    """Return the error for a value that msgspec refuses; `place` names the part, or is "" for the whole value."""
    kind = _member(value, hint)
    fields = fields_of(kind)
    if isinstance(value, dict) and (fields or hasattr(kind, "__struct_config__")):
        others = dataclasses.is_dataclass(kind) or not kind.__struct_config__.forbid_unknown_fields
        try:
            _check_names(value, fields, place or what, others=others)
        except InputError as error:
            return error
    for part, part_hint, part_place in _parts(value, kind, what, place):
        try:
            msgspec.convert(part, part_hint, dec_hook=custom_type)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, InputError):
                return error.__cause__
            if isinstance(value, _One):
                return leaf_refusal(part, Union[part_hint, kind], part_place)  # noqa: UP007 - types known at run time
            return _refusal(part, part_hint, what, part_place, custom_type)
    return leaf_refusal(value, hint, place or what)


def _parts(value: Any, kind: Any, what: str, place: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield the parts of a value, each with its type and its name in errors."""
    inner, name = get_args(kind), place or what
    if isinstance(value, dict):
        for field, (hint, _) in fields_of(kind).items():
            if field in value:
                yield value[field], hint, _joined(place, field)
        for key, item in value.items() if get_origin(kind) in (dict, Mapping) else ():
            yield key, inner[0], f"a name in {name}"
            yield item, inner[1], f"{name}.{shortened(str(key))}"
    elif isinstance(value, _One):
        yield value[0], inner[0], name
    elif isinstance(value, list) and (origin := get_origin(kind)) in _LISTS:
        hints = inner if origin is tuple and Ellipsis not in inner else inner[:1] * len(value)
        for index, (item, hint) in enumerate(zip(value, hints, strict=False)):
            yield item, hint, f"{name}[{index}]"


def leaf_refusal(value: Any, hint: Any, place: str) -> InputError:
    """Return the error for a value that is wrong as a whole."""
    members = [bare_type(member) for member in union_members(bare_type(hint))]
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
    if choices and isinstance(value, str) and not _meta(hint).description:
        return unknown_name(place, value, map(str, choices))
    *words, last = _needed(hint)
    needed = f"{', '.join(words)} or {last}" if words else last
    longest = max((_meta(member).max_length or 0 for member in (hint, *union_members(hint))), default=0)
    if longest and isinstance(value, str) and len(value) > longest:
        needed += f" of at most {longest} characters"
    kinds = {kind for member in members for kind in (member, *get_args(member))}
    is_name = str in members and not kinds & {int, float} and not _meta(hint).description
    quote = " Quote it." if isinstance(value, float) and str(value) in choices else ""
    advice = _advice_for_names(value) if is_name else quote
    return InputError(f"{place} must be {needed}. Got {quoted(value)}.{advice}")


def _advice_for_names(value: object) -> str:
    """Return advice for names that YAML reads as another type: 0001 as 1, 2024-01-01 as a date, no as False."""
    if isinstance(value, bool):
        return " Put names that are words for True or False in quotes, such as 'no'."
    if (
        isinstance(value, datetime.date)
        or isinstance(value, int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return " Put names of digits in quotes, such as '0001'."
    return ""


def bare_type(hint: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _meta(hint: Any) -> msgspec.Meta:
    """Return the msgspec metadata of a type, or an empty one."""
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return metas[0] if metas else msgspec.Meta()


def union_members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _member(value: Any, hint: Any) -> Any:
    """Return the member of a union that fits a mapping or a list, without annotations."""
    members = [bare_type(member) for member in union_members(bare_type(hint))]
    if isinstance(value, dict):
        fitting = [member for member in members if fields_of(member) or get_origin(member) in (dict, Mapping)]
    else:
        fitting = [member for member in members if get_origin(member) in _LISTS]
    return fitting[0] if fitting else members[0]


def _needed(hint: Any) -> list[str]:
    """Describe the valid values of a type in words."""
    if get_origin(hint) is not Annotated:
        return [words for member in union_members(hint) for words in _member_needed(member)]
    meta = _meta(hint)
    *others, last = [meta.description] if meta.description else [*_needed(bare_type(hint))]
    if not meta.description:
        last += "" if meta.ge is None else f" of at least {meta.ge}"
        last += "" if meta.le is None else f" {'of' if meta.ge is None else 'and'} at most {meta.le}"
        last += "" if meta.min_length is None else " that is not empty"
    return [*others, "".join([last, *(f", such as `{example}`" for example in meta.examples or ())])]


def _member_needed(hint: Any) -> list[str]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _needed(hint)
    if origin is Literal:
        return [repr(choice) for choice in inner]
    if origin in _LISTS:
        items = " or ".join(_PLURAL.get(bare_type(member), "mappings") for member in union_members(bare_type(inner[0])))
        return [f"{len(inner)} {items}" if origin is tuple and Ellipsis not in inner else f"a list of {items}"]
    if fields := fields_of(hint):
        return [f"a mapping with the fields {', '.join(fields)}"]
    if origin in (dict, Mapping):
        return ["a mapping"]
    return [_SINGULAR.get(hint, f"a {getattr(origin or hint, '__name__', str(hint)).lower()}")]
