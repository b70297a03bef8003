"""The YAML loader of all files: it bounds a document before any value is built.

A file of a kilobyte can stand for gigabytes, because an alias repeats what it names, and a merge key copies it.
Importing this module imports PyYAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from nvs_eval.errors import InputError, quoted, shortened
from nvs_eval.system.files import read_small

_LARGEST_FILE = 4 * 2**20
# A value counts again for every 100 characters.
_MOST_VALUES = 100_000
_DEEPEST = 64
_LONGEST_VALUE = 2**16
_LONGEST_NAME = 300
_LARGEST_INTEGER = 2**63
_LONGEST_REASON = 100


class BoundedLoader(yaml.SafeLoader):
    """Loader of plain values that refuses long, deep and expanding documents. Subclasses admit further tags."""

    _count = _depth = 0

    def __init__(self, text: str) -> None:
        self._weights: dict[yaml.Node, int] = {}
        with _one_kind_of_error(text):
            super().__init__(text)

    def load(self) -> Any:
        """Return the value of the only document.

        Raises:
            InputError: the document exceeds a bound.
            ValueError: it is not YAML, or a value contradicts its tag.
        """
        with _one_kind_of_error():
            return self.get_single_data()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node and everything below it, within the bounds."""
        event = self.peek_event()
        self._check(event)
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            self._add(self._weights.get(node, 1) if node else 1)  # An alias inside its own anchor repeats nothing.
            return node
        before = self._count
        self._add(1 + (len(event.value) // 100 if isinstance(event, yaml.ScalarEvent) else 0))
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InputError(f"YAML must be nested at most {_DEEPEST} levels deep. {_line(event)} is deeper.")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node:
            self._weights[node] = self._count - before
        return node

    def _add(self, values: int) -> None:
        self._count += values
        if self._count > _MOST_VALUES:
            raise InputError(
                f"A YAML file must contain at most {_MOST_VALUES} values, with each alias counted as what it repeats. "
                "Got more. Split the file, or remove aliases (*name)."
            )

    @staticmethod
    def _check(event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _LONGEST_VALUE:
            raise InputError(
                f"A YAML value must have at most {_LONGEST_VALUE} characters. {_line(event)} has {len(event.value)}."
            )
        if any(len(getattr(event, name, None) or "") > _LONGEST_NAME for name in ("tag", "anchor")):
            raise InputError(
                f"YAML tags and anchors must have at most {_LONGEST_NAME} characters. {_line(event)} has more."
            )

    def _integer(self, node: yaml.ScalarNode) -> int:
        value = self.construct_yaml_int(node)
        if abs(value) > _LARGEST_INTEGER:
            raise InputError(f"YAML integers must have at most 64 bits. {_line(node)} has more.")
        return value


BoundedLoader.add_constructor("tag:yaml.org,2002:int", BoundedLoader._integer)


class UniqueKeyLoader(BoundedLoader):
    """Loader that refuses duplicate keys; PyYAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary."""
        keys: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in keys:
                line = key.start_mark.line + 1
                raise InputError(f"{shortened(key.value)} is given twice, the second time in line {line}. Remove one.")
            keys.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)


@contextmanager
def _one_kind_of_error(text: str = "") -> Iterator[None]:
    """Turn every error of PyYAML into a ValueError with a message of bounded length."""
    try:
        yield
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # A value that contradicts its tag (!!int x, a list as a key) raises the error of the failed conversion.
        raise ValueError(_reason(error, text)) from error


def _reason(error: Exception, text: str) -> str:
    """Return why a text is not YAML on one line, with the place in the text, but without lines of it."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"the character {quoted(chr(error.character))} in line {line} is not allowed"
    mark = getattr(error, "problem_mark", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or (str(error) if isinstance(error, ValueError) else repr(error))
    context = getattr(error, "context", None)
    reason = shortened(" ".join(problem.split()).rstrip("."), _LONGEST_REASON)
    return f"{f'{context}, ' if context else ''}{reason}{place}"


def read_yaml(path: Path, what: str) -> str:
    """Return the text of a YAML file.

    Args:
        path: path of the file.
        what: description of the file, with which messages begin.

    Raises:
        InputError: the file cannot be read, is too large, or is not text.
    """
    try:
        return read_small(path, _LARGEST_FILE, what).decode("utf-8")
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not YAML, because it is not text: {error}.") from error


def _line(place: Any) -> str:
    """Return the line of an event or a node."""
    return f"Line {place.start_mark.line + 1}"
