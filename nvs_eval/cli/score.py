"""`nvs-eval score`: scores folders of renders, of any tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringOptions, check_distinct, command_line, memory_advice, write_all
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluate import Refusal
    from nvs_eval.protocols import Protocol
    from nvs_eval.records import Record
    from nvs_eval.sources.image_source import ImageFiles
    from nvs_eval.views import Column


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

        print_tables(self.records(), per_view=self.per_view)
        return 0

    def records(self, on_refusal: Refusal | None = None) -> list[Record]:
        """Score, and write the records.

        Args:
            on_refusal: is told what a protocol cannot score; if it is None, that is an error.

        Raises:
            InputError: something that was asked for cannot be had, or be scored.
        """
        from nvs_eval.cli.console import progress
        from nvs_eval.evaluate import Session, evaluate

        renders = (*self.renders, *self.model_paths)
        if not renders:
            raise InputError("No folder of renders was given.")
        session = Session(self.output_dir, command_line())
        protocols = _not_refused(renders, self.protocols(masked=self.masked), on_refusal)
        scorer = self.scorer(protocols)
        sources = self._sources(renders, protocols)
        columns = [column for source in sources for column in source.columns]
        check_distinct(columns)
        self.check_not_replaced(columns, protocols)
        self._say_unused_masks(columns)
        self.check_output()
        choices = {} if on_refusal is None else {"on_refusal": on_refusal}
        records = []
        for source in sources:
            with (
                progress(f"Scoring {len(source.columns)} x {len(source)} views", len(source)) as advance,
                memory_advice(),
            ):
                scored = evaluate(source, scorer, session, on_view=lambda _, advance=advance: advance(), **choices)
            write_all(scored, self.output_dir)
            records += scored
        return records

    def _sources(self, renders: Sequence[Path], protocols: Sequence[Protocol]) -> list[ImageFiles]:
        from nvs_eval.image_files import Reading
        from nvs_eval.sources.folders import open_folders

        background = None if self.background is None else parse_background(self.background)
        return open_folders(
            renders,
            reference=self.reference,
            scene=self.scene,
            methods=self.method,
            allow_missing=self.allow_missing,
            reading=Reading(background=background, grey_to_rgb=self.grey_to_rgb, exr=self.exr),
            alpha={protocol.alpha for protocol in protocols},
            masks=self.masks,
            own_masks=self.data_masks,
        )

    def _say_unused_masks(self, columns: Sequence[Column]) -> None:
        from nvs_eval.cli.console import say

        for column in columns:
            if masks := column.provenance.get("masks_not_used"):
                say(
                    f"Masks came with {column} ({masks}) and are not used, where NerfBaselines would: say "
                    "`--data-masks` to score with them.",
                    style="yellow",
                )


def _not_refused(renders: Sequence[Path], protocols: Sequence[Protocol], on_refusal: Refusal | None) -> list[Protocol]:
    """The protocols for which the renders are not mere copies of what they would score.

    Raises:
        InputError: they are for one, and nobody is to be told; or they are for all.
    """
    from nvs_eval.kept import check_not_copies

    kept = []
    for protocol in protocols:
        try:
            for folder in renders:
                check_not_copies(folder, protocol)
        except InputError as error:
            if on_refusal is None:
                raise
            on_refusal(protocol, error)
        else:
            kept.append(protocol)
    if not kept:
        raise InputError("No protocol can score these renders.")
    return kept


def parse_background(text: str) -> tuple[float, float, float]:
    """A colour: white, black, or three numbers in [0, 1] with commas between them.

    Raises:
        InputError: it is none.
    """
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
    if text in named:
        return named[text]
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        red = green = blue = -1.0
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise InputError(f"The background is {text!r}, and white, black, or r,g,b with each in [0, 1] is needed.")
    return red, green, blue
