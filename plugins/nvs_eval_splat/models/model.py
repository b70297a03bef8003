"""A trained splat: its steps, and what its files say about data and rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nvs_eval_splat.models.parameters import Parameters

Tool = Literal["3dgs", "gsplat", "ply"]


@dataclass(frozen=True)
class Training:
    """Training of a model according to its files; None where they say nothing.

    Attributes:
        convention: name of the convention of the rasteriser.
        data: folder of the data.
        images: name of the folder of images, such as `images_4`.
        resolution: INRIA's `-r`: a divisor (1, 2, 4, 8), a width, or -1 for at most 1600 pixels in width.
        factor: divisor of the images of gsplat's trainer.
        hold: every n-th view is held out; 0 if none is.
        background: colour behind the Gaussians.
        antialiased: whether the rasteriser compensates the opacity for the low-pass filter.
        low_pass: variance of the low-pass filter in pixels.
        near: near plane.
        normalised: whether the trainer moved the cameras to a frame of its own.
    """

    convention: str | None = None
    data: Path | None = None
    images: str | None = None
    resolution: int | None = None
    factor: int | None = None
    hold: int | None = None
    background: tuple[float, float, float] | None = None
    antialiased: bool | None = None
    low_pass: float | None = None
    near: float | None = None
    normalised: bool | None = None


@dataclass(frozen=True)
class Model:
    """A trained splat.

    Attributes:
        path: its folder, or its file.
        tool: tool whose layout it has.
        files: files of each step, in ascending order; the step is None if nothing names it.
        read: reads the parameters of the files of a step.
        training: what its files say about its training.
        configuration: files that say it, for the record's hash.
        notes: sentences for the user, on parts of the model that are not applied.
    """

    path: Path
    tool: Tool
    files: Mapping[int | None, Sequence[Path]]
    read: Callable[[Sequence[Path]], Parameters]
    training: Training
    configuration: Sequence[Path] = ()
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Name of the folder or file."""
        return self.path.resolve().stem if self.path.suffix == ".ply" else self.path.resolve().name
