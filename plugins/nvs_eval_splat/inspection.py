"""Held-out views of a splat, read from its files and its data. No Gaussian is read, and nothing is rendered."""

from __future__ import annotations

from pathlib import Path

import torch

from nvs_eval.diagnostics.inspection import DataView, RunData
from nvs_eval_splat.cameras.camera import Photograph
from nvs_eval_splat.cameras.find import open_scene
from nvs_eval_splat.models.find import EXPECTED, knows, open_model
from nvs_eval_splat.settings import settings_of

__all__ = ["EXPECTED", "inspect_run", "knows"]

_READERS = {
    "colmap": "COLMAP's sparse model",
    "blender": "transforms of a Blender scene",
    "nerfstudio": "nerfstudio's transforms.json",
    "cameras.json": "the cameras.json of the model",
}


def inspect_run(path: Path, *, data: Path | None, trust: bool = False) -> RunData:
    """Return the views of a splat, the rule by which they are held out, and how its references are prepared.

    Args:
        path: folder of a model, a PLY file or a checkpoint.
        data: folder of the data (default: the one that the model names).
        trust: not used: no file of a splat can run code.

    Raises:
        InputError: the model or its data cannot be read.
    """
    model = open_model(path)
    scene = open_scene(model, data=data, hold=None, images=None)
    cpu = torch.device("cpu")
    settings = settings_of(model, convention="auto", background=None, antialiased=False, device=cpu)
    shots = scene.shots("test", settings.background) if scene.photographs.get("test") else []
    rule = f"{scene.rule.words}{'; all of them were trained on' if scene.rule.trained_on else ''}"
    return RunData(
        name=f"{scene.data.name}/{model.name}",
        config=path,
        data=scene.data,
        parser=_READERS[scene.kind],
        rule=rule,
        training=[_training(one) for one in scene.photographs.get("train", ())],
        held_out=[DataView(shot.name, shot.photograph.file, shot.reference.stored) for shot in shots],
        alpha=f"composited over the background ({', '.join(f'{value:g}' for value in settings.background)})",
        preparation=[
            *model.notes,
            f"References: {scene.sizing}.",
            f"Rasteriser: {settings.signature}.",
            *(f"Assumed, because its files do not say it: {words}." for words in settings.assumed),
        ],
    )


def _training(one: Photograph) -> DataView:
    from nvs_eval_splat.cameras.resolution import stored_size

    # A photograph of another size than its camera's is scaled, which is no fault.
    size = stored_size(one.file) if one.file.is_file() else one.size or (1, 1)
    return DataView(one.name, one.file, size)
