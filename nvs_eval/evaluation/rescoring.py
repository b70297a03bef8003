"""Kept renders scored again: what `nvs-eval rescore` does, without a word printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, score_files, write_records
from nvs_eval.evaluation.options import Callbacks, RescoreOptions
from nvs_eval.evaluation.prepare import check_masks
from nvs_eval.evaluation.resume import same_renders, up_to_date
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.files import output_dir_of, read_record_files
from nvs_eval.records.record import Record, record_file
from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture

_FROM_RUN = "kept_renders"
_CARRIED = (
    *("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "reading"),
    *("reference_copies", "masks", "masks_not_used"),
)


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
    groups: dict[tuple[Path, tuple[str, ...]], list[Result]] = {}
    for result in _one_each(results, protocols):
        root = options.output_dir or result.root
        finished = {} if options.overwrite else _finished(result, protocols, root, callbacks)
        records += [(root, record) for record in finished.values()]
        if missing := tuple(p.fingerprint for p in protocols if p.fingerprint not in finished):
            groups.setdefault((root, missing), []).append(result)
    # All is checked before anything is scored.
    jobs = [
        _Job(root, group, [p for p in protocols if p.fingerprint in missing], options)
        for (root, missing), group in groups.items()
    ]
    return records + [(job.root, record) for job in jobs for record in job.run(callbacks)]


def _one_each(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[Result]:
    """For each result of a folder the first record whose kept renders serve all protocols.

    Raises:
        InputError: a result has none, or was scored with masks that mean nothing to a protocol.
    """
    # A protocol that ignores masks says nothing of them in its records: those that know them come first.
    groups: dict[tuple[Path, ResultId], list[Result]] = {}
    for result in sorted(results, key=lambda result: not result.masked):
        groups.setdefault((result.file.resolve().parent, result.record.id), []).append(result)
    best = {id(_best(group, protocols)) for group in groups.values()}
    chosen = [result for result in results if id(result) in best]
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
                result.check_serves(protocol)
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
        # Those of the same references and masks together.
        groups: dict[tuple, list[Result]] = {}
        for result in results:
            files = [(name, picture.path.resolve()) for name, picture in result.references().items()]
            reading = str(result.record.provenance.get("reading"))
            groups.setdefault((result.record.scene, reading, str(result.masks), *files), []).append(result)
        self._sources = []
        for group in groups.values():
            references = group[0].references()
            source = ImageFiles([result.render_set(references) for result in group], reading_of(group[0].record))
            source.check({protocol.alpha for protocol in protocols})
            self._sources.append(source)
        check_distinct(result.record.id for result in results)
        self._results = {result.record.id: result for result in results}
        self._copies = {result.record.id: result.check_unchanged(protocols) for result in results}
        self._scorer = options.scorer(protocols)

    def run(self, callbacks: Callbacks) -> list[Record]:
        """Score, and write the records."""
        session, records = Session(self.root, callbacks.command), []
        for source in self._sources:
            scored = [
                self._results[record.id].carry_over(record, self._copies[record.id])
                for record in score_files(source, self._scorer, session, callbacks)
            ]
            write_records(scored, self.root, callbacks)
            records += scored
        return records


# --- Kept renders: where they lie, and whether they still give the numbers of the renders themselves ------------------


@dataclass(frozen=True)
class Result:
    """A record and the file that it was read from."""

    file: Path
    record: Record

    @property
    def root(self) -> Path:
        """The output folder that the record lies in, relative where the record's path is.

        Raises:
            InputError: it does not lie where a record of its scene, method, run and step does.
        """
        root = output_dir_of(self.file, self.record)
        if root is None:
            raise InputError(
                f"{self.file} does not lie in {self.record.id.folder.as_posix()}, where its scene, method, run and "
                "step belong: say with `--output-dir` where the new records go."
            )
        return root

    @property
    def masked(self) -> bool:
        """Whether masks were scored with."""
        return any(row.mask is not None for row in self.record.views)

    @property
    def masks(self) -> Masks | None:
        """The masks that were scored with.

        Raises:
            InputError: one does not exist.
        """
        rows = [row for row in self.record.views if row.mask is not None]
        files = {row.name: self._path(row.mask, "mask", row.name).resolve() for row in rows}
        return Masks(files, binary=self.record.provenance.get("masks") == "binary") if files else None

    def references(self) -> dict[str, Picture]:
        """The kept references.

        Raises:
            InputError: a file was not kept, or does not exist.
        """
        return {row.name: Picture(self._path(row.reference, "reference", row.name)) for row in self.record.views}

    def render_set(self, references: Mapping[str, Picture]) -> RenderSet:
        """The kept renders, with references that may lie elsewhere.

        Raises:
            InputError: a file was not kept, or does not exist.
        """
        rows, provenance = self.record.views, self.record.provenance
        carried = {name: provenance[name] for name in _CARRIED if name in provenance}
        scored = {_FROM_RUN: "as scored"} if _FROM_RUN in provenance else {}
        return RenderSet(
            self.record.id,
            {row.name: Picture(self._path(row.render, "render", row.name)) for row in rows},
            references,
            {**carried, **scored, "rescored_from": self.file.name},
            {row.name: row.render_seconds for row in rows},
            self.masks,
        )

    def _path(self, below: str | None, what: str, view: str) -> Path:
        """Where a file of a view lies.

        Raises:
            InputError: it was not kept, or is not there.
        """
        if below is None:
            origin = self.record.provenance.get("renders_from")
            advice = (
                f"they came from {origin}: score that again" if origin else "run it again with `--keep-renders png`"
            )
            raise InputError(f"{self.file}: the {what} of view {view!r} was not kept; {advice}.")
        path = self.file.parent / below
        if not path.is_file():
            raise InputError(f"{self.file}: the {what} of view {view!r} is not at {path} any more.")
        return path

    def check_serves(self, protocol: Protocol) -> None:
        """Check that renders were kept, and give the numbers that the renders themselves would.

        Raises:
            InputError: they were not kept; or they are 8-bit copies, and the protocol would see the difference.
        """
        renders = [self._path(row.render, "render", row.name) for row in self.record.views]
        # Of renders that nvs-eval made, PNGs are 8-bit copies.
        if _FROM_RUN not in self.record.provenance or all(render.suffix == ".npy" for render in renders):
            return
        # A protocol that makes it an error has seen that every render is in range, so that its PNG lost nothing there.
        in_range = self.record.protocol["definition"].get("out_of_range") == "error"
        rounds = protocol.quantise.render == "round" and protocol.colour_correction == "none"
        if not (rounds and (in_range or protocol.out_of_range == "clamp")):
            raise InputError(
                f"{self.file}: what was kept of its renders are 8-bit copies, and {protocol.name!r} scores floats, or "
                f"renders beyond [0, 1]: run the checkpoint again under {protocol.name}, or with `--keep-renders all`."
            )

    def check_unchanged(self, protocols: Sequence[Protocol]) -> frozenset[str]:
        """Check that masks and references are what they were.

        Returns:
            The views whose kept reference is an 8-bit copy of what was scored; the others' are what was scored.

        Raises:
            InputError: one is not, or is gone; or a protocol would see the difference of a copy.
        """
        masks = self.masks
        copies, reading = set(), reading_of(self.record)
        known_copies = self.record.provenance.get("reference_copies", {})
        exact = [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]
        for row in self.record.views:
            if masks is not None and row.name in masks.files and masks.sha256(row.name) != row.mask_sha256:
                mask = masks.files[row.name]
                raise InputError(f"The mask {mask} has changed since {self.file} was made: score it anew.")
            path = self._path(row.reference, "reference", row.name)
            digest = sha256_of_image(load_image(path, reading))
            if digest == row.reference_sha256:
                continue
            if digest != known_copies.get(row.name):
                raise InputError(f"The reference {path} has changed since {self.file} was made: score it anew.")
            if exact:
                raise InputError(
                    f"The reference {path} is an 8-bit copy of what was scored, and {', '.join(exact)} would see the "
                    "difference: run the checkpoint again under it."
                )
            copies.add(row.name)
        return frozenset(copies)

    def carry_over(self, record: Record, copies: frozenset[str]) -> Record:
        """A new record that says what this one does: the sha256 of what was copied, and the views left out before."""
        known = {row.name: row.reference_sha256 for row in self.record.views}
        rows = [replace(row, reference_sha256=known[row.name]) if row.name in copies else row for row in record.views]
        provenance = dict(record.provenance)
        for key in ("left_out", "left_out_masks"):
            if both := {**self.record.provenance.get(key, {}), **provenance.get(key, {})}:
                provenance[key] = both
        return replace(record, views=rows, provenance=provenance)
