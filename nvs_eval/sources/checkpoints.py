"""Protocols of a checkpoint source, and the lookup of the plugin that provides one."""

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
    """Views of one checkpoint, each with one render; iterating renders them."""

    @property
    def id(self) -> ResultId:
        """Identity of the result, with the names that the training tool uses."""
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

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[View]: ...


class Opener(Protocol):
    """Opens a trained run as one source per checkpoint, so that only one model needs to be in memory at a time."""

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
        """Return the sources of the chosen checkpoints, in the order of their steps.

        Warnings for the user are passed to `warn`, not printed.

        Raises:
            InputError: a required file or package is missing. Nothing has been rendered yet.
        """
        ...


def find_opener(name: str) -> Opener:
    """Return the plugin that opens the runs of a tool.

    Raises:
        InputError: the plugin is not installed or broken; the message names its distribution.
    """
    return load_entry(ENTRY_POINTS, name, kind="source")
