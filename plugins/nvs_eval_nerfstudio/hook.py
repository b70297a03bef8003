"""A hook that adds nvs-eval's scores to the evaluation of a method, in training and in ns-eval."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import load_protocol
from nvs_eval.sources.views import Render, View
from nvs_eval_nerfstudio.pairs import Expected

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

ERROR_IMAGE = "nvs_error"
"""Key of the error map. It must not contain a slash, because nerfstudio uses it as a file name."""
ERROR_FULL_SCALE = 0.25
"""Mean absolute error over the channels at which the error map reaches its last colour."""

Evaluate = Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Tensor]]]


def with_nvs_eval(
    config: TrainerConfig, *, protocols: Sequence[str] = ("standard",), method_name: str | None = None
) -> TrainerConfig:
    """Return a copy of a method's configuration whose evaluation also returns nvs-eval's scores.

    The method keeps its pipeline class, model and metrics. `get_image_metrics_and_images` also returns
    `<protocol>/<metric>` for each protocol (`<protocol>-fast/<metric>` if the protocol uses fast LPIPS), and the image
    `nvs_error`, the error of each pixel.

    Args:
        config: configuration of any method.
        protocols: names of protocols, or YAML files.
        method_name: name of the copy (default: the configuration's). The copy must be registered under this name for
            its runs to be loaded again.

    Raises:
        InputError: if a protocol is unknown.
    """
    for name in protocols:
        load_protocol(name)
    wrapped = copy.deepcopy(config)
    wrapped.method_name = method_name or config.method_name
    wrapped.pipeline._target = Instrumented(config.pipeline._target, tuple(map(str, protocols)))  # type: ignore
    return wrapped


@dataclass(frozen=True)
class Instrumented:
    """Replacement for the pipeline class in a configuration. It builds the pipeline and hooks the model's evaluation.

    It is a plain value, so that it can be saved in a run's `config.yml` and loaded from it.

    Attributes:
        original: class of the pipeline.
        protocols: names of protocols, or YAML files.
    """

    original: Any
    protocols: tuple[str, ...]

    def __call__(self, config: Any, *, test_mode: str = "val", **kwargs: Any) -> Pipeline:
        """Build the pipeline. nerfstudio calls this in place of the class.

        Raises:
            InputError: if weights that a protocol requires cannot be loaded.
        """
        from nvs_eval_nerfstudio.own_metrics import verified_backbones

        _admit_numpy_scalars()
        with verified_backbones():
            pipeline = self.original(config, test_mode=test_mode, **kwargs)
        if test_mode != "inference":  # The viewer and ns-render do not evaluate.
            model = pipeline.model
            scorer = Scorer(tuple(load_protocol(name) for name in self.protocols), torch.device(pipeline.device))
            model.get_image_metrics_and_images = functools.partial(
                _evaluate, model.get_image_metrics_and_images, scorer
            )
        return pipeline


def _admit_numpy_scalars() -> None:
    """Let `torch.load` read the numpy scalars in nerfstudio's checkpoints.

    Without this, nerfstudio 1.1.5 cannot load its own checkpoints with torch 2.6 or newer. It loads them after it has
    built the pipeline, so this call is early enough.
    """
    number = np.float64(0)
    torch.serialization.add_safe_globals([number.__reduce__()[0], np.dtype, type(number.dtype)])  # type: ignore


def original_target(target: Any) -> Any:
    """Return the class of the pipeline, hooked or not."""
    return target.original if isinstance(target, Instrumented) else target


def _evaluate(
    evaluate: Evaluate, scorer: Scorer, outputs: dict[str, Any], batch: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the results of the model's own method, with the scores and the error map added.

    Batches without an image, such as those of a lidar, have nothing to score.
    """
    if "image" not in batch:
        return evaluate(outputs, batch)
    expected = Expected.of(outputs, batch)
    metrics, images = evaluate(outputs, batch)
    try:
        reference, render = expected.find_pair(images, model="This model")
    except InputError as error:
        return {**metrics, **_unscored(scorer, error)}, images
    return {**metrics, **_scores(scorer, reference, render)}, {**images, ERROR_IMAGE: error_map(reference, render)}


def _scores(scorer: Scorer, reference: Tensor, render: Tensor) -> dict[str, float]:
    """Return the scores by `<protocol>/<metric>`."""
    try:
        results = scorer.score(View("being evaluated", reference, (Render(render),)))
    except InputError as error:
        return _unscored(scorer, error)
    return {
        f"{protocol.label}/{metric}": values[0]
        for protocol, scores in zip(scorer.protocols, results, strict=True)
        for metric, values in scores.items()
    }


def _unscored(scorer: Scorer, error: InputError) -> dict[str, float]:
    """Print why a view cannot be scored, and return NaN for each score, so that training continues."""
    from nerfstudio.utils.rich_utils import CONSOLE

    CONSOLE.print(f"nvs-eval: {error}", markup=False, soft_wrap=True)
    return {f"{protocol.label}/{metric}": math.nan for protocol in scorer.protocols for metric in protocol.metrics}


def error_map(reference: Tensor, render: Tensor) -> Tensor:
    """Return the mean absolute error of each pixel as a colour, `[H, W, 3]`, on a scale of 0 to `ERROR_FULL_SCALE`."""
    from nerfstudio.utils.colormaps import apply_float_colormap

    error = (reference - render).abs().mean(dim=-1, keepdim=True) / ERROR_FULL_SCALE
    return apply_float_colormap(error.clamp(0, 1), colormap="turbo")
