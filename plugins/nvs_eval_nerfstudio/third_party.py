"""Methods of third parties whose own numbers differ from those of their whole images, and what reproduces them.

A method is recognised by the package of its pipeline or model, since its name may be the user's. Read in the methods'
repositories; tests/nerfstudio/test_third_party.py compares the protocols with stand-ins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nvs_eval_nerfstudio.hook import original_target

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

_MASKED = (
    "Its own metrics are of images that are black outside the masks of the data. A copy of the protocol "
    "nerfstudio-splatfacto with `mask: multiply`{more}, with `--data-masks`, reproduces them."
)
_EDITED = "Its references are the photographs before the edit, so the scores measure how much the edit changed."
_NOTES = {
    "splatfactow": (
        "Its own metrics are of the right half of each image. A copy of the protocol nerfstudio-splatfacto with "
        "`region: right-half` reproduces them."
    ),
    "nerfgs": (
        "Its own metrics are of images whose sky is black, found by colour. A copy of the protocol "
        "nerfstudio-splatfacto with `mask: multiply`, with `--masks` that exclude the sky, reproduces them. nvs-eval "
        "does not detect the sky."
    ),
    "pynerf": (
        "Where the data has masks, its own metrics are of their columns alone. A copy of the protocol nerfstudio with "
        "`mask: bbox` and `ssim: {kernel: zero, data_range: 1}`, with `--data-masks`, reproduces them; without masks, "
        "the same copy with `mask: none` does."
    ),
    "dn_splatter": _MASKED.format(more=" and `input: unscaled` for LPIPS"),
    "street_gaussians_ns": _MASKED.format(more=""),
    "zipnerf_ns": (
        "Its renders leave [0, 1] by up to 0.001, which standard refuses. A copy of the protocol nerfstudio with "
        "`out_of_range: clamp` reproduces its own SSIM and LPIPS, one with `out_of_range: keep` its PSNR."
    ),
    "in2n": _EDITED,
    "igs2gs": _EDITED,
    "signerf": _EDITED,
}


def note_on(config: TrainerConfig) -> str | None:
    """Return how a method's own metrics differ from scores of whole images, or None if nothing is known."""
    pipeline: Any = config.pipeline
    packages = {
        target.__module__.partition(".")[0] for target in (original_target(pipeline._target), pipeline.model._target)
    }
    package = next((name for name in _NOTES if name in packages), None)
    if package is None or (package == "splatfactow" and not getattr(pipeline.model, "eval_right_half", False)):
        return None
    return f"{config.method_name}: {_NOTES[package]}"
