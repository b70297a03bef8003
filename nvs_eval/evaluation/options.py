"""Options of the commands that score. The command line, the Python API and suite files all fill these dataclasses.

To add an option, add a field here and a typed argument in `nvs_eval.api.scoring`; a test compares the two. Importing
this module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError, quoted
from nvs_eval.system.colours import parse_background

if TYPE_CHECKING:
    from nvs_eval.evaluation.scorer import Scorer
    from nvs_eval.images.files import Reading
    from nvs_eval.protocols import Protocol
    from nvs_eval.sources.matching import Matching

AUTO = "auto"
"""Value of `protocol` that selects the protocol of the model's own code."""
RESULTS = Path("nvs-eval-results")
"""Default output folder."""


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
    """Folder to search first for backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""
    max_memory: str | None = None
    """Memory for LPIPS and DISTS besides the images, such as 2GB, 1500MB or 0.5GiB (default: the free memory)."""
    rehash: bool = False
    """Read all files again, also those whose size and dates have not changed since they were read."""

    @property
    def masked(self) -> bool:
        """Whether to score with masks."""
        return False

    def protocols(self, *, auto: str | None = None) -> list[Protocol]:
        """Load the protocols, without duplicates.

        Args:
            auto: name of the protocol that `auto` selects, if known.

        Raises:
            InputError: A protocol is unknown or does not support the masks, or `max_memory` is invalid.
        """
        from nvs_eval.evaluation.prepare import check_masks
        from nvs_eval.protocols import load_protocol

        if not self.protocol:
            raise InputError("At least one protocol is required. Got none. Omit `--protocol` to use standard.")
        _ = self.memory_limit  # Refuse an invalid amount even if there is nothing left to score.
        if AUTO in self.protocol and auto is None:
            raise not_known("here")
        protocols = [load_protocol(auto if auto and name == AUTO else name) for name in self.protocol]
        if self.colour_correct is not None:
            protocols = [protocol.colour_corrected(self.colour_correct) for protocol in protocols]
        if self.precision is not None:
            protocols = [protocol.with_precision(self.precision) for protocol in protocols]
        if self.masked:
            for protocol in protocols:
                check_masks(protocol, "Masks were given")
        return list({protocol.fingerprint: protocol for protocol in protocols}.values())

    def scorer(self, protocols: Sequence[Protocol]) -> Scorer:
        """Create the scorer, with its weights loaded and verified.

        Raises:
            InputError: The device or the weights are not available.
        """
        from nvs_eval.evaluation.scorer import Scorer
        from nvs_eval.system.devices import find_device

        return Scorer(tuple(protocols), find_device(self.device), self.weights_dir, self.memory_limit)

    @property
    def memory_limit(self) -> int | None:
        """Memory for LPIPS and DISTS in addition to the images, in bytes; None for what is free.

        Raises:
            InputError: `max_memory` is not an amount of memory.
        """
        from nvs_eval.system.devices import parse_memory

        return None if self.max_memory is None else parse_memory(self.max_memory)


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(ProtocolOptions):
    """Options shared by `score` and `run`."""

    scene: str | None = None
    """Scene name in records and tables (default: taken from the data)."""
    method: tuple[str, ...] = ()
    """Method names in records and tables: one for all folders or runs, or one for each (default: their own)."""
    views: tuple[str, ...] = ()
    """Names of the views to score (default: all)."""
    every: int = 1
    """Use every n-th view."""
    masks: Path | None = None
    """Folder of masks with the names of the views, or one mask for all views; white pixels count."""
    data_masks: bool = False
    """Use the masks of the data, or those in NerfBaselines' predictions."""
    output_dir: Path | None = RESULTS
    """Folder of records and renders."""
    overwrite: bool = False
    """Compute again and replace the record of each result, whatever it was scored on."""

    @property
    def masked(self) -> bool:
        """Whether to score with masks.

        Raises:
            InputError: Both `masks` and `data_masks` are set.
        """
        if self.masks is not None and self.data_masks:
            raise InputError("--masks and --data-masks cannot be combined. Give one of the two.")
        return self.masks is not None or self.data_masks


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ScoringOptions):
    """Options of `score`: images, and how to read them."""

    renders: tuple[Path, ...]
    """Folders or archives of renders; the output of many tools includes references (docs/folders.md)."""
    reference: Path | None = None
    """Folder of references, matched to the renders by name (default: those that came with the renders)."""
    match: Literal["name", "order"] = "name"
    """Match renders and references by name, or pair them in the order of their names (frame_2 before frame_10)."""
    renders_glob: tuple[str, ...] = ()
    """Patterns of the renders' files, such as '*_rgb.png' (`*` is the view's name) or '!*_depth.png' (not these)."""
    reference_glob: tuple[str, ...] = ()
    """Patterns of the references' files, as for --renders-glob."""
    background: str | None = None
    """Background of images with alpha: white, black, or r,g,b in [0, 1]. Required for such images."""
    grey_to_rgb: bool = False
    """Repeat the single channel of grey images three times."""
    exr: Literal["linear", "srgb"] | None = None
    """Content of EXR, HDR, PFM and float TIFF: linear light (encoded as sRGB) or display values (`srgb`)."""
    exr_layer: str | None = None
    """Layer, part or view to read from EXR files that have several."""
    ignore_colour_tags: bool = False
    """Score the stored values of images whose ICC profile, gAMA, cICP or chromaticities are not sRGB."""
    ignore_orientation: bool = False
    """Accept renders and masks whose EXIF orientation differs from their reference's."""
    max_pixels: int | None = None
    """Largest number of pixels of an image file (default: what fits into the free memory)."""
    allow_missing: bool = False
    """Score the views that renders and references share, and leave out others, and scenes and steps that have none."""

    @property
    def reading(self) -> Reading:
        """How to read image files.

        Raises:
            InputError: `background` is not a colour.
        """
        from nvs_eval.images.files import Reading

        background = None if self.background is None else parse_background(self.background)
        return Reading(
            background=background,
            grey_to_rgb=self.grey_to_rgb,
            exr=self.exr,
            exr_layer=self.exr_layer,
            ignore_colour_tags=self.ignore_colour_tags,
            ignore_orientation=self.ignore_orientation,
            max_pixels=self.max_pixels,
        )

    @property
    def matching(self) -> Matching:
        """Which files are views, how renders and references are matched, and which views are scored."""
        from nvs_eval.sources.matching import Matching

        return Matching(self.match, self.renders_glob, self.reference_glob, self.views, self.every)


@dataclass(frozen=True, kw_only=True)
class SplatOptions:
    """Options of rendering splats, for the sources that name them in their `OPTIONS`."""

    convention: Literal["auto", "inria", "gsplat-1.4", "gsplat-1.5", "gsplat-main"] = "auto"
    """Splats: rasteriser whose pixels are reproduced (default: the one of the training)."""
    background: str | None = None
    """Background: white, black, or r,g,b in [0, 1] (default: that of the training, or black)."""
    antialiased: bool = False
    """Splats: render antialiased, also where the files of the model do not say that it was trained so."""
    hold: int | None = None
    """Splats: hold out the first of every n photographs by name (default: the rule of the training)."""
    images: str | None = None
    """Splats: folder of images below that of the data, such as images_4 (default: that of the training)."""
    frame: str = "auto"
    """Splats: frame of the world: data, gsplat, or nerfstudio's dataparser_transforms.json (default: by the model)."""
    own_renders: Path | None = None
    """Splats: folder of the tool's own renders of the views, to compare (default: those beside the model)."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(SplatOptions, ScoringOptions):
    """Options of `run`: checkpoints and views."""

    load_config: tuple[Path, ...]
    """The config.yml of nerfstudio runs, or splats: folders of models, .ply files or checkpoints."""
    steps: tuple[str, ...] = ("last",)
    """Checkpoints to evaluate: last, all, or step numbers."""
    split: Literal["test", "val", "train"] = "test"
    """Views to render: held out (`test`, or `val` where the data has both) or trained on (`train`)."""
    data: Path | None = None
    """Folder of the data, if it was moved (default: where the run recorded it)."""
    eval_num_rays_per_chunk: int | None = None
    """Rays per forward pass; fewer need less memory (default: the run's, on a CPU at most 2048)."""
    keep_renders: Literal["all", "png", "none"] = "png"
    """Renders to keep: float32 .npy (`all`), 8-bit .png (`png`) or none."""
    trust: bool = False
    """Trust the authors of the runs, and all files of them: reading these may then run any code, as in nerfstudio."""

    @property
    def chosen_steps(self) -> Literal["last", "all"] | list[int]:
        """Parsed steps.

        Raises:
            InputError: They are not `last`, `all` or numbers.
        """
        match self.steps:
            case ("last",):
                return "last"
            case ("all",):
                return "all"
        try:
            return [int(word) for word in self.steps]
        except ValueError:
            raise InputError(
                f"--steps must be last, all or step numbers. Got {quoted(' '.join(self.steps))}."
            ) from None


@dataclass(frozen=True, kw_only=True)
class AuditOptions(RunOptions, ScoreOptions):
    """Options of `audit`: those of `score`, or with `load_config` those of `run`."""

    renders: tuple[Path, ...] = ()
    """Folders of renders, as for `score`."""
    load_config: tuple[Path, ...] = ()
    """Trained runs, as for `run`."""
    background: str | None = None
    """Background of images with alpha, or of splats: white, black, or r,g,b in [0, 1]."""
    protocol: tuple[str, ...] = ()
    """Protocols: names or YAML files (default: all named protocols that can score these renders)."""


@dataclass(frozen=True, kw_only=True)
class IdentifyOptions(ScoreOptions):
    """Options of `identify`: those of `score` that are not about records, and the numbers."""

    numbers: Path
    """Numbers of a tool for these renders: its JSON, or a CSV with a column for each metric."""
    protocol: tuple[str, ...] = ()
    """Protocols to compare: names or YAML files (default: all named protocols that can score these renders)."""
    output_dir: Path | None = None
    """No record is written."""


@dataclass(frozen=True, kw_only=True)
class RescoreOptions(ProtocolOptions):
    """Options of `rescore`."""

    records: tuple[str, ...]
    """Records, folders or patterns. Among several records of one result, the first usable one is scored."""
    output_dir: Path | None = None
    """Folder of the new records (default: beside the old ones)."""
    overwrite: bool = False
    """Compute again and replace the record of each result, whatever it was scored on."""


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """Options of `suite`: the file, the part of it to evaluate, and values that override those of the file."""

    file: Path
    """YAML file of methods, scenes and their paths (docs/suites.md)."""
    only: tuple[str, ...] = ()
    """Methods and scenes to evaluate; the tables still show everything that has records (default: all)."""
    shard: str | None = None
    """Part of the work, such as 2/4; each method on a scene is in one of the four parts (default: all)."""
    output_dir: Path | None = None
    """Folder of records and renders (default: the file's)."""
    device: str | None = None
    """Device: auto, cpu, cuda, cuda:1, ... (default: the file's)."""
    precision: Literal["exact", "fast"] | None = None
    """LPIPS precision, exact or fast (default: the file's)."""
    max_memory: str | None = None
    """Memory for LPIPS and DISTS in addition to the images, such as 2GB (default: the file's)."""
    rehash: bool = False
    """Read all files again, also those whose size and dates have not changed since they were read."""
    overwrite: bool = False
    """Compute again and replace the record of each result, whatever it was scored on."""
    trust: bool = False
    """Trust the authors of the file's runs: their data may then run code (see `nvs-eval run --help`)."""


def not_known(where: str) -> InputError:
    """Return the error that `--protocol auto` is not available, either "here" or "for" a checkpoint."""
    return InputError(
        f"`--protocol {AUTO}` selects the protocol of the model's own code, which is unknown {where}. It is known only "
        "for nerfstudio's own models in `nvs-eval run`. Name a protocol: `nvs-eval protocols` lists them."
    )
