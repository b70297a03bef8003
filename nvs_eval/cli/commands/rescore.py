"""`nvs-eval rescore`: scores kept renders again under another protocol, without rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.options.loggers import LogOptions
from nvs_eval.cli.options.scoring import ProtocolOptions, watch
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Terms
    from nvs_eval.evaluation.rescoring import Result
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record
    from nvs_eval.records.result_id import ResultId


@dataclass(frozen=True, kw_only=True)
class Rescore(ProtocolOptions, LogOptions):
    """Score the renders that records kept again under other protocols, and print the table.

    Where only 8-bit copies of float renders were kept, protocols that score floats are refused.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    """Records, folders of records, or patterns; of several of one result the first that serves is taken."""
    output_dir: Path | None = None
    """Where the new records are written; else beside the old ones."""
    overwrite: bool = False
    """Score again what has its record already."""

    def run(self) -> int:
        """Score, write the records, print the table."""
        from nvs_eval.cli.console import print_tables
        from nvs_eval.cli.process import make_ready
        from nvs_eval.evaluation.rescoring import Result, root_of
        from nvs_eval.records.files import read_record_files

        sinks = self.sinks()
        make_ready()
        terms = self.terms()
        protocols = terms.protocols()
        results = [Result(path, record) for path, record in read_record_files(self.records, copies=True)]
        done: list[tuple[Path, Record]] = []
        jobs: dict[tuple[Path, tuple[str, ...]], list[Result]] = {}
        for result in _one_each(results, protocols):
            root = self.output_dir or root_of(result)
            finished = {} if self.overwrite else _finished(result, protocols, root)
            done += [(root, record) for record in finished.values()]
            missing = tuple(p.fingerprint for p in protocols if p.fingerprint not in finished)
            if missing:
                jobs.setdefault((root, missing), []).append(result)
        checked = [
            _Job(root, group, [p for p in protocols if p.fingerprint in missing], terms)
            for (root, missing), group in jobs.items()
        ]
        done += [(job.root, record) for job in checked for record in job.run()]
        print_tables([record for _, record in done], per_view=self.per_view)
        self.log_records(sinks, done)
        return 0


def _one_each(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[Result]:
    """For each scene, method, run and step of a folder the first record whose kept renders serve all protocols.

    Raises:
        InputError: of one there is none. Or it was scored with masks that mean nothing to a protocol.
    """
    from nvs_eval.evaluation.prepare import check_masks

    # A protocol that ignores masks says nothing of them in its records: those that know them come first.
    groups: dict[tuple[Path, ResultId], list[Result]] = {}
    for result in sorted(results, key=lambda result: not result.masked):
        groups.setdefault((result.file.resolve().parent, result.record.id), []).append(result)
    taken = {id(_best(group, protocols)) for group in groups.values()}
    chosen = [result for result in results if id(result) in taken]
    for result in chosen:
        for protocol in protocols if result.masked else ():
            check_masks(protocol, f"{result.file} was scored with masks")
    return chosen


def _best(results: Sequence[Result], protocols: Sequence[Protocol]) -> Result:
    """The first of several records of one result whose kept renders serve all protocols.

    Raises:
        InputError: none does: what is wrong with the one that serves the most of them.
    """
    from nvs_eval.evaluation.rescoring import check_serves

    refused = []
    for result in results:
        errors = []
        for protocol in protocols:
            try:
                check_serves(result, protocol)
            except InputError as error:
                errors.append(error)
        if not errors:
            return result
        refused.append(errors)
    raise min(refused, key=len)[0]


def _finished(result: Result, protocols: Sequence[Protocol], root: Path) -> dict[str, Record]:
    """The records of the same renders that are there already, by fingerprint."""
    from nvs_eval.cli.console import say
    from nvs_eval.records.record import read_record, record_name

    found = {}
    for protocol in protocols:
        file = root / result.record.id.folder / record_name(protocol.name, protocol.fingerprint)
        if file.is_file() and result.made_with(before := read_record(file)):
            found[protocol.fingerprint] = before
            say(f"{file} is there already; say --overwrite to score it again.")
    return found


class _Job:
    """The results below one output folder that are scored under the same protocols; checked when it is made."""

    def __init__(self, root: Path, results: Sequence[Result], protocols: Sequence[Protocol], terms: Terms) -> None:
        from nvs_eval.evaluation.rescoring import check_masks_unchanged, copied_references, sources_of
        from nvs_eval.records.result_id import check_distinct

        self.root = root
        self._terms = replace(terms, output_dir=root)
        self._sources = sources_of(results, protocols)
        check_distinct(result_id for source in self._sources for result_id in source.ids)
        for result in results:
            check_masks_unchanged(result)
        self._results = {result.record.id: result for result in results}
        self._copies = {result_id: copied_references(result, protocols) for result_id, result in self._results.items()}
        self._scorer = terms.scorer(protocols)

    def run(self) -> list[Record]:
        """Score, and write the records."""
        from nvs_eval.evaluation.evaluate import evaluate
        from nvs_eval.evaluation.rescoring import with_known_references
        from nvs_eval.system.devices import memory_advice

        session, told = self._terms.session(), watch()
        records = []
        for source in self._sources:
            with told.progress(f"Scoring {len(source.sets)} x {len(source)} views", len(source)) as advance:
                with memory_advice():
                    scored = evaluate(
                        source,
                        source.ids,
                        self._scorer,
                        session,
                        provenance=source.provenance,
                        on_view=lambda _, advance=advance: advance(),
                    )
            settled = [
                with_known_references(record, self._results[record.id], self._copies[record.id]) for record in scored
            ]
            self._terms.write(settled, told)
            records += settled
        return records
