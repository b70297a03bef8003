"""`nvs-eval diagnose`: causes of the error of each view and run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.diagnostics.causes.options import DiagnoseOptions


@dataclass(frozen=True, kw_only=True)
class DiagnoseCommand(DiagnoseOptions):
    """Split the error of each view into causes, in dB: colour, pose, blur, floaters and noise, with what to do.

    Only causes above their noise are named. They are written beside each record (`.causes`), where `compare` reads
    them. The images must have been kept, and must not have changed since.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    per_view: bool = False
    """Also print the sentences of each view."""
    format: Literal["text", "json"] = "text"
    """Output: tables and sentences, or JSON with all numbers."""

    def run(self) -> int:
        """Diagnose, print the result, and return 3 if images of views are missing."""
        from nvs_eval.cli.console import put_json, put_sentences, put_tables, say
        from nvs_eval.cli.options import EXIT_FAILED, callbacks
        from nvs_eval.cli.process import make_ready
        from nvs_eval.diagnostics.causes.diagnose import diagnose
        from nvs_eval.diagnostics.causes.tables import causes_table
        from nvs_eval.errors import quoted

        make_ready()
        options = DiagnoseOptions(**{one.name: getattr(self, one.name) for one in fields(DiagnoseOptions)})
        diagnoses = list(diagnose(options, callbacks()))
        for one in diagnoses:
            if self.format == "text":
                put_tables([causes_table(one)], ranks=False)
                put_sentences(one.words)
                if self.per_view:
                    put_sentences(f"{name}: {' '.join(view.words)}" for name, view in one.causes.views.items())
                put_sentences([""])
            for name, reason in one.causes.missing.items():
                say(f"View {quoted(name)} was not diagnosed: {reason}")
            if one.written is not None:
                say(f"Written: {one.written}")
        if self.format == "json":
            put_json({"nvs_eval_diagnose": 1, "records": [one.to_plain() for one in diagnoses]})
        return EXIT_FAILED if any(one.causes.missing for one in diagnoses) else 0
