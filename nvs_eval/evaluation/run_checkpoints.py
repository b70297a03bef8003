"""From trained runs to records: what `nvs-eval run` does, without a word printed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.evaluate import Session
from nvs_eval.evaluation.options import AUTO, Terms, Watch, not_known
from nvs_eval.evaluation.render_store import Keep
from nvs_eval.evaluation.rendering import Evaluation, Job, finished_records, plan_renders
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import check_distinct
from nvs_eval.sources import checkpoints as trained
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images
from nvs_eval.system.devices import find_device, memory_advice
from nvs_eval.system.disk import check_space, in_units


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Which checkpoints are rendered, and which of their views.

    Attributes:
        load_config: the config.yml of trained runs.
        steps: which checkpoints.
        split: whether the views that were held out, or those trained on.
        views: their names, else all.
        every: of the views each n-th.
        data: where the data lies now, if not where the run recorded it.
        eval_num_rays_per_chunk: rays in one forward pass; else the run's own.
        keep_renders: what stays of the renders.
    """

    load_config: Sequence[Path]
    steps: Literal["last", "all"] | Sequence[int] = "last"
    split: Literal["test", "train"] = "test"
    views: Sequence[str] = ()
    every: int = 1
    data: Path | None = None
    eval_num_rays_per_chunk: int | None = None
    keep_renders: Keep = "png"


def run_checkpoints(runs: Runs, terms: Terms, watch: Watch) -> list[Record]:
    """Render the views of trained checkpoints, score them, and write the records; those that are there are read.

    Raises:
        InputError: something that was asked for cannot be had, or be scored.
    """
    running = _Running(runs, terms, watch, terms.session())
    jobs = running.jobs()
    groups = [running.group(group, protocols) for group, protocols in running.groups(jobs)]
    terms.check_output()
    running.check_space(groups)
    records = [record for group in groups for record in group.run()]
    order = [job.id for job in jobs]
    return sorted(records, key=lambda record: order.index(record.id))


def finished_runs(runs: Runs, terms: Terms, watch: Watch) -> list[Record] | None:
    """The records, if those of everything are there already; nothing is rendered.

    Raises:
        InputError: something that was asked for cannot be had.
    """
    running = _Running(runs, terms, watch, terms.session())
    found = [
        [] if terms.overwrite else finished_records(job, protocols, running.session.output_dir)
        for group, protocols in running.groups(running.jobs())
        for job in group
    ]
    return [record for records in found for record in records] if all(found) else None


@dataclass(frozen=True)
class _Group:
    """Jobs that are scored together, and the records that they have already."""

    evaluation: Evaluation | None
    waiting: Sequence[Job]
    finished: Sequence[Record]

    def run(self) -> list[Record]:
        """All records."""
        with memory_advice():
            return [*self.finished, *(self.evaluation.run(self.waiting) if self.evaluation else ())]


@dataclass(frozen=True)
class _Running:
    """The steps on the way, each checked before anything is rendered."""

    runs: Runs
    terms: Terms
    watch: Watch
    session: Session

    def jobs(self) -> list[Job]:
        """All checkpoints that were asked for, opened."""
        if not self.runs.load_config:
            raise InputError("No run was given: say `--load-config` and the config.yml of one or several runs.")
        _ = self.terms.masked  # Whatever is wrong with it is found first.
        jobs = self._open(find_device(self.terms.device))
        check_distinct(job.id for job in jobs)
        return jobs

    def _open(self, device: torch.device) -> list[Job]:
        """The checkpoints, under their names and with their masks."""
        runs, methods = self.runs, self.terms.method
        if len(methods) not in (0, 1, len(runs.load_config)):
            raise InputError(
                f"{counted(len(methods), 'method')} for {counted(len(runs.load_config), 'run')}: give one for each, "
                "one for all, or none."
            )
        given = None if self.terms.masks is None else Masks(list_images(self.terms.masks))
        opener = trained.find_opener("nerfstudio")
        return [
            self._job(checkpoint, methods[index % len(methods)] if methods else None, given)
            for index, path in enumerate(runs.load_config)
            for checkpoint in opener(
                path,
                steps=runs.steps,
                split=runs.split,
                views=runs.views,
                every=runs.every,
                data=runs.data,
                device=device,
                eval_num_rays_per_chunk=runs.eval_num_rays_per_chunk,
                warn=self.watch.warn,
            )
        ]

    def _job(self, checkpoint: Checkpoint, method: str | None, given: Masks | None) -> Job:
        """The checkpoint under its names, with the masks that it is scored with, or none.

        Raises:
            InputError: there are none, or they do not fit.
        """
        own, data_masks = checkpoint.id, self.terms.data_masks
        result = replace(own, scene=self.terms.scene or own.scene, method=method or own.method)
        masks = checkpoint.masks if data_masks else given
        if data_masks and masks is None:
            raise InputError(f"The data of {result} has no masks: leave `--data-masks` out.")
        if masks is not None:
            masks.check(dict(zip(checkpoint.names, checkpoint.sizes, strict=True)))
        else:
            with suppress(InputError):
                if checkpoint.masks is not None:
                    self.watch.say(f"The data of {result} has masks; say `--data-masks` to score with them.")
        return Job(checkpoint, result, masks)

    def groups(self, jobs: Sequence[Job]) -> list[tuple[list[Job], list[Protocol]]]:
        """Jobs that are scored together: with `--protocol auto` those whose models' own code says the same."""
        groups: dict[tuple[str, ...], tuple[list[Job], list[Protocol]]] = {}
        for job in jobs:
            auto = job.checkpoint.own_protocol if AUTO in self.terms.protocol else None
            if AUTO in self.terms.protocol and auto is None:
                raise not_known(f"of {job.id}")
            protocols = self.terms.protocols(auto=auto)
            key = tuple(protocol.fingerprint for protocol in protocols)
            groups.setdefault(key, ([], protocols))[0].append(job)
        return list(groups.values())

    def group(self, jobs: Sequence[Job], protocols: Sequence[Protocol]) -> _Group:
        """What there is to do for jobs that are scored together, everything of it checked."""
        terms, watch = self.terms, self.watch
        terms.check_not_replaced([job.id for job in jobs], protocols)
        finished = [] if terms.overwrite else self._finished(jobs, protocols)
        done = {record.id for record in finished}
        waiting = [job for job in jobs if job.id not in done]
        if not waiting:
            return _Group(None, waiting, finished)  # So that no weights are read for nothing.
        plan = plan_renders(waiting, protocols, self.runs.keep_renders, may_refuse=watch.on_refusal is not None)
        evaluation = Evaluation(
            terms.scorer(protocols), self.session, plan, watch.progress, self._write, watch.on_refusal
        )
        return _Group(evaluation, waiting, finished)

    def _finished(self, jobs: Sequence[Job], protocols: Sequence[Protocol]) -> list[Record]:
        """The records that exist already, of an interrupted command or an earlier one."""
        finished = []
        for job in jobs:
            if records := finished_records(job, protocols, self.session.output_dir):
                self.watch.say(f"{job.id} has its records already; say --overwrite to render and score it again.")
                finished += records
        return finished

    def _write(self, records: Sequence[Record]) -> None:
        self.terms.write(records, self.watch)

    def check_space(self, groups: Sequence[_Group]) -> None:
        """Say how much the renders take, and check that it is there.

        Raises:
            InputError: it is not.
        """
        needed, folder = (
            sum(group.evaluation.plan.bytes for group in groups if group.evaluation),
            self.session.output_dir,
        )
        if needed:
            self.watch.say(
                f"Renders take up to {in_units(needed)} in {folder} (--keep-renders {self.runs.keep_renders})."
            )
        check_space(needed, folder)
