"""The images of a record's view, read from where the record says they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nvs_eval.diagnostics.verify.prepare import Array, Pair
from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, load_layers
from nvs_eval.images.pixels import sha256_of_image, sha256_of_mask
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.sources.image_source import reading_of
from nvs_eval.sources.masks import load_mask


class Changed(Exception):
    """A file is not what was scored: what the record says of it is not confirmed."""


@dataclass(frozen=True)
class _Files:
    """The files of a view, and how they are read.

    Attributes:
        folder: from which the record's paths go.
        row: of the view.
        reading: what to do with alpha, grey and linear images.
        alpha: the protocol's rule.
        meaning: the protocol's, of a mask.
        rounded: whether the reference may be kept in the 8 bits to which the protocol rounds it: then it is no longer
            the one whose sha256 is recorded, and whether it has changed is seen in the scores alone.
        binary: whether every weight of a mask above 0 counts as 1.
        origin: where images came from that have no file of their own, for a message.
    """

    folder: Path
    row: ViewRow
    reading: Reading
    alpha: str
    meaning: str
    rounded: bool
    binary: bool
    origin: str

    def reference(self) -> Array:
        image = self._image("reference", self.row.reference)
        copied = self.rounded and str(self.row.reference).endswith(".png")
        if sha256_of_image(torch.from_numpy(image)) != self.row.reference_sha256 and not copied:
            raise Changed(f"the reference {self._path(self.row.reference)} has changed since")
        return image

    def render(self, size: tuple[int, ...]) -> Array:
        image = self._image("render", self.row.render)
        if image.shape != size:
            raise Changed(f"the render {self._path(self.row.render)} has changed since: it has another size")
        return image

    def mask(self) -> Array | None:
        if self.row.mask_sha256 is None or self.meaning == "ignored":
            return None
        mask = load_mask(self._find("mask", self.row.mask))
        if self.binary:
            mask = (mask > 0).to(mask.dtype)
        if sha256_of_mask(mask) != self.row.mask_sha256:
            raise Changed(f"the mask {self._path(self.row.mask)} has changed since")
        return mask.numpy()

    def _image(self, what: str, path: str | None) -> Array:
        colours, alpha = load_layers(self._find(what, path), self.reading)
        image, over = colours.numpy(), self.reading.background
        if alpha is None or self.alpha == "drop":
            return image
        if over is None:
            raise InputError(f"the {what} {self._path(path)} has alpha, and the record names no background")
        opacity = alpha.numpy()
        return image * opacity + np.array(over, dtype=np.float32) * (1 - opacity)

    def _find(self, what: str, path: str | None) -> Path:
        if path is None:
            raise InputError(f"its {what} was not kept as a file of its own{self.origin}")
        if not self._path(path).is_file():
            raise InputError(f"its {what} is not at {self._path(path)} any more")
        return self._path(path)

    def _path(self, path: str | None) -> Path:
        """A path of the record's from where we are, without the `..` that lead out of the record's folder."""
        return Path(os.path.normpath(self.folder / (path or "")))


def read_pair(record: Record, row: ViewRow, folder: Path) -> Pair:
    """The reference, the render and the mask of a view, float32, without alpha.

    Args:
        record: whose view it is.
        row: of the view.
        folder: of the record's file, from which its paths go.

    Raises:
        InputError: a file was not kept, is missing or cannot be read.
        Changed: a file is another one than was scored.
    """
    reading = reading_of(record)
    definition = record.protocol["definition"]
    files = _Files(
        folder,
        row,
        reading,
        alpha=definition["alpha"],
        meaning=definition["mask"],
        origin=f" (it came from {origin})" if (origin := record.provenance.get("renders_from")) else "",
        binary=record.provenance.get("masks") == "binary",
        rounded="kept_renders" in record.provenance and definition["quantise"]["reference"] == "round",
    )
    reference = files.reference()
    return Pair(reference, files.render(reference.shape), files.mask())
