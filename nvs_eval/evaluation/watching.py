"""Evaluate the checkpoints of runs while they train, as `nvs-eval run --watch` does. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep

from nvs_eval.errors import InputError, quoted, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RunOptions
from nvs_eval.evaluation.run_checkpoints import run_checkpoints
from nvs_eval.records.record import Record
from nvs_eval.sources import checkpoints as trained

# Seconds between two looks at the folders of checkpoints.
_PAUSE = 5.0
_CONFIG = "config.yml"
_GONE = (
    "{run}: training removed the checkpoint of step {step} before it was evaluated. Train with "
    "`--save-only-latest-checkpoint False` to keep all."
)


@dataclass(eq=False)
class _Training:
    """A run that may still be training.

    Attributes:
        path: config.yml of the run.
        method: name of the method, or None for that of the run.
        handled: steps that were evaluated, have failed or are gone.
        is_finished: whether training has written its last checkpoint.
    """

    path: Path
    method: str | None
    handled: set[int] = field(default_factory=set)
    is_finished: bool = False

    def next_step(self, options: RunOptions) -> int | None:
        """Return the first step that is whole and not handled yet, if any.

        Raises:
            InputError: the run cannot be read, or its source cannot tell which checkpoints are whole.
        """
        steps = self.saved_steps(options)
        wanted = options.chosen_steps
        if not isinstance(wanted, str):
            steps = [step for step in steps if step in wanted]
            self.is_finished |= self.handled >= {*wanted}
        return min({*steps} - self.handled, default=None)

    def saved_steps(self, options: RunOptions) -> list[int]:
        """Return the steps whose checkpoints are whole, and note whether training has finished.

        Raises:
            InputError: as `next_step` does.
        """
        saved_steps = getattr(trained.find_trainer(self.path), "saved_steps", None)
        if saved_steps is None:
            raise InputError(f"The source of {self.path} does not support --watch. Run the command without it.")
        steps, self.is_finished = saved_steps(self.path, trust=options.trust)
        return steps


def watch_runs(options: RunOptions, callbacks: Callbacks) -> Iterator[list[Record]]:
    """Evaluate each checkpoint of runs once, in the order of its steps, as soon as training has written it.

    Ends when each run has its last checkpoint. Checkpoints that are evaluated already are read, not rendered again.

    Args:
        options: options of `run`. `load_config` may also name folders, in which new runs are found as they start.
        callbacks: receive messages and progress.

    Yields:
        The records of each checkpoint.

    Raises:
        InputError: a run cannot be read, or its first checkpoint cannot be evaluated. Later ones that cannot are
            passed to `callbacks.on_lost`.
    """
    found: dict[Path, _Training] = {}
    waiting_for: list[Path] | None = None
    is_first = True
    while True:
        for path, method in _runs(options):
            found.setdefault(path, _Training(path, method))
        evaluated = False
        for training in found.values():
            if (step := training.next_step(options)) is None:
                continue
            evaluated = True
            training.handled.add(step)
            if records := _evaluate(training, step, options, callbacks, is_first=is_first):
                is_first = False
                yield records
        if evaluated:
            continue
        left = [training.path for training in found.values() if not training.is_finished]
        if found and not left:
            return
        if left != waiting_for:
            waiting_for = left
            callbacks.say(f"Waiting for {some(map(str, left), 3) if left else 'runs'} ...")
        sleep(_PAUSE)


def _evaluate(
    training: _Training, step: int, options: RunOptions, callbacks: Callbacks, *, is_first: bool
) -> list[Record]:
    """Return the records of a checkpoint; none if it is gone or cannot be evaluated.

    Raises:
        InputError: no checkpoint was evaluated before, so that the options may be wrong.
    """
    method = () if training.method is None else (training.method,)
    alone = replace(options, load_config=(training.path,), steps=(str(step),), method=method)
    try:
        return run_checkpoints(alone, callbacks)
    except InputError as error:
        if step not in training.saved_steps(options):
            callbacks.warn(_GONE.format(run=training.path, step=step))
            return []
        if is_first:
            raise
        callbacks.warn(f"Error: {error}")
        callbacks.on_lost(InputError(f"{training.path}, step {step}: {error}"))
        return []


def _runs(options: RunOptions) -> Iterator[tuple[Path, str | None]]:
    """Yield the config.yml of each run, with the name of its method if one is given.

    Raises:
        InputError: a path does not exist, or the number of methods differs from that of runs.
    """
    names: Sequence[str] = options.method
    several = len(names) > 1
    if several and (len(names) != len(options.load_config) or any(path.is_dir() for path in options.load_config)):
        raise InputError(
            f"--method must be one name for all runs, or one per config.yml. Got {len(names)} for "
            f"{some(map(quoted, options.load_config), 3)}."
        )
    for index, path in enumerate(options.load_config):
        method = names[index if several else 0] if names else None
        if not path.is_dir():
            yield path, method
            continue
        for config in sorted(path.rglob(_CONFIG)):
            with suppress(InputError):  # No source knows it, perhaps because it is not whole yet.
                if trained.find_trainer(config).knows(config):
                    yield config, method
