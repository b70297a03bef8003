"""Metrics and protocols as sentences: one for each step of the preparation, and one for each metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nvs_eval.errors import listed, quoted
from nvs_eval.metrics.registry import FAMILIES, about_of, known_metrics
from nvs_eval.records.signatures import parts_of

# Parts of metrics are described in the registry; these are the parts that the preparation adds.
_PHRASES: dict[str, str] = {
    **{part: words for about in known_metrics().values() for part, words in about.phrases.items()},
    "q:float": "does not quantise",
    "q:round8": "rounds to 8 bits",
    "q:trunc8": "truncates to 8 bits",
    "alpha:drop": "drops alpha",
    "alpha:error": "accepts no alpha",
    "beyond:clamp": "clamps to [0, 1]",
    "beyond:keep": "keeps values outside [0, 1]",
    "cc:quadratic": "corrects the render's colours by a quadratic fit",
    "cc:affine": "corrects the render's colours by a gain and an offset",
    "crop:*": "crops {} pixels from each side",
    "region:right-half": "uses the right half of the image",
    "mask:valid-pixels": "averages over the mask",
    "mask:multiply": "blackens pixels outside the mask",
    "mask:fill": "fills pixels outside the mask from the reference",
    "mask:bbox": "crops to the mask's bounding box",
    "mask:windows": "uses only windows inside the mask",
    "mask:dycheck": "treats masks as dycheck does",
    "means:*": "rounds means to {} decimals",
}
_QUANTISERS = {"round8": "rounds", "trunc8": "truncates"}
_PATTERNS: Sequence[tuple[str, Callable[[re.Match[str]], str]]] = (
    (r"of:\[(.+)\]", lambda match: f"is made of {listed(match[1].split())}"),
    (r"q:(.+)/(.+)", lambda match: _quantised_apart(match[1], match[2])),
    (r"qmask:(.+)", lambda match: f"{_QUANTISERS.get(match[1], match[1])} masks to 8 bits"),
    (r"v(\d+)", lambda match: f"has version {match[1]}"),
)
_ABSENT: dict[str, str] = {
    **{topic: words for metric in known_metrics().values() for topic, words in metric.absences.items()},
    "alpha": "composites alpha",
    "beyond": "refuses values outside [0, 1]",
    "cc": "does not correct colours",
    "crop": "crops nothing",
    "mask": "uses no masks",
    "means": "does not round means",
    "qmask": "does not quantise masks",
    "region": "uses the whole image",
}


def capitalised(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def phrase(part: str) -> str:
    """Return a part of a signature as a predicate. Unknown ones, as of plugins, are named: "has order 1"."""
    if part in _PHRASES:
        return _PHRASES[part]
    topic, _, value = part.partition(":")
    if value and f"{topic}:*" in _PHRASES:
        return _PHRASES[f"{topic}:*"].format(value)
    for pattern, of_match in _PATTERNS:
        if match := re.fullmatch(pattern, part):
            return of_match(match)
    return f"has {topic} {value}" if value else f"has {quoted(part)}"


def absence(topic: str) -> str:
    """Return the predicate of a signature that lacks a topic."""
    return _ABSENT.get(topic, f"has no {quoted(topic)}")


def _quantised_apart(render: str, reference: str) -> str:
    """Return the predicate for different quantisation of render and reference, one of which may be none."""
    images = {"render": render, "reference": reference}
    phrases = [f"{_QUANTISERS.get(rule, rule)} the {image}" for image, rule in images.items() if rule != "float"]
    return f"{listed(phrases)}{' only' if len(phrases) == 1 else ''} to 8 bits"


# Fields of a definition in the order of preparation, and a sentence for each value.
_ORDER = ("alpha", "out_of_range", "colour_correction", "quantise", "region", "crop", "mask", "round_means")
_STEPS: Mapping[str, Mapping[str, str]] = {
    "alpha": {
        "composite": "An image with alpha is composited over `--background`.",
        "drop": "Alpha is dropped, and the stored colours are used.",
        "error": "An image with alpha is an error.",
    },
    "out_of_range": {
        "error": "An image outside [0, 1] is an error.",
        "clamp": "Both images are clamped to [0, 1].",
        "keep": "Values outside [0, 1] are kept.",
    },
    "colour_correction": {
        "none": "Colours are not corrected.",
        "quadratic": "For metrics that begin with cc_, the colours of the render are fitted to the reference by a "
        "quadratic polynomial, in five iterations.",
        "affine": "For metrics that begin with cc_, each channel of the render is fitted to the reference by a gain "
        "and an offset.",
    },
    "region": {
        "full": "The whole image is scored.",
        "right-half": "The right half of the image is scored, from column W // 2.",
    },
    "mask": {
        "none": "Masks are not allowed.",
        "ignored": "Masks are ignored.",
        "valid-pixels": "Scores are means over the mask only.",
        "multiply": "Both images are multiplied by the mask. Means are over all pixels, so that pixels outside count "
        "as perfect.",
        "fill": "Outside the mask, the render is replaced by the reference. Means are over all pixels.",
        "bbox": "Both images are cropped to the mask's bounding box.",
        "windows": "SSIM uses only windows inside the mask. Other means are over the mask only.",
        "dycheck": "Masks are used as in dycheck: weighted means, and a partial convolution in SSIM. A view without a "
        "mask has a full one.",
    },
}
_ROUNDED = {"none": "kept as floats", "round": "rounded to 8 bits", "truncate": "truncated to 8 bits"}
_CROP = "{crop} pixels are cut from each side."
_ROUND_MEANS = "Means over views are rounded to {decimals} decimals; scores of views are not."
_MIPNERF_AVERAGE = "average error of mip-NeRF, from {metrics} of each view."


def preparation_words(definition: Mapping[str, Any]) -> list[str]:
    """Describe the preparation of images, one sentence per step, in order.

    Args:
        definition: definition of a protocol, from the protocol or a record.
    """
    return [sentence for field in _ORDER if (sentence := _step(field, definition[field]))]


def _step(field: str, value: Any) -> str:
    """Return the sentence on a field of a definition; "" if the field has no effect."""
    if field == "quantise":
        return _quantise_words(value)
    if field == "crop":
        return _CROP.format(crop=value) if value else ""
    if field == "round_means":
        return "" if value is None else _ROUND_MEANS.format(decimals=value)
    return _STEPS[field].get(value, f"{field} is {quoted(value)}.")


def metric_words(name: str, signature: str, parameters: Mapping[str, Any]) -> str:
    """Describe a metric of a protocol in a sentence.

    Args:
        name: key of the metric.
        signature: signature of the metric without the preparation; not used for a metric made of others.
        parameters: parameters of the metric in the protocol.
    """
    plain = name.removeprefix("cc_")
    corrected = "" if plain == name else " of the colour-corrected render"
    if plain == "mipnerf_average":
        return _MIPNERF_AVERAGE.format(metrics=listed(list(parameters.values())))
    phrases = [phrase(part) for topic, part in parts_of(signature).items() if topic != "v"]
    built_in = signature.partition("|")[0] in FAMILIES
    family = about_of(plain).words if built_in else "a metric of a plugin"
    return f"{family}{corrected}{'; it ' if phrases else ''}{listed(phrases)}."


def comments_of(text: str) -> list[str]:
    """Return the paragraphs of the comments at the top of a protocol file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    paragraphs = "\n".join(lines).split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]


def summary_of(text: str) -> str:
    """Return the first sentence of a protocol file's comments, without file names in brackets; "" for none."""
    first = next(iter(comments_of(text)), "")
    without_asides = re.sub(r" ?\([^()]*\)", "", first)
    return re.split(r": |, read at |\.(?: |$)", without_asides, maxsplit=1)[0]


def _quantise_words(rules: Mapping[str, str]) -> str:
    images: dict[str, list[str]] = {}
    for image, rule in rules.items():
        # Most protocols use no masks: unquantised masks are not mentioned.
        if image != "mask" or rule != "none":
            images.setdefault(_ROUNDED.get(rule, rule), []).append(f"the {image}")
    clauses = [f"{listed(names)} {'are' if len(names) > 1 else 'is'} {how}" for how, names in images.items()]
    return capitalised(f"{', '.join(clauses)}.")
