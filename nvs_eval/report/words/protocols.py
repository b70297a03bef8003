"""A protocol in words: each step of the preparation and each metric in a sentence, and what its file's comments say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nvs_eval.errors import listed
from nvs_eval.metrics.registry import about_of
from nvs_eval.report.words.phrases import phrase, split_signature

_ALPHA = {
    "composite": "An image with alpha is laid over the background that is given.",
    "drop": "Alpha is dropped: the colours are taken as they are stored.",
    "error": "An image with alpha is an error.",
}
_OUT_OF_RANGE = {
    "error": "An image outside [0, 1] is an error.",
    "clamp": "Both images are clamped to [0, 1].",
    "keep": "What lies outside [0, 1] is kept as it is.",
}
_CORRECTION = {
    "none": "No colours are corrected.",
    "quadratic": "For the metrics whose names begin with cc_, the render's colours are fitted to the reference's by a "
    "quadratic polynomial, five times over.",
    "affine": "For the metrics whose names begin with cc_, each channel of the render is fitted to the reference's by "
    "a gain and an offset.",
}
_REGION = {"full": "The whole image is scored.", "right-half": "The right half is scored: the columns from W // 2 on."}
_MASK = {
    "none": "It takes no masks: one that is given is an error.",
    "ignored": "Masks are not looked at.",
    "valid-pixels": "Scores are means over the mask alone.",
    "multiply": "Both images are multiplied by the mask; means are over all pixels, so that those outside count as "
    "perfect.",
    "fill": "Outside the mask the render is replaced by the reference; means are over all pixels.",
    "bbox": "Both images are cropped to the mask's bounding box.",
    "windows": "SSIM takes only windows wholly inside the mask; other means are over the mask alone.",
    "dycheck": "Masks are used as in dycheck: weighted means, and a partial convolution in SSIM; a view without a mask "
    "has a full one.",
}
_ROUNDED = {"none": "kept as floats", "round": "rounded to 8 bits", "truncate": "truncated to 8 bits"}


def preparation_words(definition: Mapping[str, Any]) -> list[str]:
    """How images are prepared, a sentence a step, in the order in which it is done.

    Args:
        definition: of a protocol, as it has it itself and as a record repeats it.
    """
    crop, rounding = definition["crop"], definition["round_means"]
    steps = [
        _said(_ALPHA, "alpha", definition),
        _said(_OUT_OF_RANGE, "out_of_range", definition),
        _said(_CORRECTION, "colour_correction", definition),
        _quantised(definition["quantise"]),
        _said(_REGION, "region", definition),
        f"{crop} pixels are cut from each side." if crop else "",
        _said(_MASK, "mask", definition),
        "" if rounding is None else f"Means over views are rounded to {rounding} decimals; views are not.",
    ]
    return [step for step in steps if step]


def metric_words(name: str, signature: str, parameters: Mapping[str, Any]) -> str:
    """What a metric of a protocol is, in a sentence.

    Args:
        name: its key.
        signature: what its own definition says, without the preparation; of no account where it is made of others.
        parameters: that the protocol gives it.
    """
    plain = name.removeprefix("cc_")
    corrected = "" if plain == name else " of the colour-corrected render"
    if plain == "mipnerf_average":
        return f"mip-NeRF's average error, made of each view's {listed(list(parameters.values()))}."
    said = [phrase(part) for part in split_signature(signature)[1:] if not re.fullmatch(r"v\d+", part)]
    called = about_of(plain).words or "a metric of a plugin"
    return f"{called}{corrected}{'; it ' if said else ''}{listed(said)}."


def comments_of(text: str) -> list[str]:
    """The paragraphs of comments with which a protocol file begins."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    paragraphs = "\n".join(lines).split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]


def summary_of(text: str) -> str:
    """What a protocol file says first that it is: up to where it says in which files that was read; "" for nothing."""
    first = next(iter(comments_of(text)), "")
    without_asides = re.sub(r" ?\([^()]*\)", "", first)
    return re.split(r": |, read at |\.(?: |$)", without_asides, maxsplit=1)[0]


def _said(words: Mapping[str, str], field: str, definition: Mapping[str, Any]) -> str:
    return words.get(definition[field], f"{field} is {definition[field]!r}.")


def _quantised(rules: Mapping[str, str]) -> str:
    said: dict[str, list[str]] = {}
    for image, rule in rules.items():
        # A mask that is not quantised needs no word: most protocols have none.
        if image != "mask" or rule != "none":
            said.setdefault(_ROUNDED.get(rule, rule), []).append(f"the {image}")
    clauses = [f"{listed(images)} {'are' if len(images) > 1 else 'is'} {how}" for how, images in said.items()]
    return _start(f"{', '.join(clauses)}.")


def _start(text: str) -> str:
    return text[0].upper() + text[1:]
