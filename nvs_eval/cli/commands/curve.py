"""`nvs-eval curve`: the checkpoints of a run as curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from nvs_eval.report.curves import SceneCurves


@dataclass(frozen=True, kw_only=True)
class CurveCommand:
    """Say over the steps of a run which is best under which metric, and where each stopped improving; plot it."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns: of several steps of one run, or of several runs."""
    metrics: tuple[str, ...] = ()
    """Which, in this order. Else all."""
    protocol: tuple[str, ...] = ()
    """Only records of these protocols, by name or fingerprint."""
    output: Path | None = None
    """Also draw the curves to this file: .png, .pdf or .svg; of several scenes or protocols to a file each."""
    overwrite: bool = False
    """Replace the file if it is there already."""
    format: Literal["text", "json"] = "text"
    """A table, or JSON with all steps and values."""

    def run(self) -> int:
        """Print the curves, and draw them if a file is named."""
        from nvs_eval.cli.console import say
        from nvs_eval.comparison.noise import improved
        from nvs_eval.records.files import read_record_files
        from nvs_eval.report.curve_plot import check_plot
        from nvs_eval.report.curve_table import left_out_notes
        from nvs_eval.report.curves import curves_of, runs_of

        if self.output is not None:
            check_plot(self.output)
        found = read_record_files(self.records, protocol=self.protocol)
        files, records = zip(*found, strict=True)
        scenes = curves_of(records, improved, metrics=self.metrics, files=files)
        for note in left_out_notes(runs_of(records)[1]):
            say(note)
        if self.output is not None:
            self._draw(self.output, scenes)
        self._put(scenes)
        return 0

    def _draw(self, output: Path, scenes: Sequence[SceneCurves]) -> None:
        from nvs_eval.cli.options import check_free, write_file
        from nvs_eval.report.curve_plot import draw, plot_files

        files = plot_files(output, scenes)
        check_free(files, overwrite=self.overwrite)
        for path, curves in zip(files, scenes, strict=True):
            write_file(path, lambda file, curves=curves: draw(curves, file, output.suffix))

    def _put(self, scenes: Sequence[SceneCurves]) -> None:
        from nvs_eval.cli.console import put, put_tables
        from nvs_eval.report.curve_table import curve_table, to_plain

        if self.format == "json":
            plain = {"nvs_eval_curves": 1, "curves": [to_plain(curves) for curves in scenes]}
            put(json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        else:
            put_tables(map(curve_table, scenes))
