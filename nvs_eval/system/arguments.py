"""Checks of the arguments of the Python API against their annotations."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import os
import textwrap
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

from nvs_eval.system.schema import bare_type, convert, fields_of, leaf_refusal, union_members

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that its arguments are checked against its annotations.

    Without the check, a misspelt choice such as `mean="scene"` could be taken for another one and give other numbers.
    Annotations can be any type that `convert` accepts, `str | PathLike[str]` for paths, a dataclass for its instances,
    or a `Sequence` of a dataclass. The return value is not checked.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = signature.bind(*args, **kwargs).arguments
        for name, hint in _argument_hints(function).items():
            if name in arguments:
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for value in arguments[name] if several else [arguments[name]]:
                    _check_argument(value, hint, name)
        return function(*args, **kwargs)

    return call


def documented(kind: type, **others: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Document a function's arguments with the docstrings of the dataclass fields that they fill, or with `others`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        docs = {**_field_docs(kind), **others}
        arguments = "\n".join(f"    {name}: {docs[name]}" for name in inspect.signature(function).parameters)
        before, _, after = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns:")
        function.__doc__ = f"{before}\n\nArgs:\n{arguments}\n\nReturns:{after}"
        return function

    return decorate


def _field_docs(kind: type) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields, each on one line; subclasses override their bases."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                docs[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return {name: docs.get(name, "") for name in fields_of(kind)}


@functools.cache
def _argument_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a function's arguments. The return type is skipped: its module may not be imported yet."""
    arguments = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    module = getattr(function, "__globals__", {})
    return typing.get_type_hints(SimpleNamespace(__annotations__=arguments), module, include_extras=True)


def _check_argument(value: object, hint: Any, name: str) -> None:
    kind = bare_type(hint)
    if fields_of(kind):
        fits = isinstance(value, kind)
    elif get_origin(kind) is Sequence and fields_of(get_args(kind)[0]):
        ordered = isinstance(value, Collection) and not isinstance(value, str | Mapping | set | frozenset)
        fits = ordered and all(isinstance(item, get_args(kind)[0]) for item in typing.cast("Sequence", value))
    else:
        mappings = [member for member in union_members(hint) if get_origin(member) is Mapping]
        if isinstance(value, Mapping) and mappings:  # Such as `FilePath | Mapping[str, float]`.
            convert(value, mappings[0], name)
        else:
            convert(value, _argument_kind(hint), name)
        return
    if not fits:
        raise leaf_refusal(value, hint, name)


@functools.cache
def _argument_kind(hint: Any) -> Any:
    """Return the type for `convert`: `X | Sequence[X]` becomes a tuple, `str | PathLike` a path."""
    members = union_members(hint)
    for member in members:
        if get_origin(member) is Sequence and set(union_members(get_args(member)[0])) <= set(members):
            return tuple[_argument_kind(get_args(member)[0]), ...]
    if any(get_origin(member) is os.PathLike for member in members):
        members = (Path, *(member for member in members if member is type(None)))
    return Union[members]  # noqa: UP007 - any number of members
