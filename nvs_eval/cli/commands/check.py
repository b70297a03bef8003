"""`nvs-eval check`: a gate for continuous integration, that fails when results got worse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

EXIT_WORSE = 1


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """Hold new results against a baseline: exit code 1, and a table of what got worse beyond tolerance and noise."""

    new: Annotated[Positional[tuple[str, ...]], arg(metavar="NEW [...]")]
    """New results: records, folders or patterns."""
    baseline: tuple[str, ...]
    """What they are held against, likewise: all that is in it must be in the new results."""
    tolerance: tuple[str, ...] = ()
    """By how much a mean may be worse: psnr=0.1 lpips_vgg=0.005. Else what no table shows, half its last decimal."""
    protocol: tuple[str, ...] = ()
    """Only records of these protocols, by name or fingerprint."""
    runs: Literal["each", "mean"] = "each"
    """Of several runs of a method: those of one name against each other, or seeds of which the mean counts."""
    resamples: int = 10_000
    """Of the bootstrap that says what is noise."""
    format: Literal["text", "json"] = "text"
    """A table, or JSON with all numbers."""

    def run(self) -> int:
        """Check, say what got worse, and give the exit code."""
        from nvs_eval.cli.commands.compare import say_earlier
        from nvs_eval.cli.console import put, results
        from nvs_eval.cli.options.layout import of_protocols
        from nvs_eval.comparison.gate.checks import checks
        from nvs_eval.comparison.gate.report import failed_table, summary, to_plain
        from nvs_eval.records.files import read_record_files
        from nvs_eval.report.tables.layout import parse_pairs
        from nvs_eval.report.writers.text import print_text

        tolerances = parse_pairs("--tolerance", self.tolerance)
        new, baseline = (
            [record for _, record in of_protocols(read_record_files(names), self.protocol)]
            for names in (self.new, self.baseline)
        )
        say_earlier("The new results", new)
        say_earlier("The baseline", baseline)
        found = checks(new, baseline, tolerances=tolerances, runs=self.runs, resamples=self.resamples)
        failed = any(check.failed for check in found)
        if self.format == "json":
            put(json.dumps({"nvs_eval_check": 1, **to_plain(found)}, indent=1, ensure_ascii=False) + "\n")
        else:
            out = results()
            if failed:
                print_text(failed_table(found), out)
            out.print(summary(found), markup=False, soft_wrap=not out.is_terminal)
        return EXIT_WORSE if failed else 0
