"""`nvs-eval identify`: the protocol that made a tool's numbers of the same renders."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, arg

from nvs_eval.evaluation.options import IdentifyOptions

EXIT_NONE = 1


@dataclass(frozen=True, kw_only=True)
class Identify(IdentifyOptions):
    """Find the named protocols that agree with a tool's numbers of these renders; exit with 1 if none does.

    Every number must agree to the decimals shown, rounded or truncated. The table shows the difference of each other
    protocol, and the change of one field with which it would agree. No record is written.
    """

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="RENDERS")]
    """Folder of renders, as for `score`."""
    format: Literal["text", "json"] = "text"
    """Output: a table and sentences, or JSON with all numbers."""
    precision: Suppress[Literal["exact", "fast"] | None] = None
    output_dir: Suppress[Path | None] = None
    overwrite: Suppress[bool] = False

    def run(self) -> int:
        """Identify, print the result and return the exit code."""
        from nvs_eval.cli.console import put_json, put_sentences, put_tables
        from nvs_eval.cli.options import callbacks
        from nvs_eval.cli.process import make_ready
        from nvs_eval.diagnostics.identify.identify import identify
        from nvs_eval.diagnostics.identify.words import identification_table, identification_words

        make_ready()
        options = IdentifyOptions(**{one.name: getattr(self, one.name) for one in fields(IdentifyOptions)})
        found = identify(options, callbacks())
        if self.format == "json":
            put_json({"nvs_eval_identify": 1, **found.to_plain()})
        else:
            put_tables([identification_table(found)])
            put_sentences(identification_words(found))
        return 0 if found.protocols else EXIT_NONE
