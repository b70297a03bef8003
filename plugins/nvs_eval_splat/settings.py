"""How a model is rendered: as it was trained, unless the user says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from nvs_eval.system.colours import parse_background
from nvs_eval_splat.conventions import CONVENTIONS, Convention, signature
from nvs_eval_splat.models.model import Model

_BLACK = (0.0, 0.0, 0.0)
_CPU = torch.device("cpu")
_UNKNOWN = "inria"
"""Convention of a file that does not say how it was trained: most have INRIA's format, and its kernel."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the pixels of a render, apart from the model and the camera.

    Attributes:
        convention: the rasteriser that is reproduced.
        background: colour behind the Gaussians.
        variant: name of the convention, if it is not the one of the training.
        assumed: what nothing says, in words.
        device: device that renders, and so chooses the implementation.
    """

    convention: Convention
    background: tuple[float, float, float]
    variant: str | None = None
    assumed: tuple[str, ...] = ()
    device: torch.device = _CPU

    @property
    def signature(self) -> str:
        """Everything that decides the pixels, as a record has it."""
        return signature(self.convention, self.background)


def settings_of(
    model: Model, *, convention: str, background: str | None, antialiased: bool, device: torch.device
) -> Settings:
    """Return the settings for a model.

    Args:
        model: the model.
        convention: name of a convention, or `auto` for the one of the training.
        background: the user's colour, or None for the one of the training.
        antialiased: whether to render antialiased also where the files of the model do not say so.
        device: device that renders.

    Raises:
        InputError: the background is no colour.
    """
    training = model.training
    trained = training.convention or _UNKNOWN
    name = trained if convention == "auto" else convention
    changes = {
        "antialiased": True if antialiased else training.antialiased,
        "low_pass": training.low_pass,
        "near": training.near if name.startswith("gsplat") else None,
    }
    chosen = replace(CONVENTIONS[name], **{key: value for key, value in changes.items() if value is not None})
    colour = training.background or _BLACK if background is None else parse_background(background)
    assumed = []
    if convention == "auto" and training.convention is None:
        assumed.append(f"the rasteriser {_UNKNOWN} (--convention)")
    if background is None and training.background is None:
        assumed.append("a black background (--background)")
    return Settings(chosen, colour, None if name == trained else name, tuple(assumed), device)
