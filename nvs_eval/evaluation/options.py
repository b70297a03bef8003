"""Options of scoring, each once: the command line reads them, the Python API fills them, a suite is parsed into them.

A new option of scoring is one field, and its typed argument in `nvs_eval.api.scoring`: a test holds both together.
Nothing here imports torch when it is imported, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluation.scorer import Scorer
    from nvs_eval.images.files import Reading
    from nvs_eval.protocols import Protocol

AUTO = "auto"
"""In the place of a protocol's name: the protocol that the model's own code follows."""
RESULTS = Path("nvs-eval-results")
"""Default output folder."""

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Shows progress: called with a title and a number of steps, gives what to call after each step."""
Refusal = Callable[["Protocol", InputError], None]
"""Called with a protocol that cannot score the views, and why."""


@contextmanager
def _no_progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Callbacks for progress and messages; no-ops by default.

    Attributes:
        command: the command line or function that was called, for the records.
        progress: shows progress.
        say: takes a message.
        warn: takes a warning.
        on_refusal: called with a protocol that cannot score the views (default: that is an error).
    """

    command: tuple[str, ...] = ()
    progress: Progress = _no_progress
    say: Callable[[str], None] = lambda message: None
    warn: Callable[[str], None] = lambda message: None
    on_refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """Options of what is computed, and on which device."""

    protocol: tuple[str, ...] = ("standard",)
    """Protocols that define the scores: names (see `nvs-eval protocols`) or YAML files. Several share the work."""
    colour_correct: Literal["quadratic", "affine"] | None = None
    """Also compute the cc_ scores, of renders with colours fitted to their references (default: no)."""
    precision: Literal["exact", "fast"] | None = None
    """LPIPS precision. `fast` (within 0.5 % + 2e-4 of exact) is a different metric (default: the protocol's)."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1, ..."""
    weights_dir: Path | None = None
    """Folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""
    max_memory: str | None = None
    """Memory for LPIPS beside the images, such as 2GB, 1500MB or 0.5GiB (default: the free memory)."""

    @property
    def masked(self) -> bool:
        """Whether masks are asked for."""
        return False

    def protocols(self, *, auto: str | None = None) -> list[Protocol]:
        """Load the protocols, each once.

        Args:
            auto: name of the protocol that `auto` stands for, if known.

        Raises:
            InputError: a protocol is unknown, there are masks and it has no meaning for them, or `max_memory` is wrong.
        """
        from nvs_eval.evaluation.prepare import check_masks
        from nvs_eval.protocols import load_protocol

        if not self.protocol:
            raise InputError("No protocol was named: say `--protocol standard`, or leave the option out.")
        _ = self.memory_limit  # A wrong amount is refused here, also where nothing is left to score.
        if AUTO in self.protocol and auto is None:
            raise not_known("here")
        protocols = [load_protocol(auto if auto and name == AUTO else name) for name in self.protocol]
        if self.colour_correct is not None:
            protocols = [protocol.colour_corrected(self.colour_correct) for protocol in protocols]
        if self.precision is not None:
            protocols = [protocol.with_precision(self.precision) for protocol in protocols]
        if self.masked:
            for protocol in protocols:
                check_masks(protocol, "There are masks")
        return list({protocol.fingerprint: protocol for protocol in protocols}.values())

    def scorer(self, protocols: Sequence[Protocol]) -> Scorer:
        """Make the scorer, its weights read and verified.

        Raises:
            InputError: the device or the weights are not available.
        """
        from nvs_eval.evaluation.scorer import Scorer
        from nvs_eval.system.devices import find_device

        return Scorer(tuple(protocols), find_device(self.device), self.weights_dir, self.memory_limit)

    @property
    def memory_limit(self) -> int | None:
        """Bytes that LPIPS may take beside the images, or None for what is free.

        Raises:
            InputError: `max_memory` is no amount of memory.
        """
        from nvs_eval.system.devices import parse_memory

        return None if self.max_memory is None else parse_memory(self.max_memory)


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(ProtocolOptions):
    """The options of `score` and `run`."""

    scene: str | None = None
    """Scene name in records and tables (default: taken from the data)."""
    method: tuple[str, ...] = ()
    """Method names in records and tables, one per folder or run, or one for all runs (default: their own)."""
    masks: Path | None = None
    """Folder of masks with the names of the views; white pixels count, as the protocol defines."""
    data_masks: bool = False
    """Use the masks of the data, or those in NerfBaselines' predictions."""
    output_dir: Path | None = RESULTS
    """Folder of records and renders."""
    overwrite: bool = False
    """Repeat results that `run` has finished; replace records that were scored with other masks."""

    @property
    def masked(self) -> bool:
        """Whether masks are asked for.

        Raises:
            InputError: both options ask for masks.
        """
        if self.masks is not None and self.data_masks:
            raise InputError("--masks names masks and --data-masks takes those of the data: give one of the two.")
        return self.masks is not None or self.data_masks


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ScoringOptions):
    """The options of `score`: which images, and how they are read."""

    renders: tuple[Path, ...]
    """Folders, zips or tar.gz of renders; the output of 3DGS, NerfBaselines, gsplat or ns-eval has references."""
    reference: Path | None = None
    """Folder of references, matched to the renders by name (default: those that came with the renders)."""
    background: str | None = None
    """Background of images with alpha: white, black, or r,g,b in [0, 1]. Required for such images."""
    grey_to_rgb: bool = False
    """Repeat the single channel of grey images three times."""
    exr: Literal["linear", "srgb"] | None = None
    """Content of EXR files: linear light (encoded as sRGB before scoring) or display values (`srgb`)."""
    allow_missing: bool = False
    """Score the views that renders and references share, and ignore the others."""

    @property
    def reading(self) -> Reading:
        """How image files are read.

        Raises:
            InputError: the background is no colour.
        """
        from nvs_eval.images.files import Reading

        background = None if self.background is None else parse_background(self.background)
        return Reading(background=background, grey_to_rgb=self.grey_to_rgb, exr=self.exr)


@dataclass(frozen=True, kw_only=True)
class RunOptions(ScoringOptions):
    """The options of `run`: which checkpoints, and which of their views."""

    load_config: tuple[Path, ...]
    """The config.yml of one or more trained runs; checkpoints are found beside it."""
    steps: tuple[str, ...] = ("last",)
    """Checkpoints to evaluate: last, all, or step numbers."""
    split: Literal["test", "train"] = "test"
    """Views to render: held out (`test`) or trained on (`train`)."""
    views: tuple[str, ...] = ()
    """Names of the views to render (default: all)."""
    every: int = 1
    """Use every n-th view."""
    data: Path | None = None
    """Folder of the data, if it was moved (default: where the run recorded it)."""
    eval_num_rays_per_chunk: int | None = None
    """Rays per forward pass; fewer need less memory (default: the run's, on a CPU at most 2048)."""
    keep_renders: Literal["all", "png", "none"] = "png"
    """Renders to keep: float32 .npy (`all`), 8-bit .png (`png`) or none."""

    @property
    def chosen_steps(self) -> Literal["last", "all"] | list[int]:
        """The steps, parsed.

        Raises:
            InputError: they are neither `last`, `all` nor numbers.
        """
        match self.steps:
            case ("last",):
                return "last"
            case ("all",):
                return "all"
        try:
            return [int(word) for word in self.steps]
        except ValueError:
            raise InputError(f"--steps is {' '.join(self.steps)!r}, and last, all, or numbers are needed.") from None


@dataclass(frozen=True, kw_only=True)
class AuditOptions(RunOptions, ScoreOptions):
    """The options of `audit`: those of `score`, or with `load_config` those of `run`."""

    renders: tuple[Path, ...] = ()
    """Folders of renders, as for `score`."""
    load_config: tuple[Path, ...] = ()
    """The config.yml of trained runs, as for `run`."""
    protocol: tuple[str, ...] = ()
    """Protocols: names or YAML files (default: all named protocols that can score these renders)."""


@dataclass(frozen=True, kw_only=True)
class RescoreOptions(ProtocolOptions):
    """The options of `rescore`."""

    records: tuple[str, ...]
    """Records, folders or patterns. Among several records of one result, the first usable one is scored."""
    output_dir: Path | None = None
    """Folder of the new records (default: beside the old ones)."""
    overwrite: bool = False
    """Score again even if a record exists."""


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """The options of `suite`: what is evaluated of a suite file, and what stands above its own options."""

    file: Path
    """YAML file of methods, scenes and their paths (docs/suites.md)."""
    only: tuple[str, ...] = ()
    """Methods and scenes to evaluate; the tables still show everything that has records (default: all)."""
    output_dir: Path | None = None
    """Folder of records and renders (default: the file's)."""
    device: str | None = None
    """Device: auto, cpu, cuda, cuda:1, ... (default: the file's)."""
    precision: Literal["exact", "fast"] | None = None
    """LPIPS precision, exact or fast (default: the file's)."""
    max_memory: str | None = None
    """Memory for LPIPS beside the images, such as 2GB (default: the file's)."""
    overwrite: bool = False
    """Render and score finished work again. (`--output` is replaced in any case.)"""


def not_known(where: str) -> InputError:
    """Make the error that `--protocol auto` stands for nothing, `here` or `of` a checkpoint."""
    return InputError(
        f"`--protocol {AUTO}` stands for what the model's own code says, and that is not known {where}: only of "
        "nerfstudio's own models in `nvs-eval run`. Name a protocol: `nvs-eval protocols` lists them."
    )


def parse_background(colour: str | Sequence[float]) -> tuple[float, float, float]:
    """Parse a colour: white, black, or three numbers in [0, 1], in a text with commas between them.

    Raises:
        InputError: it is no colour.
    """
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
    if isinstance(colour, str) and colour in named:
        return named[colour]
    try:
        red, green, blue = (float(part) for part in (colour.split(",") if isinstance(colour, str) else colour))
    except ValueError:
        red = green = blue = -1.0
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise InputError(f"The background is {colour!r}, and white, black, or r,g,b with each in [0, 1] is needed.")
    return red, green, blue
