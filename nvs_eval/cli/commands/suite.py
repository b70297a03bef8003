"""`nvs-eval suite`: all scenes and methods of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options.layout import LayoutOptions, of_protocols
from nvs_eval.cli.options.writing import WriteOptions
from nvs_eval.errors import InputError, some, unknown_name

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite.entries import Entry
    from nvs_eval.evaluation.suite.file import SuiteFile
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.layout import Layout

EXIT_FAILED = 3


@dataclass(frozen=True, kw_only=True)
class SuiteCommand(WriteOptions, LayoutOptions):
    """Evaluate all methods of a file on all of its scenes, skip what is done already, and print the tables."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The YAML file that says which methods and scenes, and where they lie: see docs/suites.md."""
    only: tuple[str, ...] = ()
    """Evaluate only these methods and scenes of the file; the tables are still of all that have records."""
    dry_run: bool = False
    """Say what is done, what there is to do and what is missing, and do nothing."""
    output_dir: Path | None = None
    """Where records and renders are written, in place of where the file says."""
    device: str | None = None
    """Where to compute, in place of what the file says: auto, cpu, cuda, cuda:1, ..."""
    precision: Literal["exact", "fast"] | None = None
    """Of LPIPS, exact or fast, in place of what the file says."""
    max_memory: str | None = None
    """What LPIPS may take beside the images, such as 2GB, in place of what the file says."""
    per_view: bool = False
    """Also the scores of each view; with `--format csv` these alone."""
    overwrite: bool = False
    """Render and score again what is done already. (The file of `--output` is replaced in any case.)"""
    rows: Literal["checkpoint", "method", "scene"] = "method"
    """A row a checkpoint; a method (the last checkpoint of each run), averaged over scenes; or a scene."""
    protocol: tuple[str, ...] = ()
    """Only the tables of these protocols of the file, by name or fingerprint."""
    suite: str | None = None
    """Another benchmark for the tables, such as mipnerf360-7, or a YAML file; else the scenes of the file."""

    def run(self) -> int:
        """Evaluate what there is to do, print or write the tables, say what was not done."""
        from nvs_eval.evaluation.suite.entries import entries_of, file_options, with_protocols
        from nvs_eval.evaluation.suite.file import load_suite_file

        self._check_table_file()
        file = load_suite_file(self.file, file_options())
        entries = with_protocols(file, entries_of(file, self._changes(file)))
        chosen = self._chosen(file, entries)
        self._rehearse(file, entries)
        if self.dry_run:
            return self._print_plan(file, chosen)
        return self._evaluate(file, entries, chosen)

    def _check_table_file(self) -> None:
        """The same command given again goes on with its work, and so writes its tables again."""
        replace(self, overwrite=True).check_output()
        if self.output is not None and self.output.exists() and self.output.samefile(self.file):
            raise InputError(f"--output is {self.output}, the file of the suite itself: say another.")

    def _changes(self, file: SuiteFile) -> dict[str, object]:
        """What the command line says in place of the file."""
        given = {name: getattr(self, name) for name in ("device", "precision", "max_memory")}
        said = {name: value for name, value in given.items() if value is not None}
        return {"output_dir": self.output_dir or file.output_dir, "overwrite": self.overwrite, **said}

    def _chosen(self, file: SuiteFile, entries: Sequence[Entry]) -> list[Entry]:
        methods = {method.name for method in file.methods}
        scenes = {name: scene.name for name in self.only if (scene := file.suite.scene(name))}
        for name in self.only:
            if name not in methods and name not in scenes:
                raise unknown_name("method or scene", name, {*methods, *file.suite.names})
        named = methods & set(self.only) or methods
        within = set(scenes.values()) or set(file.suite.names)
        return [entry for entry in entries if entry.method in named and entry.scene in within]

    # --- Tables ---

    def _layout(self, file: SuiteFile, records: Sequence[Record]) -> Layout:
        layout = self.layout(records)
        return layout if self.suite is not None else replace(layout, suite=file.suite)

    def _of_protocols(self, records: Sequence[Record]) -> list[Record]:
        return [record for _, record in of_protocols([(Path(), record) for record in records], self.protocol)]

    def _rehearse(self, file: SuiteFile, entries: Sequence[Entry]) -> None:
        """Lay the tables out for records that are made up, so that a wrong option is found before hours of work.

        Raises:
            InputError: the options of the tables are wrong.
        """
        from nvs_eval.evaluation.suite.plan import made_up_record
        from nvs_eval.report.tables.tables import chosen_records, tables_of

        if not all(entry.protocols for entry in entries):
            return  # With `auto` it is known only when runs are opened.
        made_up = [made_up_record(entry, protocol) for entry in entries for protocol in entry.protocols]
        records = self._of_protocols(made_up)
        layout = replace(self._layout(file, records), tied=None)
        if self.long:
            chosen_records(records, layout)
        else:
            tables_of(records, layout)

    def _put_tables(self, file: SuiteFile, found: Sequence[Record], entries: Sequence[Entry]) -> None:
        from nvs_eval.cli.console import say
        from nvs_eval.evaluation.suite.entries import no_records
        from nvs_eval.report.tables.tables import chosen_records, shown_tables

        if not found:
            say(f"{no_records(entries)}, and so no table.")
            return
        records = self._of_protocols(found)
        layout = self._layout(file, records)
        if self.long:
            self.put_long(chosen_records(records, layout))
            return
        self.put(shown_tables(records, layout, per_view=self.per_view, format=self.format))

    # --- Work ---

    def _print_plan(self, file: SuiteFile, chosen: Sequence[Entry]) -> int:
        from nvs_eval.cli.console import results
        from nvs_eval.evaluation.suite.plan import plan_table, state_of
        from nvs_eval.report.writers.text import print_text

        failures: list[tuple[str, Entry]] = []
        states = {entry.key: state_of(entry, failures) for entry in chosen}
        print_text(plan_table(file, states), results())
        self._say_not_done("Cannot be done", chosen, failures)
        return EXIT_FAILED if failures or any(entry.missing for entry in chosen) else 0

    def _evaluate(self, file: SuiteFile, entries: Sequence[Entry], chosen: Sequence[Entry]) -> int:
        from nvs_eval.cli.console import say
        from nvs_eval.evaluation.suite.entries import missing_lines

        todo = [entry for entry in chosen if not entry.missing]
        if lines := missing_lines(chosen):
            many = len(chosen) - len(todo)
            say("\n  ".join([f"Missing, {many} of {len(chosen)}; the others go ahead:", *lines]), style="yellow")
        found: dict[tuple[str, str], list[Record]] = {}
        failures: list[tuple[str, Entry]] = []
        for number, entry in enumerate(todo, 1):
            say(f"[{number}/{len(todo)}] {entry}")
            try:
                found[entry.key] = entry.command.completed()
            except InputError as error:
                say(f"Error: {entry}: {error}", style="red")
                failures.append((str(error), entry))
                found[entry.key] = []  # What is there of earlier may be of other renders.
        records = [found.get(entry.key) for entry in entries]
        known = [entry.found_records() if each is None else each for entry, each in zip(entries, records, strict=True)]
        try:
            self._put_tables(file, [record for each in known for record in each], entries)
        finally:
            self._say_not_done("Not done", chosen, failures)
        return EXIT_FAILED if failures or len(todo) < len(chosen) else 0

    def _say_not_done(self, what: str, chosen: Sequence[Entry], failures: Sequence[tuple[str, Entry]]) -> None:
        """What was not done and why; what failed for one reason together."""
        from nvs_eval.cli.console import say
        from nvs_eval.evaluation.suite.entries import missing_lines

        together: dict[str, list[str]] = {}
        for reason, entry in failures:
            together.setdefault(reason, []).append(str(entry))
        lines = [f"{some(names, 4)}: {reason}" for reason, names in together.items()]
        if lines := [*missing_lines(chosen), *lines]:
            many = len(failures) + sum(1 for entry in chosen if entry.missing)
            say("\n  ".join([f"{what}, {many} of {len(chosen)}:", *lines]), style="yellow")
