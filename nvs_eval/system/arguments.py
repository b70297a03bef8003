"""Arguments of the functions of the Python API, checked against their annotations."""

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
    """Return the function with a check of its arguments against its annotations.

    Without it a misspelt choice, such as `mean="scene"`, would be taken for another, and give other numbers.
    Annotations may be all that `convert` takes, paths as `str | PathLike[str]`, and a dataclass for its instances, or a
    `Sequence` of it for lists of these. The value that is returned is not checked.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for name, hint in _argument_hints(function).items():
            if name in given:
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for value in given[name] if several else [given[name]]:
                    _check_argument(value, hint, name)
        return function(*args, **kwargs)

    return call


def documented(kind: type, **others: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Document a function's arguments by the docstrings of a dataclass's fields, which they fill, or by other texts."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        docs = {**_field_docs(kind), **others}
        arguments = "\n".join(f"    {name}: {docs[name]}" for name in inspect.signature(function).parameters)
        before, _, after = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns:")
        function.__doc__ = f"{before}\n\nArgs:\n{arguments}\n\nReturns:{after}"
        return function

    return decorate


def _field_docs(kind: type) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields, each on one line; those of a subclass come before its bases'."""
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
    """Return the types of a function's arguments; that of its result may be of a module not imported yet."""
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
        convert(value, _argument_kind(hint), name)
        return
    if not fits:
        raise leaf_refusal(value, hint, name)


@functools.cache
def _argument_kind(hint: Any) -> Any:
    """Return the type that `convert` makes of an argument: `X | Sequence[X]` is several, `str | PathLike` a path."""
    members = union_members(hint)
    for member in members:
        if get_origin(member) is Sequence and set(union_members(get_args(member)[0])) <= set(members):
            return tuple[_argument_kind(get_args(member)[0]), ...]
    if any(get_origin(member) is os.PathLike for member in members):
        members = (Path, *(member for member in members if member is type(None)))
    return Union[members]  # noqa: UP007 - of any number of members
