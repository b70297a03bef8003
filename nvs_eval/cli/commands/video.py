"""`nvs-eval video`: views of several methods side by side, or a line that moves between two."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.diagnostics.figures.options import VideoOptions


@dataclass(frozen=True, kw_only=True)
class VideoCommand(VideoOptions):
    """Show views of several methods side by side in a video, or two of them with a line that moves between.

    Each view is shown for some seconds, with the names of the methods and their scores, the best in bold. The images
    must have been kept, and must not have changed since.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    output: Annotated[Path, arg(aliases=["-o"])]

    def run(self) -> int:
        """Make the video, and print its path and length."""
        import shlex

        from nvs_eval.cli.console import say
        from nvs_eval.cli.options import callbacks
        from nvs_eval.diagnostics.figures.video import make_video

        video = make_video(
            VideoOptions(**{one.name: getattr(self, one.name) for one in fields(VideoOptions)}), callbacks()
        )
        say(f"Written: {shlex.quote(str(video.file))}")
        say(f"{video.size[0]} x {video.size[1]} pixels, {video.seconds:.1f} s")
        return 0
