"""`nvs-eval export`: a record as the JSON files that scripts around other tools read."""

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
    """Write a record as the files of another tool, for the scripts that read those."""

    record: Annotated[Positional[Path], arg(metavar="RECORD")]
    """The record."""
    form: Annotated[Literal["ns-eval", "inria"], arg(name="as")]
    """ns-eval: output.json as nerfstudio's; inria: results.json and per_view.json as of 3D Gaussian splatting."""
    output: Path = Path()
    """The folder to write to."""
    overwrite: bool = False
    """Replace files that are there already."""

    def run(self) -> int:
        """Write the files, and say where and what a reader of them should know."""
        from nvs_eval.cli.console import say
        from nvs_eval.cli.options import check_free, write_file
        from nvs_eval.records.record import read_record
        from nvs_eval.report.exports import FORMS

        record = read_record(self.record)
        _check_outside_results(self.output, self.record, record)
        exported = FORMS[self.form](record)
        paths = {self.output / name: content for name, content in exported.files.items()}
        check_free(paths, overwrite=self.overwrite)
        for message in exported.messages:
            say(message)
        for path, content in paths.items():
            text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
            encoded = text.encode("utf-8", "backslashreplace")
            write_file(path, lambda file, encoded=encoded: file.write(encoded))
        return 0


def _check_outside_results(output: Path, file: Path, record: Record) -> None:
    """Check that a folder is none of the results that a record lies in, where every JSON file is a record."""
    from nvs_eval.records.files import output_dir_of

    results = (output_dir_of(file, record) or file.resolve().parent).resolve()
    if output.resolve().is_relative_to(results):
        raise InputError(
            f"The files would lie in {output.resolve()}, among the records of {results}, where every JSON file is a "
            "record and `nvs-eval table` reads them all: say another folder with `--output`."
        )
