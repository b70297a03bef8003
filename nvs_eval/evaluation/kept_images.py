"""Images that a record was scored on, for pictures of them. Scores are computed from `kept_renders`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import FileError
from nvs_eval.evaluation.kept_renders import Result
from nvs_eval.images.files import Reading, load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.schema import ViewRow
from nvs_eval.sources.image_source import ImageFiles, reading_of

# Pictures show 8 bits, so that 8-bit copies are as good as what was scored.
_NO_PROTOCOL: Sequence[Protocol] = ()


@dataclass(frozen=True)
class KeptImages:
    """Images of a result as they were scored, but without cropping, quantisation and masks.

    Attributes:
        result: record and its file.
    """

    result: Result

    def reference(self, row: ViewRow) -> Float[Tensor, "h w 3"]:
        """Read the reference of a view.

        Raises:
            InputError: It was not kept, cannot be read or has changed since the record was written.
        """
        image = self._read(self.result.file_of(row.reference, "reference", row.name), row)
        self.result.check_reference(row, sha256_of_image(image), _NO_PROTOCOL)
        return image

    def render(self, row: ViewRow) -> Float[Tensor, "h w 3"]:
        """Read the render of a view.

        Raises:
            InputError: It was not kept, cannot be read or has changed since the record was written.
        """
        return self._read(self._render_file(row), row)

    def check(self, row: ViewRow) -> None:
        """Check the files of a view without decoding them.

        Raises:
            InputError: One was not kept or does not exist, or the render has changed since the record was written.
        """
        self.result.file_of(row.reference, "reference", row.name)
        self._render_file(row)

    def _render_file(self, row: ViewRow) -> Path:
        path = self.result.file_of(row.render, "render", row.name)
        if isinstance(self.result.record.provenance.get("inputs_sha256"), dict):
            self._check_all_renders  # noqa: B018 - the record has one hash of all renders, which is checked once.
        self.result.check_render(row.name, path)
        return path

    @cached_property
    def _reading(self) -> Reading:
        return reading_of(self.result.record)

    @cached_property
    def _check_all_renders(self) -> None:
        renders = self.result.render_set(self.result.references())
        self.result.check_renders(ImageFiles([renders]), renders)

    def _read(self, path: Path, row: ViewRow) -> Float[Tensor, "h w 3"]:
        image = load_image(path, self._reading)
        if (image.shape[1], image.shape[0]) != (row.width, row.height):
            raise FileError(
                f"{path} must be {row.width}x{row.height} pixels, as {self.result.file} says. Got "
                f"{image.shape[1]}x{image.shape[0]}. Score it again."
            )
        return image
