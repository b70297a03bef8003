"""A source for each step of a splat, which renders the views: `nvs-eval run --load-config MODEL`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from nvs_eval.diagnostics.inspection.export import CAUSE, EXPORT, REPRODUCES, verdict
from nvs_eval.errors import InputError, counted, listed, some
from nvs_eval.records.result_id import ResultId, selection_of, sha256_of_lines
from nvs_eval.sources.matching import choose_views
from nvs_eval.sources.views import FailedView, Render, View
from nvs_eval.system.devices import peak_memory
from nvs_eval.system.hashes import remembered_sha256
from nvs_eval_splat.cameras.find import open_scene
from nvs_eval_splat.cameras.frames import DATA_FRAME
from nvs_eval_splat.cameras.scene import Scene, Shot
from nvs_eval_splat.choice import rasteriser_for
from nvs_eval_splat.frame_check import fitting_frame
from nvs_eval_splat.models.find import EXPECTED, knows, open_model
from nvs_eval_splat.models.model import Model
from nvs_eval_splat.models.parameters import activated
from nvs_eval_splat.names import result_of
from nvs_eval_splat.own_renders import apart, cause_of, own_renders, read_own
from nvs_eval_splat.rendering import render
from nvs_eval_splat.settings import Settings, settings_of

__all__ = ["EXPECTED", "OPTIONS", "SplatCheckpoint", "knows", "open_run"]

OPTIONS = ("convention", "background", "antialiased", "hold", "images", "frame", "own_renders")
_OWN_PROTOCOLS = {"3dgs": "inria-3dgs", "gsplat": "gsplat"}


def open_run(
    path: Path,
    *,
    steps: Literal["last", "all"] | Sequence[int],
    split: Literal["test", "val", "train"],
    views: Sequence[str],
    every: int,
    data: Path | None,
    device: torch.device,
    eval_num_rays_per_chunk: int | None,
    trust: bool,
    warn: Callable[[str], None],
    convention: str,
    background: str | None,
    antialiased: bool,
    hold: int | None,
    images: str | None,
    frame: str,
    own_renders: Path | None,
) -> list[SplatCheckpoint]:
    """Return a source for each chosen step of a splat. No Gaussian is read before it is rendered.

    Args:
        path: folder of a model, a PLY file or a checkpoint.
        steps: steps of the model.
        split: held-out views or training views.
        views: names of views (default: all).
        every: use every n-th of these views.
        data: folder of the data (default: the one that the model names).
        device: device to render on.
        eval_num_rays_per_chunk: must be None, because splats have no rays.
        trust: not used: no file of a splat can run code.
        warn: called with each message for the user.
        convention: name of a convention, or `auto` for the one of the training.
        background: colour behind the Gaussians (default: that of the training).
        antialiased: whether to render antialiased also where the files do not say so.
        hold: hold out the first of every n photographs (default: the rule of the training).
        images: folder of images (default: that of the training).
        frame: frame of the world (`Scene.frames`).
        own_renders: folder of the tool's own renders (default: those beside the model).

    Raises:
        InputError: the model, one of its steps or its data is missing or cannot be read.
    """
    if eval_num_rays_per_chunk is not None:
        raise InputError("`--eval-num-rays-per-chunk` does not apply to splats, which have no rays. Remove it.")
    model = open_model(path)
    settings = settings_of(model, convention=convention, background=background, antialiased=antialiased, device=device)
    scene = open_scene(model, data=data, hold=hold, images=images)
    shots = scene.shots(split, settings.background)
    all_names = [shot.name for shot in shots]
    chosen = [shots[index] for index in choose_views(all_names, wanted=views, every=every)]
    run = Run(model, scene, settings, split, all_names, chosen, frame, own_renders, device, warn)
    for note in (*model.notes, run.description):
        warn(note)
    return [SplatCheckpoint(run, step, tuple(model.files[step])) for step in _chosen(model, steps)]


def _chosen(model: Model, steps: Literal["last", "all"] | Sequence[int]) -> list[int | None]:
    """Return the chosen steps of a model, in ascending order.

    Raises:
        InputError: the model does not have one of them.
    """
    known = list(model.files)
    if isinstance(steps, str):
        return known[-1:] if steps == "last" else known
    if missing := sorted(set(steps) - set(known)):
        have = some([step for step in known if step is not None], 10)
        raise InputError(f"{model.path} has no step {some(missing)}. Its steps: {have or 'none with a number'}.")
    return [step for step in known if step in steps]


@dataclass(frozen=True, eq=False)
class Run:
    """A model, and its views to evaluate.

    Attributes:
        model: the model.
        scene: its data.
        settings: convention and background.
        split: split that the views belong to.
        all_names: names of all views of the split, in the order of the data.
        shots: views to evaluate.
        frame: the user's choice of the frame of the world.
        own: the user's folder of the tool's renders, or None.
        device: device to render on.
        warn: called with each message for the user.
    """

    model: Model
    scene: Scene
    settings: Settings
    split: Literal["test", "val", "train"]
    all_names: Sequence[str]
    shots: Sequence[Shot]
    frame: str
    own: Path | None
    device: torch.device
    warn: Callable[[str], None]

    @property
    def description(self) -> str:
        """Views that are evaluated, and how, in a sentence or two."""
        assumed = [*self.settings.assumed, *(["the held-out views (--hold)"] if self.scene.rule.assumed else [])]
        views = counted(len(self.all_names), f"{self.split} view")
        return (
            f"{self.model.path}: {views} of {self.scene.data}. Held out by {self.scene.rule.words}. References: "
            f"{self.scene.sizing}."
        ) + (f" Assumed, because its files do not say it: {listed(assumed)}." if assumed else "")

    @property
    def doubts(self) -> list[str]:
        """Sentences on views that are not held out."""
        if self.split == "test" and self.scene.rule.trained_on:
            return [
                "Every evaluated view is a training view: the model was trained on all images (eval=False), so the "
                "scores measure how well these are remembered."
            ]
        return []

    @cached_property
    def identity(self) -> dict[str, str]:
        """Hashes that all steps share: of what decides the pixels apart from the model, and of images and cameras."""
        lines = [self.settings.signature, repr(self.settings.convention), f"frame {self.frame}"]
        lines += [f"{path.name} {remembered_sha256(path)}" for path in self.model.configuration]
        if self.frame not in ("auto", "data", "gsplat"):
            lines.append(remembered_sha256(Path(self.frame)))
        data = hashlib.sha256()
        for shot in self.shots:
            camera = shot.pinhole(DATA_FRAME)
            numbers = (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
            parts = (shot.name, remembered_sha256(shot.reference.file), repr(numbers), repr(shot.reference.background))
            data.update("\n".join(parts).encode("utf-8", "surrogatepass") + camera.world_to_camera.tobytes())
        return {"config_sha256": sha256_of_lines(lines), "data_sha256": data.hexdigest()}


@dataclass(eq=False)
class SplatCheckpoint:
    """Views of one step of a splat, each rendered when it is needed.

    Attributes:
        run: the model, and its views.
        step: the step, or None.
        files: its files.
        peak_memory_bytes: peak memory during rendering; None until the views are rendered.
        found: what is known only after rendering: the number of Gaussians, the frame, and the cause of a difference
            from the tool's renders.
    """

    run: Run
    step: int | None
    files: tuple[Path, ...]
    peak_memory_bytes: int | None = field(default=None, init=False)
    found: dict[str, Any] = field(default_factory=dict, init=False)

    masks = None

    @property
    def id(self) -> ResultId:
        """Scene, method, step, split and selection of its views. Another convention is appended to the step."""
        run = self.run
        selection = selection_of(self.names, run.all_names)
        return result_of(
            run.model, run.scene, step=self.step, split=run.split, selection=selection, variant=run.settings.variant
        )

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """SHA-256 of model, configuration and data; the rasteriser; and the bytes of the model."""
        hashes = [remembered_sha256(file) for file in self.files]
        return {
            "checkpoint_sha256": hashes[0] if len(hashes) == 1 else sha256_of_lines(hashes),
            **self.run.identity,
            "rasteriser": self.run.settings.signature,
            "model_bytes": sum(file.stat().st_size for file in self.files),
        }

    @property
    def names(self) -> list[str]:
        """Names of the views."""
        return [shot.name for shot in self.run.shots]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each view, in pixels."""
        return [shot.reference.size for shot in self.run.shots]

    @property
    def doubts(self) -> Sequence[str]:
        """Sentences on evaluated views that are training views."""
        return self.run.doubts

    @property
    def own_protocol(self) -> str | None:
        """Name of the protocol that reproduces the scores of the trainer's own code, or None."""
        return _OWN_PROTOCOLS.get(self.run.model.tool)

    def __len__(self) -> int:
        return len(self.run.shots)

    def render(self, names: Collection[str]) -> Iterator[View | FailedView]:
        """Render some of the views, in their order, after the frame of the model was checked. The first has no time."""
        run = self.run
        parameters = run.model.read(self.files)
        gaussians, dropped = activated(parameters, f"{self.files[0]}")
        if dropped:
            run.warn(f"{self.files[0]}: {counted(dropped, 'Gaussian')} with NaN or infinite parameters not drawn.")
        rasteriser = rasteriser_for(run.device, run.settings.convention, notify=run.warn)
        frame = fitting_frame(parameters, gaussians, run.scene, run.settings, frame=run.frame, warn=run.warn)
        self.found.update({"gaussians": gaussians.count, "frame": frame.words, "rendered_by": rasteriser.name})
        tools = self._tools_renders()
        distances: dict[str, float] = {}
        for place, shot in enumerate(shot for shot in run.shots if shot.name in names):
            camera = shot.pinhole(frame)
            rendered = render(gaussians, camera, run.settings)
            own = {}
            if shot.name in tools:
                image = read_own(tools[shot.name], shot.reference.size)
                own[EXPORT] = distances[shot.name] = apart(rendered.rgb, image)
                if place == 0 and own[EXPORT] < REPRODUCES:
                    self.found[CAUSE] = cause_of(parameters, gaussians, camera, run.settings, image)
            seconds = rendered.seconds if place else None
            yield self._view(shot, Render(rendered.rgb, seconds=seconds, own=own))
        self.peak_memory_bytes = peak_memory(run.device)
        if distances:
            run.warn(f"{self.id}: {verdict([*distances.values()], self.found.get(CAUSE, ''))}.")

    def _view(self, shot: Shot, rendered: Render) -> View | FailedView:
        try:
            return View(shot.name, shot.reference.load(), (rendered,))
        except InputError as error:
            return FailedView(shot.name, {0: error})

    def _tools_renders(self) -> Mapping[str, Path]:
        run = self.run
        if run.settings.variant is not None and run.own is None:
            return {}  # They are of the convention of the training.
        return own_renders(run.scene, run.all_names, step=self.step, split=run.split, folder=run.own, warn=run.warn)
