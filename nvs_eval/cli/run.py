"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.cli.options import (
    AUTO,
    ScoringOptions,
    check_distinct,
    command_line,
    find_device,
    memory_advice,
    not_known,
    place_of,
    write_all,
)
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from nvs_eval.evaluate import Refusal, Session
    from nvs_eval.mask_files import Masks
    from nvs_eval.protocols import Protocol
    from nvs_eval.records import Record
    from nvs_eval.rendering import Evaluation, Named


@dataclass(frozen=True, kw_only=True)
class Run(ScoringOptions):
    """Render the held-out views of trained nerfstudio checkpoints, score them, and print the table."""

    load_config: tuple[Path, ...]
    """The config.yml of one or several trained runs; their checkpoints lie beside them."""
    steps: tuple[str, ...] = ("last",)
    """Which checkpoints: last, all, or their steps."""
    split: Literal["test", "train"] = "test"
    """Which views: those held out, or those trained on."""
    views: tuple[str, ...] = ()
    """Names of views, else all."""
    every: int = 1
    """Of the views, each n-th."""
    data: Path | None = None
    """Where the data lies now, if not where the run recorded it."""
    eval_num_rays_per_chunk: int | None = None
    """Rays in one forward pass: fewer need less memory. Else the run's own, on a CPU 2048 at most."""
    keep_renders: Literal["all", "png", "none"] = "png"
    """What stays of the renders: float32 (.npy), 8 bits (.png), or nothing."""

    def run(self) -> int:
        """Render, score, write the records, print the table."""
        from nvs_eval.cli.console import print_tables

        print_tables(self.records(), per_view=self.per_view)
        return 0

    def records(self, on_refusal: Refusal | None = None) -> list[Record]:
        """Render, score, write the records.

        Args:
            on_refusal: is told what a protocol cannot score; if it is None, that is an error.

        Raises:
            InputError: something that was asked for cannot be had, or be scored.
        """
        from nvs_eval.evaluate import Session

        session = Session(self.output_dir, command_line())
        checkpoints = self._checkpoints()
        jobs = [self._job(group, protocols, session, on_refusal) for group, protocols in self._groups(checkpoints)]
        self.check_output()
        self._say_space(jobs)
        records = [record for job in jobs for record in job.run()]
        order = [place_of(checkpoint.columns[0]) for checkpoint in checkpoints]
        return sorted(records, key=lambda record: order.index(place_of(record)))

    def check(self) -> list[Protocol]:
        """Check what can be checked before any run is opened; gives the protocols, all that are not `auto`.

        Raises:
            InputError: an option has a value that it cannot have.
        """
        parse_steps(self.steps)
        named = tuple(name for name in self.protocol if name != AUTO)
        if self.protocol and not named:
            return []
        return replace(self, protocol=named).protocols(masked=self.masked)

    def finished(self) -> list[Record] | None:
        """The records, if those of everything are there already; nothing is rendered.

        Raises:
            InputError: something that was asked for cannot be had.
        """
        from nvs_eval.rendering import finished_records

        found = [
            [] if self.overwrite else finished_records(checkpoint, protocols, self.output_dir)
            for group, protocols in self._groups(self._checkpoints())
            for checkpoint in group
        ]
        return [record for records in found for record in records] if all(found) else None

    def completed(self) -> list[Record]:
        """As `records`, which leaves as it is what has its records already.

        Raises:
            InputError: as `records`.
        """
        return self.records()

    def _checkpoints(self) -> list[Named]:
        """All that were asked for, opened."""
        if not self.load_config:
            raise InputError("No run was given: say `--load-config` and the config.yml of one or several runs.")
        _ = self.masked  # Whatever is wrong with it is found first.
        checkpoints = self._open(find_device(self.device))
        check_distinct([column for checkpoint in checkpoints for column in checkpoint.columns])
        return checkpoints

    def _groups(self, checkpoints: Sequence[Named]) -> list[tuple[list[Named], list[Protocol]]]:
        """Checkpoints that are scored together: with `--protocol auto` those whose models' own code says the same."""
        groups: dict[tuple[str, ...], tuple[list[Named], list[Protocol]]] = {}
        for checkpoint in checkpoints:
            auto = checkpoint.own_protocol if AUTO in self.protocol else None
            if AUTO in self.protocol and auto is None:
                raise not_known(f"of {checkpoint.columns[0]}")
            protocols = self.protocols(auto=auto, masked=self.masked)
            key = tuple(protocol.fingerprint for protocol in protocols)
            groups.setdefault(key, ([], protocols))[0].append(checkpoint)
        return list(groups.values())

    def _job(
        self,
        checkpoints: Sequence[Named],
        protocols: Sequence[Protocol],
        session: Session,
        on_refusal: Refusal | None,
    ) -> _Job:
        """What there is to do for checkpoints that are scored together, everything of it checked."""
        from nvs_eval.cli.console import progress
        from nvs_eval.rendering import Evaluation, plan_renders

        self.check_not_replaced([checkpoint.columns[0] for checkpoint in checkpoints], protocols)
        finished = [] if self.overwrite else self._finished(checkpoints, protocols)
        known = {place_of(record) for record in finished}
        waiting = [checkpoint for checkpoint in checkpoints if place_of(checkpoint.columns[0]) not in known]
        if not waiting:
            return _Job(None, waiting, finished)  # So that no weights are read for nothing.
        plan = plan_renders(waiting, protocols, self.keep_renders, may_refuse=on_refusal is not None)
        evaluation = Evaluation(self.scorer(protocols), session, plan, progress, self._write, on_refusal)
        return _Job(evaluation, waiting, finished)

    def _mask(self, checkpoint: Named, given: Masks | None) -> Named:
        """The checkpoint with the masks that it is scored with, or none.

        Raises:
            InputError: there are none, or they do not fit.
        """
        from nvs_eval.cli.console import say

        masks = checkpoint.checkpoint.masks if self.data_masks else given
        if self.data_masks and masks is None:
            raise InputError(f"The data of {checkpoint.columns[0]} has no masks: leave `--data-masks` out.")
        if masks is not None:
            masks.check(dict(zip(checkpoint.names, checkpoint.sizes, strict=True)))
        else:
            with suppress(InputError):
                if checkpoint.checkpoint.masks is not None:
                    say(f"The data of {checkpoint.columns[0]} has masks; say `--data-masks` to score with them.")
        return replace(checkpoint, masks=masks)

    def _say_space(self, jobs: Sequence[_Job]) -> None:
        from nvs_eval.cli.console import say
        from nvs_eval.disk_space import check_space, in_units

        needed = sum(job.evaluation.plan.bytes for job in jobs if job.evaluation)
        if needed:
            say(f"Renders take up to {in_units(needed)} in {self.output_dir} (--keep-renders {self.keep_renders}).")
        check_space(needed, self.output_dir)

    def _write(self, records: Sequence[Record]) -> None:
        write_all(records, self.output_dir)

    def _finished(self, checkpoints: Sequence[Named], protocols: Sequence[Protocol]) -> list[Record]:
        """The records that are there already, of an interrupted command or an earlier one."""
        from nvs_eval.cli.console import say
        from nvs_eval.rendering import finished_records

        found = []
        for checkpoint in checkpoints:
            records = finished_records(checkpoint, protocols, self.output_dir)
            if records:
                say(f"{checkpoint.columns[0]} has its records already; say --overwrite to render and score it again.")
            found += records
        return found

    def _open(self, device: torch.device) -> list[Named]:
        from nvs_eval.mask_files import Masks
        from nvs_eval.rendering import Named
        from nvs_eval.sources.checkpoints import find_opener
        from nvs_eval.sources.pictures import list_images

        steps = parse_steps(self.steps)
        if len(self.method) not in (0, 1, len(self.load_config)):
            raise InputError(
                f"{len(self.method)} methods were named for {len(self.load_config)} runs: give one for each, one for "
                "all, or none."
            )
        given = None if self.masks is None else Masks(list_images(self.masks))
        opener = find_opener("nerfstudio")
        return [
            self._mask(
                Named(checkpoint, self.scene, self.method[index % len(self.method)] if self.method else None), given
            )
            for index, path in enumerate(self.load_config)
            for checkpoint in opener(
                path,
                steps=steps,
                split=self.split,
                views=self.views,
                every=self.every,
                data=self.data,
                device=device,
                eval_num_rays_per_chunk=self.eval_num_rays_per_chunk,
            )
        ]


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


def parse_steps(words: Sequence[str]) -> Literal["last", "all"] | list[int]:
    """`last`, `all`, or numbers.

    Raises:
        InputError: they are neither.
    """
    if list(words) == ["last"]:
        return "last"
    if list(words) == ["all"]:
        return "all"
    try:
        return [int(word) for word in words]
    except ValueError:
        raise InputError(f"--steps is {' '.join(words)!r}, and last, all, or numbers are needed.") from None
