"""Signatures of metrics: their parts, and whether values with different ones are the same number."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

NEUTRAL = ("alpha", "range", "q-reference", "q-render", "mask", "clamps")
"""Steps that a record can list as neutral, because they changed nothing in it, in this order."""
_TOPICS = {
    "alpha": ("alpha",),
    "range": ("beyond",),
    "q-reference": ("q-reference",),
    "q-render": ("q-render",),
    "mask": ("mask", "qmask"),
}
_ONLY_OF = {"range": (("lpips", "psnr"), ("clamp",)), "clamps": (("ssim",), ("floor", "covclamp"))}
_FULL_MASK_IS_NONE = ("psnr", "mae", "ssim")
"""Families whose value with a full mask, which dycheck uses in place of none, is that without a mask."""


def split_signature(signature: str) -> list[str]:
    """Split a signature into its parts, the family first. Signatures of other metrics in brackets stay whole."""
    return re.findall(r"(?:\[[^\]]*\]|[^|\[])+", signature)


def topic_of(part: str) -> str:
    """Return what a part of a signature is about: `pad` of `pad:zero`, and `v` of the version."""
    return "v" if re.fullmatch(r"v\d+", part) else part.partition(":")[0]


def parts_of(signature: str) -> dict[str, str]:
    """Return the parts of a signature after the family, by topic: {"pad": "pad:zero", ...}."""
    return {topic_of(part): part for part in split_signature(signature)[1:]}


def same_number(signature: str, neutral: Collection[str], other: str) -> bool:
    """Return whether a value is also the value under another signature, by definition.

    It is if the signatures are equal, or equal without the parts on steps that changed nothing. Such a step is a fact
    of the images (nothing is outside [0, 1], so that it does not matter what would be done about it), except for
    `clamps`: that the clamps of one SSIM changed no window tells nothing about those of another.

    Args:
        signature: signature of the value.
        neutral: neutral steps of its record.
        other: the other signature.
    """
    if signature == other:
        return True
    of_images = frozenset(neutral) - {"clamps"}
    target = _without(other, of_images)
    return target in (_without(signature, of_images), _without(signature, frozenset(neutral)))


def without_clamps(signature: str) -> str:
    """Return the signature of the same SSIM without clamps, and any other signature unchanged."""
    family, *parts = split_signature(signature)
    owners, topics = _ONLY_OF["clamps"]
    return "|".join([family, *(part for part in parts if family not in owners or topic_of(part) not in topics)])


def essential_parts(signature: str, neutral: Collection[str]) -> dict[str, str]:
    """Return the parts of a signature by topic, as `parts_of` does, without those on neutral steps."""
    left = _without(signature, frozenset(neutral))
    kept = {topic.partition("-")[0] for topic, _ in left.preparation} | {topic_of(part) for part in left.definition}
    return {topic: part for topic, part in parts_of(signature).items() if topic in kept}


class _Parts(NamedTuple):
    family: str
    definition: tuple[str, ...]
    preparation: tuple[tuple[str, str], ...]
    version: str


@cache
def _taken_apart(signature: str) -> _Parts:
    """Take a signature apart. The preparation begins with the last `q:`; a plugin may use its topics before that."""
    family, *parts = split_signature(signature)
    start = max((place for place, part in enumerate(parts) if part.startswith("q:")), default=len(parts))
    preparation = {topic_of(part): part for part in parts[start:]}
    if quantised := preparation.pop("q", ""):
        render, _, reference = quantised.removeprefix("q:").partition("/")
        preparation |= {"q-render": render, "q-reference": reference or render}
    version = preparation.pop("v", "")
    return _Parts(family, tuple(parts[:start]), tuple(sorted(preparation.items())), version)


@cache
def _without(signature: str, neutral: frozenset[str]) -> _Parts:
    """Return the parts of a signature without those on neutral steps."""
    parts = _taken_apart(signature)
    topics = {topic for step in neutral for topic in _TOPICS.get(step, ())}
    if any(part.startswith("cc:") for part in parts.definition):
        topics.discard("q-render")  # The corrected render has other values than 8-bit levels.
    if ("mask", "mask:dycheck") in parts.preparation and parts.family not in _FULL_MASK_IS_NONE:
        topics -= {"mask", "qmask"}
    own = {
        topic for step, (owners, own) in _ONLY_OF.items() if step in neutral and parts.family in owners for topic in own
    }
    return parts._replace(
        definition=tuple(part for part in parts.definition if topic_of(part) not in own),
        preparation=tuple((topic, part) for topic, part in parts.preparation if topic not in topics),
    )
