"""`nvs-eval run`: renders the held-out views of trained checkpoints and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.cli.options.scoring import ScoringOptions, watch
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluation.evaluate import Refusal
    from nvs_eval.evaluation.run_checkpoints import Runs
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record


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

        sinks = self.sinks()
        records = self.records()
        print_tables(records, per_view=self.per_view)
        self.log_records(sinks, [(self.output_dir, record) for record in records])
        return 0

    def records(self, on_refusal: Refusal | None = None) -> list[Record]:
        """Render, score, write the records.

        Args:
            on_refusal: is told what a protocol cannot score; if it is None, that is an error.

        Raises:
            InputError: something that was asked for cannot be had, or be scored.
        """
        from nvs_eval.cli.process import make_ready

        make_ready()
        from nvs_eval.evaluation.run_checkpoints import run_checkpoints

        return run_checkpoints(self._runs(), self.terms(), watch(on_refusal))

    def check(self) -> list[Protocol]:
        """Check what can be checked before any run is opened; gives the protocols, all that are not `auto`.

        Raises:
            InputError: an option has a value that it cannot have.
        """
        from nvs_eval.evaluation.options import AUTO

        parse_steps(self.steps)
        terms = self.terms()
        named = tuple(name for name in terms.protocol if name != AUTO)
        if terms.protocol and not named:
            return []
        return replace(terms, protocol=named).protocols()

    def finished(self) -> list[Record] | None:
        """The records, if those of everything are there already; nothing is rendered.

        Raises:
            InputError: something that was asked for cannot be had.
        """
        from nvs_eval.evaluation.run_checkpoints import finished_runs

        return finished_runs(self._runs(), self.terms(), watch())

    def completed(self) -> list[Record]:
        """As `records`, which leaves as it is what has its records already.

        Raises:
            InputError: as `records`.
        """
        return self.records()

    def _runs(self) -> Runs:
        from nvs_eval.evaluation.run_checkpoints import Runs

        return Runs(
            load_config=self.load_config,
            steps=parse_steps(self.steps),
            split=self.split,
            views=self.views,
            every=self.every,
            data=self.data,
            eval_num_rays_per_chunk=self.eval_num_rays_per_chunk,
            keep_renders=self.keep_renders,
        )


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
