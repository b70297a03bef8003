"""The one kind of error a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """The input was wrong. The message says what was given, what was needed and what to do.

    The command line prints the message alone and exits with 2.
    """


def unknown_name(kind: str, given: str, known: Iterable[str]) -> InputError:
    """An error for a name that is not known: it lists the known ones and the nearest."""
    names = sorted(known)
    nearest = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return InputError(f"Unknown {kind} {given!r}.{hint} Known: {', '.join(names) or 'none'}.")


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of many names, and how many more there are."""
    known = list(names)
    shown = ", ".join(known[:most])
    return shown if len(known) <= most else f"{shown} and {len(known) - most} more"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 view", "2 views".

    Args:
        count: the number of things.
        noun: what they are, in the singular.
        plural: the plural, where it is more than the singular with an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))


def printable(text: str) -> str:
    """A text as it can be printed.

    Names come from files of others: what would steer a terminal, or has no glyph, is shown as its escape.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
