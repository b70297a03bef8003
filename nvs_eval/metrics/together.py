"""Metrics whose requests of one view share work, such as the pass of an image through a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from nvs_eval.errors import InputError


@dataclass(frozen=True)
class Request:
    """Request for a metric of `[K, 3, H, W]` renders against a reference `[3, H, W]`, optionally with a mask."""

    function: Any
    reference: Tensor
    renders: Tensor
    mask: Tensor | None


Values = Sequence[Tensor | InputError]
"""For each request, its `[K]` values or the error that prevents them."""


class Together:
    """A function of a metric that is computed together with others of one view.

    Attributes:
        together: computes requests for functions that have this same attribute, with so many bytes besides the images
            (None for the free memory).
    """

    together: ClassVar[staticmethod[..., Values]]
