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
from nvs_eval.evaluation.options import AUTO, Terms, Watch, check_distinct, not_known, place_of
from nvs_eval.evaluation.render_store import Keep
from nvs_eval.evaluation.rendering import Evaluation, Named, finished_records, plan_renders
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record
from nvs_eval.sources import checkpoints as trained
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
    checkpoints = running.checkpoints()
    jobs = [running.job(group, protocols) for group, protocols in running.groups(checkpoints)]
    terms.check_output()
    running.check_space(jobs)
    records = [record for job in jobs for record in job.run()]
    order = [place_of(checkpoint.columns[0]) for checkpoint in checkpoints]
    return sorted(records, key=lambda record: order.index(place_of(record)))


def finished_runs(runs: Runs, terms: Terms, watch: Watch) -> list[Record] | None:
    """The records, if those of everything are there already; nothing is rendered.

    Raises:
        InputError: something that was asked for cannot be had.
    """
    running = _Running(runs, terms, watch, terms.session())
    found = [
        [] if terms.overwrite else finished_records(checkpoint, protocols, running.session.output_dir)
        for group, protocols in running.groups(running.checkpoints())
        for checkpoint in group
    ]
    return [record for records in found for record in records] if all(found) else None


@dataclass(frozen=True)
class _Job:
    """Checkpoints that are scored together, and the records that are there already."""

    evaluation: Evaluation | None
    waiting: Sequence[Named]
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

    def checkpoints(self) -> list[Named]:
        """All that were asked for, opened."""
        if not self.runs.load_config:
            raise InputError("No run was given: say `--load-config` and the config.yml of one or several runs.")
        _ = self.terms.masked  # Whatever is wrong with it is found first.
        checkpoints = self._open(find_device(self.terms.device))
        check_distinct([column for checkpoint in checkpoints for column in checkpoint.columns])
        return checkpoints

    def _open(self, device: torch.device) -> list[Named]:
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
            self._mask(Named(checkpoint, self.terms.scene, methods[index % len(methods)] if methods else None), given)
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
            )
        ]

    def _mask(self, checkpoint: Named, given: Masks | None) -> Named:
        """The checkpoint with the masks that it is scored with, or none.

        Raises:
            InputError: there are none, or they do not fit.
        """
        column, data_masks = checkpoint.columns[0], self.terms.data_masks
        masks = checkpoint.checkpoint.masks if data_masks else given
        if data_masks and masks is None:
            raise InputError(f"The data of {column} has no masks: leave `--data-masks` out.")
        if masks is not None:
            masks.check(dict(zip(checkpoint.names, checkpoint.sizes, strict=True)))
        else:
            with suppress(InputError):
                if checkpoint.checkpoint.masks is not None:
                    self.watch.say(f"The data of {column} has masks; say `--data-masks` to score with them.")
        return replace(checkpoint, masks=masks)

    def groups(self, checkpoints: Sequence[Named]) -> list[tuple[list[Named], list[Protocol]]]:
        """Checkpoints that are scored together: with `--protocol auto` those whose models' own code says the same."""
        groups: dict[tuple[str, ...], tuple[list[Named], list[Protocol]]] = {}
        for checkpoint in checkpoints:
            auto = checkpoint.own_protocol if AUTO in self.terms.protocol else None
            if AUTO in self.terms.protocol and auto is None:
                raise not_known(f"of {checkpoint.columns[0]}")
            protocols = self.terms.protocols(auto=auto)
            key = tuple(protocol.fingerprint for protocol in protocols)
            groups.setdefault(key, ([], protocols))[0].append(checkpoint)
        return list(groups.values())

    def job(self, checkpoints: Sequence[Named], protocols: Sequence[Protocol]) -> _Job:
        """What there is to do for checkpoints that are scored together, everything of it checked."""
        terms, watch = self.terms, self.watch
        terms.check_not_replaced([checkpoint.columns[0] for checkpoint in checkpoints], protocols)
        finished = [] if terms.overwrite else self._finished(checkpoints, protocols)
        known = {place_of(record) for record in finished}
        waiting = [checkpoint for checkpoint in checkpoints if place_of(checkpoint.columns[0]) not in known]
        if not waiting:
            return _Job(None, waiting, finished)  # So that no weights are read for nothing.
        plan = plan_renders(waiting, protocols, self.runs.keep_renders, may_refuse=watch.on_refusal is not None)
        evaluation = Evaluation(
            terms.scorer(protocols), self.session, plan, watch.progress, self._write, watch.on_refusal
        )
        return _Job(evaluation, waiting, finished)

    def _finished(self, checkpoints: Sequence[Named], protocols: Sequence[Protocol]) -> list[Record]:
        """The records that are there already, of an interrupted command or an earlier one."""
        found = []
        for checkpoint in checkpoints:
            records = finished_records(checkpoint, protocols, self.session.output_dir)
            if records:
                self.watch.say(
                    f"{checkpoint.columns[0]} has its records already; say --overwrite to render and score it again."
                )
            found += records
        return found

    def _write(self, records: Sequence[Record]) -> None:
        self.terms.write(records, self.watch)

    def check_space(self, jobs: Sequence[_Job]) -> None:
        """Say how much the renders take, and check that it is there.

        Raises:
            InputError: it is not.
        """
        needed, folder = sum(job.evaluation.plan.bytes for job in jobs if job.evaluation), self.session.output_dir
        if needed:
            self.watch.say(
                f"Renders take up to {in_units(needed)} in {folder} (--keep-renders {self.runs.keep_renders})."
            )
        check_space(needed, folder)
