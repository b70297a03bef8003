"""The metrics by key, and their facts for people. A metric is one folder here and one line in `FAMILIES`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Protocol

from nvs_eval.metrics.about import About

AVERAGE = "mipnerf_average"
"""Key of the average error of mip-NeRF, which is computed from other metrics."""

FAMILIES = (
    "psnr",
    "ssim",
    "ms_ssim",
    "lpips",
    "dists",
    "flip",
    "mae",
    "dssim",
)
"""Families of metrics, in the order of lists. The folder of each has `about`, its facts by key (no torch), and
`metric`, whose `describe` makes the metric of a protocol."""

CORRECTED = "cc_"
"""Prefix of the key of a metric of the colour-corrected render."""

_FAMILY = {
    key: (family, about)
    for family in (*FAMILIES, AVERAGE)
    for key, about in import_module(f"nvs_eval.metrics.{family}.about").ABOUT.items()
}
_METRICS: Mapping[str, About] = {key: about for key, (_, about) in _FAMILY.items()}


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


_SHORT = {
    "pad:valid": "no padding", "pad:zero": "zero padding", "pad:reflect": "mirrored", "pad:symmetric": "edge repeated",
    "win:gauss11s1.5": "Gaussian", "win:uniform7": "uniform", "win:ngp5": "5 pixels", "range:pair": "range of pair",
    "no grey": "RGB", "grey:bt709": "luminance", "grey:bt601-8bit": "8-bit grey",
    "cov:population": "population", "cov:sample": "sample", "covclamp": "clamped", "no covclamp": "not clamped",
    "no floor": "no floor", "input:scaled": "scaled", "input:unscaled": "unscaled", "norm:lpips": "lpips norm",
    "norm:torchmetrics": "torchmetrics norm", "clamp": "clamped", "no clamp": "unclamped",
    "precision:fast": "fast", "no precision": "exact",
    "cc:affine": "affine", "cc:quadratic": "quadratic", "q:float": "float", "q:round8": "8-bit",
    "q:trunc8": "truncated", "q:round8/float": "8-bit render", "q:round8/trunc8": "truncated reference",
    "alpha:drop": "alpha dropped", "no alpha": "composited", "beyond:clamp": "clamped", "beyond:keep": "unclamped",
    "no beyond": "in range", "region:right-half": "right half", "no region": "whole image", "no crop": "uncropped",
    "no mask": "no masks", "mask:valid-pixels": "valid pixels", "mask:multiply": "multiplied by masks",
    "mask:fill": "filled masks", "mask:bbox": "box of masks", "mask:windows": "windows in masks",
    "mask:dycheck": "masks as dycheck", "no qmask": "float masks", "qmask:round8": "8-bit masks",
    "qmask:trunc8": "truncated masks",
}  # fmt: skip
"""Short words for parts of signatures in headings, where numbers of one metric stand side by side."""


def known_metrics() -> Mapping[str, About]:
    """Return the facts of each built-in metric, by key, in the order of lists."""
    return _METRICS


def family_of_key(key: str, *others: str) -> str:
    """Return the longest family that a key without `cc_` belongs to: a built-in or other one that begins it; or ""."""
    if key in _FAMILY:
        return _FAMILY[key][0]
    return max((name for name in (*FAMILIES, *others) if f"{key}_".startswith(f"{name}_")), key=len, default="")


def base_of(key: str) -> str:
    """Return the metric of a column's key, which may name parts of its signature: `ssim` of `ssim[pad:zero]`."""
    return key.partition("[")[0]


def keys_of(metric: str, keys: Iterable[str]) -> list[str]:
    """Return those of some keys that are columns of a metric, or the column with this key."""
    return [key for key in keys if metric in (key, base_of(key))]


def _parts_words(key: str) -> str:
    """Return the parts that a column's key names, in short words: "zero padding"; "" if it names none."""
    parts = key.partition("[")[2].removesuffix("]")
    return ", ".join(_SHORT.get(part) or part.replace(":", " ") for part in parts.split("|")) if parts else ""


def about_of(metric: str, info: Recorded | None = None) -> About:
    """Return the facts of a metric.

    Args:
        metric: its key. `ssim_reflect` is an SSIM whose only name is its key, and `ssim[pad:zero]` a column of SSIM.
        info: its entry in a record, for a metric of a plugin, which need not be installed.
    """
    if words := _parts_words(metric):
        about = about_of(base_of(metric), info)
        return replace(about, title=_with(about.title, words), latex="")
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
    if words := _parts_words(metric):
        return _with(label_of(base_of(metric), info), words)
    plain = metric.removeprefix(CORRECTED)
    title = about_of(plain, info).title
    if plain == metric:
        return title
    return metric if title == plain else f"cc-{title}"


def _with(title: str, words: str) -> str:
    """Return a title with more words in brackets: "SSIM (zero padding)", "LPIPS (VGG, unscaled)"."""
    return f"{title.removesuffix(')')}, {words})" if title.endswith(")") else f"{title} ({words})"


def _variant(key: str, info: Recorded | None) -> About:
    """Return the facts of a metric without its own entry: a variant of a built-in family, or a plugin's."""
    family = family_of_key(key)
    if info is not None and info.signature.partition("|")[0] != family:
        family = ""  # A plugin's metric whose key begins like a built-in one.
    own = (about for name, about in _FAMILY.values() if name == family)
    about = replace(next(own, About(title=key, higher_is_better=None)), title=key, latex="", bounds=None)
    if info is None:
        return about
    decimals = about.decimals if info.decimals is None else info.decimals
    direction = info.higher_is_better
    return replace(about, title=info.title or key, higher_is_better=direction, unit=info.unit, decimals=decimals)
