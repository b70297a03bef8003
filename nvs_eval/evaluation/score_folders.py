"""Score folders of renders, as `nvs-eval score` does. Prints nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Protocol as TypingProtocol

from nvs_eval.errors import InputError, counted, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, report_lost, score_files
from nvs_eval.evaluation.inputs import Inputs, of_files
from nvs_eval.evaluation.options import RESULTS, ScoreOptions
from nvs_eval.evaluation.partial import open_partial
from nvs_eval.evaluation.preflight import Work, announce
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import ResultId, check_distinct
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.sources.pictures import image_files
from nvs_eval.system.files import check_folder_writable
from nvs_eval.system.hashes import forget_hashes


def score_folders(options: ScoreOptions, callbacks: Callbacks) -> list[Record]:
    """Score folders of renders against their references and write the records; records of the same files are read.

    Args:
        options: folders and options of scoring.
        callbacks: callbacks for progress and messages.

    Raises:
        InputError: An input is not available, no result can be scored, or a record of other files would be replaced.
    """
    if options.rehash:
        forget_hashes()
    session = Session(options.output_dir or RESULTS, callbacks.command)
    protocols = _usable_protocols(options, callbacks)
    with callbacks.wait(f"Checking the images of {counted(len(options.renders), 'folder')}."):
        sources = open_sources(options, protocols, callbacks)
    sizes = [size for source in sources for size in source.sizes.items()]
    protocols = check_sizes(protocols, sizes, callbacks.on_refusal)
    with callbacks.wait("Comparing the images with those of existing records."):
        records, waiting = finished_and_waiting(sources, protocols, _places(options))
    for result, of_result in groupby(records, lambda record: record.id):
        scored = some((record.protocol_title for record in of_result), 3)
        callbacks.say(f"{result} is already scored under {scored}. Use --overwrite to score it again.")
    scorers = [options.scorer(missing) for _, missing in waiting]  # All at first, to report missing weights.
    if waiting and options.output_dir is not None:
        check_folder_writable(options.output_dir)
    works = [
        Work(scorer, len(source.sets), [*source.sizes.values()])
        for (source, _), scorer in zip(waiting, scorers, strict=True)
    ]
    announce(works, callbacks)
    for (source, _), scorer in zip(waiting, scorers, strict=True):
        if options.output_dir is None:
            records += score_files(source, scorer, session, callbacks)
            continue
        places, inputs = Places.of(options), {renders.id: of_files(source, renders) for renders in source.sets}
        with open_partial(places, inputs, scorer, callbacks) as partial:
            scored = score_files(source, scorer, session, callbacks, partial)
            records += places.write(scored, scorer.protocols, inputs, callbacks, partial.finish)
            partial.remove()
    report_lost(session.errors, records, callbacks)
    order = [result.folder for source in sources for result in source.ids]
    named = [protocol.fingerprint for protocol in protocols]
    return sorted(records, key=lambda record: (order.index(record.id.folder), named.index(record.fingerprint)))


def is_scored(options: ScoreOptions) -> bool:
    """Return whether all records exist and are of the current files. Decodes no image but masks.

    Raises:
        InputError: An input is not available, or a record of other files would be replaced.
    """
    protocols = options.protocols()
    _, waiting = finished_and_waiting(open_sources(options, protocols, Callbacks()), protocols, _places(options))
    return not waiting


class _Finds(TypingProtocol):
    """Finds the existing records of a result."""

    def finished(self, result: ResultId, protocols: Sequence[Protocol], inputs: Inputs) -> dict[str, Record]: ...


def finished_and_waiting(
    sources: Sequence[ImageFiles], protocols: Sequence[Protocol], places: _Finds | None
) -> tuple[list[Record], list[tuple[ImageFiles, list[Protocol]]]]:
    """Return the records of the same files, and what is left: sources with the protocols to score them under.

    Raises:
        InputError: A record of other files would be replaced.
    """
    if places is None:
        return [], [(source, list(protocols)) for source in sources if protocols]
    records: list[Record] = []
    waiting: list[tuple[ImageFiles, list[Protocol]]] = []
    for source in sources:
        sets: dict[tuple[str, ...], list[RenderSet]] = {}
        for renders in source.sets:
            finished = places.finished(renders.id, protocols, of_files(source, renders))
            records += finished.values()
            missing = tuple(p.fingerprint for p in protocols if p.fingerprint not in finished)
            sets.setdefault(missing, []).append(renders)
        waiting += [
            (replace(source, sets=together), [p for p in protocols if p.fingerprint in missing])
            for missing, together in sets.items()
            if missing
        ]
    return records, waiting


def _places(options: ScoreOptions) -> Places | None:
    return None if options.output_dir is None else Places.of(options)


def open_sources(options: ScoreOptions, protocols: Sequence[Protocol], callbacks: Callbacks) -> list[ImageFiles]:
    """Open the folders to score, and check all that can be checked without decoding images.

    Args:
        options: folders and options of scoring.
        protocols: the protocols, whose rules for alpha are checked.
        callbacks: callbacks for messages.

    Raises:
        InputError: An input is not available.
    """
    _check_given(options)
    sources = open_folders(
        options.renders,
        reference=options.reference,
        scene=options.scene,
        methods=options.method,
        matching=options.matching,
        allow_missing=options.allow_missing,
        reading=options.reading,
        alpha={protocol.alpha for protocol in protocols},
        masks=options.masks,
        own_masks=options.data_masks,
        warn=callbacks.warn,
    )
    sets = [renders for source in sources for renders in source.sets]
    check_distinct(renders.id for renders in sets)
    for renders in sets:
        if pairs := renders.provenance.get("matched"):
            first, last = (f"{render} with {reference}" for render, reference in (pairs["first"], pairs["last"]))
            callbacks.say(f"{renders.id}: paired in order, from {first} to {last}.")
        if renders.left_out:
            callbacks.warn(_partial(renders))
        if masks := renders.provenance.get("masks_not_used"):
            callbacks.warn(
                f"{renders.id} has masks ({masks}), which NerfBaselines would use. Use `--data-masks` to score with "
                "them."
            )
    return sources


def _partial(renders: RenderSet) -> str:
    """Return a sentence on the views that `--allow-missing` leaves out."""
    scored = len(renders.references)
    parts = []
    for reason in dict.fromkeys(renders.left_out.values()):
        names = [name for name, why in renders.left_out.items() if why == reason]
        parts.append(f"{len(names)} {'has' if len(names) == 1 else 'have'} {reason} ({some(names)})")
    total = counted(scored + len(renders.left_out), "view")
    return f"{renders.id}: scoring {scored} of {total}, because {' and '.join(parts)}."


def _check_given(options: ScoreOptions) -> None:
    if not options.renders:
        raise InputError("At least one folder of renders is required. Got none.")


def _usable_protocols(options: ScoreOptions, callbacks: Callbacks) -> list[Protocol]:
    """Return the protocols that can score the renders, which may be 8-bit copies of float renders.

    Raises:
        InputError: A protocol cannot score the copies and there is no `on_refusal`, or no protocol can.
    """
    _check_given(options)
    copies = records_of_copies(options.renders)
    usable = []
    for protocol in options.protocols():
        try:
            check_not_copies(copies, protocol)
        except InputError as error:
            if callbacks.on_refusal is None:
                raise
            callbacks.on_refusal(protocol, error)
        else:
            usable.append(protocol)
    if not usable:
        raise InputError("No protocol can score these renders.")
    return usable


def records_of_copies(folders: Iterable[Path]) -> dict[Path, Path]:
    """Find folders of PNGs that nvs-eval kept as 8-bit copies of renders, according to a record beside them.

    Returns:
        The file of the record for each such folder. Each record is read once, even if it is beside several folders.
    """
    kept = functools.cache(_has_kept_renders)
    copies = {}
    for folder in folders:
        if any(path.suffix == ".png" for path in image_files(folder)):
            record = next(filter(kept, sorted(folder.resolve().parent.glob("*.json"))), None)
            copies |= {} if record is None else {folder: record}
    return copies


def _has_kept_renders(file: Path) -> bool:
    try:
        return "kept_renders" in read_record(file).provenance
    except InputError:
        return False


def check_not_copies(copies: Mapping[Path, Path], protocol: Protocol) -> None:
    """Check that no folder contains 8-bit copies of float renders if a protocol scores floats.

    Args:
        copies: result of `records_of_copies` for the folders of renders.
        protocol: protocol to score under.

    Raises:
        InputError: A folder does; its scores would be mistaken for those of the float renders.
    """
    for folder, record in copies.items():
        if not protocol.exact_in_png:
            raise InputError(
                f"{folder} contains 8-bit copies of float renders (see {record.name} beside it), but {protocol.name} "
                "scores floats. Run the checkpoint again under it, or with `--keep-renders all`."
            )
