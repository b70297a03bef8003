"""`nvs-eval table`: a table from records, without images, weights or torch."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from nvs_eval.records import Record


@dataclass(frozen=True)
class TableCommand:
    """Print the table of records: files, folders (all records below) or patterns."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns such as 'nvs-eval-results/*/nerfacto/**/*.json'."""
    per_view: bool = False
    """Also print the scores of each view."""
    allow_mixed: bool = False
    """Also print rows of one scene that were scored on different views, references or masks: marked, none the best."""

    def run(self) -> int:
        """Print the tables."""
        from nvs_eval.cli.console import print_tables

        files, records = zip(*read_files(self.records), strict=True)
        print_tables(records, per_view=self.per_view, allow_mixed=self.allow_mixed, files=files)
        return 0


def read_files(given: tuple[str, ...]) -> list[tuple[Path, Record]]:
    """The records that are named, each once with its file: by scene, protocol, method and run, steps in their order.

    Raises:
        InputError: nothing is there, or something is not a record.
    """
    from nvs_eval.errors import InputError
    from nvs_eval.records import read_record

    if not given:
        raise InputError("No record was named: say which files, folders or patterns.")
    files = {path.resolve(): path for name in given for path in _find(name)}
    return sorted(((path, read_record(path)) for path in files.values()), key=lambda found: _order(found[1]))


def _order(record: Record) -> tuple[str, str, str, str, int]:
    step = -1 if record.step is None else record.step
    return record.scene, record.protocol["name"], record.method, record.run or "", step


def _find(name: str) -> list[Path]:
    from nvs_eval.errors import InputError

    if Path(name).is_file():
        return [Path(name)]
    # A name with brackets in it is a folder where there is one, else a pattern.
    matches = [Path(name)] if Path(name).is_dir() else map(Path, sorted(glob.glob(name, recursive=True)))
    found = [file for path in matches for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    found = [file for file in found if file.suffix == ".json"]
    if not found:
        raise InputError(f"There is no record at {name!r}: give record files (.json), a folder of them, or a pattern.")
    return found
