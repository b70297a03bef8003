"""The error and the warning for wrong input, and helpers for the wording of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

LONGEST_SHOWN = 60
"""Largest number of characters of a value from a file in a message."""
LONGEST_PATH = 300
"""Largest number of characters of a path from a file in a message."""
_MOST_NAMES = 50


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


class FileError(InputError):
    """A file that is damaged, unreadable or not of the expected kind. An image costs its own view."""


class ResourceError(InputError):
    """Lack of memory or of a package. It concerns every view, so a command cannot go on without the view."""


def unknown_name(kind: str, name: str, valid_names: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the nearest known name and a list of all."""
    return InputError(f"Unknown {kind} {quoted(name)}.{known_names(name, valid_names)}")


def known_names(name: str, valid_names: Iterable[str]) -> str:
    """Return the sentences on the nearest known name and on all of them, after a space."""
    names = sorted(map(shortened, valid_names))
    nearest = difflib.get_close_matches(shortened(str(name)), names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{hint} Known: {some(names, _MOST_NAMES) or 'none'}."


def some(names: Iterable[object], most: int = 5, *, whole: bool = False) -> str:
    """Return the first names, and the number of the others.

    Args:
        names: names, which are truncated if they are long, or paths, which are not.
        most: number of names.
        whole: do not truncate names, because they are whole sentences.
    """
    all_names = list(names)
    shown = ", ".join(
        str(name) if whole or isinstance(name, Path) else shortened(str(name)) for name in all_names[:most]
    )
    return shown if len(all_names) <= most else f"{shown} and {len(all_names) - most} more"


def quoted(value: object) -> str:
    """Return the repr of a value for a message, truncated if it is long. Values from files can have any length."""
    try:
        text = repr(value[: LONGEST_SHOWN + 1] if isinstance(value, str | bytes) else value)
    except (RecursionError, ValueError):  # Nested too deeply, or an integer with too many digits.
        text = f"a {type(value).__name__}"
    shown = shortened(text)
    return f"{shown}{text[-1]}" if shown != text and isinstance(value, str | bytes) and shown.endswith("...") else shown


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return a text from a file for a message: printable, and truncated if it is long."""
    cut = printable(text[: longest + 1])
    return cut if len(cut) <= longest else f"{cut[:longest]}..."


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 view", "2 views".

    Args:
        count: the number of things.
        noun: the singular.
        plural: the plural (default: the singular with an s).
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Return a time in one or two units: "40 s", "12 min", "3 h 20 min" or "2 days 4 h"."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))


def printable(text: str) -> str:
    """Return a text that is safe to print.

    Names may come from untrusted files: control characters, characters that change the direction of a text, lone
    surrogates and others without a glyph become escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
