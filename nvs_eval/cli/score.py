"""`nvs-eval score`: scores folders of renders, of any tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringOptions, check_distinct, command_line, memory_advice, place_of, write_all
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluate import Refusal, Session
    from nvs_eval.protocols import Protocol
    from nvs_eval.records import Record
    from nvs_eval.scorer import Scorer
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
        from nvs_eval.evaluate import Session

        session = Session(self.output_dir, command_line())
        protocols = _not_refused(self._given(), self.protocols(masked=self.masked), on_refusal)
        scorer = self.scorer(protocols)
        sources = self._checked_sources(protocols)
        self.check_output()
        return [record for source in sources for record in self._score(source, scorer, session, on_refusal)]

    def check(self) -> list[Protocol]:
        """Check what can be checked before any folder is looked at; gives the protocols.

        Raises:
            InputError: an option has a value that it cannot have.
        """
        if self.background is not None:
            parse_background(self.background)
        return self.protocols(masked=self.masked)

    def finished(self) -> list[Record] | None:
        """The records, if those of everything are there and still of the same files; nothing is decoded.

        Raises:
            InputError: something that was asked for cannot be had.
        """
        protocols = self.protocols(masked=self.masked)
        found = [records for source in self._checked_sources(protocols) for records in self._known(source, protocols)]
        return [record for records in found for record in records] if all(found) else None

    def completed(self) -> list[Record]:
        """As `records`, but what is scored already stays as it is, unless it is to be overwritten.

        Raises:
            InputError: as `records`.
        """
        from nvs_eval.cli.console import say
        from nvs_eval.evaluate import Session
        from nvs_eval.scored import only_columns

        session = Session(self.output_dir, command_line())
        protocols = _not_refused(self._given(), self.protocols(masked=self.masked), None)
        records, waiting = [], []
        sources = self._checked_sources(protocols)
        for source in sources:
            known = self._known(source, protocols)
            for column, there in zip(source.columns, known, strict=True):
                if there:
                    say(f"{column} is already scored.")
                records += there
            if rest := [index for index, there in enumerate(known) if not there]:
                waiting.append(only_columns(source, rest))
        if waiting:
            scorer = self.scorer(protocols)  # Its weights take seconds to read.
            self.check_output()
            records += [record for source in waiting for record in self._score(source, scorer, session, None)]
        order = [place_of(column) for source in sources for column in source.columns]
        return sorted(records, key=lambda record: order.index(place_of(record)))

    def _known(self, source: ImageFiles, protocols: Sequence[Protocol]) -> list[list[Record]]:
        from nvs_eval.scored import scored_records

        if self.overwrite:
            return [[] for _ in source.columns]
        return scored_records(source, protocols, self.output_dir)

    def _given(self) -> tuple[Path, ...]:
        renders = (*self.renders, *self.model_paths)
        if not renders:
            raise InputError("No folder of renders was given.")
        return renders

    def _score(self, source: ImageFiles, scorer: Scorer, session: Session, on_refusal: Refusal | None) -> list[Record]:
        """Score a source, and write its records."""
        from nvs_eval.cli.console import progress
        from nvs_eval.evaluate import evaluate

        choices = {} if on_refusal is None else {"on_refusal": on_refusal}
        what = f"Scoring {len(source.columns)} x {len(source)} views"
        with progress(what, len(source)) as advance, memory_advice():
            records = evaluate(source, scorer, session, on_view=lambda _: advance(), **choices)
        write_all(records, self.output_dir)
        return records

    def _checked_sources(self, protocols: Sequence[Protocol]) -> list[ImageFiles]:
        """What there is to score, no two columns of it in one place, none in the place of something else."""
        sources = self._sources(self._given(), protocols)
        columns = [column for source in sources for column in source.columns]
        check_distinct(columns)
        self.check_not_replaced(columns, protocols)
        self._say_unused_masks(columns)
        return sources

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
