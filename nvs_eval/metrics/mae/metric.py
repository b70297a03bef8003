"""Mean absolute error."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.pair import Mask, MaskMeaning, checked_pair, mean_over_plane


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
    reference, render = checked_pair(reference, render, mask)
    return mean_over_plane((reference - render).abs_(), mask)


def describe(_: str, __: MaskMeaning) -> Described:
    """Describe the MAE of a protocol."""
    return Described(signature="mae|v1", load=lambda _: mae)
