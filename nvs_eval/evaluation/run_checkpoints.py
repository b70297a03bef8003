"""From trained runs to records: what `nvs-eval run` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.evaluate import Session
from nvs_eval.evaluation.options import AUTO, RESULTS, Callbacks, RunOptions, not_known
from nvs_eval.evaluation.render_store import Job, RenderStore
from nvs_eval.evaluation.rendering import Evaluation, plan_renders
from nvs_eval.evaluation.resume import check_not_replaced, of_checkpoint, up_to_date
from nvs_eval.evaluation.work_folder import remove_leftovers
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources import checkpoints as trained
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images
from nvs_eval.system.devices import find_device, memory_advice
from nvs_eval.system.files import check_folder_writable, check_space, in_units


def run_checkpoints(options: RunOptions, callbacks: Callbacks) -> list[Record]:
    """Render the views of trained checkpoints, score them, and write the records; those that exist are read.

    Raises:
        InputError: something that was asked for is not available, or cannot be scored.
    """
    options = replace(options, output_dir=options.output_dir or RESULTS)
    session = Session(options.output_dir or RESULTS, callbacks.command)
    jobs = _open_jobs(options, callbacks)
    records: list[Record] = []
    evaluations: list[Evaluation] = []
    with ExitStack() as stack:
        for group, protocols in _groups(jobs, options):
            check_not_replaced([job.id for job in group], protocols, options)
            finished = {job: _finished(job, protocols, options) for job in group}
            for job in filter(finished.get, group):
                callbacks.say(f"{job.id} has its records already; say --overwrite to render and score it again.")
                remove_leftovers(session.output_dir / job.id.folder, [protocol.fingerprint for protocol in protocols])
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
    """Return whether all records exist, of the checkpoints as they are now; nothing is rendered.

    Raises:
        InputError: something that was asked for is not available.
    """
    groups = _groups(_open_jobs(options, Callbacks()), options)
    return all(_finished(job, protocols, options) for group, protocols in groups for job in group)


def _finished(job: Job, protocols: Sequence[Protocol], options: RunOptions) -> list[Record]:
    """The records that exist already, of an interrupted command or an earlier one."""
    if options.overwrite:
        return []
    is_current = of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)
    return up_to_date(job.id, protocols, options.output_dir or RESULTS, is_current)


def _open_jobs(options: RunOptions, callbacks: Callbacks) -> list[Job]:
    """Open all checkpoints that were asked for, under their names and with their masks."""
    configs, methods = options.load_config, options.method
    if not configs:
        raise InputError("No run was given: say `--load-config` and the config.yml of one or several runs.")
    masks = Masks(list_images(options.masks)) if options.masked and options.masks is not None else None
    device = find_device(options.device)
    if len(methods) not in (0, 1, len(configs)):
        given = f"{counted(len(methods), 'method')} for {counted(len(configs), 'run')}"
        raise InputError(f"{given}: give one for each, one for all, or none.")
    opener = trained.find_opener("nerfstudio")
    jobs = [
        _job(checkpoint, methods[index % len(methods)] if methods else None, masks, options, callbacks)
        for index, path in enumerate(configs)
        for checkpoint in opener(
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
    return jobs


def _job(
    checkpoint: Checkpoint, method: str | None, masks: Masks | None, options: RunOptions, callbacks: Callbacks
) -> Job:
    """The checkpoint under its names, with the masks that it is scored with, or none.

    Raises:
        InputError: there are no such masks, or they do not fit.
    """
    own = checkpoint.id
    result = replace(own, scene=options.scene or own.scene, method=method or own.method)
    if options.data_masks:
        masks = checkpoint.masks
        if masks is None:
            raise InputError(f"The data of {result} has no masks: leave `--data-masks` out.")
    if masks is not None:
        masks.check(dict(zip(checkpoint.names, checkpoint.sizes, strict=True)))
    else:
        with suppress(InputError):
            if checkpoint.masks is not None:
                callbacks.say(f"The data of {result} has masks; say `--data-masks` to score with them.")
    return Job(checkpoint, result, masks)


def _groups(jobs: Sequence[Job], options: RunOptions) -> list[tuple[list[Job], list[Protocol]]]:
    """Jobs that are scored together: with `--protocol auto` those whose models' own code says the same."""
    groups: dict[tuple[str, ...], tuple[list[Job], list[Protocol]]] = {}
    for job in jobs:
        auto = job.checkpoint.own_protocol if AUTO in options.protocol else None
        if AUTO in options.protocol and auto is None:
            raise not_known(f"of {job.id}")
        protocols = options.protocols(auto=auto)
        key = tuple(protocol.fingerprint for protocol in protocols)
        groups.setdefault(key, ([], protocols))[0].append(job)
    return list(groups.values())


def _check_space(evaluations: Sequence[Evaluation], options: RunOptions, callbacks: Callbacks) -> None:
    """Say how much space the renders take, and check that it is available.

    Raises:
        InputError: it is not.
    """
    folder = options.output_dir or RESULTS
    needed = sum(store.bytes_needed for evaluation in evaluations for store in evaluation.stores)
    if needed:
        callbacks.say(f"Renders take up to {in_units(needed)} in {folder} (--keep-renders {options.keep_renders}).")
    check_space(needed, folder)
