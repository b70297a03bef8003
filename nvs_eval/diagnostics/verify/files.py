"""The images of a record's view, read from where the record names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nvs_eval.diagnostics.verify.prepare import Array, Pair
from nvs_eval.errors import InputError
from nvs_eval.images.files import load_layers
from nvs_eval.images.pixels import sha256_of_image, sha256_of_mask
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.sources.image_source import reading_of
from nvs_eval.sources.masks import load_mask


class Changed(Exception):
    """A file is not what was scored, which refutes the record."""


def read_pair(record: Record, row: ViewRow, folder: Path) -> Pair:
    """Read the reference, the render and the mask of a view: float32, without alpha.

    Args:
        record: whose view it is.
        row: of the view.
        folder: of the record's file, from which its paths go.

    Raises:
        InputError: a file was not kept, is missing or cannot be read.
        Changed: a file is not the one that was scored.
    """
    files = _ViewFiles(record, row, folder)
    reference = files.reference()
    return Pair(reference, files.render(reference.shape), files.mask())


@dataclass(frozen=True)
class _ViewFiles:
    record: Record
    row: ViewRow
    folder: Path

    def reference(self) -> Array:
        image, path = self._image("reference", self.row.reference), self._path(self.row.reference)
        # A run keeps references as PNGs. A protocol that rounds them to 8 bits needs no more than such a copy, whose
        # sha256 is another: then the scores alone show a change.
        rounded = self.record.protocol["definition"]["quantise"]["reference"] == "round"
        is_copy = "kept_renders" in self.record.provenance and rounded and path.suffix == ".png"
        if not is_copy and sha256_of_image(torch.from_numpy(image)) != self.row.reference_sha256:
            raise Changed(f"the reference {path} has changed since")
        return image

    def render(self, shape: tuple[int, ...]) -> Array:
        image = self._image("render", self.row.render)
        if image.shape != shape:
            raise Changed(f"the render {self._path(self.row.render)} has changed since: it has another size")
        return image

    def mask(self) -> Array | None:
        if self.row.mask_sha256 is None or self.record.protocol["definition"]["mask"] == "ignored":
            return None
        path = self._existing("mask", self.row.mask)
        mask = load_mask(path)
        if self.record.provenance.get("masks") == "binary":
            mask = (mask > 0).to(mask.dtype)
        if sha256_of_mask(mask) != self.row.mask_sha256:
            raise Changed(f"the mask {path} has changed since")
        return mask.numpy()

    def _image(self, kind: str, name: str | None) -> Array:
        path, reading = self._existing(kind, name), reading_of(self.record)
        colours, alpha = load_layers(path, reading)
        if alpha is None or self.record.protocol["definition"]["alpha"] == "drop":
            return colours.numpy()
        if reading.background is None:
            raise InputError(f"the {kind} {path} has alpha, and the record names no background")
        opacity = alpha.numpy()
        return colours.numpy() * opacity + np.array(reading.background, dtype=np.float32) * (1 - opacity)

    def _existing(self, kind: str, name: str | None) -> Path:
        if name is None:
            origin = self.record.provenance.get("renders_from")
            raise InputError(
                f"its {kind} was not kept as a file of its own{f' (it came from {origin})' if origin else ''}"
            )
        if not self._path(name).is_file():
            raise InputError(f"its {kind} is not at {self._path(name)} any more")
        return self._path(name)

    def _path(self, name: str | None) -> Path:
        """Path from the current folder, without the `..` that lead out of the record's folder."""
        return Path(os.path.normpath(self.folder / (name or "")))
