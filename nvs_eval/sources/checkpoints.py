"""Views rendered from trained checkpoints: what a plugin offers, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.views import View
from nvs_eval.system.plugins import load_entry

ENTRY_POINTS = "nvs_eval.sources"


class Checkpoint(Protocol):
    """The views of one checkpoint, each with one render, rendered when it is iterated."""

    @property
    def id(self) -> ResultId:
        """Identity of the result, as the tool that trained it names it."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """`checkpoint_sha256`, `config_sha256` and `data_sha256`, which together say what the renders will be."""
        ...

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak memory while the views were rendered; None before, and where it cannot be measured."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The names of the views, known before anything is rendered."""
        ...

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Width and height of each view, likewise."""
        ...

    @property
    def masks(self) -> Masks | None:
        """Those that came with the data, used only where they are asked for; None where there are none."""
        ...

    @property
    def own_protocol(self) -> str | None:
        """The named protocol that says what the model's own code would have said; None where that is not known."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[View]: ...


class Opener(Protocol):
    """Opens a trained run: one source a checkpoint, so that only one model need be in memory at a time."""

    def __call__(
        self,
        path: Path,
        *,
        steps: Literal["last", "all"] | Sequence[int],
        split: Literal["test", "train"],
        views: Sequence[str],
        every: int,
        data: Path | None,
        device: torch.device,
        eval_num_rays_per_chunk: int | None,
        warn: Callable[[str], None],
    ) -> Sequence[Checkpoint]:
        """The sources of the chosen checkpoints, in the order of their steps.

        `warn` is called with what the user had better read; nothing is printed.

        Raises:
            InputError: something that is needed is not there; nothing was rendered yet.
        """
        ...


def find_opener(name: str) -> Opener:
    """The plugin that opens the runs of a tool.

    Raises:
        InputError: it is not installed, or broken; the message names its distribution.
    """
    return load_entry(ENTRY_POINTS, name, kind="source")
