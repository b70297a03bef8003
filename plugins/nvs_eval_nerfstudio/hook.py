"""The hook: a method whose evaluation also returns nvs-eval's scores, in training and in ns-eval."""

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
from nvs_eval_nerfstudio.pairs import split_pair

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

ERROR_IMAGE = "nvs_error"
"""The key of the error map. nerfstudio makes a file name of it: so it has no slash."""
ERROR_FULL_SCALE = 0.25
"""The mean absolute error over the channels at which the error map is at its brightest."""

Evaluate = Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Tensor]]]


def with_nvs_eval(
    config: TrainerConfig, *, protocols: Sequence[str] = ("standard",), method_name: str | None = None
) -> TrainerConfig:
    """A copy of a method's configuration whose evaluation also returns nvs-eval's scores.

    The method keeps its own pipeline class, model and metrics. `get_image_metrics_and_images` returns beside them
    `<protocol>/<metric>` for each protocol, and the image `nvs_error`, the error of each pixel. Where a protocol's file
    asks for fast LPIPS, it is `<protocol>-fast/<metric>`.

    Args:
        config: configuration of any method.
        protocols: names of protocols, or YAML files.
        method_name: name of the copy (default: the configuration's own). It has to be registered under this name for
            the run to be loaded again.

    Raises:
        InputError: a protocol is unknown.
    """
    for name in protocols:
        load_protocol(name)
    wrapped = copy.deepcopy(config)
    wrapped.method_name = method_name or config.method_name
    wrapped.pipeline._target = Instrumented(config.pipeline._target, tuple(map(str, protocols)))  # type: ignore
    return wrapped


@dataclass(frozen=True)
class Instrumented:
    """Stands in a configuration where the pipeline's class stood: builds it, and hooks the model's evaluation.

    A plain value, so that a run's `config.yml` holds it and loads it again.

    Attributes:
        original: the pipeline's class.
        protocols: names of protocols, or YAML files.
    """

    original: Any
    protocols: tuple[str, ...]

    def __call__(self, config: Any, *, test_mode: str = "val", **kwargs: Any) -> Pipeline:
        """Build the pipeline, as nerfstudio does with the class.

        Raises:
            InputError: a protocol needs weights that cannot be had.
        """
        from nvs_eval_nerfstudio.own_metrics import verified_backbones

        _admit_numpy_scalars()
        with verified_backbones():
            pipeline = self.original(config, test_mode=test_mode, **kwargs)
        if test_mode != "inference":  # Nothing is evaluated in the viewer or by ns-render.
            model = pipeline.model
            scorer = Scorer(tuple(load_protocol(name) for name in self.protocols), torch.device(pipeline.device))
            model.get_image_metrics_and_images = functools.partial(
                _evaluate, model.get_image_metrics_and_images, scorer
            )
        return pipeline


def _admit_numpy_scalars() -> None:
    """Let torch's protected loading read the numbers of numpy's that nerfstudio's checkpoints hold.

    From torch 2.6 on nerfstudio 1.1.5 fails to load its own checkpoints without this; the pipeline is built before.
    """
    number = np.float64(0)
    torch.serialization.add_safe_globals([number.__reduce__()[0], np.dtype, type(number.dtype)])  # type: ignore


def original_target(target: Any) -> Any:
    """The pipeline's own class, hooked or not."""
    return target.original if isinstance(target, Instrumented) else target


def _evaluate(
    own: Evaluate, scorer: Scorer, outputs: dict[str, Any], batch: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the model's own method does, with the scores and the error map added."""
    metrics, images = own(outputs, batch)
    try:
        reference, *renders = split_pair(images, width=_width(outputs), model="This model")
    except InputError as error:
        return {**metrics, **_unscored(scorer, error)}, images
    scores = _scores(scorer, reference, renders[-1])
    return {**metrics, **scores}, {**images, ERROR_IMAGE: error_map(reference, renders[-1])}


def _width(outputs: dict[str, Any]) -> int:
    """The width of a render: `rgb`, or `rgb_fine` and the like."""
    for name, value in outputs.items():
        if name.startswith("rgb") and isinstance(value, Tensor) and value.ndim == 3:
            return value.shape[1]
    raise InputError(f"This model's outputs are {', '.join(outputs)}, and an image named rgb... is needed.")


def _scores(scorer: Scorer, reference: Tensor, render: Tensor) -> dict[str, float]:
    """The scores by `<protocol>/<metric>`."""
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
    """Scores of NaN for what cannot be scored, which is printed as nerfstudio prints, and ends no training."""
    from nerfstudio.utils.rich_utils import CONSOLE

    CONSOLE.print(f"nvs-eval: {error}", markup=False, soft_wrap=True)
    return {f"{protocol.label}/{metric}": math.nan for protocol in scorer.protocols for metric in protocol.metrics}


def error_map(reference: Tensor, render: Tensor) -> Tensor:
    """The mean absolute error of each pixel's channels as a colour, `[H, W, 3]`, from 0 to `ERROR_FULL_SCALE`."""
    from nerfstudio.utils.colormaps import apply_float_colormap

    error = (reference - render).abs().mean(dim=-1, keepdim=True) / ERROR_FULL_SCALE
    return apply_float_colormap(error.clamp(0, 1), colormap="turbo")
