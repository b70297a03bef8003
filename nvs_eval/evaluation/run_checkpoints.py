"""Render and score trained runs, as `nvs-eval run` does. Prints nothing.

A single checkpoint is scored in memory as it is rendered. Several checkpoints are rendered to files one after the other
and then scored together, view by view, so that each reference is decoded and its features are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from nvs_eval.errors import InputError, counted, listed, quoted, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, report_lost
from nvs_eval.evaluation.inputs import of_checkpoint
from nvs_eval.evaluation.options import AUTO, RESULTS, RunOptions, SplatOptions, not_known
from nvs_eval.evaluation.plan import Job, Keep, plan_renders
from nvs_eval.evaluation.preflight import Work, announce
from nvs_eval.evaluation.render_store import RenderStore
from nvs_eval.evaluation.rendering import Evaluation
from nvs_eval.evaluation.rescoring import Rescoring, kept_result
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.evaluation.work_folder import remove_leftovers
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources import checkpoints as trained
from nvs_eval.sources.checkpoints import Checkpoint, Trainer
from nvs_eval.sources.masks import MaskFiles, find_masks
from nvs_eval.system.devices import find_device, memory_advice
from nvs_eval.system.files import check_folder_writable
from nvs_eval.system.folders import is_too_long
from nvs_eval.system.hashes import forget_hashes
from nvs_eval.system.space import check_space, in_units


def run_checkpoints(options: RunOptions, callbacks: Callbacks) -> list[Record]:
    """Render the views of trained checkpoints, score them and write the records; records that exist are read.

    Raises:
        InputError: An input is not available, or no checkpoint can be scored.
    """
    if options.rehash:
        forget_hashes()
    options = replace(options, output_dir=options.output_dir or RESULTS)
    session = Session(options.output_dir or RESULTS, callbacks.command)
    jobs = _open_jobs(options, callbacks)
    evaluations: list[Evaluation] = []
    groups = _groups(jobs, options)
    records, waiting = _finished(groups, options, callbacks)
    for group, protocols in [] if options.overwrite else waiting:
        records += _score_kept(group, protocols, session, options, callbacks)
    with ExitStack() as stack:
        for group, protocols in [(group, protocols) for group, protocols in waiting if group]:
            plan = plan_renders(group, protocols, options.keep_renders)
            scorer, places = options.scorer(protocols), Places.of(options)
            stores = [RenderStore(job, session.output_dir, plan, options.overwrite) for job in group]
            evaluations.append(Evaluation(scorer, session, callbacks, [*map(stack.enter_context, stores)], places))
        check_folder_writable(session.output_dir)
        _check_space(evaluations, options, callbacks)
        announce([work for evaluation in evaluations for work in _works(evaluation)], callbacks)
        for evaluation in evaluations:
            with memory_advice():
                records += evaluation.run()
    report_lost(session.errors, records, callbacks)
    order = [job.id.folder for job in jobs]
    named = [protocol.fingerprint for _, protocols in groups for protocol in protocols]
    return sorted(records, key=lambda record: (order.index(record.id.folder), named.index(record.fingerprint)))


def _score_kept(
    group: list[Job], protocols: Sequence[Protocol], session: Session, options: RunOptions, callbacks: Callbacks
) -> list[Record]:
    """Score jobs whose renders were kept by an earlier command under other protocols, and remove them from the group.

    Renders that have changed since are not used.
    """
    kept = {job: result for job in group if (result := kept_result(job, session.output_dir, protocols))}
    try:
        rescoring = Rescoring(session, list(kept.values()), protocols, options)
    except InputError:
        return []  # The renders have changed. Any other fault is found again.
    if any(source.damaged for source in rescoring.sources):
        return []
    for job in kept:
        group.remove(job)
        under = some((protocol.label for protocol in protocols), 3)
        callbacks.say(f"{job.id}: scoring its kept renders under {under}. Nothing is rendered.")
    return rescoring.run(callbacks)


def is_evaluated(options: RunOptions) -> bool:
    """Return whether all records exist and are of the current checkpoints. Renders nothing.

    Raises:
        InputError: An input is not available, or a record of another checkpoint would be replaced.
    """
    _, waiting = _finished(_groups(_open_jobs(options, Callbacks()), options), options, Callbacks())
    return not waiting


_KEPT = {
    "all": "its renders are kept as floats",
    "none": "its renders are not kept",
    "png": "its renders are kept only with 8 bits",
    "lost": "its kept renders are no longer there",
}
_Group = tuple[list[Job], list[Protocol]]
"""Jobs, and the protocols to score them under."""


def _finished(groups: Sequence[_Group], options: RunOptions, callbacks: Callbacks) -> tuple[list[Record], list[_Group]]:
    """Return the records of the same checkpoints, and what is left to render and score.

    Raises:
        InputError: A view is too small for a protocol, or a record of another checkpoint would be replaced.
    """
    records: list[Record] = []
    waiting: list[_Group] = []
    for group, all_protocols in groups:
        sizes = [size for job in group for size in zip(job.checkpoint.names, job.checkpoint.sizes, strict=True)]
        protocols = check_sizes(all_protocols, sizes, callbacks.on_refusal)
        jobs: dict[tuple[str, ...], list[Job]] = {}
        for job in group if protocols else ():
            inputs = of_checkpoint(job.checkpoint.provenance, job.checkpoint.names, job.masks)
            finished = Places.of(options).finished(job.id, protocols, inputs)
            records += finished.values()
            if finished:
                _report_finished(job, finished, options, callbacks)
            jobs.setdefault(tuple(p.fingerprint for p in protocols if p.fingerprint not in finished), []).append(job)
        for missing, together in jobs.items():
            waiting += [(together, [p for p in protocols if p.fingerprint in missing])] if missing else []
    return records, waiting


def _report_finished(job: Job, finished: Mapping[str, Record], options: RunOptions, callbacks: Callbacks) -> None:
    names = some((record.protocol_title for record in finished.values()), 3)
    folder = (options.output_dir or RESULTS) / job.id.folder
    kept = {_kept(record, folder) for record in finished.values()}
    known = [words for keep, words in _KEPT.items() if keep in kept and options.keep_renders not in kept]
    words = f", and {listed(known)}" if known else ""
    callbacks.say(f"{job.id} is already scored under {names}{words}. Use --overwrite to render and score it again.")
    remove_leftovers(folder, job.checkpoint.provenance, job.checkpoint.names, finished)


def _kept(record: Record, folder: Path) -> Keep | Literal["lost"]:
    """Return which renders of a record in a folder were kept, as `--keep-renders` names them, or that some are gone."""
    files = [row.render for row in record.views if row.render]
    if not all((folder / file).exists() for file in files):
        return "lost"
    return "none" if not files else "all" if files[0].endswith(".npy") else "png"


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
        for checkpoint in _checkpoints(path, options, device, callbacks)
    ]
    check_distinct(job.id for job in jobs)
    for doubt in dict.fromkeys(
        f"{replace(job.id, step=None)}: {doubt}" for job in jobs for doubt in job.checkpoint.doubts
    ):
        callbacks.doubt(doubt)
    return jobs


def _checkpoints(path: Path, options: RunOptions, device: torch.device, callbacks: Callbacks) -> Sequence[Checkpoint]:
    """Open the requested checkpoints of a run."""
    trainer = trained.find_trainer(path)
    return trainer.open_run(
        path,
        steps=options.chosen_steps,
        split=options.split,
        views=options.views,
        every=options.every,
        data=options.data,
        device=device,
        eval_num_rays_per_chunk=options.eval_num_rays_per_chunk,
        trust=options.trust,
        warn=callbacks.warn,
        **_own_options(trainer, path, options),
    )


def _own_options(trainer: Trainer, path: Path, options: RunOptions) -> dict[str, Any]:
    """Return the options that only some sources take, for the source of a run.

    Raises:
        InputError: One is set that the source does not take.
    """
    taken = getattr(trainer, "OPTIONS", ())
    for option in fields(SplatOptions):
        if option.name not in taken and getattr(options, option.name) != option.default:
            raise InputError(
                f"`--{option.name.replace('_', '-')}` does not apply to {path}, which is rendered by its own method. "
                "Remove it."
            )
    return {name: getattr(options, name) for name in taken}


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
    _check_view_names(checkpoint.names, options.output_dir or RESULTS)
    return Job(checkpoint, result, masks)


def _check_view_names(names: Sequence[str], output_dir: Path) -> None:
    """Check that the renders of all views can be written, before any of them is rendered.

    Raises:
        InputError: The name of a view is too long for a file.
    """
    for part in dict.fromkeys(part for name in names for part in Path(f"{name}.png").parts):
        if is_too_long(part, output_dir):
            raise InputError(
                f"The name of a view becomes that of a file. Got {quoted(part)}, which is too long for the disk of "
                f"{output_dir}. Rename the image."
            )


def _groups(jobs: Sequence[Job], options: RunOptions) -> list[_Group]:
    """Group jobs to score together; with `--protocol auto`, those whose models use the same protocol."""
    groups: dict[tuple[str, ...], _Group] = {}
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


def _works(evaluation: Evaluation) -> Iterator[Work]:
    """Yield the work of an evaluation: results of one scene are scored together."""
    by_scene: dict[str, list[RenderStore]] = {}
    for store in evaluation.stores:
        by_scene.setdefault(store.job.id.scene, []).append(store)
    for first, *others in by_scene.values():
        sizes = first.job.checkpoint.sizes
        yield Work(evaluation.scorer, 1 + len(others), sizes, from_files=first.plan.staged)
