"""The function `identify`. It prints nothing. Modules that need torch are imported by the function itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal

from nvs_eval.api.scoring import filled
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import IdentifyOptions
from nvs_eval.system.arguments import checked, documented

if TYPE_CHECKING:
    from nvs_eval.diagnostics.identify.model import Identification

FilePath = str | PathLike[str]


@checked
@documented(
    IdentifyOptions,
    numbers="Numbers of a tool for these renders: its JSON or a CSV, or a mapping of metrics to means, such as "
    '{"psnr": 25.25, "ssim": "0.770"}, in which a string keeps zeros at the end.',
)
def identify(
    renders: FilePath | Sequence[FilePath],
    *,
    numbers: FilePath | Mapping[str, float | str],
    reference: FilePath | None = None,
    match: Literal["name", "order"] = "name",
    renders_glob: str | Sequence[str] = (),
    reference_glob: str | Sequence[str] = (),
    views: str | Sequence[str] = (),
    every: int = 1,
    protocol: str | Sequence[str] = (),
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    background: str | tuple[float, float, float] | None = None,
    grey_to_rgb: bool = False,
    exr: Literal["linear", "srgb"] | None = None,
    exr_layer: str | None = None,
    ignore_colour_tags: bool = False,
    ignore_orientation: bool = False,
    max_pixels: int | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    allow_missing: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
    rehash: bool = False,
) -> Identification:
    """Find the named protocols that agree with a tool's numbers of these renders, as `nvs-eval identify` does.

    Returns:
        The identification. `.protocols` has the names of those that agree with every number, nearest first. Each of
        `.candidates` has its differences from the numbers (`.fits`) and the changes of one field with which it agrees
        (`.mends`).

    Raises:
        InputError: An input is not available, the numbers are not of these renders, or no protocol can be compared.
    """
    options = filled(IdentifyOptions, {**locals(), "numbers": "." if isinstance(numbers, Mapping) else numbers})
    from nvs_eval.diagnostics.identify.identify import identify as identify_renders
    from nvs_eval.diagnostics.identify.numbers import given_numbers

    means = given_numbers(numbers) if isinstance(numbers, Mapping) else ()
    return identify_renders(options, Callbacks(command=("nvs_eval.identify",)), means)
