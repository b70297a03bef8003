"""The error and the warning for wrong input, and helpers for the wording of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Wrong input. The message states the requirement, the value that was passed and the remedy.

    The command line prints the message without a traceback and exits with 2.
    """


class InputWarning(UserWarning):
    """Input that is used although something in it is wrong.

    Attributes:
        kind: what is wrong, without the name of the file. The command line prints the first warning of each kind, and
            the number of the others.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class ResourceError(InputError):
    """Lack of memory or of a package. It concerns every view, so a command cannot go on without the view."""


def unknown_name(kind: str, name: str, valid_names: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the nearest known name and a list of all."""
    return InputError(f"Unknown {kind} {name!r}.{known_names(name, valid_names)}")


def known_names(name: str, valid_names: Iterable[str]) -> str:
    """Return the sentences on the nearest known name and on all of them, after a space."""
    names = sorted(valid_names)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."


def some(names: Iterable[str], most: int = 5) -> str:
    """Return the first names, and the number of the others."""
    all_names = list(names)
    shown = ", ".join(all_names[:most])
    return shown if len(all_names) <= most else f"{shown} and {len(all_names) - most} more"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 view", "2 views".

    Args:
        count: the number of things.
        noun: the singular.
        plural: the plural (default: the singular with an s).
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))


def printable(text: str) -> str:
    """Return a text that is safe to print.

    Names may come from untrusted files: control characters and characters without a glyph become escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
