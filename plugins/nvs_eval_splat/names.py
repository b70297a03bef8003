"""Names of scenes and methods in results, by the rules for folders of renders."""

from __future__ import annotations

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.result_names import Named, method_names
from nvs_eval_splat.cameras.scene import Scene
from nvs_eval_splat.models.model import Model

_TOOLS = {"3dgs": "3dgs", "gsplat": "gsplat", "ply": "splat"}


def result_of(
    model: Model, scene: Scene, *, step: int | None, split: str, selection: str | None, variant: str | None
) -> ResultId:
    """Return the identity of a result.

    Args:
        model: the model.
        scene: its data.
        step: step of the checkpoint, or None.
        split: split of the views.
        selection: identifier of the views if they are a part of the split.
        variant: name of a convention that is not the one of the training, which is appended to the step.
    """
    recorded = model.training.data
    name = recorded.name if recorded is not None and recorded.name else scene.data.resolve().name
    number, step_name = (step, None) if variant is None else (None, f"{'final' if step is None else step}-{variant}")
    return ResultId(name, _method(model, name), None, number, split, selection, step_name)


def _method(model: Model, scene: str) -> str:
    """Return the name of a model's folder or file; of its tool, if the folder's name says nothing."""
    path = model.path.resolve()
    if path.is_file() and path.stem not in ("point_cloud", "splat", scene):
        return path.stem
    try:
        return method_names([Named(scene, path.parent if path.is_file() else path)])[0]
    except InputError:
        return _TOOLS[model.tool]
