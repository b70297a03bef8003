"""Facts of LPIPS."""

from __future__ import annotations

from dataclasses import replace

from nvs_eval.metrics.about import About

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
        "clamp": "clamps the images to [0, 1] first",
        "precision:fast": "multiplies in fewer bits (`--precision fast`)",
    },
    absences={"clamp": "does not clamp the images first", "precision": "multiplies in float32"},
)
ABOUT = {
    "lpips_alex": replace(_LPIPS, title="LPIPS (Alex)", latex=r"LPIPS\textsubscript{Alex}"),
    "lpips_vgg": replace(_LPIPS, title="LPIPS (VGG)", latex=r"LPIPS\textsubscript{VGG}"),
    "lpips_squeeze": replace(_LPIPS, title="LPIPS (Squeeze)", latex=r"LPIPS\textsubscript{Squeeze}"),
}
