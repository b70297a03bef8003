"""Signatures in words: what each part of one says of a metric, as a predicate ("rounds to 8 bits")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nvs_eval.errors import listed

_SAYS: dict[str, str] = {
    "win:gauss11s1.5": "uses Gaussian windows of 11 pixels (sigma 1.5)",
    "win:uniform7": "uses uniform windows of 7 pixels",
    "pad:valid": "takes only windows wholly inside the image",
    "win:ngp5": "uses instant-ngp's windows of 5 pixels",
    "pad:symmetric": "repeats the image's edge at its borders",
    "grey:bt709": "is of the luminance",
    "grey:bt601-8bit": "is of OpenCV's 8-bit grey",
    "pad:reflect": "mirrors the image at its borders",
    "pad:zero": "pads with zeros",
    "cov:population": "takes population variances",
    "cov:sample": "takes sample variances",
    "covclamp": "clamps the covariance",
    "range:pair": "uses the pair's data range",
    "net:alex": "compares features of AlexNet",
    "net:vgg": "compares features of VGG16",
    "net:squeeze": "compares features of SqueezeNet",
    "input:scaled": "feeds the network [-1, 1]",
    "input:unscaled": "feeds the network [0, 1] unscaled",
    "norm:lpips": "normalises features as the lpips package",
    "norm:torchmetrics": "normalises features as torchmetrics",
    "clamp": "clamps the network's input to [0, 1]",
    "precision:fast": "multiplies in fewer bits (`--precision fast`)",
    "q:float": "does not quantise",
    "q:round8": "rounds to 8 bits",
    "q:trunc8": "truncates to 8 bits",
    "alpha:drop": "drops alpha",
    "alpha:error": "admits no alpha",
    "beyond:clamp": "clamps to [0, 1]",
    "beyond:keep": "keeps what is beyond [0, 1]",
    "cc:quadratic": "corrects the render's colours by a quadratic fit",
    "cc:affine": "corrects the render's colours by a gain and an offset",
    "region:right-half": "takes the right half of the image",
    "mask:valid-pixels": "averages over the mask",
    "mask:multiply": "blackens what lies outside the mask",
    "mask:fill": "fills what lies outside the mask from the reference",
    "mask:bbox": "crops to the mask's bounding box",
    "mask:windows": "takes only windows wholly inside the mask",
    "mask:dycheck": "treats masks as dycheck does",
}
_VERBS = {"round8": "rounds", "trunc8": "truncates"}
_PATTERNS: Sequence[tuple[str, Callable[[re.Match[str]], str]]] = (
    (r"range:(.+)", lambda match: f"has a data range of {match[1]}"),
    (r"of:\[(.+)\]", lambda match: f"is made of {listed(match[1].split())}"),
    (r"heads:(.+)", lambda match: f"uses the heads of LPIPS {match[1]}"),
    (r"floor:(.+)", lambda match: f"clamps variances at {match[1]}"),
    (r"crop:(.+)", lambda match: f"crops {match[1]} pixels from each side"),
    (r"q:(.+)/(.+)", lambda match: _quantised(match[1], match[2])),
    (r"qmask:(.+)", lambda match: f"{_VERBS.get(match[1], match[1])} masks to 8 bits"),
    (r"v(\d+)", lambda match: f"is of version {match[1]}"),
)
_ABSENT: dict[str, str] = {
    "alpha": "composites alpha",
    "beyond": "refuses what is beyond [0, 1]",
    "cc": "does not correct colours",
    "clamp": "feeds the network unclamped",
    "covclamp": "does not clamp the covariance",
    "crop": "crops nothing",
    "grey": "is of each colour channel",
    "floor": "does not clamp variances",
    "mask": "takes no masks",
    "precision": "multiplies in float32",
    "qmask": "takes masks as they are",
    "region": "takes the whole image",
}


def split_signature(signature: str) -> list[str]:
    """The parts of a signature, the metric's name first. Signatures of other metrics in brackets are not split."""
    return re.findall(r"(?:\[[^\]]*\]|[^|\[])+", signature)


def parts_of(signature: str) -> dict[str, str]:
    """The parts of a signature behind the metric's name, by what they are about: {"pad": "pad:zero", ...}."""
    return {_about(part): part for part in split_signature(signature)[1:]}


def phrase(part: str) -> str:
    """What a part of a signature says; a part that is not known, such as a plugin's, is quoted."""
    if part in _SAYS:
        return _SAYS[part]
    for pattern, say in _PATTERNS:
        if match := re.fullmatch(pattern, part):
            return say(match)
    return f"has {part!r}"


def absence(about: str) -> str:
    """What it says of a signature that it has no part about something."""
    return _ABSENT.get(about, f"has no {about!r}")


def _about(part: str) -> str:
    return "v" if re.fullmatch(r"v\d+", part) else part.partition(":")[0]


def _quantised(render: str, reference: str) -> str:
    """Render and reference by different rules, one of which may be none."""
    images = {"render": render, "reference": reference}
    said = [f"{_VERBS.get(rule, rule)} the {image}" for image, rule in images.items() if rule != "float"]
    return f"{listed(said)} alone to 8 bits" if len(said) == 1 else f"{listed(said)} to 8 bits"
