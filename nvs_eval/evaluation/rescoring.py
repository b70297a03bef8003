"""Kept renders scored again: what `nvs-eval rescore` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.kept_renders import (
    Result,
    check_masks_unchanged,
    check_serves,
    copied_references,
    with_known_references,
)
from nvs_eval.evaluation.options import Callbacks, RescoreOptions
from nvs_eval.evaluation.outputs import write_records
from nvs_eval.evaluation.prepare import check_masks
from nvs_eval.evaluation.resume import same_renders, up_to_date
from nvs_eval.protocols import Protocol
from nvs_eval.records.files import output_dir_of, read_record_files
from nvs_eval.records.record import Record, record_file
from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.image_source import ImageFiles, reading_of
from nvs_eval.system.devices import memory_advice


def rescore(options: RescoreOptions, callbacks: Callbacks) -> list[tuple[Path, Record]]:
    """Score the renders that records kept under other protocols, and write the records; those that exist are read.

    Returns:
        The records, each with the output folder that it lies in.

    Raises:
        InputError: renders were not kept, or cannot be scored under a protocol.
    """
    protocols = options.protocols()
    results = [Result(path, record) for path, record in read_record_files(options.records, copies=True)]
    records: list[tuple[Path, Record]] = []
    jobs: dict[tuple[Path, tuple[str, ...]], list[Result]] = {}
    for result in _one_each(results, protocols):
        root = options.output_dir or _root_of(result)
        finished = {} if options.overwrite else _finished(result, protocols, root, callbacks)
        records += [(root, record) for record in finished.values()]
        if missing := tuple(p.fingerprint for p in protocols if p.fingerprint not in finished):
            jobs.setdefault((root, missing), []).append(result)
    checked = [
        _Job(root, group, [p for p in protocols if p.fingerprint in missing], options)
        for (root, missing), group in jobs.items()
    ]
    return records + [(job.root, record) for job in checked for record in job.run(callbacks)]


def _one_each(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[Result]:
    """For each result of a folder the first record whose kept renders serve all protocols.

    Raises:
        InputError: a result has none, or was scored with masks that mean nothing to a protocol.
    """
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


def _finished(result: Result, protocols: Sequence[Protocol], root: Path, callbacks: Callbacks) -> dict[str, Record]:
    """The records of the same renders that exist already, by fingerprint."""

    def is_current(record: Record, protocol: Protocol, file: Path) -> bool:
        return same_renders(record.provenance, result.record.provenance)

    finished = {}
    for protocol in protocols:
        for record in up_to_date(result.record.id, [protocol], root, is_current):
            finished[protocol.fingerprint] = record
            callbacks.say(f"{record_file(record, root)} is there already; say --overwrite to score it again.")
    return finished


class _Job:
    """The results below one output folder that are scored under the same protocols; checked when it is made."""

    def __init__(
        self, root: Path, results: Sequence[Result], protocols: Sequence[Protocol], options: RescoreOptions
    ) -> None:
        self.root = root
        self._sources = _sources_of(results, protocols)
        check_distinct(result_id for source in self._sources for result_id in source.ids)
        for result in results:
            check_masks_unchanged(result)
        self._results = {result.record.id: result for result in results}
        self._copies = {key: copied_references(result, protocols) for key, result in self._results.items()}
        self._scorer = options.scorer(protocols)

    def run(self, callbacks: Callbacks) -> list[Record]:
        """Score, and write the records."""
        session, records = Session(self.root, callbacks.command), []
        for source in self._sources:
            title = f"Scoring {len(source.sets)} x {len(source)} views"
            with callbacks.progress(title, len(source)) as advance, memory_advice():
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
            write_records(settled, self.root, callbacks)
            records += settled
        return records


def _root_of(result: Result) -> Path:
    """The output folder that a record lies in, relative where the record's path is.

    Raises:
        InputError: it does not lie where a record of its scene, method, run and step does.
    """
    root = output_dir_of(result.file, result.record)
    if root is None:
        raise InputError(
            f"{result.file} does not lie in {result.record.id.folder.as_posix()}, where its scene, method, run and "
            "step belong: say with `--output-dir` where the new records go."
        )
    return root


def _sources_of(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[ImageFiles]:
    """The kept renders of records as sources: those of the same references and masks together.

    Args:
        results: one a scene, method, run and step, of which `check_serves` has nothing to say.
        protocols: to score them under.

    Raises:
        InputError: renders were not kept, or a file is not there any more or not an image of its view.
    """
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        files = [(name, picture.path.resolve()) for name, picture in result.references().items()]
        reading = str(result.record.provenance.get("reading"))
        groups.setdefault((result.record.scene, reading, str(result.masks), *files), []).append(result)
    sources = []
    for group in groups.values():
        references = group[0].references()
        sets = [result.render_set(references) for result in group]
        sources.append(ImageFiles(sets, reading_of(group[0].record)))
        sources[-1].check({protocol.alpha for protocol in protocols})
    return sources
