"""From folders of renders to records: what `nvs-eval score` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Refusal, Session, evaluate
from nvs_eval.evaluation.options import Terms, Watch
from nvs_eval.evaluation.render_store import check_not_copies
from nvs_eval.evaluation.resume import scored_records
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import Reading
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.system.devices import memory_advice


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Which images are scored.

    Attributes:
        renders: folders, layouts that are known, or archives.
        reference: the folder of references, for renders that bring none.
        reading: what to do with grey and linear images, and the background of those with alpha.
        allow_missing: whether views that only one side has are left out.
    """

    renders: Sequence[Path]
    reference: Path | None = None
    reading: Reading = field(default_factory=Reading)
    allow_missing: bool = False


def score_folders(folders: Folders, terms: Terms, watch: Watch) -> list[Record]:
    """Score folders of renders against their references, all together, and write the records.

    Raises:
        InputError: something that was asked for cannot be had, or be scored.
    """
    session, protocols = terms.session(), _admitted(folders, terms, watch)
    scorer = terms.scorer(protocols)
    sources = _checked_sources(folders, terms, protocols, watch)
    terms.check_output()
    return [record for source in sources for record in _score(source, scorer, session, terms, watch)]


def complete_scores(folders: Folders, terms: Terms, watch: Watch) -> list[Record]:
    """As `score_folders`, but what is scored already stays as it is, unless it is to be overwritten.

    Raises:
        InputError: as `score_folders`.
    """
    session, protocols = terms.session(), _admitted(folders, terms, watch)
    records, waiting = [], []
    sources = _checked_sources(folders, terms, protocols, watch)
    for source in sources:
        left = []
        for renders in source.sets:
            if finished := _finished(renders, protocols, terms):
                watch.say(f"{renders.id} is already scored.")
                records += finished
            else:
                left.append(renders)
        if left:
            waiting.append(replace(source, sets=left))
    if waiting:
        scorer = terms.scorer(protocols)  # Its weights take seconds to read.
        terms.check_output()
        records += [record for source in waiting for record in _score(source, scorer, session, terms, watch)]
    order = [result for source in sources for result in source.ids]
    return sorted(records, key=lambda record: order.index(record.id))


def finished_scores(folders: Folders, terms: Terms, watch: Watch) -> list[Record] | None:
    """The records, if those of everything are there and still of the same files; nothing is decoded.

    Raises:
        InputError: something that was asked for cannot be had.
    """
    protocols = terms.protocols()
    sources = _checked_sources(folders, terms, protocols, watch)
    finished = [_finished(renders, protocols, terms) for source in sources for renders in source.sets]
    return [record for records in finished for record in records] if all(finished) else None


def _admitted(folders: Folders, terms: Terms, watch: Watch) -> list[Protocol]:
    """The protocols that can score the renders."""
    _check_given(folders)
    return _not_refused(folders.renders, terms.protocols(), watch.on_refusal)


def _check_given(folders: Folders) -> None:
    if not folders.renders:
        raise InputError("No folder of renders was given.")


def _finished(renders: RenderSet, protocols: Sequence[Protocol], terms: Terms) -> list[Record]:
    """The records that a render set has already, unless they are to be overwritten."""
    if terms.overwrite or terms.output_dir is None:
        return []
    return scored_records(renders, protocols, terms.output_dir)


def _score(source: ImageFiles, scorer: Scorer, session: Session, terms: Terms, watch: Watch) -> list[Record]:
    """Score a source, and write its records."""
    choices = {} if watch.on_refusal is None else {"on_refusal": watch.on_refusal}
    what = f"Scoring {len(source.sets)} x {len(source)} views"
    with watch.progress(what, len(source)) as advance, memory_advice():
        records = evaluate(
            source,
            source.ids,
            scorer,
            session,
            provenance=source.provenance,
            on_view=lambda _: advance(),
            **choices,
        )
    terms.write(records, watch)
    return records


def _checked_sources(folders: Folders, terms: Terms, protocols: Sequence[Protocol], watch: Watch) -> list[ImageFiles]:
    """What there is to score, no two columns of it in one place, none in the place of something else."""
    _check_given(folders)
    sources = _open(folders, terms, protocols)
    sets = [renders for source in sources for renders in source.sets]
    check_distinct(renders.id for renders in sets)
    terms.check_not_replaced([renders.id for renders in sets], protocols)
    _warn_of_unused_masks(sets, watch)
    return sources


def _open(folders: Folders, terms: Terms, protocols: Sequence[Protocol]) -> list[ImageFiles]:
    return open_folders(
        folders.renders,
        reference=folders.reference,
        scene=terms.scene,
        methods=terms.method,
        allow_missing=folders.allow_missing,
        reading=folders.reading,
        alpha={protocol.alpha for protocol in protocols},
        masks=terms.masks,
        own_masks=terms.data_masks,
    )


def _warn_of_unused_masks(sets: Sequence[RenderSet], watch: Watch) -> None:
    for renders in sets:
        if masks := renders.provenance.get("masks_not_used"):
            watch.warn(
                f"Masks came with {renders.id} ({masks}) and are not used, where NerfBaselines would: say "
                "`--data-masks` to score with them."
            )


def _not_refused(renders: Sequence[Path], protocols: Sequence[Protocol], on_refusal: Refusal | None) -> list[Protocol]:
    """The protocols for which the renders are not mere copies of what they would score.

    Raises:
        InputError: they are for one, and nobody is to be told; or they are for all.
    """
    kept = []
    for protocol in protocols:
        try:
            for folder in renders:
                check_not_copies(folder, protocol)
        except InputError as error:
            if on_refusal is None:
                raise
            on_refusal(protocol, error)
        else:
            kept.append(protocol)
    if not kept:
        raise InputError("No protocol can score these renders.")
    return kept


def parse_background(text: str) -> tuple[float, float, float]:
    """A colour: white, black, or three numbers in [0, 1] with commas between them.

    Raises:
        InputError: it is none.
    """
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
    if text in named:
        return named[text]
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        red = green = blue = -1.0
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise InputError(f"The background is {text!r}, and white, black, or r,g,b with each in [0, 1] is needed.")
    return red, green, blue
