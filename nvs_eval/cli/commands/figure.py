"""`nvs-eval figure`: the comparison of papers, with magnified regions and scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from nvs_eval.diagnostics.figures.options import FigureOptions


@dataclass(frozen=True, kw_only=True)
class FigureCommand(FigureOptions):
    """Draw views of several methods side by side, with magnified regions and scores, for a paper.

    A row shows a view: its reference and the renders of each method, the regions of `--crop` in coloured frames, and
    the score of each method, the best in bold. The images must have been kept, and must not have changed since.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    crop: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="[VIEW:]X,Y,W,H")] = ()
    output: Annotated[Path, arg(aliases=["-o"])]

    def run(self) -> int:
        """Draw the figure, write it, and print the options for regions that were chosen automatically."""
        from nvs_eval.cli.console import put_sentences, say, wait
        from nvs_eval.cli.options import write_files
        from nvs_eval.diagnostics.figures.figure import draw_figure

        options = FigureOptions(**{one.name: getattr(self, one.name) for one in fields(FigureOptions)})
        with wait("Drawing the figure"):
            figure = draw_figure(options)
        write_files(figure.files, overwrite=self.overwrite, main=options.output)
        say(f"{figure.size[0]:.2f} x {figure.size[1]:.2f} inches", *figure.notes)
        if self.auto_crops and figure.crop_options:
            put_sentences([f"Regions: {figure.crop_options}"])
        return 0
