"""`nvs-eval check`: a gate for continuous integration that fails if results got worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

EXIT_WORSE = 1


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """Compare new results with a baseline; exit with 1 if a score got worse.

    A score fails if it is worse by more than its tolerance and more than noise.
    """

    new: Annotated[Positional[tuple[str, ...]], arg(metavar="NEW [...]")]
    """New results: records, folders or patterns."""
    baseline: tuple[str, ...]
    """Baseline: records, folders or patterns. The new results must contain everything in it."""
    tolerance: tuple[str, ...] = ()
    """Tolerated loss of a mean, such as psnr=0.1 lpips_vgg=0.005 (default: half a unit of the last decimal)."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    runs: Literal["each", "mean"] = "each"
    """Several runs of a method: compare runs of the same name, or the means over seeds."""
    resamples: int = 10_000
    """Number of bootstrap resamples, which estimate the noise."""
    format: Literal["text", "json"] = "text"
    """Output: a table of failures, or JSON with all numbers."""

    def run(self) -> int:
        """Check, print the scores that got worse, and return the exit code."""
        from nvs_eval.cli.console import put_json, put_sentences, put_tables, say
        from nvs_eval.comparison.check import check
        from nvs_eval.comparison.compare import last_step_notes
        from nvs_eval.records.files import read_record_files
        from nvs_eval.report.tables.layout import parse_pairs

        tolerances = parse_pairs("--tolerance", self.tolerance)
        new, baseline = (
            [record for _, record in read_record_files(names, protocol=self.protocol, on_note=say)]
            for names in (self.new, self.baseline)
        )
        for note in last_step_notes({"The new results": new, "The baseline": baseline}):
            say(note)
        result = check(new, baseline, tolerances=tolerances, runs=self.runs, resamples=self.resamples)
        if self.format == "json":
            put_json({"nvs_eval_check": 1, **result.to_plain()})
        else:
            put_tables(result.tables)
            put_sentences([result.words])
        return 0 if result.passed else EXIT_WORSE
