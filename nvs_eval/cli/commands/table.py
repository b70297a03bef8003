"""`nvs-eval table`: tables of records, without images, weights or torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options import LayoutOptions, LogOptions, WriteOptions

# More scenes than these have no table each.
_MOST_TABLES = 500


@dataclass(frozen=True, kw_only=True)
class TableCommand(WriteOptions, LayoutOptions, LogOptions):
    """Print the tables of records, or write them to a file."""

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders or patterns such as 'nvs-eval-results/*/nerfacto/**/*.json'."""
    per_view: bool = False
    """Also print the scores of each view; with `--format csv`, only these."""

    def run(self) -> int:
        """Print or write the tables."""
        from nvs_eval.cli.console import say
        from nvs_eval.records.comparable import check_comparable
        from nvs_eval.records.files import output_dir_of, read_record_files

        self.check_output()
        sinks = self.sinks()
        chosen = read_record_files(self.records, protocol=self.protocol, on_note=say)
        files, records = zip(*chosen, strict=True)
        scenes = len({record.scene for record in records})
        if scenes > _MOST_TABLES and self.rows == "checkpoint" and not self.per_scene:
            say(f"{scenes} scenes: one row per method, with means over them. Use `--rows scene` for each scene.")
            layout = replace(self, rows="method").layout(records)
        else:
            layout = self.layout(records)
        if not self.allow_mixed:
            check_comparable(records, files=files)
        self.put_chosen(records, layout, per_view=self.per_view)
        self.log_records(sinks, [(output_dir_of(file, record) or file.parent, record) for file, record in chosen])
        return 0
