"""`nvs-eval score`: scores folders of renders, of any tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options.scoring import ScoringOptions, watch

if TYPE_CHECKING:
    from nvs_eval.evaluation.evaluate import Refusal
    from nvs_eval.evaluation.score_folders import Folders
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Score(ScoringOptions):
    """Score folders of renders against their references, all together, and print the table."""

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="RENDERS [RENDERS ...]")]
    """Folders of renders; or what 3DGS, NerfBaselines, gsplat or ns-eval left with references; or zip, tar.gz."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """The same as RENDERS: the option that metrics.py of 3D Gaussian splatting has."""
    reference: Path | None = None
    """The folder of references, matched with the renders by name."""
    background: str | None = None
    """What images with alpha are composited over: white, black, or r,g,b in [0, 1]."""
    grey_to_rgb: bool = False
    """Repeat the one channel of grey images three times."""
    exr: Literal["linear", "srgb"] | None = None
    """What EXR files hold: linear light, which is encoded as sRGB, or display values."""
    allow_missing: bool = False
    """Score the views that renders and references have in common, whatever else there is."""

    def run(self) -> int:
        """Score, write the records, print the table."""
        from nvs_eval.cli.console import print_tables

        sinks = self.sinks()
        records = self.records()
        print_tables(records, per_view=self.per_view)
        self.log_records(sinks, [(self.output_dir, record) for record in records])
        return 0

    def records(self, on_refusal: Refusal | None = None) -> list[Record]:
        """Score, and write the records.

        Args:
            on_refusal: is told what a protocol cannot score; if it is None, that is an error.

        Raises:
            InputError: something that was asked for cannot be had, or be scored.
        """
        from nvs_eval.cli.process import make_ready

        make_ready()
        from nvs_eval.evaluation.score_folders import score_folders

        return score_folders(self._folders(), self.terms(), watch(on_refusal))

    def check(self) -> list[Protocol]:
        """Check what can be checked before any folder is looked at; gives the protocols.

        Raises:
            InputError: an option has a value that it cannot have.
        """
        from nvs_eval.evaluation.score_folders import parse_background

        if self.background is not None:
            parse_background(self.background)
        return self.terms().protocols()

    def finished(self) -> list[Record] | None:
        """The records, if those of everything are there and still of the same files; nothing is decoded.

        Raises:
            InputError: something that was asked for cannot be had.
        """
        from nvs_eval.evaluation.score_folders import finished_scores

        return finished_scores(self._folders(), self.terms(), watch())

    def completed(self) -> list[Record]:
        """As `records`, but what is scored already stays as it is, unless it is to be overwritten.

        Raises:
            InputError: as `records`.
        """
        from nvs_eval.cli.process import make_ready

        make_ready()
        from nvs_eval.evaluation.score_folders import complete_scores

        return complete_scores(self._folders(), self.terms(), watch())

    def _folders(self) -> Folders:
        from nvs_eval.evaluation.score_folders import Folders, parse_background
        from nvs_eval.images.files import Reading

        background = None if self.background is None else parse_background(self.background)
        return Folders(
            renders=(*self.renders, *self.model_paths),
            reference=self.reference,
            reading=Reading(background=background, grey_to_rgb=self.grey_to_rgb, exr=self.exr),
            allow_missing=self.allow_missing,
        )
