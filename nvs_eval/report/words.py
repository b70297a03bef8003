"""Metrics and protocols in words: titles, a sentence for each step of the preparation and each metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nvs_eval.errors import listed
from nvs_eval.metrics.registry import about_of, known_metrics

# What a metric's own signature says is beside the metric; here is what its preparation adds.
_PHRASES: dict[str, str] = {
    **{part: words for about in known_metrics().values() for part, words in about.phrases.items()},
    "q:float": "does not quantise",
    "q:round8": "rounds to 8 bits",
    "q:trunc8": "truncates to 8 bits",
    "alpha:drop": "drops alpha",
    "alpha:error": "admits no alpha",
    "beyond:clamp": "clamps to [0, 1]",
    "beyond:keep": "keeps what is beyond [0, 1]",
    "cc:quadratic": "corrects the render's colours by a quadratic fit",
    "cc:affine": "corrects the render's colours by a gain and an offset",
    "crop:*": "crops {} pixels from each side",
    "region:right-half": "takes the right half of the image",
    "mask:valid-pixels": "averages over the mask",
    "mask:multiply": "blackens what lies outside the mask",
    "mask:fill": "fills what lies outside the mask from the reference",
    "mask:bbox": "crops to the mask's bounding box",
    "mask:windows": "takes only windows wholly inside the mask",
    "mask:dycheck": "treats masks as dycheck does",
}
_QUANTISERS = {"round8": "rounds", "trunc8": "truncates"}
_PATTERNS: Sequence[tuple[str, Callable[[re.Match[str]], str]]] = (
    (r"of:\[(.+)\]", lambda match: f"is made of {listed(match[1].split())}"),
    (r"q:(.+)/(.+)", lambda match: _quantised_apart(match[1], match[2])),
    (r"qmask:(.+)", lambda match: f"{_QUANTISERS.get(match[1], match[1])} masks to 8 bits"),
    (r"v(\d+)", lambda match: f"is of version {match[1]}"),
)
_ABSENT: dict[str, str] = {
    **{topic: words for metric in known_metrics().values() for topic, words in metric.absences.items()},
    "alpha": "composites alpha",
    "beyond": "refuses what is beyond [0, 1]",
    "cc": "does not correct colours",
    "crop": "crops nothing",
    "mask": "takes no masks",
    "qmask": "takes masks as they are",
    "region": "takes the whole image",
}


def capitalised(text: str) -> str:
    """A text with a capital first letter, as a sentence begins."""
    return text[:1].upper() + text[1:]


def split_signature(signature: str) -> list[str]:
    """The parts of a signature, the metric's name first. Signatures of other metrics in brackets are not split."""
    return re.findall(r"(?:\[[^\]]*\]|[^|\[])+", signature)


def parts_of(signature: str) -> dict[str, str]:
    """The parts of a signature after the metric's name, by topic: {"pad": "pad:zero", ...}."""
    return {
        "v" if re.fullmatch(r"v\d+", part) else part.partition(":")[0]: part for part in split_signature(signature)[1:]
    }


def phrase(part: str) -> str:
    """A part of a signature as a predicate; an unknown part, such as a plugin's, is quoted."""
    if part in _PHRASES:
        return _PHRASES[part]
    topic, _, value = part.partition(":")
    if value and f"{topic}:*" in _PHRASES:
        return _PHRASES[f"{topic}:*"].format(value)
    for pattern, of_match in _PATTERNS:
        if match := re.fullmatch(pattern, part):
            return of_match(match)
    return f"has {part!r}"


def absence(topic: str) -> str:
    """A predicate for a signature that has no part on a topic."""
    return _ABSENT.get(topic, f"has no {topic!r}")


def _quantised_apart(render: str, reference: str) -> str:
    """Render and reference by different rules, one of which may be none."""
    images = {"render": render, "reference": reference}
    phrases = [f"{_QUANTISERS.get(rule, rule)} the {image}" for image, rule in images.items() if rule != "float"]
    return f"{listed(phrases)}{' alone' if len(phrases) == 1 else ''} to 8 bits"


# The fields of a definition in the order in which images are prepared, and those whose values have a sentence each.
_ORDER = ("alpha", "out_of_range", "colour_correction", "quantise", "region", "crop", "mask", "round_means")
_STEPS: Mapping[str, Mapping[str, str]] = {
    "alpha": {
        "composite": "An image with alpha is laid over the background that is given.",
        "drop": "Alpha is dropped: the colours are taken as they are stored.",
        "error": "An image with alpha is an error.",
    },
    "out_of_range": {
        "error": "An image outside [0, 1] is an error.",
        "clamp": "Both images are clamped to [0, 1].",
        "keep": "What lies outside [0, 1] is kept as it is.",
    },
    "colour_correction": {
        "none": "No colours are corrected.",
        "quadratic": "For the metrics whose names begin with cc_, the render's colours are fitted to the reference's "
        "by a quadratic polynomial, five times over.",
        "affine": "For the metrics whose names begin with cc_, each channel of the render is fitted to the reference's "
        "by a gain and an offset.",
    },
    "region": {
        "full": "The whole image is scored.",
        "right-half": "The right half is scored: the columns from W // 2 on.",
    },
    "mask": {
        "none": "It takes no masks: one that is given is an error.",
        "ignored": "Masks are not looked at.",
        "valid-pixels": "Scores are means over the mask alone.",
        "multiply": "Both images are multiplied by the mask; means are over all pixels, so that those outside count as "
        "perfect.",
        "fill": "Outside the mask the render is replaced by the reference; means are over all pixels.",
        "bbox": "Both images are cropped to the mask's bounding box.",
        "windows": "SSIM takes only windows wholly inside the mask; other means are over the mask alone.",
        "dycheck": "Masks are used as in dycheck: weighted means, and a partial convolution in SSIM; a view without a "
        "mask has a full one.",
    },
}
_ROUNDED = {"none": "kept as floats", "round": "rounded to 8 bits", "truncate": "truncated to 8 bits"}
_CROP = "{crop} pixels are cut from each side."
_ROUND_MEANS = "Means over views are rounded to {decimals} decimals; views are not."
_MIPNERF_AVERAGE = "mip-NeRF's average error, made of each view's {metrics}."


def preparation_words(definition: Mapping[str, Any]) -> list[str]:
    """How images are prepared, a sentence a step, in the order in which it is done.

    Args:
        definition: of a protocol, as the protocol has it and as a record repeats it.
    """
    return [sentence for field in _ORDER if (sentence := _step(field, definition[field]))]


def _step(field: str, value: Any) -> str:
    """The sentence on a field of a definition; "" where it does nothing."""
    if field == "quantise":
        return _quantise_words(value)
    if field == "crop":
        return _CROP.format(crop=value) if value else ""
    if field == "round_means":
        return "" if value is None else _ROUND_MEANS.format(decimals=value)
    return _STEPS[field].get(value, f"{field} is {value!r}.")


def metric_words(name: str, signature: str, parameters: Mapping[str, Any]) -> str:
    """What a metric of a protocol is, in a sentence.

    Args:
        name: its key.
        signature: of its own definition, without the preparation; not used where it is made of others.
        parameters: that the protocol gives it.
    """
    plain = name.removeprefix("cc_")
    corrected = "" if plain == name else " of the colour-corrected render"
    if plain == "mipnerf_average":
        return _MIPNERF_AVERAGE.format(metrics=listed(list(parameters.values())))
    phrases = [phrase(part) for topic, part in parts_of(signature).items() if topic != "v"]
    family = about_of(plain).words or "a metric of a plugin"
    return f"{family}{corrected}{'; it ' if phrases else ''}{listed(phrases)}."


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
    """The first sentence of a protocol file's comments, without the files in which that was read; "" for none."""
    first = next(iter(comments_of(text)), "")
    without_asides = re.sub(r" ?\([^()]*\)", "", first)
    return re.split(r": |, read at |\.(?: |$)", without_asides, maxsplit=1)[0]


def _quantise_words(rules: Mapping[str, str]) -> str:
    images: dict[str, list[str]] = {}
    for image, rule in rules.items():
        # A mask that is not quantised needs no word: most protocols have none.
        if image != "mask" or rule != "none":
            images.setdefault(_ROUNDED.get(rule, rule), []).append(f"the {image}")
    clauses = [f"{listed(names)} {'are' if len(names) > 1 else 'is'} {how}" for how, names in images.items()]
    return capitalised(f"{', '.join(clauses)}.")
