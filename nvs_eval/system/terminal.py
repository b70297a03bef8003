"""The console of all text for people. No character of a name acts on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from nvs_eval.system.output import drop_output, printable_lines, writing

UNBOUNDED = 100_000
"""Width of output that is no terminal, which is never wrapped."""


class SafeConsole(Console):
    """Console that prints control characters and others without a glyph as escapes, except for line breaks.

    Outside a terminal it neither colours nor wraps nor truncates, even with FORCE_COLOR. Text is no markup, and a path
    such as `a:100:b` no emoji. If the reader of a pipe is gone, as with `| head`, the rest is dropped.
    """

    def __init__(self, file: Any, *, width: int | None = None, terminal: bool | None = None) -> None:
        terminal = file.isatty() if terminal is None else terminal
        width = width if terminal or width else UNBOUNDED
        super().__init__(file=file, width=width, force_terminal=terminal, highlight=False, emoji=False, markup=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an object, with escapes in its text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects.

        Raises:
            InputError: this is stdout, which cannot be written.
        """
        with writing(self.file):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Drop the output, because a command goes on without its reader."""
        drop_output(self.file)
        del self._buffer[:]
