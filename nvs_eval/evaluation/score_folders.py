"""Score folders of renders, as `nvs-eval score` does. Prints nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, score_files, write_records
from nvs_eval.evaluation.options import RESULTS, Callbacks, ScoreOptions
from nvs_eval.evaluation.resume import check_not_replaced, of_files, up_to_date
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.matching import order_differs
from nvs_eval.sources.pictures import Picture
from nvs_eval.system.files import check_folder_writable


def score_folders(options: ScoreOptions, callbacks: Callbacks, *, resume: bool = False) -> list[Record]:
    """Score folders of renders against their references and write the records.

    Args:
        options: folders and options of scoring.
        callbacks: callbacks for progress and messages.
        resume: whether to keep up-to-date records, unless `overwrite` is set.

    Raises:
        InputError: An input is not available or cannot be scored.
    """
    session = Session(options.output_dir or RESULTS, callbacks.command)
    protocols = _usable_protocols(options, callbacks)
    sources = _open(options, protocols, callbacks)
    sizes = [size for source in sources for size in source.sizes.items()]
    protocols = check_sizes(protocols, sizes, callbacks.on_refusal)
    if not protocols:
        return []
    scorer = None if resume else options.scorer(protocols)  # Created early to report missing weights.
    records, waiting = _finished(sources, protocols, options) if resume else ([], sources)
    for result in dict.fromkeys(record.id for record in records):
        callbacks.say(f"{result} is already scored.")
    if waiting:
        scorer = scorer or options.scorer(protocols)
        if options.output_dir is not None:
            check_folder_writable(options.output_dir)
        for source in waiting:
            scored = score_files(source, scorer, session, callbacks)
            write_records(scored, options.output_dir, callbacks)
            records += scored
    order = [result for source in sources for result in source.ids]
    return sorted(records, key=lambda record: order.index(record.id))


def is_scored(options: ScoreOptions) -> bool:
    """Return whether all records exist and match the current files. Decodes no image.

    Raises:
        InputError: An input is not available.
    """
    protocols = options.protocols()
    _, waiting = _finished(_open(options, protocols, Callbacks()), protocols, options)
    return not waiting


def _finished(
    sources: Sequence[ImageFiles], protocols: Sequence[Protocol], options: ScoreOptions
) -> tuple[list[Record], list[ImageFiles]]:
    """Return the up-to-date records, and the sources left to score."""
    if options.overwrite or options.output_dir is None:
        return [], list(sources)
    records: list[Record] = []
    waiting: list[ImageFiles] = []
    for source in sources:
        remaining = []
        for renders in source.sets:
            finished = up_to_date(renders.id, protocols, options.output_dir, of_files(renders))
            records += finished
            remaining += [] if finished else [renders]
        waiting += [replace(source, sets=remaining)] if remaining else []
    return records, waiting


def _open(options: ScoreOptions, protocols: Sequence[Protocol], callbacks: Callbacks) -> list[ImageFiles]:
    """Open the folders to score, and check all that can be checked without decoding images."""
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
    )
    sets = [renders for source in sources for renders in source.sets]
    check_distinct(renders.id for renders in sets)
    check_not_replaced([renders.id for renders in sets], protocols, options)
    for renders in sets:
        if pairs := renders.provenance.get("matched"):
            first, last = (f"{render} with {reference}" for render, reference in (pairs["first"], pairs["last"]))
            callbacks.say(f"{renders.id}: paired in order, from {first} to {last}.")
            if any(map(order_differs, (_names(renders.renders), _names(renders.references)))):
                callbacks.warn(
                    f"{renders.id}: names are in the order of their numbers (2 before 10). A tool that sorts them as "
                    "text pairs other images; check the pairs with `nvs-eval inspect`."
                )
        if masks := renders.provenance.get("masks_not_used"):
            callbacks.warn(
                f"{renders.id} has masks ({masks}), which NerfBaselines would use. Use `--data-masks` to score with "
                "them."
            )
    return sources


def _names(pictures: Mapping[str, Picture]) -> list[str]:
    return [picture.path.stem for picture in pictures.values()]


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
        if any(folder.rglob("*.png")):
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
