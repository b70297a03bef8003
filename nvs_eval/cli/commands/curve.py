"""`nvs-eval curve`: scores over the checkpoints of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from nvs_eval.report.curves import SceneCurves


@dataclass(frozen=True, kw_only=True)
class CurveCommand:
    """Show scores over training steps: the best step, and where improvement stopped."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders or patterns, with several steps of one or more runs."""
    metrics: tuple[str, ...] = ()
    """Metrics, in this order (default: all)."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    output: Path | None = None
    """Also plot the curves to this .png, .pdf or .svg file; one file for each scene and protocol."""
    overwrite: bool = False
    """Replace the file if it exists with another content."""
    format: Literal["text", "json"] = "text"
    """Output: a table, or JSON with all steps and values."""

    def run(self) -> int:
        """Print the curves, and plot them if a file is named."""
        from nvs_eval.cli.console import say
        from nvs_eval.comparison.noise import improved
        from nvs_eval.records.files import read_record_files
        from nvs_eval.report.curve_plot import check_plot
        from nvs_eval.report.curve_table import left_out_notes
        from nvs_eval.report.curves import curves_of, runs_of

        if self.output is not None:
            check_plot(self.output)
        files_and_records = read_record_files(self.records, protocol=self.protocol, on_note=say)
        files, records = zip(*files_and_records, strict=True)
        scenes = curves_of(records, improved, metrics=self.metrics, files=files)
        for note in left_out_notes(runs_of(records)[1]):
            say(note)
        if self.output is not None:
            self._draw(self.output, scenes)
        self._put(scenes)
        return 0

    def _draw(self, output: Path, scenes: Sequence[SceneCurves]) -> None:
        from nvs_eval.cli.options import write_files
        from nvs_eval.report.curve_plot import drawn, plot_files

        plots = zip(plot_files(output, scenes), scenes, strict=True)
        contents = {path: drawn(curves, output.suffix) for path, curves in plots}
        write_files(contents, overwrite=self.overwrite)

    def _put(self, scenes: Sequence[SceneCurves]) -> None:
        from nvs_eval.cli.console import put_json, put_tables
        from nvs_eval.report.curve_table import curve_table, to_plain

        if self.format == "json":
            put_json({"nvs_eval_curves": 1, "curves": [to_plain(curves) for curves in scenes]})
        else:
            put_tables(map(curve_table, scenes))
