"""The metrics that come with nvs-eval, and the facts of any metric by its key. Computes nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from nvs_eval.metrics.about import About, Recorded

FAMILIES = ("psnr", "ssim", "lpips", "mae", "mipnerf_average")
"""A package a family. In each, `about.ABOUT` has the facts by key, and `metric.describe` makes the function."""

CORRECTED = "cc_"
"""Prefix of the key of a metric of the colour-corrected render."""


@cache
def known_metrics() -> Mapping[str, About]:
    """The facts of each metric that comes with nvs-eval, by key, in the order in which they are listed."""
    modules = [importlib.import_module(f"nvs_eval.metrics.{family}.about") for family in FAMILIES]
    return {key: about for module in modules for key, about in module.ABOUT.items()}


def about_of(metric: str, info: Recorded | None = None) -> About:
    """The facts of a metric.

    Args:
        metric: its key. `ssim_reflect` is an SSIM whose only name is its key.
        info: its entry in a record, for a metric of a plugin, which need not be installed.
    """
    plain = metric.removeprefix(CORRECTED)
    about = known_metrics().get(plain) or _variant(plain, info)
    if plain == metric:
        return about
    return replace(about, title=f"colour-corrected {about.title}", latex=about.latex and f"cc-{about.latex}")


def _variant(key: str, info: Recorded | None) -> About:
    family = key.partition("_")[0]
    for known, about in known_metrics().items():
        if family in FAMILIES and known.partition("_")[0] == family:
            return replace(about, title=key, latex="", bounds=None)
    if info is None:
        return About(title=key, higher_is_better=None)
    decimals = About.decimals if info.decimals is None else info.decimals
    return About(title=info.title or key, higher_is_better=info.higher_is_better, unit=info.unit, decimals=decimals)
