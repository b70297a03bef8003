"""From folders of renders to records: what `nvs-eval score` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.options import RESULTS, Callbacks, ScoreOptions
from nvs_eval.evaluation.outputs import check_not_replaced, write_records
from nvs_eval.evaluation.resume import of_files, up_to_date
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.system.devices import memory_advice
from nvs_eval.system.files import check_folder_writable


def score_folders(options: ScoreOptions, callbacks: Callbacks, *, resume: bool = False) -> list[Record]:
    """Score folders of renders against their references, all together, and write the records.

    Args:
        options: which folders, and how.
        callbacks: for progress and messages.
        resume: keep what is scored already, unless `overwrite` is set.

    Raises:
        InputError: something that was asked for is not available, or cannot be scored.
    """
    session = Session(options.output_dir or RESULTS, callbacks.command)
    protocols = _usable_protocols(options, callbacks)
    scorer = None if resume else options.scorer(protocols)  # Early, as missing weights are found so.
    sources = _open(options, protocols, callbacks)
    records, waiting = _finished(sources, protocols, options) if resume else ([], sources)
    for record in {record.id: record for record in records}.values():
        callbacks.say(f"{record.id} is already scored.")
    if waiting:
        scorer = scorer or options.scorer(protocols)
        if options.output_dir is not None:
            check_folder_writable(options.output_dir)
        for source in waiting:
            records += _score(source, scorer, session, options, callbacks)
    order = [result for source in sources for result in source.ids]
    return sorted(records, key=lambda record: order.index(record.id))


def finished_scores(options: ScoreOptions, callbacks: Callbacks) -> list[Record] | None:
    """Return the records if all exist, of the files as they are now; no image is decoded.

    Raises:
        InputError: something that was asked for is not available.
    """
    protocols = options.protocols()
    records, waiting = _finished(_open(options, protocols, callbacks), protocols, options)
    return None if waiting else records


def _finished(
    sources: Sequence[ImageFiles], protocols: Sequence[Protocol], options: ScoreOptions
) -> tuple[list[Record], list[ImageFiles]]:
    """Return the records that exist already, and what is left to score."""

    def finished(renders: RenderSet) -> list[Record]:
        if options.overwrite or options.output_dir is None:
            return []
        return up_to_date(renders.id, protocols, options.output_dir, of_files(renders))

    records: list[Record] = []
    waiting: list[ImageFiles] = []
    for source in sources:
        by_set = [(renders, finished(renders)) for renders in source.sets]
        records += [record for _, of_set in by_set for record in of_set]
        if left := [renders for renders, of_set in by_set if not of_set]:
            waiting.append(replace(source, sets=left))
    return records, waiting


def _score(
    source: ImageFiles, scorer: Scorer, session: Session, options: ScoreOptions, callbacks: Callbacks
) -> list[Record]:
    """Score a source, and write its records."""
    title = f"Scoring {len(source.sets)} x {len(source)} views"
    with callbacks.progress(title, len(source)) as advance, memory_advice():
        records = evaluate(
            source,
            source.ids,
            scorer,
            session,
            provenance=source.provenance,
            on_view=lambda _: advance(),
            on_refusal=callbacks.on_refusal,
        )
    write_records(records, options.output_dir, callbacks)
    return records


def _open(options: ScoreOptions, protocols: Sequence[Protocol], callbacks: Callbacks) -> list[ImageFiles]:
    """Open what there is to score, everything checked that can be before images are decoded."""
    _check_renders(options.renders)
    sources = open_folders(
        options.renders,
        reference=options.reference,
        scene=options.scene,
        methods=options.method,
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
        if masks := renders.provenance.get("masks_not_used"):
            callbacks.warn(
                f"Masks came with {renders.id} ({masks}) and are not used, where NerfBaselines would: say "
                "`--data-masks` to score with them."
            )
    return sources


def _check_renders(renders: Sequence[Path]) -> None:
    if not renders:
        raise InputError("No folder of renders was given.")


def _usable_protocols(options: ScoreOptions, callbacks: Callbacks) -> list[Protocol]:
    """Return the protocols for which the renders are not mere copies of what they would score.

    Raises:
        InputError: the renders are copies for one, and nothing takes refusals; or for all.
    """
    _check_renders(options.renders)
    copies = {folder: record_of_copies(folder) for folder in options.renders}
    usable = []
    for protocol in options.protocols():
        try:
            for folder, record in copies.items():
                check_not_copies(folder, record, protocol)
        except InputError as error:
            if callbacks.on_refusal is None:
                raise
            callbacks.on_refusal(protocol, error)
        else:
            usable.append(protocol)
    if not usable:
        raise InputError("No protocol can score these renders.")
    return usable


def record_of_copies(folder: Path) -> Path | None:
    """Find a record beside a folder of PNGs that says that nvs-eval kept them, as 8-bit copies of renders."""
    if not any(folder.rglob("*.png")):
        return None
    for file in sorted(folder.resolve().parent.glob("*.json")):
        try:
            if "kept_renders" in read_record(file).provenance:
                return file
        except InputError:
            continue
    return None


def check_not_copies(folder: Path, record: Path | None, protocol: Protocol) -> None:
    """Check that a folder does not hold 8-bit copies of float renders where a protocol scores floats.

    Args:
        folder: the folder of renders.
        record: `record_of_copies` of the folder.
        protocol: the protocol to score under.

    Raises:
        InputError: it does: the numbers would pass for those of the renders.
    """
    if record is not None and not protocol.exact_in_png:
        raise InputError(
            f"{folder} holds 8-bit copies of renders that were made as floats ({record.name} beside it says so), and "
            f"{protocol.name} scores floats: run the checkpoint again under it, or with `--keep-renders all`."
        )
