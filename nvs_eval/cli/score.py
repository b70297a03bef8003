"""`nvs-eval score`: scores folders of renders, of any tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from nvs_eval.cli.options import ScoringOptions, check_distinct, command_line, memory_advice, write_all
from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.image_files import Reading
    from nvs_eval.scorer import Scorer


@dataclass(frozen=True, kw_only=True)
class Score(ScoringOptions):
    """Score folders of renders against their references, all together, and print the table."""

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="RENDERS [RENDERS ...]")]
    """Folders of renders; or what 3DGS, nerfbaselines (also zip, tar.gz), gsplat or ns-eval left, references included.

    The masks of nerfbaselines predictions are used where they are given: `--masks PREDICTIONS/mask`."""
    model_paths: Annotated[tuple[Path, ...], arg(aliases=["-m"])] = ()
    """The same as RENDERS: the option that metrics.py of 3D Gaussian splatting has."""
    reference: Path | None = None
    """The folder of references, matched with the renders by name."""
    method: tuple[str, ...] = ()
    """The method of each folder of renders; else the folders' own names."""
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
        from nvs_eval.cli.console import print_tables, progress
        from nvs_eval.evaluate import Session, evaluate
        from nvs_eval.kept import check_not_copies
        from nvs_eval.sources.folders import open_folders

        renders = (*self.renders, *self.model_paths)
        if not renders:
            raise InputError("No folder of renders was given.")
        session = Session(self.output_dir, command_line())
        scorer = self.scorer()
        sources = open_folders(
            renders,
            reference=self.reference,
            scene=self.scene,
            methods=self.method,
            allow_missing=self.allow_missing,
            reading=self._reading(scorer),
        )
        for folder in renders:
            check_not_copies(folder, scorer.protocols)
        check_distinct([column for source in sources for column in source.columns])
        self.check_output()
        records = []
        for source in sources:
            with (
                progress(f"Scoring {len(source.columns)} x {len(source)} views", len(source)) as advance,
                memory_advice(),
            ):
                scored = evaluate(source, scorer, session, on_view=lambda _, advance=advance: advance())
            write_all(scored, self.output_dir)
            records += scored
        print_tables(records, per_view=self.per_view)
        return 0

    def _reading(self, scorer: Scorer) -> Reading:
        from nvs_eval.image_files import Reading

        rule = scorer.protocols[0].alpha
        if any(protocol.alpha != rule for protocol in scorer.protocols):
            names = ", ".join(f"{protocol.name} ({protocol.alpha})" for protocol in scorer.protocols)
            raise InputError(f"These protocols treat alpha differently: {names}. Score them one after the other.")
        background = None if self.background is None else parse_background(self.background)
        return Reading(rule, background, self.grey_to_rgb, self.exr)


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
