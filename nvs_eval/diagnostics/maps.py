"""Maps of metrics over the pixels of renders, for the page of `report`, which computes those of plain errors itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.diagnostics.picture_files import SceneSources, Source
from nvs_eval.errors import FileError, InputError, ResourceError, counted, duration, printable
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.images.files import load_image
from nvs_eval.images.previews import encoded_png
from nvs_eval.metrics.flip.metric import flip_map
from nvs_eval.metrics.lpips.metric import load_lpips
from nvs_eval.metrics.registry import about_of
from nvs_eval.metrics.ssim.metric import ssim_map
from nvs_eval.report.page.folder import PageFiles
from nvs_eval.report.page.groups import SceneGroup
from nvs_eval.report.page.options import MapName, PageOptions
from nvs_eval.report.page.scenes import Pictures
from nvs_eval.system.devices import find_device

MapFunction = Callable[[Tensor, Tensor], Tensor]
"""Takes a reference and a render, `[3, H, W]` in [0, 1], and returns the map, `[H, W]`; 0 where they are equal."""
_PARAMETERS = {
    "ssim": ("kernel", "data_range"),
    "flip": ("pixels_per_degree",),
    "lpips": ("version", "heads", "input", "normaliser", "clamp"),
}
"""Parameters of the metrics in protocols that their maps have too."""
_LONG = 10.0
"""Seconds from which the time of maps is announced."""


def map_function(name: MapName, parameters: Mapping[str, Any], weights_dir: Path | None = None) -> MapFunction:
    """Return the function of a map.

    Args:
        name: name of the map. That of SSIM is 1 - SSIM; without padding, it is 0 at the border.
        parameters: parameters of the metric in a protocol; empty for the defaults.
        weights_dir: folder to search first for the backbones of LPIPS.

    Raises:
        InputError: weights are missing.
    """
    given = {key: parameters[key] for key in _PARAMETERS[name.split("_")[0]] if key in parameters}
    if name == "ssim":
        return lambda reference, render: _whole(1 - ssim_map(reference, render, **given), reference)
    if name == "flip":
        return partial(flip_map, **given)
    net: Any = name.removeprefix("lpips_")
    return load_lpips(net, **given, weights_dir=weights_dir).map


def _whole(values: Float[Tensor, "c h2 w2"], reference: Float[Tensor, "3 h w"]) -> Float[Tensor, "h w"]:
    """Return the mean of the channels, in the middle of a map of the image's size."""
    height, width = reference.shape[-2:]
    whole = reference.new_zeros(height, width, dtype=values.dtype)
    top, left = (height - values.shape[-2]) // 2, (width - values.shape[-1]) // 2
    whole[top : top + values.shape[-2], left : left + values.shape[-1]] = values.mean(0)
    return whole


def to_levels(values: Float[Tensor, "h w"]) -> np.ndarray:
    """Return a map as 8-bit levels: 0 for 0, and 255 for 1 and more."""
    return (values.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class SceneMap:
    """A map of the renders of a scene.

    Attributes:
        name: name of the map.
        title: title on the page.
        function: function of the map, with the parameters of the scene's first protocol that has the metric.
        device: device to compute on.
    """

    name: MapName
    title: str
    function: MapFunction
    device: torch.device


def maps_of(scene: SceneGroup, options: PageOptions) -> list[SceneMap]:
    """Return the maps that the user asked for.

    Raises:
        InputError: weights are missing, or the device is not available.
    """
    maps = []
    for name in dict.fromkeys(options.maps):
        definitions = [records[0].protocol["definition"].get("metrics", {}) for records in scene.protocols.values()]
        parameters = next((one[name] for one in definitions if isinstance(one.get(name), Mapping)), {})
        title = "1 \N{MINUS SIGN} SSIM" if name == "ssim" else about_of(name).title
        function = map_function(name, parameters, options.weights_dir)
        maps.append(SceneMap(name, title, function, find_device(options.device)))
    return maps


def write_maps(
    maps: Sequence[Sequence[SceneMap]],
    scenes: Sequence[SceneSources],
    pictures: Sequence[Pictures],
    files: PageFiles,
    callbacks: Callbacks,
) -> list[Pictures]:
    """Compute the maps of some scenes; return the pictures with their files.

    Raises:
        InputError: an image can no longer be read, or there is not enough memory.
        OSError: a file cannot be written.
    """
    made = []
    for several, scene, shown in zip(maps, scenes, pictures, strict=True):
        pairs = [*_pairs(scene, shown)]
        entries: list[dict[str, Any]] = []
        for one in several:
            title = f"Maps of {one.name} of {printable(scene.scene.name)}"
            with callbacks.progress(title, len(pairs)) as advance:
                entries.append(_write(one, pairs, files, _Announced(one.name, len(pairs), advance, callbacks)))
        made.append(replace(shown, maps=entries))
    return made


def _pairs(scene: SceneSources, shown: Pictures) -> Iterator[tuple[str, Source, Source]]:
    """Yield the pairs of a reference and a render that the page shows, each with its name in the page."""
    done: set[str] = set()
    for (name, place), render in scene.renders.items():
        ids = shown.renders.get((name, place)), shown.references.get(name)
        key = "-".join(filter(None, ids))
        if all(ids) and key not in done:
            done.add(key)
            yield key, scene.references[name], render


class _Announced:
    """Progress that announces the time of all maps after the first one."""

    def __init__(self, name: str, count: int, advance: Callable[[], None], callbacks: Callbacks) -> None:
        self._name, self._count, self._advance, self._callbacks = name, count, advance, callbacks
        self._start, self._is_first = time.monotonic(), True

    def __call__(self) -> None:
        whole = (time.monotonic() - self._start) * self._count
        if self._is_first and whole > _LONG:
            self._callbacks.say(f"{counted(self._count, 'map')} of {self._name}: about {duration(whole)}.")
        self._is_first = False
        self._advance()


def _write(
    one: SceneMap, pairs: Sequence[tuple[str, Source, Source]], files: PageFiles, advance: Callable[[], None]
) -> dict[str, Any]:
    """Write the map of each pair; return the entry of the page. Pairs that the metric does not take have none.

    Raises:
        InputError: an image can no longer be read, or there is not enough memory.
    """
    reference: tuple[Source, Tensor] | None = None
    written, largest = {}, 0
    for key, of_reference, of_render in pairs:
        try:
            if reference is None or reference[0] != of_reference:
                reference = of_reference, _load(of_reference, one.device)
            levels = to_levels(one.function(reference[1], _load(of_render, one.device)))
        except (FileError, ResourceError):
            raise
        except InputError:
            advance()
            continue  # Sizes differ, or the image is too small for the metric; the page says that there is no map.
        largest = max(largest, int(levels.max()))
        written[key] = files.put_url(f"maps/{one.name}/{key}.js", encoded_png(levels), "image/png")
        advance()
    shown = max(largest, 1) / 255
    return {"key": one.name, "title": one.title, "lo": 0, "hi": 1, "shown": shown, "files": written}


def _load(source: Source, device: torch.device) -> Float[Tensor, "3 h w"]:
    return load_image(source.path, source.reading).clamp(0, 1).permute(2, 0, 1).contiguous().to(device)
