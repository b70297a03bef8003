"""Help texts of the commands."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import arg

_WIDTH, _LEAST_WIDTH = 80, 40
# Names of the values of options in the help, by field. Those of tuples get brackets and dots.
_METAVARS = {
    "metrics": "METRIC",
    "decimals": "METRIC=N",
    "tolerance": "METRIC=LOSS",
    "steps": "STEP",
    "protocol": "NAME",
    "method": "NAME",
    "scene": "NAME",
    "views": "NAME",
    "with_published": "NAME",
    "only": "NAME",
    "sort": "METRIC|method",
    "suite": "NAME",
    "baseline": "RECORD|DIR|GLOB",
    "device": "DEVICE",
    "max_memory": "SIZE",
    "background": "COLOUR",
    "renders_glob": "PATTERN",
    "reference_glob": "PATTERN",
    "format": "FORMAT",
    "label": "PREFIX",
    "names": "NAME",
    "labels": "TEXT",
    "font": "FONT",
}


@contextmanager
def least_width() -> Iterator[None]:
    """Lay out help and errors for a terminal of at least 40 columns; tyro never ends with a few."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(max(_LEAST_WIDTH, shutil.get_terminal_size().columns))
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def with_plain_defaults(command: type) -> type:
    """Make the help of a command show only defaults that are values; docstrings explain None and empty lists.

    A tuple without a default is shown as required. Every default is the last part of its sentence.
    """
    hints = get_type_hints(command, include_extras=True)
    texts = dict(_field_texts(command))
    for field in fields(command):
        text = texts.get(field.name, "")
        hint = "(required)" if field.default is MISSING else ""
        if hint == "" and field.default is not None and field.default is not False and field.default != ():
            text = f"{text if text.endswith('...') else text.removesuffix('.')} (default: {_shown(field.default)})."
        shown = arg(help=text, help_behavior_hint=hint, metavar=_metavar(field, hints[field.name]))
        command.__annotations__[field.name] = Annotated[hints[field.name], shown]
    return command


def summary(command: type) -> str:
    """Return the first paragraph of a command's docstring on one line."""
    return " ".join((command.__doc__ or "").partition("\n\n")[0].split())


class _Wrapped(str):
    """Text whose lines tyro keeps. It joins lines of a description, which it splits first, and wraps nothing."""

    def split(self, *_: Any, **__: Any) -> list[str]:
        return [str(self)]


def description(command: type) -> str:
    """Return the docstring of a command, wrapped to the terminal's width, but not wider than 80 columns."""
    width = min(_WIDTH, max(_LEAST_WIDTH, shutil.get_terminal_size().columns))
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return _Wrapped("\n\n".join(textwrap.fill(text, width) for text in paragraphs))


def _field_texts(command: type) -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of each field; those of a subclass come after those that they replace."""
    for kind in reversed(command.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    yield name, " ".join(words.split())


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return str(default.value if isinstance(default, Enum) else default)


def _metavar(field: Field[Any], hint: Any) -> str | None:
    """Return the name of values in the help, such as `PATH` or `[NAME ...]`; None for the default of tyro."""
    plain, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if any(getattr(mark, "metavar", None) for mark in marks):
        return None
    if get_origin(plain) is tuple:
        member = get_args(plain)[0]
        name = _METAVARS.get(field.name) if member is str else "PATH" if member is Path else None
        return name and (f"{name} [{name} ...]" if field.default is MISSING else f"[{name} ...]")
    kinds = [kind for kind in get_args(plain) if kind is not NoneType] if field.default is None else [plain]
    (kind,) = kinds
    if kind is str:
        return _METAVARS.get(field.name, "STR")
    if field.default is not None:
        return None
    return f"{{{','.join(get_args(kind))}}}" if get_origin(kind) is Literal else kind.__name__.upper()
