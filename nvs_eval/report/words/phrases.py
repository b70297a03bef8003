"""Metrics in words: their titles, and each part of a signature as a predicate ("rounds to 8 bits")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nvs_eval.errors import listed
from nvs_eval.metrics.registry import about_of, known_metrics
from nvs_eval.records.record import MetricInfo

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
    (r"q:(.+)/(.+)", lambda match: _quantised(match[1], match[2])),
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


def metric_title(metric: str, info: MetricInfo | None = None) -> str:
    """A metric's name in a sentence: its key where it has no other."""
    return about_of(metric, info).title


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


def _quantised(render: str, reference: str) -> str:
    """Render and reference by different rules, one of which may be none."""
    images = {"render": render, "reference": reference}
    phrases = [f"{_QUANTISERS.get(rule, rule)} the {image}" for image, rule in images.items() if rule != "float"]
    return f"{listed(phrases)}{' alone' if len(phrases) == 1 else ''} to 8 bits"
