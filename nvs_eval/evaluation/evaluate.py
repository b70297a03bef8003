"""The scoring loop: score every view of a source under every protocol, and make one record per result and protocol."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted, quoted
from nvs_eval.evaluation.callbacks import Callbacks, Refusal, warn_of_lost
from nvs_eval.evaluation.partial import Partial
from nvs_eval.evaluation.provenance import scoring_provenance
from nvs_eval.evaluation.rows import Hashes, Results, Rows
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.devices import memory_advice


@dataclass(frozen=True)
class Session:
    """Values shared by all records of one command.

    Attributes:
        output_dir: output folder; paths in a record are relative to the record's place below it.
        command: command line, as the user typed it.
        started: time of the start.
        clock: monotonic time at the start, in seconds.
        errors: errors of results that have no record, reported by `report_lost` after the others are written.
        suite: name of the suite that keeps its scenes in one file (default: each result has a folder of its own).
    """

    output_dir: Path
    command: tuple[str, ...] = ()
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    clock: float = field(default_factory=time.monotonic)
    errors: list[InputError] = field(default_factory=list)
    suite: str | None = None


def evaluate(
    views: Iterable[View | FailedView],
    ids: Sequence[ResultId],
    scorer: Scorer,
    session: Session,
    *,
    provenance: Sequence[Mapping[str, Any]] = (),
    partial: Partial | None = None,
    on_view: Callable[[View | FailedView], None] = lambda view: None,
    on_refusal: Refusal | None = None,
    on_lost: Callable[[InputError], None] | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> list[Record]:
    """Score every view and make the records, one per result and protocol.

    A view whose mask is empty is skipped and listed in the record. A view that cannot be scored is missing only from
    the records that it concerns, which list it as failed. A result without any such view has no record, and does not
    affect the others.

    Args:
        views: views, each with one render per result.
        ids: results, in the order of each view's renders.
        scorer: scores the views.
        session: values shared by all records.
        provenance: identity of the renders of each result, for its records (default: none).
        partial: entries of views that are already scored and not among `views`, and the place of new ones (default:
            none; the entries are kept in memory).
        on_view: called with each view after it is scored.
        on_refusal: called once for each protocol that can score no view of a result that others can (default: these are
            errors of the result).
        on_lost: called with the error of each result without a record (default: an `InputWarning`; without any record,
            the error is raised).
        warn: called once for each view that failed, with the reason, and with what a lack of memory changes.

    Raises:
        InputError: The views raised it, memory ran out, or there is no view that can be scored.
    """
    folders = [session.output_dir / result.folder_in(session.suite) for result in ids]
    partial = partial or Partial()
    by_protocol = [
        Rows(protocol, folders, [partial.entries(result, protocol) for result in ids], partial.names)
        for protocol in scorer.protocols
    ]
    results = Results(ids, by_protocol, on_refusal, warn)

    def scorable() -> Iterator[View]:
        names: set[str] = set()
        for view in views:
            if view.name in names:
                raise InputError(f"The name of a view must be unique. Got {quoted(view.name)} twice.")
            names.add(view.name)
            if isinstance(view, View):
                _check_renders(view, ids)
                yield view
            else:
                results.fail(view)
                on_view(view)

    hash_mask = functools.lru_cache(maxsize=1)(sha256_of_mask)  # All views can share one mask.
    with ThreadPoolExecutor(1) as background:
        for view, on_scorer in on_device(scorable(), scorer.device):
            results.add(view, Hashes(view, background, hash_mask), scorer.outcomes(on_scorer))
            if news := scorer.limits.take_news():
                warn(news)
            on_view(view)
    errors = results.finish()
    records = [
        Record(
            **asdict(result),
            protocol=rows.protocol.stamp,
            metrics=rows.protocol.infos,
            views=rows.rows(index),
            neutral=rows.neutral(index),
            provenance=_provenance(scorer, rows, index, session, provenance[index] if provenance else {}),
        )
        for index, result in enumerate(ids)
        for rows in results.by_protocol
        if rows.scored(index) and not rows.is_refused
    ]
    if on_lost is None and errors and not records:
        raise errors[0]
    for error in errors:
        (on_lost or warn_of_lost)(error)
    return records


def _check_renders(view: View, ids: Sequence[ResultId]) -> None:
    if len(view.renders) + len(view.failed) != len(ids):
        raise InputError(
            f"View {quoted(view.name)} must have one render per result. Got {counted(len(view.renders), 'render')} for "
            f"{counted(len(ids), 'result')}."
        )


def score_files(
    source: ImageFiles, scorer: Scorer, session: Session, callbacks: Callbacks, partial: Partial | None = None
) -> list[Record]:
    """Score all results of image files together and show progress. Errors of results go to the session.

    Args:
        source: the image files.
        scorer: scores the views.
        session: values shared by all records.
        callbacks: callbacks for progress and messages.
        partial: entries of views that are already scored, and the place of new ones (default: none).

    Raises:
        InputError: Memory ran out.
    """
    missing = source.without(partial.finished) if partial else source
    title = f"Scoring {len(source.sets)} x {len(missing)} views"
    with callbacks.progress(title, len(missing)) as advance, memory_advice():
        records = evaluate(
            missing,
            source.ids,
            scorer,
            session,
            provenance=source.provenance,
            partial=partial,
            on_view=lambda _: advance(),
            on_refusal=callbacks.on_refusal,
            on_lost=session.errors.append,
            warn=callbacks.warn,
        )
    return with_inputs(records, source)


def report_lost(errors: Sequence[InputError], records: Sequence[object], callbacks: Callbacks) -> None:
    """Report the errors of results without a record, after the records of the others are written.

    Raises:
        InputError: There is no record at all.
    """
    if records:
        for error in errors:
            callbacks.on_lost(error)
    elif errors:
        first, *others = errors
        for error in others:
            callbacks.warn(str(error))
        raise first


def with_inputs(records: Sequence[Record], source: ImageFiles) -> list[Record]:
    """Return records with the hashes of their files, which identify their renders if no checkpoint does."""
    return [_with_inputs(record, source) for record in records]


def _with_inputs(record: Record, source: ImageFiles) -> Record:
    if source.hash_file is None or record.provenance["checkpoint_sha256"]:
        return record
    (renders,) = [render_set for render_set in source.sets if render_set.id == record.id]
    inputs = source.inputs_sha256(renders, [row.name for row in record.views])
    return replace(record, provenance={**record.provenance, "inputs_sha256": inputs})


def _provenance(scorer: Scorer, rows: Rows, index: int, session: Session, renders: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of the record of one result and protocol."""
    of_scoring = scoring_provenance(scorer, rows.protocol)
    return {
        **{name: of_scoring.pop(name) for name in ("nvs_eval", "versions", "device")},
        "command": list(session.command),
        "started": session.started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - session.clock, 3),
        "checkpoint_sha256": None,
        "config_sha256": None,
        **({} if session.suite is None else {"suite": session.suite}),
        **renders,
        **of_scoring,
        **scorer.limits.provenance,
        **rows.provenance(index, renders.get("left_out", {})),
    }
