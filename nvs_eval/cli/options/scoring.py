"""What the commands that score have in common on the command line: printing, and callbacks that print."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Callbacks, Refusal


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """What is printed of scores."""

    per_view: bool = False
    """Also print the scores of each view."""


def command_line() -> tuple[str, ...]:
    """Return the command as the user gave it."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])


def callbacks(on_refusal: Refusal | None = None) -> Callbacks:
    """Make the callbacks that print progress and messages on stderr.

    Args:
        on_refusal: called with a protocol that cannot score the views (default: that is an error).
    """
    from nvs_eval.cli.console import progress, say
    from nvs_eval.evaluation.options import Callbacks

    return Callbacks(
        command=command_line(),
        progress=progress,
        say=say,
        warn=lambda message: say(message, style="yellow"),
        on_refusal=on_refusal,
    )
