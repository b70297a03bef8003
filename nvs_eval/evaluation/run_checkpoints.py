"""Render and score trained runs, as `nvs-eval run` does. Prints nothing.

A single checkpoint is scored in memory as it is rendered. Several checkpoints are rendered to files one after the other
and then scored together, view by view, so that each reference is decoded and its features are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.evaluate import Session, evaluate, score_files, write_records
from nvs_eval.evaluation.options import AUTO, RESULTS, Callbacks, RunOptions, not_known
from nvs_eval.evaluation.prepare import check_range
from nvs_eval.evaluation.render_store import Job, Keep, Plan, RenderStore
from nvs_eval.evaluation.resume import check_not_replaced, of_checkpoint, up_to_date
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.evaluation.work_folder import remove_leftovers
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources import checkpoints as trained
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.masks import MaskFiles, find_masks
from nvs_eval.sources.views import View
from nvs_eval.system.devices import find_device, memory_advice
from nvs_eval.system.files import check_folder_writable, check_space, in_units


def run_checkpoints(options: RunOptions, callbacks: Callbacks) -> list[Record]:
    """Render the views of trained checkpoints, score them and write the records; records that exist are read.

    Raises:
        InputError: An input is not available or cannot be scored.
    """
    options = replace(options, output_dir=options.output_dir or RESULTS)
    session = Session(options.output_dir or RESULTS, callbacks.command)
    jobs = _open_jobs(options, callbacks)
    records: list[Record] = []
    evaluations: list[Evaluation] = []
    with ExitStack() as stack:
        for group, all_protocols in _groups(jobs, options):
            sizes = [size for job in group for size in zip(job.checkpoint.names, job.checkpoint.sizes, strict=True)]
            protocols = check_sizes(all_protocols, sizes, callbacks.on_refusal)
            if not protocols:
                continue
            check_not_replaced([job.id for job in group], protocols, options)
            finished = {job: _finished(job, protocols, options) for job in group}
            for job in filter(finished.get, group):
                callbacks.say(f"{job.id} already has its records. Use --overwrite to render and score it again.")
                fingerprints = [protocol.fingerprint for protocol in protocols]
                remove_leftovers(session.output_dir / job.id.folder, job.checkpoint.provenance, fingerprints)
                records += finished[job]
            if waiting := [job for job in group if not finished[job]]:
                may_refuse = callbacks.on_refusal is not None
                plan = plan_renders(waiting, protocols, options.keep_renders, may_refuse=may_refuse)
                scorer = options.scorer(protocols)
                stores = [RenderStore(job, session.output_dir, plan, options.overwrite) for job in waiting]
                evaluations.append(Evaluation(scorer, session, callbacks, [*map(stack.enter_context, stores)]))
        check_folder_writable(session.output_dir)
        _check_space(evaluations, options, callbacks)
        for evaluation in evaluations:
            with memory_advice():
                records += evaluation.run()
    order = [job.id for job in jobs]
    return sorted(records, key=lambda record: order.index(record.id))


def is_evaluated(options: RunOptions) -> bool:
    """Return whether all records exist and match the current checkpoints. Renders nothing.

    Raises:
        InputError: An input is not available.
    """
    groups = _groups(_open_jobs(options, Callbacks()), options)
    return all(_finished(job, protocols, options) for group, protocols in groups for job in group)


def _finished(job: Job, protocols: Sequence[Protocol], options: RunOptions) -> list[Record]:
    """Return the records left by an earlier or interrupted command."""
    if options.overwrite:
        return []
    is_current = of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)
    return up_to_date(job.id, protocols, options.output_dir or RESULTS, is_current)


def _open_jobs(options: RunOptions, callbacks: Callbacks) -> list[Job]:
    """Open all requested checkpoints, with their names and masks."""
    configs, methods = options.load_config, options.method
    if not configs:
        raise InputError("At least one run is required. Got none. Name its config.yml with `--load-config`.")
    masks = find_masks(options.masks) if options.masked and options.masks is not None else None
    device = find_device(options.device)
    if len(methods) not in (0, 1, len(configs)):
        counts = f"{counted(len(methods), 'name')} for {counted(len(configs), 'run')}"
        raise InputError(f"--method has {counts}. Give one, or one per run.")
    jobs = [
        _job(checkpoint, methods[index % len(methods)] if methods else None, masks, options, callbacks)
        for index, path in enumerate(configs)
        for checkpoint in trained.find_trainer(path).open_run(
            path,
            steps=options.chosen_steps,
            split=options.split,
            views=options.views,
            every=options.every,
            data=options.data,
            device=device,
            eval_num_rays_per_chunk=options.eval_num_rays_per_chunk,
            warn=callbacks.warn,
        )
    ]
    check_distinct(job.id for job in jobs)
    for doubt in dict.fromkeys(
        f"{replace(job.id, step=None)}: {doubt}" for job in jobs for doubt in job.checkpoint.doubts
    ):
        callbacks.doubt(doubt)
    return jobs


def _job(
    checkpoint: Checkpoint, method: str | None, given: MaskFiles | None, options: RunOptions, callbacks: Callbacks
) -> Job:
    """Make the job of a checkpoint, with the names and masks to use.

    Raises:
        InputError: The masks do not exist or do not fit the views.
    """
    if not checkpoint.provenance.get("checkpoint_sha256"):
        raise InputError(f"The source of {checkpoint.id} must give checkpoint_sha256, to tell its checkpoints apart.")
    result = replace(checkpoint.id, scene=options.scene or checkpoint.id.scene, method=method or checkpoint.id.method)
    masks = None if given is None else given.of(checkpoint.names)
    if options.data_masks:
        masks = checkpoint.masks
        if masks is None:
            raise InputError(f"The data of {result} has no masks. Remove `--data-masks`.")
    if masks is not None:
        masks.check(dict(zip(checkpoint.names, checkpoint.sizes, strict=True)))
    else:
        with suppress(InputError):
            if checkpoint.masks is not None:
                callbacks.say(f"The data of {result} has masks. Use `--data-masks` to score with them.")
    return Job(checkpoint, result, masks)


def _groups(jobs: Sequence[Job], options: RunOptions) -> list[tuple[list[Job], list[Protocol]]]:
    """Group jobs to score together; with `--protocol auto`, those whose models use the same protocol."""
    groups: dict[tuple[str, ...], tuple[list[Job], list[Protocol]]] = {}
    for job in jobs:
        auto = job.checkpoint.own_protocol if AUTO in options.protocol else None
        if AUTO in options.protocol and auto is None:
            raise not_known(f"for {job.id}")
        protocols = options.protocols(auto=auto)
        key = tuple(protocol.fingerprint for protocol in protocols)
        groups.setdefault(key, ([], protocols))[0].append(job)
    return list(groups.values())


def _check_space(evaluations: Sequence[Evaluation], options: RunOptions, callbacks: Callbacks) -> None:
    """Report how much disk space the renders take, and check that it is available.

    Raises:
        InputError: The disk space is not available.
    """
    folder = options.output_dir or RESULTS
    size = sum(store.bytes_needed for evaluation in evaluations for store in evaluation.stores)
    if size:
        callbacks.say(f"Renders take up to {in_units(size)} in {folder} (--keep-renders {options.keep_renders}).")
    check_space(size, folder)


# --- Rendering and scoring, at once or in two stages ------------------------------------------------------------------


def plan_renders(jobs: Sequence[Job], protocols: Sequence[Protocol], keep: Keep, *, may_refuse: bool = False) -> Plan:
    """Choose the files to write: protocols that round to 8 bits are scored from PNGs, all others from floats.

    Floats are also used if a protocol may refuse a render that is out of range, which a PNG cannot show.
    """
    staged = len(jobs) > 1
    through_png = all(protocol.exact_in_png for protocol in protocols) and not may_refuse
    floats = keep == "all" or (staged and not through_png)
    pngs = keep == "png" or (staged and not floats)
    return Plan(keep, staged, floats, pngs, tuple(protocol.fingerprint for protocol in protocols))


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of checkpoints: renders and scores them, and writes their records.

    Attributes:
        scorer: scores the views.
        session: values shared by all records.
        callbacks: callbacks for progress, messages and refusals.
        stores: render stores of the checkpoints, all with the same plan.
    """

    scorer: Scorer
    session: Session
    callbacks: Callbacks
    stores: Sequence[RenderStore]

    def run(self) -> list[Record]:
        """Render, score and return the records of all checkpoints, in any order.

        Raises:
            InputError: A checkpoint or the scorer raised it. Records finished before are kept.
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
        """Render a checkpoint to files."""
        with self.callbacks.progress(f"Rendering {store.job.id}", len(store.job.checkpoint)) as advance:
            for view in store.views():
                self._check_range(view)
                advance()
        store.finish_rendering()

    def _check_range(self, view: View) -> None:
        """Check the range before the remaining views are rendered; an 8-bit file cannot show that it was exceeded."""
        if self.callbacks.on_refusal is None:
            for protocol in self.scorer.protocols:
                check_range(view, protocol)

    def _score(self, group: Sequence[RenderStore]) -> list[Record]:
        """Score the renders of checkpoints that have the same references and masks."""
        sets = [store.render_set() for store in group]
        # All sets have the same references; use those of the first.
        source = ImageFiles([replace(render_set, references=sets[0].references) for render_set in sets])
        try:
            scored = score_files(source, self.scorer, self.session, self.callbacks)
        except InputError:
            damaged = [store for store in group if store.is_damaged]
            if not damaged:
                raise
            for store in damaged:
                self.callbacks.warn(f"A render file of {store.job.id} is damaged. Rendering it again.")
                store.discard()
            return replace(self, stores=group).run()
        records = []
        for store in group:
            records += self._publish(store, [record for record in scored if record.id == store.job.id])
        return records

    def _publish(self, store: RenderStore, records: Sequence[Record]) -> list[Record]:
        """Move the renders to keep to their place, and write the records with their paths."""
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
