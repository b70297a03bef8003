"""Mean absolute error."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nvs_eval.metrics.describe import Load
from nvs_eval.metrics.pair import Mask, MaskMeaning, check_pair, mean_over_plane


def mae(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "*batch_out"]:
    """Mean absolute error over channels and pixels; lower is better. Arguments and errors as for `mse`.

    Returns:
        `[...]` float64, in units of the images.
    """
    check_pair(reference, render, mask)
    return mean_over_plane((reference - render).abs_(), mask)


def describe(_: str, __: MaskMeaning) -> tuple[str, Load]:
    """The signature of the MAE of a protocol, and its function."""
    return "mae|v1", lambda _: mae
