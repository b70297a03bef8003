"""From a scored view to the rows of its records."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from pathlib import Path

from nvs_eval.evaluation.scorer import Outcome
from nvs_eval.images.pixels import AlphaRule, sha256_of_image, sha256_of_mask
from nvs_eval.records.record import ViewRow
from nvs_eval.sources.views import View


class RowMaker:
    """Makes a view's rows; its reference, by what becomes of its alpha, and its mask are hashed once.

    Args:
        view: whose rows.
        background: hashes while the view is scored, what is known before.

    Attributes:
        view: it.
        mask_sha256: of the view's mask, if it has one.
    """

    def __init__(self, view: View, background: Executor) -> None:
        self.view = view
        self._references: dict[AlphaRule, str] = {}
        self._begun = background.submit(sha256_of_image, view.reference) if view.is_opaque else None
        self.mask_sha256 = None if view.mask is None else sha256_of_mask(view.mask)

    def row(self, index: int, outcome: Outcome, *, alpha: AlphaRule, folder: Path) -> ViewRow:
        """The row of the render at an index.

        Args:
            index: of the render.
            outcome: its scores.
            alpha: what the protocol does with alpha.
            folder: of the record.
        """
        view, render = self.view, self.view.renders[index]
        height, width = view.reference.shape[:2]
        masked = outcome.coverage is not None
        return ViewRow(
            name=view.name,
            width=width,
            height=height,
            scores={name: values[index] for name, values in outcome.scores.items()},
            render_seconds=render.seconds,
            render=relative_path(render.file, folder),
            reference=relative_path(view.reference_file, folder),
            reference_sha256=self._reference_sha256(alpha),
            coverage=outcome.coverage,
            mask=relative_path(view.mask_file, folder) if masked else None,
            mask_sha256=self.mask_sha256 if masked else None,
        )

    def _reference_sha256(self, rule: AlphaRule) -> str:
        if rule not in self._references:
            if self._begun is not None:
                self._references[rule] = self._begun.result()
            else:
                self._references[rule] = sha256_of_image(self.view.opaque_reference(rule))
        return self._references[rule]


def relative_path(file: Path | None, folder: Path) -> str | None:
    """A file's path from a folder, with forward slashes; None for no file."""
    return None if file is None else Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
