"""OpenEXR: half and float channels of one layer, in the display window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nvs_eval.errors import InputError, ResourceError, some
from nvs_eval.images.stored import DamagedError, Layers, Stored, Tags, check_size
from nvs_eval.images.tags import colours_of_primaries


@dataclass(frozen=True)
class _Layer:
    """Colours of one part of a file: channels with a common prefix.

    Attributes:
        path: path of the file.
        part: index of the part.
        header: attributes of the part.
        prefix: prefix of the channels' names, with its dot.
        types: type of each channel of the first part: HALF, FLOAT or UINT. Headers of further parts lack it.
    """

    path: Path
    part: int
    header: Mapping[str, Any]
    prefix: str
    types: Mapping[str, str]

    @property
    def channels(self) -> dict[str, tuple[int, int]]:
        """Sampling of each channel of the layer, by its name without the prefix."""
        return {
            name.removeprefix(self.prefix): sampling
            for name, sampling in self.header["channels"].items()
            if name.rpartition(".")[0] == self.prefix.rstrip(".")
        }

    @property
    def colours(self) -> list[str]:
        """Names of the colour channels, without the prefix; none for data such as depth or normals."""
        if {"R", "G", "B"} <= set(self.channels):
            return ["R", "G", "B"]
        # A Y beside an X is part of a vector.
        return ["Y"] if "Y" in self.channels and "X" not in self.channels else []

    @property
    def what(self) -> str:
        """Name of the layer in messages."""
        return f"{self.path}{f' (layer {self.prefix[:-1]})' if self.prefix else ''}"


def read(_: BinaryIO, path: Path) -> Layers:
    """Read the headers of all parts of an EXR file."""
    headers, types = _headers(path), _first_part_types(path)
    layers: dict[str, _Layer] = {}
    for part, header in enumerate(headers):
        prefixes = dict.fromkeys(name[: name.rfind(".") + 1] for name in header["channels"])
        for layer in (_Layer(path, part, header, prefix, {} if part else types) for prefix in prefixes):
            if layer.colours:
                layers[_name(layer, several_parts=len(headers) > 1)] = layer
    if not layers:
        names = [name for header in headers for name in header["channels"]]
        raise InputError(f"{path} must have the channels R, G and B, or Y. Got {some(names, 12)}.")
    return Layers({name: partial(_stored, layer) for name, layer in layers.items()})


def _name(layer: _Layer, *, several_parts: bool) -> str:
    """Return the name of a layer: its prefix, part or view; empty for the plain channels of a file."""
    prefix = layer.prefix.rstrip(".")
    if several_parts:
        part = layer.header["name"]
        return part if prefix in ("", part) else f"{part}.{prefix}"
    views = layer.header.get("multiView") or [""]
    return prefix or views[0]  # Channels of the first view have no prefix.


def _headers(path: Path) -> list[dict[str, Any]]:
    """Return the attributes of each part, with the sampling of each channel by its name."""
    library = _library(path)
    try:
        with library.File(str(path), header_only=True) as file:
            return [  # Copied, because closing the file empties them.
                {**part.header, "channels": {c.name: (c.xSampling, c.ySampling) for c in part.header["channels"]}}
                for part in file.parts
            ]
    except RuntimeError as error:
        raise DamagedError("its header is invalid") from error


def _library(path: Path) -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        reason = f"{path}: reading EXR requires OpenEXR ({error}). Run pip install 'nvs-eval[exr]'."
        raise ResourceError(reason) from error
    return OpenEXR


def _stored(layer: _Layer) -> Stored:
    """Check that a layer contains plain colours. Pixels are read early only if there is an alpha channel."""
    if layer.header["type"].name.startswith("deep"):
        raise InputError(f"{layer.what} is a deep image, with several samples per pixel. Flatten it to RGB.")
    chroma = [name for name in ("RY", "BY") if name in layer.channels]
    if chroma and layer.colours == ["Y"]:
        raise InputError(
            f"{layer.what} stores luminance and chroma (Y, {', '.join(chroma)}) at reduced resolution. Save it as RGB."
        )
    if any(layer.channels[name] != (1, 1) for name in layer.colours):
        raise InputError(f"{layer.what} has subsampled channels. Save all channels at full resolution.")
    _check_floats(layer, [name for name in layer.colours if layer.types.get(layer.prefix + name) == "UINT"])
    left, top, right, bottom = _window(layer, "displayWindow")
    size = bottom - top + 1, right - left + 1
    shape = size if layer.colours == ["Y"] else (*size, 3)
    encoding, colours = _colours(layer)
    stored = Stored(
        shape,
        lambda: _load(layer, layer.colours),
        linear="an EXR file",
        encoding=encoding,
        tags=Tags(colours=colours),
    )
    if "A" not in layer.channels:
        return stored
    values = _load(layer, [*layer.colours, "A"])
    if not (values[..., -1] == 1).all():
        outside = "" if _window(layer, "dataWindow") == _window(layer, "displayWindow") else _OUTSIDE
        raise InputError(
            f"{layer.what} has an alpha channel that is not 1 everywhere{outside}. EXR colours are premultiplied by "
            "alpha. Composite the image over your background when you write it, and save it as RGB."
        )
    opaque = values[..., :-1].reshape(shape)
    return replace(stored, load=lambda: opaque)


_OUTSIDE = " (pixels of the display window outside the data window are transparent)"


def _window(layer: _Layer, name: str) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a window; all belong to it."""
    (left, top), (right, bottom) = layer.header[name]
    return int(left), int(top), int(right), int(bottom)


def _colours(layer: _Layer) -> tuple[str, str]:
    """Return how a layer's values are encoded, if named, and its colours, if named and not those of sRGB."""
    grey, encoding = layer.colours == ["Y"], ""
    space = layer.header.get("colorInteropID") or "unknown"
    if space != "unknown":
        transfer, _, primaries = space.partition("_")
        encoding = _TRANSFERS.get(transfer, "")
        if not encoding or not (grey or re.fullmatch("rec709_(scene|display)", primaries)):
            named = getattr(_library(layer.path), "colorInteropIDToChromaticities", lambda _: None)
            tag, xy = f"colorInteropID {space}", named(space)
            return encoding, colours_of_primaries([*xy[6:], *xy[:6]], tag) if xy else tag
    xy = layer.header.get("chromaticities")
    return encoding, "" if xy is None or grey else colours_of_primaries([*xy[6:], *xy[:6]], "chromaticities")


_TRANSFERS = {"lin": "linear", "srgb": "srgb", "g22": "srgb"}
"""Encoding of values by the start of a colorInteropID; gamma 2.2 counts as sRGB, as in other tags."""


def _first_part_types(path: Path) -> Mapping[str, str]:
    """Return the type of each channel of the first part: HALF, FLOAT or UINT."""
    with closing(_library(path).InputFile(str(path))) as file:
        if not file.isComplete():
            raise DamagedError("its end is missing")
        return {name: str(channel.type) for name, channel in file.header()["channels"].items()}


def _check_floats(layer: _Layer, integers: Sequence[str]) -> None:
    if integers:
        raise InputError(
            f"{layer.what} has integer channels ({', '.join(integers)}), which contain IDs, not colours. Save it with "
            "half or float channels."
        )


def _load(layer: _Layer, names: Sequence[str]) -> np.ndarray:
    """Read channels in the display window, `[H, W]` if there is one, else `[H, W, C]`.

    Pixels outside the display window are cropped, and pixels outside the data window are 0, as in compositing.
    """
    planes = _planes(layer, [layer.prefix + name for name in names])
    left, top, right, bottom = _window(layer, "dataWindow")
    shown_left, shown_top, shown_right, shown_bottom = shown = _window(layer, "displayWindow")
    if shown != (left, top, right, bottom):
        inside = planes[
            :,
            max(shown_top - top, 0) : max(shown_bottom - top + 1, 0),
            max(shown_left - left, 0) : max(shown_right - left + 1, 0),
        ]
        planes = np.zeros((len(names), shown_bottom - shown_top + 1, shown_right - shown_left + 1), planes.dtype)
        y, x = max(top - shown_top, 0), max(left - shown_left, 0)
        target = planes[:, y : y + inside.shape[1], x : x + inside.shape[2]]
        target[...] = inside[:, : target.shape[1], : target.shape[2]]
    return planes[0] if len(names) == 1 else planes.transpose(1, 2, 0)


def _planes(layer: _Layer, names: Sequence[str]) -> np.ndarray:
    """Read channels in the data window, `[C, H, W]`.

    The library decodes all channels and releases the interpreter meanwhile. Its reader of single channels does not.
    """
    left, top, right, bottom = _window(layer, "dataWindow")
    # Larger than the display window, if there is overscan.
    check_size(layer.path, (bottom - top + 1, right - left + 1, len(layer.header["channels"])))
    with _library(layer.path).File(str(layer.path), separate_channels=True) as file:
        if len(file.parts) <= layer.part:  # It only prints what is wrong.
            raise DamagedError("its pixels are incomplete or invalid")
        channels = file.parts[layer.part].channels
        planes = {name: channels[name].pixels for name in names}
        _check_floats(layer, [name for name, plane in planes.items() if plane.dtype.kind != "f"])
        # One copy: halves become floats here, not in a second pass.
        return np.stack(list(planes.values()), dtype=np.float32)
