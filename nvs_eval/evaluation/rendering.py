"""Render checkpoints and score them, at once or in two stages, and write their records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, evaluate, score_files
from nvs_eval.evaluation.inputs import Inputs, of_checkpoint
from nvs_eval.evaluation.partial import Partial, open_partial
from nvs_eval.evaluation.plan import Job
from nvs_eval.evaluation.prepare import is_in_range, range_errors
from nvs_eval.evaluation.render_store import RenderStore
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.records.record import Record
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.locks import folder_locked


class _NotRendered(InputError):
    """Values of a checkpoint's first render that no protocol can score."""


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of checkpoints: renders and scores them, and writes their records.

    Attributes:
        scorer: scores the views.
        session: values shared by all records.
        callbacks: callbacks for progress, messages and refusals.
        stores: render stores of the checkpoints, all with the same plan.
        places: places of the records.
    """

    scorer: Scorer
    session: Session
    callbacks: Callbacks
    stores: Sequence[RenderStore]
    places: Places

    def run(self) -> list[Record]:
        """Render, score and return the records of all checkpoints, in any order. Errors of results go to the session.

        Raises:
            InputError: A checkpoint or the scorer raised it. Records finished before are kept.
        """
        for store in self.stores:
            if count := store.drop_damaged():
                views = "its view" if count == 1 else f"{count} views"
                self.callbacks.warn(f"A render file of {store.job.id} cannot be read. Rendering {views} again.")
        for store in self.stores:
            try:
                if not store.plan.staged:
                    return self._at_once(store)
                if not store.is_rendered:
                    self._render(store)
            except _NotRendered as error:
                store.discard()
                self.session.errors.append(error)
        rendered = [store for store in self.stores if store.is_rendered]
        return [record for group in _together(rendered) for record in self._score(group)]

    def _partial(self, stores: Sequence[RenderStore]) -> Partial:
        inputs = {store.job.id: _inputs(store.job) for store in stores}
        return open_partial(self.places, inputs, self.scorer, self.callbacks)

    def _at_once(self, store: RenderStore) -> list[Record]:
        """Score a checkpoint in memory as it is rendered. Views that were rendered before are read, if they suffice."""
        job = store.job
        with self._partial([store]) as partial:
            kept = store.rendered if store.writes_files else job.checkpoint.names
            finished = {name for name in partial.finished if name in kept or name in partial.failed}
            missing = [name for name in job.checkpoint.names if name not in finished]
            files = store.scorable(self.scorer.protocols)
            again = () if files is None else files.without(finished)
            rest = [name for name in missing if files is None or name not in files.references]
            views = chain(again, self._views(store, rest) if rest else ())
            with self.callbacks.progress(f"Rendering and scoring {job.id}", len(missing)) as advance:
                records = evaluate(
                    views if job.masks is None else map(job.masks.attach, views),
                    [job.id],
                    self.scorer,
                    self.session,
                    provenance=[job.checkpoint.provenance],
                    partial=partial,
                    on_view=lambda _: advance(),
                    on_refusal=self.callbacks.on_refusal,
                    on_lost=self.session.errors.append,
                    warn=self.callbacks.warn,
                )
            records = [replace(r, provenance={**r.provenance, **store.found}) for r in records]
            published = self._publish(store, records, partial)
            partial.remove()
        return published

    def _render(self, store: RenderStore) -> None:
        """Render the views of a checkpoint that have no files."""
        missing = [name for name in store.job.checkpoint.names if name not in store.rendered]
        if len(missing) < len(store.job.checkpoint):
            self.callbacks.say(f"{store.job.id}: {len(missing)} of {counted(len(store.job.checkpoint), 'view')} to go.")
        with self.callbacks.progress(f"Rendering {store.job.id}", len(missing)) as advance:
            for _ in self._views(store, missing):
                advance()
        store.finish_rendering()

    def _views(self, store: RenderStore, names: Collection[str]) -> Iterator[View | FailedView]:
        """Render views of a checkpoint. Stop after the first if no protocol can score its values.

        Raises:
            _NotRendered: No protocol can. The other views are of the same model, and rendering them may take hours.
        """
        protocols, views = self.scorer.protocols, store.render(names)
        for view in views:
            if isinstance(view, View):
                errors = [range_errors(view, protocol) for protocol in protocols]
                if all(errors) and not is_in_range(view.bounds[1]):
                    raise _NotRendered(f"The other views of {store.job.id} were not rendered. {errors[0][0]}")
                yield view
                break
            yield view
        yield from views

    def _score(self, group: Sequence[RenderStore]) -> list[Record]:
        """Score the renders of checkpoints that have the same references and masks."""
        sets = [store.render_set() for store in group]
        # All sets have the same references; use those of the first.
        source = ImageFiles([replace(render_set, references=sets[0].references) for render_set in sets])
        with self._partial(group) as partial:
            scored = score_files(source, self.scorer, self.session, self.callbacks, partial)
            records = []
            for store in group:
                own = [record for record in scored if record.id.folder == store.job.id.folder]
                records += self._publish(store, own, partial)
            partial.remove()
        return records

    def _publish(self, store: RenderStore, records: Sequence[Record], partial: Partial) -> list[Record]:
        """Move the renders to keep to their place, and write the records with their paths."""
        if not records:
            store.discard()
            return []
        job, inputs = store.job, _inputs(store.job)
        with folder_locked(store.folder):
            # Another command may have finished in the meantime. Its records and renders stay.
            finished = self.places.finished(job.id, self.scorer.protocols, inputs)
            published = store.publish([r for r in records if r.fingerprint not in finished], self.scorer.protocols)
            by_result = {record.id: inputs for record in published}
            written = self.places.write(published, self.scorer.protocols, by_result, self.callbacks, partial.finish)
            store.discard()
            return [*finished.values(), *written]


def _inputs(job: Job) -> Inputs:
    return of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)


def _together(stores: Sequence[RenderStore]) -> list[list[RenderStore]]:
    """Group results with the same references and masks."""
    groups: dict[tuple, list[RenderStore]] = {}
    for store in stores:
        masks = None if store.job.masks is None else (store.job.masks.binary, *store.job.masks.files.items())
        groups.setdefault((store.job.id.scene, masks, *store.reference_sha256.items()), []).append(store)
    return list(groups.values())
