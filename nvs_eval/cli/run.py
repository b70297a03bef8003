"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.cli.options import (
    ScoringOptions,
    check_distinct,
    command_line,
    memory_advice,
    place_of,
    write_all,
)
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from nvs_eval.records import Record
    from nvs_eval.rendering import Named
    from nvs_eval.scorer import Scorer


@dataclass(frozen=True, kw_only=True)
class Run(ScoringOptions):
    """Render the held-out views of trained nerfstudio checkpoints, score them, and print the table."""

    load_config: tuple[Path, ...]
    """The config.yml of one or several trained runs; their checkpoints lie beside them."""
    steps: tuple[str, ...] = ("last",)
    """Which checkpoints: last, all, or their steps."""
    method: str | None = None
    """The method's name in records and tables, else the run's own."""
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
    overwrite: bool = False
    """Render and score again what has its record already."""

    def run(self) -> int:
        """Render, score, write the records, print the table."""
        from nvs_eval.cli.console import print_tables, progress, say
        from nvs_eval.disk_space import check_space, in_units
        from nvs_eval.evaluate import Session
        from nvs_eval.rendering import Evaluation, plan_renders

        session = Session(self.output_dir, command_line())
        scorer = self.scorer()
        checkpoints = self._open(scorer.device)
        check_distinct([column for checkpoint in checkpoints for column in checkpoint.columns])
        self.check_output()
        records = [] if self.overwrite else self._finished(checkpoints, scorer)
        known = {place_of(record) for record in records}
        waiting = [checkpoint for checkpoint in checkpoints if place_of(checkpoint.columns[0]) not in known]
        plan = plan_renders(waiting, scorer.protocols, self.keep_renders)
        if plan.bytes:
            say(f"Renders take up to {in_units(plan.bytes)} in {self.output_dir} (--keep-renders {plan.keep}).")
        check_space(plan.bytes, self.output_dir)
        with memory_advice():
            records += Evaluation(scorer, session, plan, progress, self._write).run(waiting)
        order = [place_of(checkpoint.columns[0]) for checkpoint in checkpoints]
        print_tables(sorted(records, key=lambda record: order.index(place_of(record))), per_view=self.per_view)
        return 0

    def _write(self, records: Sequence[Record]) -> None:
        write_all(records, self.output_dir)

    def _finished(self, checkpoints: Sequence[Named], scorer: Scorer) -> list[Record]:
        """The records that are there already, of an interrupted command or an earlier one."""
        from nvs_eval.cli.console import say
        from nvs_eval.rendering import finished_records

        found = []
        for checkpoint in checkpoints:
            records = finished_records(checkpoint, scorer, self.output_dir)
            if records:
                say(f"{checkpoint.columns[0]} has its records already; say --overwrite to render and score it again.")
            found += records
        return found

    def _open(self, device: torch.device) -> list[Named]:
        from nvs_eval.rendering import Named
        from nvs_eval.sources.checkpoints import find_opener

        if not self.load_config:
            raise InputError("No run was given: say `--load-config` and the config.yml of one or several runs.")
        steps = parse_steps(self.steps)
        opener = find_opener("nerfstudio")
        return [
            Named(checkpoint, self.scene, self.method)
            for path in self.load_config
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
