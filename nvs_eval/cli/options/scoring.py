"""What the commands that score have in common: their options."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.cli.options.loggers import LogOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.evaluate import Refusal
    from nvs_eval.evaluation.options import Terms, Watch


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """What is computed, and where."""

    protocol: tuple[str, ...] = ("standard",)
    """How to score: names of protocols (`nvs-eval protocols` lists them), or YAML files. Several share the work."""
    colour_correct: Literal["quadratic", "affine"] | None = None
    """Add the cc_ scores, of the renders with their colours fitted to the references."""
    precision: Literal["exact", "fast"] | None = None
    """Of LPIPS, exact or fast: a metric of its own, off by less than 0.5 % + 2e-4; else what the protocol says."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, ..."""
    weights_dir: Path | None = None
    """A folder to look for LPIPS backbones first (else the environment variable NVS_EVAL_WEIGHTS)."""
    max_memory: str | None = None
    """What LPIPS may take beside the images, such as 2GB, 1500MB or 0.5GiB; else what is free decides."""
    per_view: bool = False
    """Also print the scores of each view."""

    def terms(self) -> Terms:
        """The same, as what scores takes it."""
        from nvs_eval.evaluation.options import Terms
        from nvs_eval.system.memory import parse_memory

        return Terms(
            protocol=self.protocol,
            colour_correct=self.colour_correct,
            precision=self.precision,
            device=self.device,
            weights_dir=self.weights_dir,
            max_memory=None if self.max_memory is None else parse_memory(self.max_memory),
            command=command_line(),
        )


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(ProtocolOptions, LogOptions):
    """The options of every command that scores."""

    scene: str | None = None
    """The scene's name in records and tables."""
    method: tuple[str, ...] = ()
    """The methods' names in records and tables, in the order of the folders or runs; one name does for several runs.
    Else their own."""
    masks: Path | None = None
    """A folder of masks with the views' names: white pixels count, as the protocol says."""
    data_masks: bool = False
    """Score with the masks that came with the data, or with predictions of NerfBaselines."""
    output_dir: Path = Path("nvs-eval-results")
    """Where records and renders are written."""
    overwrite: bool = False
    """Render and score again what `run` has a record of; replace records of other masks."""

    def terms(self) -> Terms:
        """The same, as what scores takes it."""
        return replace(
            super().terms(),
            scene=self.scene,
            method=self.method,
            masks=self.masks,
            data_masks=self.data_masks,
            output_dir=self.output_dir,
            overwrite=self.overwrite,
        )


def command_line() -> tuple[str, ...]:
    """The command as the user gave it."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])


def watch(on_refusal: Refusal | None = None) -> Watch:
    """What scoring tells, on stderr.

    Args:
        on_refusal: is told what a protocol cannot score; if it is None, that is an error.
    """
    from nvs_eval.cli.console import progress, say
    from nvs_eval.evaluation.options import Watch

    return Watch(progress=progress, say=say, warn=lambda message: say(message, style="yellow"), on_refusal=on_refusal)
