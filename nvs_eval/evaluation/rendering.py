"""From checkpoints to records: rendering and scoring as two stages, or at once for a single checkpoint.

One checkpoint is scored as it is rendered, in memory. Several are rendered one after the other into files, then scored
view by view, all together: so each reference is decoded, and its features computed, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.options import Callbacks
from nvs_eval.evaluation.outputs import write_records
from nvs_eval.evaluation.prepare import check_range
from nvs_eval.evaluation.render_store import Keep, Plan, RenderStore
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.views import View
from nvs_eval.system.files import space_needed


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
    """Renders and scores checkpoints, and writes their records.

    Attributes:
        scorer: scores the views.
        session: what the records have in common.
        plan: of `plan_renders` for these checkpoints.
        callbacks: for progress, messages and refusals.
        overwrite: whether to render again what an interrupted command left.
    """

    scorer: Scorer
    session: Session
    plan: Plan
    callbacks: Callbacks
    overwrite: bool = False

    def run(self, jobs: Sequence[Job]) -> list[Record]:
        """Return the records of all jobs, in no particular order.

        Raises:
            InputError: raised by the checkpoints or the scorer; records that were finished before stay.
        """
        with ExitStack() as stack:
            stores = [
                stack.enter_context(
                    RenderStore(job.id, job.checkpoint.provenance, self.session.output_dir, self.plan, job.masks)
                )
                for job in jobs
            ]
            # To overwrite is to render again: what an interrupted command left is removed then.
            restored = [
                store.restore(() if self.overwrite else job.checkpoint.names)
                for job, store in zip(jobs, stores, strict=True)
            ]
            if not self.plan.staged and not restored[0]:
                return self._at_once(jobs[0], stores[0])
            for job, store, done in zip(jobs, stores, restored, strict=True):
                if not done:
                    self._render(job, store)
            return self._score(stores)

    def _at_once(self, job: Job, store: RenderStore) -> list[Record]:
        with self.callbacks.progress(f"Rendering and scoring {job.id}", len(job.checkpoint)) as advance:
            views = store.keeping(job.checkpoint)
            if job.masks is not None:
                views = map(job.masks.attach, views)
            records = self._evaluate(views, [job.id], [store.provenance], advance)
        peak_memory = {"peak_memory_bytes": job.checkpoint.peak_memory_bytes}
        return self._publish(store, [replace(r, provenance={**r.provenance, **peak_memory}) for r in records])

    def _render(self, job: Job, store: RenderStore) -> None:
        """Render a checkpoint into files."""
        with self.callbacks.progress(f"Rendering {job.id}", len(job.checkpoint)) as advance:
            for view in store.keeping(job.checkpoint):
                self._check_range(view)
                advance()
        store.finish_rendering({"peak_memory_bytes": job.checkpoint.peak_memory_bytes})

    def _check_range(self, view: View) -> None:
        """Before all of them are rendered, and because an 8-bit file cannot say that its render was out of range."""
        if self.callbacks.on_refusal is None:
            for protocol in self.scorer.protocols:
                check_range(view, protocol)

    def _score(self, stores: Sequence[RenderStore]) -> list[Record]:
        """Score what was rendered, those with the same references together."""
        records = []
        for source, group in _together(stores):
            with self.callbacks.progress(f"Scoring {len(group)} x {len(source)} views", len(source)) as advance:
                scored = self._evaluate(source, source.ids, source.provenance, advance)
            for store in group:
                records += self._publish(store, [record for record in scored if record.id == store.id])
        return records

    def _evaluate(
        self,
        views: Iterable[View],
        ids: Sequence[ResultId],
        provenance: Sequence[Mapping[str, Any]],
        advance: Callable[[], None],
    ) -> list[Record]:
        return evaluate(
            views,
            ids,
            self.scorer,
            self.session,
            provenance=provenance,
            on_view=lambda _: advance(),
            on_refusal=self.callbacks.on_refusal,
        )

    def _publish(self, store: RenderStore, records: Sequence[Record]) -> list[Record]:
        """Put the renders that stay in their place, and write the records that name them."""
        protocols = {protocol.fingerprint: protocol for protocol in self.scorer.protocols}
        published = store.publish(records, protocols)
        write_records(published, self.session.output_dir, self.callbacks)
        return published


def _together(stores: Sequence[RenderStore]) -> list[tuple[ImageFiles, list[RenderStore]]]:
    """Group rendered results with the same references and masks, each group with the source of its files."""
    groups: dict[tuple, list[RenderStore]] = {}
    for store in stores:
        masks = None if store.masks is None else (store.masks.binary, *store.masks.files.items())
        groups.setdefault((store.id.scene, masks, *store.note.reference_sha256.items()), []).append(store)
    sources = []
    for group in groups.values():
        sets = [store.render_set() for store in group]
        # The first one's references serve all: they are the same images.
        sets = [replace(render_set, references=sets[0].references) for render_set in sets]
        sources.append((ImageFiles(sets), group))
    return sources
