"""Protocols of a checkpoint source, and the lookup of the plugin that provides one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.plugins import find_plugin

ENTRY_POINTS = "nvs_eval.sources"


class Checkpoint(Protocol):
    """Views of one checkpoint, each with one render.

    It may have an attribute `found`: entries of the record's provenance that are known only after rendering.
    """

    @property
    def id(self) -> ResultId:
        """Identity of the result, with the names that the training tool uses.

        Its `selection` is `selection_of(names, all_names)`: None only if the views are all those of the split.
        """
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """`checkpoint_sha256`, `config_sha256` and `data_sha256`, which together determine the renders."""
        ...

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak memory while the views were rendered; None before rendering or if it cannot be measured."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of the views, available before anything is rendered."""
        ...

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Width and height of each view in pixels, available before anything is rendered."""
        ...

    @property
    def masks(self) -> Masks | None:
        """Masks of the data set, used only if the user requests them; None if the data set has none."""
        ...

    @property
    def own_protocol(self) -> str | None:
        """Named protocol that reproduces the metrics of the model's own code; None if unknown."""
        ...

    @property
    def doubts(self) -> Sequence[str]:
        """Sentences on the data that make the scores doubtful, printed below the table; empty for none."""
        ...

    def __len__(self) -> int: ...

    def render(self, names: Collection[str]) -> Iterator[View | FailedView]:
        """Render some of the views, in their order, each when the iterator reaches it.

        A `FailedView` in place of a view costs only this view; an error ends the command.

        Args:
            names: names of the views that are still missing: all, or the rest after an interruption.
        """
        ...


class Trainer(Protocol):
    """Opens the runs of a tool that trains: an object, or a module, found by an entry point of `nvs_eval.sources`.

    For `--watch` it also has `saved_steps(path, *, trust)`, which returns the steps of the checkpoints of a run that
    are whole, in ascending order, and whether training has written its last one. Optional, too: `OPTIONS` names the
    options of `nvs_eval.evaluation.options.SplatOptions` that `open_run` also takes; `EXPECTED` says what `knows` looks
    for, and `SUFFIXES` the suffixes of files for which the error of `open_run` explains best why they are no run.
    """

    def knows(self, path: Path) -> bool:
        """Return whether a path is a run of this tool, quickly and without an error."""
        ...

    def open_run(
        self,
        path: Path,
        *,
        steps: Literal["last", "all"] | Sequence[int],
        split: Literal["test", "val", "train"],
        views: Sequence[str],
        every: int,
        data: Path | None,
        device: torch.device,
        eval_num_rays_per_chunk: int | None,
        trust: bool,
        warn: Callable[[str], None],
        **own: Any,
    ) -> Sequence[Checkpoint]:
        """Return the chosen checkpoints in the order of their steps; each holds its model only while it renders.

        Nothing is printed; `warn` is called with each warning. Without `trust`, no file of the run may run code.

        Raises:
            InputError: a required file or package is missing. Nothing has been rendered yet.
        """
        ...


def find_trainer(path: Path) -> Trainer:
    """Find the plugin that opens a run.

    Raises:
        InputError: no plugin knows the run, several do, or the plugin cannot be loaded.
    """
    return find_plugin(ENTRY_POINTS, path, kind="source of checkpoints")
