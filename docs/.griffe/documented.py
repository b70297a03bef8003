"""Griffe extension of the API page: arguments of functions that `@documented(Options)` describes by a dataclass."""

from __future__ import annotations

from typing import Any

import griffe


class Documented(griffe.Extension):
    """Add an Args section with the docstrings of the dataclass's fields."""

    def on_function(self, *, func: griffe.Function, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Called for each function, once its package is loaded."""
        for decorator in func.decorators:
            if decorator.callable_path.rpartition(".")[2] == "documented" and func.docstring:
                kind = loader.modules_collection[func.resolve(str(decorator.value.arguments[0]))]
                lines = [f"    {p.name}: {_text(kind, p.name)}" for p in func.parameters]
                before, _, after = func.docstring.value.partition("\n\nReturns:")
                func.docstring.value = "\n".join([before, "", "Args:", *lines, "", "Returns:" + after])


def _text(kind: griffe.Class, field: str) -> str:
    docstring = kind.all_members[field].docstring if field in kind.all_members else None
    return " ".join(docstring.value.split()) if docstring else ""
