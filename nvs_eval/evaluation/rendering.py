"""From checkpoints to records: rendering and scoring as two stages, or at once for a single checkpoint.

One checkpoint is scored as it is rendered, in memory. Several are rendered one after the other into files, then scored
view by view, all together: so each reference is decoded, and its features computed, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate, score_files, write_records
from nvs_eval.evaluation.options import Callbacks
from nvs_eval.evaluation.prepare import check_range
from nvs_eval.evaluation.render_store import Job, Keep, Plan, RenderStore
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.views import View


def plan_renders(jobs: Sequence[Job], protocols: Sequence[Protocol], keep: Keep, *, may_refuse: bool = False) -> Plan:
    """Decide what is written: a protocol that quantises as PNGs do is scored from PNGs, any other from floats.

    So are all where a protocol may refuse a render for its range, which its PNG does not tell.
    """
    staged = len(jobs) > 1
    through_png = all(protocol.exact_in_png for protocol in protocols) and not may_refuse
    floats = keep == "all" or (staged and not through_png)
    pngs = keep == "png" or (staged and not floats)
    return Plan(keep, staged, floats, pngs, tuple(protocol.fingerprint for protocol in protocols))


@dataclass(frozen=True)
class Evaluation:
    """Renders and scores checkpoints, and writes their records.

    Attributes:
        scorer: scores the views.
        session: what the records have in common.
        callbacks: for progress, messages and refusals.
        stores: the checkpoints, each with its renders; all have one plan.
    """

    scorer: Scorer
    session: Session
    callbacks: Callbacks
    stores: Sequence[RenderStore]

    def run(self) -> list[Record]:
        """Return the records of all checkpoints, in no particular order.

        Raises:
            InputError: raised by the checkpoints or the scorer; records that were finished before stay.
        """
        waiting = [store for store in self.stores if not store.is_rendered]
        if waiting and not waiting[0].plan.staged:
            return self._at_once(waiting[0])
        for store in waiting:
            self._render(store)
        return [record for group in _together(self.stores) for record in self._score(group)]

    def _at_once(self, store: RenderStore) -> list[Record]:
        job = store.job
        with self.callbacks.progress(f"Rendering and scoring {job.id}", len(job.checkpoint)) as advance:
            records = evaluate(
                store.views() if job.masks is None else map(job.masks.attach, store.views()),
                [job.id],
                self.scorer,
                self.session,
                provenance=[job.checkpoint.provenance],
                on_view=lambda _: advance(),
                on_refusal=self.callbacks.on_refusal,
            )
        peak_memory = {"peak_memory_bytes": job.checkpoint.peak_memory_bytes}
        return self._publish(store, [replace(r, provenance={**r.provenance, **peak_memory}) for r in records])

    def _render(self, store: RenderStore) -> None:
        """Render a checkpoint into files."""
        with self.callbacks.progress(f"Rendering {store.job.id}", len(store.job.checkpoint)) as advance:
            for view in store.views():
                self._check_range(view)
                advance()
        store.finish_rendering()

    def _check_range(self, view: View) -> None:
        """Before all of them are rendered, and because an 8-bit file cannot say that its render was out of range."""
        if self.callbacks.on_refusal is None:
            for protocol in self.scorer.protocols:
                check_range(view, protocol)

    def _score(self, group: Sequence[RenderStore]) -> list[Record]:
        """Score the renders of checkpoints that have the same references and masks."""
        sets = [store.render_set() for store in group]
        # The first one's references serve all: they are the same images.
        source = ImageFiles([replace(render_set, references=sets[0].references) for render_set in sets])
        try:
            scored = score_files(source, self.scorer, self.session, self.callbacks)
        except InputError:
            damaged = [store for store in group if store.is_damaged]
            if not damaged:
                raise
            for store in damaged:
                self.callbacks.warn(f"A file of the renders of {store.job.id} is damaged: it is rendered again.")
                store.discard()
                self._render(store)
            return self._score(group)
        records = []
        for store in group:
            records += self._publish(store, [record for record in scored if record.id == store.job.id])
        return records

    def _publish(self, store: RenderStore, records: Sequence[Record]) -> list[Record]:
        """Put the renders that stay in their place, and write the records that name them."""
        published = store.publish(records, self.scorer.protocols)
        write_records(published, self.session.output_dir, self.callbacks)
        return published


def _together(stores: Sequence[RenderStore]) -> list[list[RenderStore]]:
    """Group results with the same references and masks."""
    groups: dict[tuple, list[RenderStore]] = {}
    for store in stores:
        masks = None if store.job.masks is None else (store.job.masks.binary, *store.job.masks.files.items())
        groups.setdefault((store.job.id.scene, masks, *store.note.reference_sha256.items()), []).append(store)
    return list(groups.values())
