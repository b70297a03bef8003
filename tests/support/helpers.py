"""What several test files need: small images, records made by hand, checkpoints without nerfstudio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nvs_eval.evaluation.evaluate import Session
from nvs_eval.evaluation.render_store import Keep
from nvs_eval.evaluation.rendering import Evaluation, plan_renders
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_png
from nvs_eval.protocols.protocol import Protocol, parse_protocol
from nvs_eval.records.record import MetricInfo, Record, ViewRow, record_file, write_record
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import list_images
from nvs_eval.sources.views import Column, Render, View

WIDTH, HEIGHT = 48, 40
NAMES = ("0001", "0002")

# PSNR and SSIM need no weights, so that these protocols do for nearly everything around the numbers.
LIGHT = """\
name: light
alpha: composite
colour_correction: none
out_of_range: error
quantise: {render: round, reference: round, mask: none}
region: full
crop: 0
mask: valid-pixels
metrics:
  psnr: {data_range: 1}
  ssim: {kernel: valid, data_range: 1}
round_means: null
"""
FLOAT = (
    LIGHT.replace("name: light", "name: float")
    .replace("{render: round, reference: round, mask: none}", "{render: none, reference: none, mask: none}")
    .replace("kernel: valid, data_range: 1", "kernel: reflect, data_range: pair")
)

# A protocol that quantises its renders, as PNGs do, and takes its references as they are.
HALF = LIGHT.replace("name: light", "name: half").replace("reference: round", "reference: none")


# It does not look at masks.
IGNORING = LIGHT.replace("name: light", "name: ignoring").replace("mask: valid-pixels", "mask: ignored")
# It has no meaning for them.
UNMASKED = LIGHT.replace("name: light", "name: unmasked").replace("mask: valid-pixels", "mask: none")


def protocol_of(text: str) -> Protocol:
    import yaml

    return parse_protocol(yaml.safe_load(text))


def protocol_file(folder: Path, text: str = LIGHT, name: str = "light.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def float_image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise in [0, 1] between the levels of 8 bits."""
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Noise that an 8-bit file keeps exactly."""
    return (float_image(seed, height, width) * 255).round() / 255


def flat(level: int) -> Tensor:
    """An image of one grey, of which every score has a closed form."""
    return torch.full((HEIGHT, WIDTH, 3), level / 255)


def fill(folder: Path, levels: Sequence[int]) -> None:
    """A folder of two images of one grey each."""
    for name, level in zip(NAMES, levels, strict=True):
        save_png(folder / f"{name}.png", flat(level))


def write_masks(folder: Path, coverage: dict[str, float], *, weight: float = 1.0) -> Path:
    """A folder of masks: of each view the right part of this width counts, with this weight."""
    for name, share in coverage.items():
        mask = torch.zeros(HEIGHT, WIDTH, 3)
        mask[:, WIDTH - round(WIDTH * share) :] = weight
        save_png(folder / f"{name}.png", mask)
    return folder


def masks_in(folder: Path, coverage: dict[str, float], *, binary: bool = False) -> Masks:
    """The same, as a checkpoint has them."""
    return Masks(list_images(write_masks(folder, coverage)), binary)


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def write_pngs(folder: Path, seeds: dict[str, int]) -> Path:
    """A folder of one PNG of noise a name."""
    for name, seed in seeds.items():
        save_png(folder / f"{name}.png", image(seed))
    return folder


def files_below(folder: Path) -> list[str]:
    """The files below a folder by their paths, hidden ones included; empty folders end in a slash."""
    return sorted(
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    )


def row(name: str = "0001", **scores: float) -> ViewRow:
    return ViewRow(
        name=name,
        width=WIDTH,
        height=HEIGHT,
        scores=scores or {"psnr": 28.25, "ssim": 0.875},
        render_seconds=None,
        render=None,
        reference=None,
        reference_sha256="0" * 64,
        coverage=None,
    )


INFO = {
    "psnr": MetricInfo("dB", True, "psnr|range:1|q:round8|v1"),
    "ssim": MetricInfo("", True, "ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|v1"),
    "lpips_alex": MetricInfo("", False, "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:round8|v1"),
}


def record(views: Sequence[ViewRow] = (row(),), **changes: Any) -> Record:
    values: dict[str, Any] = {
        "scene": "fox",
        "method": "nerfacto",
        "run": None,
        "step": None,
        "split": "test",
        "protocol": {"name": "standard", "definition": {"round_means": None}, "fingerprint": "9f2c51ab"},
        "metrics": {name: INFO[name] for name in views[0].scores},
        "views": list(views),
        "provenance": {"nvs_eval": "0.1.0"},
    }
    return Record(**{**values, **changes})


@dataclass(eq=False)
class FakeCheckpoint:
    """A checkpoint whose renders are noise: what a plugin would offer, without anything trained.

    Attributes:
        step: of the checkpoint; also the seed of its renders.
        views: their names.
        references: makes the reference of the view at an index.
        renders: makes the render of the view at an index.
        on_view: is told each index before its view is rendered: to interrupt, for example.
        masks: that came with the data.
        own_protocol: of the model, as `--protocol auto` takes it.
        rendered: the names of the views rendered so far, over all iterations.
    """

    step: int
    views: Sequence[str] = ("a", "cam0/b", "c")
    references: Callable[[int], Tensor] = image
    renders: Callable[[int], Tensor] | None = None
    on_view: Callable[[int], None] = lambda index: None
    scene: str = "fox"
    method: str = "fake"
    masks: Masks | None = None
    own_protocol: str | None = None
    identity: dict[str, str] = field(default_factory=dict)
    rendered: list[str] = field(default_factory=list)

    split: str = "test"

    def __post_init__(self) -> None:
        known = {"checkpoint_sha256": f"checkpoint {self.step}", "config_sha256": "config", "data_sha256": "data"}
        provenance = {**known, **self.identity}
        self.columns = (Column(self.scene, self.method, "base", self.step, self.split, provenance),)

    @property
    def names(self) -> Sequence[str]:
        return self.views

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        return [(WIDTH, HEIGHT)] * len(self.views)

    def __len__(self) -> int:
        return len(self.views)

    def __iter__(self) -> Iterator[View]:
        for index, name in enumerate(self.views):
            self.on_view(index)
            render = self.renders(index) if self.renders else float_image(1000 * self.step + index)
            # The first render warms up, and its time is not known.
            seconds = float(index) if index else None
            self.rendered.append(name)
            yield View(name, self.references(index), (Render(render, seconds=seconds),))
        self.columns[0].provenance["peak_memory_bytes"] = 12345


class Opener(NamedTuple):
    """Stands in for the plugin: what it was asked for, and the checkpoints it gives.

    Attributes:
        asked: the path and options of each call.
        given: to every path that has none of its own.
        of: by path.
    """

    asked: list[dict[str, Any]]
    given: list[FakeCheckpoint]
    of: dict[str, list[FakeCheckpoint]]

    def __call__(self, path: Path, **options: Any) -> list[FakeCheckpoint]:
        self.asked.append({"path": path, **options})
        return self.of.get(str(path), self.given)

    @property
    def rendered(self) -> list[str]:
        """All views that were rendered."""
        every = [*self.given, *(checkpoint for checkpoints in self.of.values() for checkpoint in checkpoints)]
        return [name for checkpoint in every for name in checkpoint.rendered]


@contextmanager
def no_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def evaluate_checkpoints(
    checkpoints: Sequence[FakeCheckpoint], output_dir: Path, *protocols: str, keep: Keep = "png"
) -> list[Record]:
    """What `nvs-eval run` does with checkpoints that have no records yet; the records are written, too."""

    def write(records: Sequence[Record]) -> None:
        for each in records:
            write_record(record_file(each, output_dir), each)

    scorer = Scorer([protocol_of(text) for text in protocols], torch.device("cpu"))
    plan = plan_renders(checkpoints, scorer.protocols, keep)
    return Evaluation(scorer, Session(output_dir), plan, no_progress, write).run(checkpoints)


def rows(records: Sequence[Record], step: int) -> list[list[dict[str, Any]]]:
    """What the records of one step say of each view, their paths excepted."""
    paths = {"render": None, "reference": None}
    return [[{**asdict(row), **paths} for row in record.views] for record in records if record.step == step]
