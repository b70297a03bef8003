"""How much of a view is scored at a time. It is lowered when the device runs out of memory, not chosen by the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from nvs_eval.errors import ResourceError, quoted
from nvs_eval.sources.views import View
from nvs_eval.system.devices import free_memory
from nvs_eval.system.space import in_units

# Memory for networks below which nothing is gained, and that of a device whose memory is unknown.
_LEAST, _UNKNOWN = 2**24, 2**32
_REQUESTED = re.compile(r"tried to allocate [\d.]+ \w+", re.IGNORECASE)


@dataclass
class Limits:
    """Limits of what is scored at a time. Lowered ones stay for all later views.

    Attributes:
        memory: memory for LPIPS and DISTS in addition to the images, in bytes; None for what is free.
        renders: number of renders of a view that are scored together; None for all.
    """

    memory: int | None
    renders: int | None = None
    _is_lowered: bool = False
    _news: str = ""

    @property
    def provenance(self) -> dict[str, Any]:
        """Entry of a record's provenance; empty if the device did not run out of memory."""
        lowered = {"renders_together": self.renders, "lpips_bytes": self.memory}
        return {"out_of_memory": lowered} if self._is_lowered else {}

    def parts(self, view: View) -> Iterator[View]:
        """Yield the view with as many of its renders as are scored together."""
        together = self._together(view)
        for start in range(0, len(view.renders), together):
            part = slice(start, start + together)
            renders, bounds = view.renders[part], (view.bounds[0], *view.bounds[1:][part])
            yield view if len(renders) == len(view.renders) else view.trusted(renders=renders, bounds=bounds)

    def _together(self, view: View) -> int:
        return min(self.renders or len(view.renders), len(view.renders))

    def lower(self, view: View, device: torch.device, reason: str, *, networks: str) -> None:
        """Halve the number of renders that are scored together or, with a single one, the memory for networks.

        Args:
            view: view for which memory ran out.
            device: device that scores it.
            reason: message of the library.
            networks: metrics of networks that are computed, such as "LPIPS"; "" for none.

        Raises:
            ResourceError: There is nothing to lower.
        """
        requested = match[0].lower() if (match := _REQUESTED.search(reason)) else ""
        together, free = self._together(view), free_memory(device)
        memory = min(size for size in (self.memory, free, _UNKNOWN) if size is not None)
        if together > 1:
            self.renders = -(-together // 2)
            now = "renders are scored one at a time"
            if self.renders > 1:
                now = f"at most {self.renders} renders are scored together"
        elif networks and memory > _LEAST:
            self.memory = memory // 2
            use = "use" if " and " in networks else "uses"
            now = f"renders are scored one at a time, and {networks} {use} at most {in_units(self.memory)}"
        else:
            raise self._exhausted(view, device, requested)
        self._is_lowered = True
        self._news = f"Out of memory on {_place(device)}: from view {quoted(view.name)} on, {now}."

    def refusal(self, view: View, device: torch.device, error: ResourceError) -> ResourceError:
        """Return the error of a protocol for which a network lacks memory; after lowering, that of the device."""
        return self._exhausted(view, device, "") if self._is_lowered else error

    def _exhausted(self, view: View, device: torch.device, requested: str) -> ResourceError:
        (height, width), size = view.reference.shape[:2], f" (torch {requested})" if requested else ""
        other = "use `--device cpu`" if device.type != "cpu" else "score on a machine with more memory"
        return ResourceError(
            f"Out of memory on {_place(device)}: not even one render of view {quoted(view.name)}, {width}x{height}, "
            f"can be scored{size}. Stop other programs, or {other}."
        )

    def take_news(self) -> str:
        """Return a sentence on what was lowered since the last call; "" if nothing was."""
        news, self._news = self._news, ""
        return news


def _place(device: torch.device) -> str:
    return "this machine" if device.type == "cpu" else "the graphics card"
