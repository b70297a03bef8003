"""Facts of the built-in metrics for people, by key: titles, units and descriptions. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

FAMILIES = {"psnr": "psnr", "ssim": "ssim.metric", "lpips": "lpips.metric", "mae": "psnr"}
"""Module of each family of metrics. Its `describe_<family>` makes the function."""

AVERAGE = "mipnerf_average"
"""Key of the average error of mip-NeRF, which is computed from other metrics."""

CORRECTED = "cc_"
"""Prefix of the key of a metric of the colour-corrected render."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Facts of a metric, except its computation.

    Attributes:
        title: name in tables and sentences.
        words: noun phrase that explains the name; "" if the title suffices.
        higher_is_better: direction of the metric; None if unknown.
        unit: unit of the values, "" for none.
        decimals: number of decimals in tables.
        latex: name in LaTeX; "" for the escaped key.
        bounds: lowest and highest plausible mean in a published table; None if papers do not report the metric.
        phrases: predicates by part of a signature. `*` at the end of a part stands for a value, which replaces `{}` in
            the predicate.
        absences: predicates of signatures that lack a part, by the topic of the part.
    """

    title: str
    words: str = ""
    higher_is_better: bool | None
    unit: str = ""
    decimals: int = 4
    latex: str = ""
    bounds: tuple[float, float] | None = None
    phrases: Mapping[str, str] = field(default_factory=dict)
    absences: Mapping[str, str] = field(default_factory=dict)


class Recorded(Protocol):
    """Facts of a metric in a record. Only metrics of plugins have a title and decimals."""

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def higher_is_better(self) -> bool: ...  # noqa: D102

    @property
    def signature(self) -> str: ...  # noqa: D102

    @property
    def title(self) -> str | None: ...  # noqa: D102

    @property
    def decimals(self) -> int | None: ...  # noqa: D102


_PSNR = About(
    title="PSNR",
    words="the peak signal-to-noise ratio",
    higher_is_better=True,
    unit="dB",
    decimals=2,
    latex="PSNR",
    bounds=(10.0, 60.0),
    phrases={"range:*": "has data range {}"},
)
_SSIM = About(
    title="SSIM",
    words="structural similarity",
    higher_is_better=True,
    decimals=3,
    latex="SSIM",
    bounds=(0.0, 1.0),
    phrases={
        "win:gauss11s1.5": "uses Gaussian windows of 11 pixels (sigma 1.5)",
        "win:uniform7": "uses uniform windows of 7 pixels",
        "win:ngp5": "uses instant-ngp's windows of 5 pixels",
        "pad:valid": "uses only windows inside the image",
        "pad:symmetric": "repeats the image's edge at its borders",
        "pad:reflect": "mirrors the image at its borders",
        "pad:zero": "pads with zeros",
        "grey:bt709": "is computed on the luminance",
        "grey:bt601-8bit": "is computed on OpenCV's 8-bit grey",
        "cov:population": "uses population variances",
        "cov:sample": "uses sample variances",
        "covclamp": "clamps the covariance",
        "floor:*": "clamps variances at {}",
        "range:pair": "uses the pair's data range",
        "range:*": "has data range {}",
    },
    absences={
        "covclamp": "does not clamp the covariance",
        "floor": "does not clamp variances",
        "grey": "is computed per colour channel",
    },
)
_LPIPS = About(
    title="LPIPS",
    words="the learned perceptual distance",
    higher_is_better=False,
    decimals=3,
    bounds=(0.0, 1.0),
    phrases={
        "net:alex": "compares features of AlexNet",
        "net:vgg": "compares features of VGG16",
        "net:squeeze": "compares features of SqueezeNet",
        "heads:*": "uses the heads of LPIPS {}",
        "input:scaled": "feeds the network [-1, 1]",
        "input:unscaled": "feeds the network [0, 1] unscaled",
        "norm:lpips": "normalises features as the lpips package does",
        "norm:torchmetrics": "normalises features as torchmetrics does",
        "clamp": "clamps the network's input to [0, 1]",
        "precision:fast": "multiplies in fewer bits (`--precision fast`)",
    },
    absences={"clamp": "feeds the network unclamped", "precision": "multiplies in float32"},
)
_METRICS: Mapping[str, About] = {
    "psnr": _PSNR,
    "ssim": _SSIM,
    "lpips_alex": replace(_LPIPS, title="LPIPS (Alex)", latex=r"LPIPS\textsubscript{Alex}"),
    "lpips_vgg": replace(_LPIPS, title="LPIPS (VGG)", latex=r"LPIPS\textsubscript{VGG}"),
    "lpips_squeeze": replace(_LPIPS, title="LPIPS (Squeeze)", latex=r"LPIPS\textsubscript{Squeeze}"),
    "mae": About(title="MAE", words="the mean absolute error", higher_is_better=False, latex="MAE"),
    AVERAGE: About(title="average error", higher_is_better=False, latex="Average error"),
}


def known_metrics() -> Mapping[str, About]:
    """Return the facts of each built-in metric, by key, in the order of lists."""
    return _METRICS


def about_of(metric: str, info: Recorded | None = None) -> About:
    """Return the facts of a metric.

    Args:
        metric: its key. `ssim_reflect` is an SSIM whose only name is its key.
        info: its entry in a record, for a metric of a plugin, which need not be installed.
    """
    plain = metric.removeprefix(CORRECTED)
    about = _METRICS.get(plain) or _variant(plain, info)
    if plain == metric:
        return about
    return replace(about, title=f"colour-corrected {about.title}", latex=about.latex and f"cc-{about.latex}")


def label_of(metric: str, info: Recorded | None = None) -> str:
    """Return the name of a metric in a heading or cell: its title, after `cc-` for the colour-corrected render.

    Args:
        metric: its key, which is the label of a metric without a title.
        info: its entry in a record, for a metric of a plugin.
    """
    plain = metric.removeprefix(CORRECTED)
    title = about_of(plain, info).title
    if plain == metric:
        return title
    return metric if title == plain else f"cc-{title}"


def _variant(key: str, info: Recorded | None) -> About:
    """Return the facts of a metric without its own entry: a variant of a built-in family, or a plugin's."""
    family = key.partition("_")[0]
    if info is not None and info.signature.partition("|")[0] != family:
        family = ""  # A plugin's metric whose key begins like a built-in one.
    own = (about for name, about in _METRICS.items() if family in FAMILIES and name.partition("_")[0] == family)
    about = replace(next(own, About(title=key, higher_is_better=None)), title=key, latex="", bounds=None)
    if info is None:
        return about
    decimals = about.decimals if info.decimals is None else info.decimals
    direction = info.higher_is_better
    return replace(about, title=info.title or key, higher_is_better=direction, unit=info.unit, decimals=decimals)
