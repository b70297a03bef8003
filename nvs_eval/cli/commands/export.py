"""`nvs-eval export`: write a record as the JSON files of another tool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


@dataclass(frozen=True)
class ExportCommand:
    """Write a record as result files of another tool, for scripts that read them."""

    record: Annotated[Positional[Path], arg(metavar="RECORD")]
    """Record to export."""
    form: Annotated[Literal["ns-eval", "inria"], arg(name="as")]
    """`ns-eval`: nerfstudio's output.json; `inria`: results.json and per_view.json of 3D Gaussian splatting."""
    output: Path = Path()
    """Folder to write to."""
    overwrite: bool = False
    """Replace files that exist with another content."""

    def run(self) -> int:
        """Write the files, and print their paths and any differences from the other tool's numbers."""
        from nvs_eval.cli.console import say
        from nvs_eval.cli.options import write_files
        from nvs_eval.records.record import read_record
        from nvs_eval.report.exports import FORMS

        record = read_record(self.record)
        _check_outside_results(self.output, self.record, record)
        exported = FORMS[self.form](record)
        contents = {self.output / name: _encoded(content) for name, content in exported.files.items()}
        for message in exported.messages:
            say(message)
        write_files(contents, overwrite=self.overwrite)
        return 0


def _encoded(content: object) -> bytes:
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _check_outside_results(output: Path, file: Path, record: Record) -> None:
    """Check that a folder is outside the results of a record, where every JSON file is read as a record."""
    from nvs_eval.records.files import output_dir_of

    results = (output_dir_of(file, record) or file.resolve().parent).resolve()
    if output.resolve().is_relative_to(results):
        raise InputError(
            f"--output must be outside the records of {results}, where every JSON file is read as a record. "
            f"Got {output.resolve()}. Name another folder."
        )
