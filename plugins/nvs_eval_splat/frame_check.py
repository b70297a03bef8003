"""Check, before a run, that a model and the cameras of its data are in one frame of the world.

Some training views are rendered small. A model in its own frame fits them; one in another frame shows something else,
or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from nvs_eval.errors import InputError, counted
from nvs_eval_splat.cameras.camera import GL_TO_CV
from nvs_eval_splat.cameras.frames import DATA_FRAME, Frame
from nvs_eval_splat.cameras.scene import Scene, Shot
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.models.parameters import Parameters, activated
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.rendering import render
from nvs_eval_splat.settings import Settings

VIEWS = 3
LEAST_PSNR = 12.0
LEAST_OPAQUE = 0.2
_LONGEST = 200
"""Longer side of a small render in pixels."""
_CLEARLY = 3.0
"""Gain in dB that makes another frame or activation the likely cause."""


@dataclass(frozen=True)
class Fit:
    """How a model fits the training views.

    Attributes:
        psnr: PSNR of each small render in dB.
        opaque: share of the pixels with alpha above 0.5.
    """

    psnr: Sequence[float]
    opaque: float

    @property
    def mean(self) -> float:
        """Mean PSNR."""
        return fmean(self.psnr)

    def __str__(self) -> str:
        values = ", ".join(f"{value:.1f}" for value in self.psnr)
        return f"{values} dB, {self.opaque:.0%} of the pixels opaque"


@dataclass(frozen=True)
class _Small:
    shot: Shot
    reference: Float[Tensor, "h w 3"]

    def pinhole(self, frame: Frame) -> Pinhole:
        camera = self.shot.pinhole(frame)
        height, width = self.reference.shape[:2]
        x, y = width / camera.width, height / camera.height
        return replace(
            camera, width=width, height=height, fx=camera.fx * x, fy=camera.fy * y, cx=camera.cx * x, cy=camera.cy * y
        )


def _small(shot: Shot) -> _Small:
    image = shot.reference.load()
    scale = min(1.0, _LONGEST / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return _Small(shot, adaptive_avg_pool2d(image.permute(2, 0, 1), (height, width)).permute(1, 2, 0))


def fitting_frame(
    parameters: Parameters,
    gaussians: Gaussians,
    scene: Scene,
    settings: Settings,
    *,
    frame: str,
    warn: Callable[[str], None],
) -> Frame:
    """Return the frame of a model: of the possible ones, the one that fits some training views best.

    Args:
        parameters: parameters before activation, with which other activations are tried.
        gaussians: the same, activated.
        scene: data of the model.
        settings: convention and background.
        frame: the user's choice (`Scene.frames`).
        warn: called if the check is skipped.

    Raises:
        InputError: no frame fits. The message has the likely cause and the option that mends it.
    """
    frames = scene.frames(frame)
    reason = "there are no training images"
    try:
        views = [_small(shot) for shot in scene.some_training(VIEWS, settings.background)]
    except InputError as error:
        views, reason = [], str(error)
    if not views:
        warn(f"{scene.model.path}: the frame of the model was not checked: {reason}.")
        return frames[0]
    trials = _Trials(scene, settings, views)
    best, chosen = max(((trials.fit(gaussians, one), one) for one in frames), key=lambda item: item[0].mean)
    if not trials.is_good(best):
        cause = trials.cause(parameters, gaussians, chosen, best)
        raise InputError(
            f"{scene.model.path} does not fit {counted(len(views), 'training view')} of {scene.data}, rendered small "
            f"in {chosen.words}: {best}. {cause}"
        )
    return chosen


@dataclass(frozen=True)
class _Trials:
    """Trials of a model in some training views."""

    scene: Scene
    settings: Settings
    views: Sequence[_Small]

    def fit(self, gaussians: Gaussians, frame: Frame) -> Fit:
        """Render the views in a frame."""
        psnr, opaque = [], []
        for view in self.views:
            rendered = render(gaussians, view.pinhole(frame), self.settings)
            psnr.append(psnr_of(rendered.rgb, view.reference))
            opaque.append((rendered.alpha > 0.5).float().mean().item())
        return Fit(psnr, fmean(opaque))

    def is_good(self, fit: Fit) -> bool:
        """Return whether the model may be in the frame. Objects of Blender scenes may cover less than others."""
        bad = sum(value < LEAST_PSNR for value in fit.psnr)
        return 3 * bad < 2 * len(fit.psnr) and (fit.opaque >= LEAST_OPAQUE or self.scene.kind == "blender")

    def cause(self, parameters: Parameters, gaussians: Gaussians, frame: Frame, best: Fit) -> str:
        """Return the likely cause of a bad fit, with the option that mends it."""
        others = _alternatives(parameters, gaussians, self.scene, frame)
        fit, words = max(((self.fit(one, where), words) for one, where, words in others), key=lambda item: item[0].mean)
        if fit.mean > best.mean + _CLEARLY and self.is_good(fit):
            return f"{words} ({fit.mean:.1f} dB)."
        return (
            "Likely causes: the data is of another scene (--data), or the model is in a normalised frame, as gsplat "
            "(`--frame gsplat`) and nerfstudio (`--frame dataparser_transforms.json` of the run) export it."
        )


def psnr_of(image: Float[Tensor, "h w 3"], other: Float[Tensor, "h w 3"]) -> float:
    """Return the PSNR of two images of values in [0, 1] in dB; infinite if they are equal."""
    error = torch.mean((image.double() - other.double()) ** 2).item()
    return math.inf if error == 0 else -10 * math.log10(error)


# --- Causes -----------------------------------------------------------------------------------------------------------


def _alternatives(
    parameters: Parameters, gaussians: Gaussians, scene: Scene, frame: Frame
) -> Iterator[tuple[Gaussians, Frame, str]]:
    """Yield other frames and activations, with the sentence for the user where they fit."""
    yield gaussians, DATA_FRAME, "In the frame of the data it fits: pass `--frame data`"
    if scene.sparse is not None:
        for one in scene.gsplat_frames():
            yield gaussians, one, "In gsplat's normalised frame it fits: pass `--frame gsplat`"
    words = (
        "With OpenGL's camera axes it fits: the poses of the data have other axes than their format says. Flip the y "
        "and z axes of each camera in the data"
    )
    yield gaussians, _WithAxes(frame.words, frame.matrix), words
    for words, other in other_activations(parameters):
        yield other, frame, f"With another activation it fits: {words}. Export the model again with INRIA's"


class _WithAxes(Frame):
    """A frame in which the cameras' axes are OpenGL's."""

    def moved(self, pose: np.ndarray) -> np.ndarray:
        return self.matrix @ pose @ GL_TO_CV


def other_activations(parameters: Parameters) -> Iterator[tuple[str, Gaussians]]:
    """Yield a model with activations of other trainers, in words, as far as their values make sense."""
    plain = activated(parameters, "the model").gaussians
    keep = np.isfinite(parameters.means).all(axis=1)
    if keep.sum() != plain.count:
        return
    raw, scales = parameters.opacities[keep], parameters.scales[keep]
    opacities = {
        "opacity looks like |x| instead of sigmoid": np.abs(raw),
        "opacity looks as if it were stored activated": raw,
    }
    for words, values in opacities.items():
        if np.isfinite(values).all():
            yield words, replace(plain, opacities=np.clip(values, 0, 1).astype(np.float32))
    if np.isfinite(scales).all() and (scales > 0).mean() > 0.9:
        yield "scales look as if they were stored activated", replace(plain, scales=np.abs(scales).astype(np.float32))
    turned = np.roll(plain.rotations, 1, axis=1)
    yield "quaternions look as if their order were x, y, z, w", replace(plain, rotations=np.ascontiguousarray(turned))
