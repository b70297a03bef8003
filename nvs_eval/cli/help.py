"""Help texts of the commands."""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import arg


def with_plain_defaults(command: type) -> type:
    """Make the help of a command show only defaults that are values; docstrings explain None and empty lists.

    A tuple without a default is shown as required.
    """
    hints = get_type_hints(command, include_extras=True)
    for field in fields(command):
        if field.default is MISSING:
            shown = arg(help_behavior_hint="(required)")
        elif field.default is None or field.default is False or field.default == ():
            shown = arg(help_behavior_hint="", metavar=_metavar(hints[field.name]) if field.default is None else None)
        else:
            continue
        command.__annotations__[field.name] = Annotated[hints[field.name], shown]
    return command


def summary(command: type) -> str:
    """Return the first paragraph of a command's docstring on one line."""
    return " ".join((command.__doc__ or "").partition("\n\n")[0].split())


def _metavar(hint: Any) -> str | None:
    """Return `PATH` for `Path | None`, `{a,b}` for an optional choice, and None for positional arguments."""
    if get_origin(hint) is Annotated:
        return None
    (kind,) = (member for member in get_args(hint) if member is not NoneType)
    return f"{{{','.join(get_args(kind))}}}" if get_origin(kind) is Literal else kind.__name__.upper()
