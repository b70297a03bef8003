"""`nvs-eval table`: tables from records, without images, weights or torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options.layout import LayoutOptions, of_protocols
from nvs_eval.cli.options.loggers import LogOptions
from nvs_eval.cli.options.writing import WriteOptions


@dataclass(frozen=True, kw_only=True)
class TableCommand(WriteOptions, LayoutOptions, LogOptions):
    """Print the tables of records: files, folders (all records below) or patterns; or write them to a file."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns such as 'nvs-eval-results/*/nerfacto/**/*.json'."""
    per_view: bool = False
    """Also the scores of each view; with `--format csv` these alone."""

    def run(self) -> int:
        """Print or write the tables."""
        from nvs_eval.records.comparable import check_comparable
        from nvs_eval.records.files import output_dir_of, read_record_files
        from nvs_eval.report.tables.tables import chosen_records, shown_tables

        self.check_output()
        sinks = self.sinks()
        found = of_protocols(read_record_files(self.records), self.protocol)
        files, records = zip(*found, strict=True)
        layout = self.layout(records)
        if not self.allow_mixed:
            check_comparable(records, files=files)
        if self.long:
            self.put_long(chosen_records(records, layout))
        else:
            self.put(shown_tables(records, layout, per_view=self.per_view, format=self.format))
        self.log_records(sinks, [(output_dir_of(file, record) or file.parent, record) for file, record in found])
        return 0
