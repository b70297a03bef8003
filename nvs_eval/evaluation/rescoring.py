"""Score kept renders again, as `nvs-eval rescore` does. Prints nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, report_lost, score_files
from nvs_eval.evaluation.inputs import of_record, same_renders
from nvs_eval.evaluation.kept_renders import Result
from nvs_eval.evaluation.lines_writer import LinePlaces
from nvs_eval.evaluation.options import RescoreOptions, RunOptions
from nvs_eval.evaluation.partial import Partial, open_partial
from nvs_eval.evaluation.plan import Job
from nvs_eval.evaluation.prepare import check_masks
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.protocols import Protocol
from nvs_eval.records.comparable import main_records
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import Record, read_record, record_file
from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.folders import report_damaged
from nvs_eval.sources.image_source import ImageFiles, reading_of
from nvs_eval.system.hashes import forget_hashes, remembered_sha256


def rescore(options: RescoreOptions, callbacks: Callbacks) -> list[tuple[Path, Record]]:
    """Score kept renders under other protocols and write the records; records that exist are read.

    Returns:
        The records, each with its output folder.

    Raises:
        InputError: Renders were not kept, or cannot be scored under a protocol.
    """
    if options.rehash:
        forget_hashes()
    protocols = options.protocols()
    results = [Result(path, record) for path, record in read_record_files(options.records, copies=True)]
    named = {Path(name).resolve() for name in options.records}
    records: list[tuple[Path, Record]] = []
    groups: dict[tuple[Path, str | None, tuple[str, ...]], list[Result]] = {}
    places: dict[tuple[Path, str | None], Places | LinePlaces] = {}
    existing: dict[Path, None] = {}
    for result in _chosen(results, named, protocols):
        root = options.output_dir or result.root
        key = (root, result.record.suite)
        if key not in places:
            places[key] = _places(*key, overwrite=options.overwrite)
        inputs = of_record(result.record, result.file)
        finished = places[key].finished(result.record.id, protocols, inputs)
        existing |= dict.fromkeys(record_file(record, root) for record in finished.values())
        records += [(root, record) for record in finished.values()]
        if missing := tuple(p.fingerprint for p in protocols if p.fingerprint not in finished):
            groups.setdefault((*key, missing), []).append(result)
    for file in existing:
        callbacks.say(f"{file} already exists. Use --overwrite to score it again.")
    # Creating the jobs checks everything before anything is scored.
    jobs = [
        Rescoring(
            Session(root, callbacks.command, suite=suite),
            group,
            [p for p in protocols if p.fingerprint in missing],
            options,
            places[root, suite],
        )
        for (root, suite, missing), group in groups.items()
    ]
    report_damaged([source for job in jobs for source in job.sources], callbacks.warn)
    for job in jobs:
        records += [(job.session.output_dir, record) for record in job.run(callbacks)]
    report_lost([error for job in jobs for error in job.session.errors], records, callbacks)
    return records


def _places(output_dir: Path, suite: str | None, *, overwrite: bool) -> Places | LinePlaces:
    places = Places(output_dir, overwrite, renamable=False)
    return places if suite is None else LinePlaces(places, suite)


def kept_result(job: Job, output_dir: Path, protocols: Sequence[Protocol]) -> Result | None:
    """Return a record of a checkpoint whose kept renders suit all protocols, or None if it must be rendered."""
    for file in sorted((output_dir / job.id.folder).glob("*.json")):
        with suppress(InputError):
            result = Result(file, read_record(file))
            names = [row.name for row in result.record.views]
            same = result.record.id == job.id and names == list(job.checkpoint.names)
            if same and same_renders(result.record.provenance, job.checkpoint.provenance) and _same_masks(result, job):
                for protocol in protocols:
                    result.check_serves(protocol)
                result.check_unchanged(protocols)
                return result
    return None


def _same_masks(result: Result, job: Job) -> bool:
    if job.masks is None or not result.masked:
        return job.masks is None and not result.masked
    return all(job.masks.sha256(row.name) == row.mask_sha256 for row in result.record.views)


def _chosen(results: Sequence[Result], named: Collection[Path], protocols: Sequence[Protocol]) -> list[Result]:
    """Return, for each result in a folder, the first record whose kept renders suit all protocols.

    Args:
        results: records of any results, selections of views and protocols.
        named: files that the user named; only from these, several selections of one result are chosen.
        protocols: protocols to score under.

    Raises:
        InputError: A result has no such record, or was scored with masks and a protocol does not support them.
    """
    # Records of protocols that ignore masks do not list them, so records with masks come first, then complete ones. A
    # record that would be written comes last, because it may be of other renders than the rest.
    written = {protocol.fingerprint for protocol in protocols}
    groups: dict[tuple[Path, ResultId], list[Result]] = {}
    for result in sorted(
        results, key=lambda one: (not one.masked, bool(one.record.failed), one.record.fingerprint in written)
    ):
        groups.setdefault((result.file.resolve().parent, result.record.cell[0]), []).append(result)
    best = {id(_best(alike, protocols)) for group in groups.values() for alike in _selections(group, named)}
    chosen = [result for result in results if id(result) in best]
    for result in chosen:
        for protocol in protocols if result.masked else ():
            check_masks(protocol, f"{result.file} was scored with masks")
    return chosen


def _selections(results: Sequence[Result], named: Collection[Path]) -> list[list[Result]]:
    """Return the records of the selections of one result that were named, or of the one that tables would show."""
    of_user = [result for result in results if result.file.resolve() in named]
    shown = {file for file, _ in main_records([(result.file, result.record) for result in results])[0]}
    eligible = of_user or [result for result in results if result.file in shown]
    selections = dict.fromkeys(result.record.selection for result in eligible)
    if not of_user:
        widest = min(eligible, key=lambda one: (one.record.selection is not None, -len(one.record.views)))
        selections = {widest.record.selection: None}
    return [[result for result in eligible if result.record.selection == selection] for selection in selections]


def _best(results: Sequence[Result], protocols: Sequence[Protocol]) -> Result:
    """Return the first of several records of one result whose kept renders suit all protocols.

    Raises:
        InputError: No record does; the error of the record that suits most protocols.
    """
    errors_by_result = []
    for result in results:
        errors = []
        for protocol in protocols:
            try:
                result.check_serves(protocol)
            except InputError as error:
                errors.append(error)
        if not errors:
            return result
        errors_by_result.append(errors)
    raise min(errors_by_result, key=len)[0]


class Rescoring:
    """Results below one output folder that are scored under the same protocols; checked on creation."""

    def __init__(
        self,
        session: Session,
        results: Sequence[Result],
        protocols: Sequence[Protocol],
        options: RescoreOptions | RunOptions,
        places: Places | LinePlaces | None = None,
    ) -> None:
        self.session = session
        self._places = places or _places(session.output_dir, None, overwrite=options.overwrite)
        # Results with the same references and masks are scored together.
        groups: dict[tuple, list[Result]] = {}
        for result in results:
            files = [(name, picture.path.resolve()) for name, picture in result.references().items()]
            reading = str(result.record.provenance.get("reading"))
            groups.setdefault((result.record.scene, reading, str(result.masks), *files), []).append(result)
        self.sources = []
        for group in groups.values():
            references = group[0].references()
            sets = [result.render_set(references) for result in group]
            source = ImageFiles(sets, reading_of(group[0].record), hash_file=cache(remembered_sha256))
            self.sources.append(source.checked({protocol.alpha for protocol in protocols}))
            for result, renders in zip(group, sets, strict=True):
                result.check_renders(source, renders)
        check_sizes(protocols, [size for source in self.sources for size in source.sizes.items()])
        # Several selections of one result have files of their own.
        check_distinct({(result.file.parent, result.record.cell[0]): result.record.id for result in results}.values())
        self._results = {result.record.id: result for result in results}
        for result in results:
            result.check_unchanged(protocols)
        self._scorer = options.scorer(protocols)

    def run(self, callbacks: Callbacks) -> list[Record]:
        """Score the renders and write the records."""
        if isinstance(self._places, LinePlaces):
            return self._run_scenes(self._places, callbacks)
        records = []
        for source in self.sources:
            results = [self._results[result] for result in source.ids]
            inputs = {result.record.id: of_record(result.record, result.file) for result in results}
            with open_partial(self._places, inputs, self._scorer, callbacks) as partial:
                scored = self._score(source, callbacks, partial)
                records += self._places.write(scored, self._scorer.protocols, inputs, callbacks, partial.finish)
                partial.remove()
        return records

    def _run_scenes(self, places: LinePlaces, callbacks: Callbacks) -> list[Record]:
        """Score the scenes of a suite, whose records are lines of one file."""
        records = []
        quiet = replace(callbacks, progress=Callbacks().progress)
        title = f"Scoring {counted(len(self.sources), 'scene')}"
        with callbacks.progress(title, len(self.sources)) as advance, closing(places):
            for source in self.sources:
                scored = self._score(source, quiet)
                for record in scored:
                    places.add(record)
                records += scored
                advance()
        return records

    def _score(self, source: ImageFiles, callbacks: Callbacks, partial: Partial | None = None) -> list[Record]:
        return [
            self._results[record.id].carry_over(record, self._scorer.protocols)
            for record in score_files(source, self._scorer, self.session, callbacks, partial)
        ]
