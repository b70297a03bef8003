"""`nvs-eval table`: tables from records, without images, weights or torch."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.layout_options import LayoutOptions, of_protocols
from nvs_eval.cli.write_options import WriteOptions

if TYPE_CHECKING:
    from nvs_eval.records import Record


@dataclass(frozen=True, kw_only=True)
class TableCommand(WriteOptions, LayoutOptions):
    """Print the tables of records: files, folders (all records below) or patterns; or write them to a file."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns such as 'nvs-eval-results/*/nerfacto/**/*.json'."""
    per_view: bool = False
    """Also the scores of each view."""

    def run(self) -> int:
        """Print or write the tables."""
        from nvs_eval.guard import check_comparable
        from nvs_eval.report.tables import per_view_tables, tables_of

        self.check_output()
        found = of_protocols(read_files(self.records), self.protocol)
        files, records = zip(*found, strict=True)
        layout = self.layout(records)
        if not self.allow_mixed:
            check_comparable(records, files=files)
        if self.long:
            self.put_long(records)
        else:
            self.put([*tables_of(records, layout), *(per_view_tables(records, layout) if self.per_view else [])])
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
