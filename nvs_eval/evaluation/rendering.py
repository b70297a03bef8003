"""From checkpoints to records: rendering and scoring as two stages, or at once for a single checkpoint.

One checkpoint is scored as it is rendered, in memory. Several are rendered one after the other into folders, then
scored view by view, all together: so each reference is decoded, and its features computed, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Refusal, Session, evaluate
from nvs_eval.evaluation.prepare import check_range
from nvs_eval.evaluation.render_note import IDENTITY
from nvs_eval.evaluation.render_store import Keep, Kept, as_sources, keeping
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record, read_record, record_name
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.views import View
from nvs_eval.system.disk import space_needed

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Shows how far some work is: called with what it is and its number of steps, gives what to call after each."""


@dataclass(frozen=True, eq=False)
class Job:
    """A checkpoint to evaluate.

    Attributes:
        checkpoint: renders the views.
        id: identity of the result, under the names that the user gave.
        masks: masks to score with, or None.
    """

    checkpoint: Checkpoint
    id: ResultId
    masks: Masks | None = None


@dataclass(frozen=True)
class Plan:
    """What is written of the renders while checkpoints are evaluated, and what stays.

    Attributes:
        keep: what stays.
        staged: whether they are rendered into folders first, and scored from there.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        bytes: what that takes at most.
    """

    keep: Keep
    staged: bool
    floats: bool
    pngs: bool
    bytes: int


def plan_renders(jobs: Sequence[Job], protocols: Sequence[Protocol], keep: Keep, *, may_refuse: bool = False) -> Plan:
    """Decide what is written: a protocol that quantises as PNGs do is scored from PNGs, any other from floats.

    So are all where a protocol may refuse a render for its range, which its PNG does not tell.
    """
    staged = len(jobs) > 1
    through_png = all(protocol.exact_in_png for protocol in protocols) and not may_refuse
    floats = keep == "all" or (staged and not through_png)
    pngs = keep == "png" or (staged and not floats)
    sizes = [job.checkpoint.sizes for job in jobs]
    needed = sum(space_needed(each, floats=floats, pngs=pngs, staged=staged) for each in sizes)
    return Plan(keep, staged, floats, pngs, needed)


@dataclass(frozen=True)
class Evaluation:
    """Renders and scores checkpoints.

    Attributes:
        scorer: scores their views.
        session: what the records have in common.
        plan: of `plan_renders` for these checkpoints.
        progress: shows how far it is.
        on_records: is given records as soon as they are finished, to write them.
        on_refusal: is told what a protocol cannot score; if it is None, that is an error.
    """

    scorer: Scorer
    session: Session
    plan: Plan
    progress: Progress
    on_records: Callable[[Sequence[Record]], None]
    on_refusal: Refusal | None = None

    def run(self, jobs: Sequence[Job]) -> list[Record]:
        """The records of all jobs, in no particular order.

        Raises:
            InputError: as the checkpoints and the scorer; records that were finished before stay.
        """
        if self.plan.staged:
            return self._staged(jobs)
        return [record for job in jobs for record in self._at_once(job)]

    def _at_once(self, job: Job) -> list[Record]:
        kept = self._kept(job)
        records: list[Record] = []
        try:
            with self.progress(f"Rendering and scoring {job.id}", len(job.checkpoint)) as advance, kept:
                views = keeping(job.checkpoint, kept)
                if job.masks is not None:
                    views = map(job.masks.attach, views)
                records = self._evaluate(views, [job.id], [kept.note.provenance], advance)
            peak_memory = {"peak_memory_bytes": job.checkpoint.peak_memory_bytes}
            records = [_with_provenance(record, peak_memory) for record in records]
            return self._finish([kept], records)
        finally:
            # Renders that no record names are nobody's, and nothing finds them again.
            if records:
                kept.clean(self.plan.keep)
            elif kept.note.temporary:
                kept.clean("none")

    def _staged(self, jobs: Sequence[Job]) -> list[Record]:
        rendered = [self._render(job) for job in jobs]
        records = []
        finished: list[tuple[Kept, Keep]] = []
        try:
            for source, kept in as_sources(rendered):
                with self.progress(f"Scoring {len(kept)} x {len(source)} views", len(source)) as advance:
                    scored = self._evaluate(source, source.ids, source.provenance, advance)
                records += self._finish(kept, scored)
                # Renders that no record names are nobody's.
                for owner in kept:
                    finished.append((owner, self.plan.keep if scored else "none"))
        finally:
            # What is finished is not looked at again: so what it needed in between goes, whatever happened to others.
            for owner, keep in finished:
                owner.clean(keep)
        return records

    def _evaluate(
        self,
        views: Iterable[View],
        ids: Sequence[ResultId],
        provenance: Sequence[Mapping[str, Any]],
        advance: Callable[[], None],
    ) -> list[Record]:
        choices = {} if self.on_refusal is None else {"on_refusal": self.on_refusal}
        return evaluate(
            views, ids, self.scorer, self.session, provenance=provenance, on_view=lambda _: advance(), **choices
        )

    def _render(self, job: Job) -> Kept:
        """Render a checkpoint into its folder, unless an interrupted command did."""
        kept, checkpoint = self._kept(job), job.checkpoint
        if kept.restore(checkpoint.names):
            return kept
        with self.progress(f"Rendering {job.id}", len(checkpoint)) as advance, kept:
            for view in keeping(checkpoint, kept):
                self._check_range(view)
                advance()
        kept.note.provenance["peak_memory_bytes"] = checkpoint.peak_memory_bytes
        kept.write_note()
        return kept

    def _check_range(self, view: View) -> None:
        """Before all of them are rendered, and because an 8-bit file cannot say that its render was out of range."""
        if self.on_refusal is None:
            for protocol in self.scorer.protocols:
                check_range(view, protocol)

    def _kept(self, job: Job) -> Kept:
        plan = self.plan
        return Kept(
            job.id,
            job.checkpoint.provenance,
            self.session.output_dir,
            floats=plan.floats,
            pngs=plan.pngs,
            staged=plan.staged,
            masks=job.masks,
        )

    def _finish(self, kept: Sequence[Kept], records: Sequence[Record]) -> list[Record]:
        """The records with the paths of the renders that stay."""
        owners = {owner.id: owner for owner in kept}
        protocols = {protocol.fingerprint: protocol for protocol in self.scorer.protocols}
        settled = [
            owners[record.id].settle(record, protocols[record.fingerprint], self.plan.keep) for record in records
        ]
        self.on_records(settled)
        return settled


def _with_provenance(record: Record, more: Mapping[str, Any]) -> Record:
    return replace(record, provenance={**record.provenance, **more})


def finished_records(job: Job, protocols: Sequence[Protocol], output_dir: Path) -> list[Record]:
    """The records that a checkpoint has already: one for each protocol, of these views, or none at all."""
    folder, identity = output_dir / job.id.folder, job.checkpoint.provenance
    found = []
    for protocol in protocols:
        try:
            record = read_record(folder / record_name(protocol.name, protocol.fingerprint))
        except InputError:
            return []
        same = all(record.provenance.get(key) == identity[key] for key in IDENTITY)
        masks = job.masks if protocol.takes_masks else None
        if not same or not _is_of(record, job.checkpoint.names, masks) or record.split != job.id.split:
            return []
        found.append(record)
    return found


def _is_of(record: Record, names: Sequence[str], masks: Masks | None) -> bool:
    """Whether a record is of these views under these masks."""
    left_out = record.provenance.get("left_out", {})
    if [row.name for row in record.views] != [name for name in names if name not in left_out]:
        return False
    scored_with = {row.name: row.mask_sha256 for row in record.views} | record.provenance.get("left_out_masks", {})
    return all(scored_with.get(name) == (masks and masks.sha256(name)) for name in names)
