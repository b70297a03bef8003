"""Kept renders scored again: what `nvs-eval rescore` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.options import Callbacks, RescoreOptions
from nvs_eval.evaluation.outputs import write_records
from nvs_eval.evaluation.prepare import check_masks
from nvs_eval.evaluation.resume import same_renders, up_to_date
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.files import output_dir_of, read_record_files
from nvs_eval.records.record import Record, record_file
from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.system.devices import memory_advice

_FROM_RUN = "kept_renders"
_CARRIED = (
    *("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "reading"),
    *("reference_copies", "masks", "masks_not_used"),
)


@dataclass(frozen=True)
class Result:
    """A record and the file that it was read from."""

    file: Path
    record: Record

    @property
    def from_run(self) -> bool:
        """Whether nvs-eval rendered what was scored: PNGs that it kept are then 8-bit copies."""
        return _FROM_RUN in self.record.provenance

    @property
    def masked(self) -> bool:
        """Whether masks were scored with."""
        return any(row.mask is not None for row in self.record.views)

    def path(self, below: str | None, what: str, view: str) -> Path:
        """Where a file of a view lies.

        Raises:
            InputError: it was not kept, or is not there.
        """
        if below is None:
            origin = self.record.provenance.get("renders_from")
            said = f"they came from {origin}: score that again" if origin else "run it again with `--keep-renders png`"
            raise InputError(f"{self.file}: the {what} of view {view!r} was not kept; {said}.")
        path = self.file.parent / below
        if not path.is_file():
            raise InputError(f"{self.file}: the {what} of view {view!r} is not at {path} any more.")
        return path


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
                _check_serves(result, protocol)
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
            _check_masks_unchanged(result)
        self._results = {result.record.id: result for result in results}
        self._copies = {key: _copied_references(result, protocols) for key, result in self._results.items()}
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
                _with_known_references(record, self._results[record.id], self._copies[record.id]) for record in scored
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
        results: one a scene, method, run and step, of which `_check_serves` has nothing to say.
        protocols: to score them under.

    Raises:
        InputError: renders were not kept, or a file is not there any more or not an image of its view.
    """
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        rows = result.record.views
        provenance = result.record.provenance
        files = [(row.name, result.path(row.reference, "reference", row.name).resolve()) for row in rows]
        key = (result.record.scene, str(provenance.get("reading")), *files, *_masks(result).items(), _binary(result))
        groups.setdefault(key, []).append(result)
    sources = [_source(group) for group in groups.values()]
    for source in sources:
        source.check({protocol.alpha for protocol in protocols})
    return sources


def _check_serves(result: Result, protocol: Protocol) -> None:
    """Check that renders were kept, and give the numbers that the renders themselves would.

    Raises:
        InputError: they were not kept; or they are 8-bit copies, and the protocol would see the difference.
    """
    for row in result.record.views:
        result.path(row.render, "render", row.name)
    if not result.from_run or all(str(row.render).endswith(".npy") for row in result.record.views):
        return
    # A protocol that makes it an error has seen that every render is in range, so that its PNG lost nothing there.
    in_range = result.record.protocol["definition"].get("out_of_range") == "error"
    rounds = protocol.quantise.render == "round" and protocol.colour_correction == "none"
    if rounds and (in_range or protocol.out_of_range == "clamp"):
        return
    raise InputError(
        f"{result.file}: what was kept of its renders are 8-bit copies, and {protocol.name!r} scores floats, or "
        f"renders beyond [0, 1]: run the checkpoint again under {protocol.name}, or with `--keep-renders all`."
    )


def _source(group: Sequence[Result]) -> ImageFiles:
    first = group[0]
    files = _masks(first)
    masks = Masks(files, binary=_binary(first)) if files else None
    return ImageFiles([_render_set(result, first, masks) for result in group], reading_of(first.record))


def _render_set(result: Result, first: Result, masks: Masks | None) -> RenderSet:
    """The kept files of a result; the references of the first of a group serve all, as they are the same files."""
    rows = result.record.views
    return RenderSet(
        result.record.id,
        {row.name: Picture(result.path(row.render, "render", row.name)) for row in rows},
        {row.name: Picture(first.path(row.reference, "reference", row.name)) for row in first.record.views},
        _provenance(result),
        {row.name: row.render_seconds for row in rows},
        masks,
    )


def _masks(result: Result) -> dict[str, Path]:
    """The files of the masks that a result was scored with."""
    rows = [row for row in result.record.views if row.mask is not None]
    return {row.name: result.path(row.mask, "mask", row.name).resolve() for row in rows}


def _binary(result: Result) -> bool:
    return result.record.provenance.get("masks") == "binary"


def _check_masks_unchanged(result: Result) -> None:
    """Check that the masks are what they were.

    Raises:
        InputError: one is not, or is gone.
    """
    files = _masks(result)
    masks = Masks(files, binary=_binary(result))
    for row in result.record.views:
        if row.name in files and masks.sha256(row.name) != row.mask_sha256:
            raise InputError(f"The mask {files[row.name]} has changed since {result.file} was made: score it anew.")


def _provenance(result: Result) -> dict[str, Any]:
    record = result.record
    provenance = {name: record.provenance[name] for name in _CARRIED if name in record.provenance}
    if result.from_run:
        provenance[_FROM_RUN] = "as scored"
    provenance["rescored_from"] = result.file.name
    return provenance


def _copied_references(result: Result, protocols: Sequence[Protocol]) -> frozenset[str]:
    """The views whose kept reference is an 8-bit copy of what was scored; the others' are what was scored.

    Raises:
        InputError: a reference is not what it was, or a protocol would see the difference.
    """
    copies, reading = set(), reading_of(result.record)
    known = result.record.provenance.get("reference_copies", {})
    for row in result.record.views:
        path = result.path(row.reference, "reference", row.name)
        found = sha256_of_image(load_image(path, reading))
        if found == row.reference_sha256:
            continue
        if found != known.get(row.name):
            raise InputError(f"The reference {path} has changed since {result.file} was made: score it anew.")
        exact = [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]
        if exact:
            raise InputError(
                f"The reference {path} is an 8-bit copy of what was scored, and {', '.join(exact)} would see the "
                "difference: run the checkpoint again under it."
            )
        copies.add(row.name)
    return frozenset(copies)


def _with_known_references(record: Record, before: Result, copies: frozenset[str]) -> Record:
    """A new record whose references that were copies are known by the sha256 of what they are copies of.

    Views that were left out before are said to be, for they are here too.
    """
    known = {row.name: row.reference_sha256 for row in before.record.views}
    rows = [replace(row, reference_sha256=known[row.name]) if row.name in copies else row for row in record.views]
    provenance = dict(record.provenance)
    for key in ("left_out", "left_out_masks"):
        if both := {**before.record.provenance.get(key, {}), **provenance.get(key, {})}:
            provenance[key] = both
    return replace(record, views=rows, provenance=provenance)
