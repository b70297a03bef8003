"""Commands that the fault layer is run over, with their inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import yaml
from support.checkpoints import FakeCheckpoint
from support.faults.process import as_command, command
from support.protocols import LIGHT, protocol_file
from support.scenes import float_image, image, write_images
from support.weights_files import NET, SQUEEZE

NAMES = ("0001", "0002")
SIZE = (16, 16)
_SCORE = ("--protocol", "light.yaml", "cropped.yaml", "--output-dir", "out")
_TWO = ("score", "scene/ours", "scene/theirs", "--reference", "scene/gt")
_SUITE = """\
scenes: [fox, garden, room]
protocol: light.yaml
output_dir: out
methods:
  ours:
    score: suite/ours/{scene}
    reference: suite/gt/{scene}
  theirs:
    score: suite/theirs/{scene}
    reference: suite/gt/{scene}
"""


@dataclass(frozen=True)
class Scenario:
    """A command with its inputs.

    Attributes:
        name: name of the scenario.
        call: the command; returns its exit code.
        make: writes the inputs to the current folder.
        writes: names of the folders and files in the current folder that the command may write.
    """

    name: str
    call: Callable[[], int]
    make: Callable[[], object]
    writes: Sequence[str] = ("out",)

    def prepare(self, folder: Path) -> Path:
        """Write the inputs to a new folder and return it."""
        folder.mkdir(parents=True)
        here = Path.cwd()
        os.chdir(folder)
        try:
            self.make()
        finally:
            os.chdir(here)
        return folder


def _scene() -> None:
    for index, part in enumerate(("gt", "ours", "theirs")):
        write_images(Path("scene", part), {name: image(10 * index + int(name), *SIZE) for name in NAMES})
    for name, crop in (("light", 0), ("cropped", 1)):
        text = {**yaml.safe_load(LIGHT), "name": name, "crop": crop, "metrics": {"psnr": {"data_range": 1}}}
        protocol_file(Path(), yaml.safe_dump(text), f"{name}.yaml")


def _masked() -> None:
    _scene()
    write_images(Path("masks"), {name: torch.ones(*SIZE, 3) for name in NAMES})


def _archived() -> None:
    _scene()
    shutil.make_archive("ours", "zip", "scene/ours")


def _suite() -> None:
    _scene()
    for place, scene in enumerate(("fox", "garden", "room")):
        for index, part in enumerate(("gt", "ours", "theirs")):
            write_images(Path("suite", part, scene), {name: image(40 * place + 10 * index, *SIZE) for name in NAMES})
    Path("suite.yaml").write_text(_SUITE)


def _checkpoints(*steps: int) -> Callable[[], list[FakeCheckpoint]]:
    def make() -> list[FakeCheckpoint]:
        views = {"views": ("a", "cam0/b"), "references": lambda index: float_image(index, 40, 48)}
        return [FakeCheckpoint(step, **views) for step in steps]  # type: ignore[arg-type]

    return make


def _with_checkpoints(args: Sequence[str], make: Callable[[], list[FakeCheckpoint]]) -> Callable[[], int]:
    """Return a call of a command with fake checkpoints instead of those of nerfstudio."""
    run = command(args)

    def call() -> int:
        from nvs_eval.sources import checkpoints

        opened = SimpleNamespace(open_run=lambda path, **options: make())
        checkpoints.find_trainer = lambda path: opened  # type: ignore[assignment,return-value]
        return run()

    return call


def _run_before(*calls: Callable[[], int], make: Callable[[], None] = _scene) -> Callable[[], None]:
    """Return a function that writes the inputs and runs other commands on them."""

    def prepare() -> None:
        from support.faults.process import run_forked

        make()
        for call in calls:
            done = run_forked(call, Path.cwd())
            assert done.code == 0, done.err

    return prepare


_RUN = ("run", "--load-config", "config.yml", "--protocol", "light.yaml", "--output-dir", "out")
_STEPS = _checkpoints(500, 1000, 1500)
_SCORED = command((*_TWO, *_SCORE))
_STAGED = _with_checkpoints((*_RUN, "--steps", "all"), _STEPS)


def _installed() -> None:
    shutil.copy(SQUEEZE, f"{NET}.safetensors")
    os.mkdir("cache")


def _install() -> int:
    os.environ["XDG_CACHE_HOME"] = str(Path("cache").resolve())
    return command(("weights", "--install", f"{NET}.safetensors"))()


def _to_export() -> None:
    _run_before(_SCORED)()
    (record,) = Path("out/scene/ours").rglob("light-*.json")
    os.mkdir("chosen")
    shutil.copy(record, "chosen/record.json")


def _demo_scene() -> None:
    from nvs_eval.cli.demo.scene import write_scene

    write_scene(Path("demo/scenes/still-life"), views=8, width=24, height=18)


_AUDIT = ("audit", *_TWO[1:], *_SCORE, "--log", "tensorboard")
_TABLE = ("table", "out", "--format", "latex", "--output", "made/table.tex")
_EXPORT = ("export", "chosen/record.json", "--as", "ns-eval", "--output", "exported")
_FLOATS = (*_RUN, "--keep-renders", "all")
_SUITE_TABLE = ("suite", "suite.yaml", "--format", "csv", "--output", "table.csv")
_MASKED = (*_TWO[:2], *_TWO[3:], *_SCORE, "--masks", "masks")

SCENARIOS = (
    Scenario("score", _SCORED, _scene),
    Scenario("score-masks", command(_MASKED), _masked),
    Scenario("score-archive", command(("score", "ours.zip", *_TWO[3:], *_SCORE)), _archived),
    Scenario("score-again", _SCORED, _run_before(_SCORED)),
    Scenario("score-overwrite", command((*_TWO, *_SCORE, "--overwrite")), _run_before(_SCORED)),
    Scenario("run", _with_checkpoints(_RUN, _checkpoints(500)), _scene),
    Scenario("run-staged", _STAGED, _scene),
    Scenario("run-floats", _with_checkpoints(_FLOATS, _checkpoints(500)), _scene),
    Scenario("audit", command(_AUDIT), _scene),
    Scenario("suite", command(_SUITE_TABLE), _suite, ("out", "table.csv")),
    Scenario("rescore", command(("rescore", "out", "--protocol", "cropped.yaml")), _run_before(_STAGED)),
    Scenario("table", command(_TABLE), _run_before(_SCORED), ("made",)),
    Scenario("table-again", command(_TABLE), _run_before(_SCORED, command(_TABLE)), ()),
    Scenario("compare", command(("compare", "out", "--protocol", "light")), _run_before(_SCORED), ()),
    Scenario("curve", command(("curve", "out", "--output", "curve.png")), _run_before(_STAGED), ("curve.png",)),
    Scenario("export", command(_EXPORT), _to_export, ("exported",)),
    Scenario("protocols", command(("protocols", "light.yaml")), _scene, ()),
    Scenario("demo-scene", as_command(_demo_scene), lambda: None, ("demo",)),
    *((Scenario("weights", _install, _installed, ("cache",)),) if SQUEEZE.is_file() else ()),
)
"""All scenarios. Those that write nothing must leave everything as it was."""
