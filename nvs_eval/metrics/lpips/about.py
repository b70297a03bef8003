"""LPIPS in words, a metric a network."""

from nvs_eval.metrics.about import About

_PHRASES = {
    "net:alex": "compares features of AlexNet",
    "net:vgg": "compares features of VGG16",
    "net:squeeze": "compares features of SqueezeNet",
    "heads:*": "uses the heads of LPIPS {}",
    "input:scaled": "feeds the network [-1, 1]",
    "input:unscaled": "feeds the network [0, 1] unscaled",
    "norm:lpips": "normalises features as the lpips package",
    "norm:torchmetrics": "normalises features as torchmetrics",
    "clamp": "clamps the network's input to [0, 1]",
    "precision:fast": "multiplies in fewer bits (`--precision fast`)",
}
_ABSENCES = {"clamp": "feeds the network unclamped", "precision": "multiplies in float32"}

ABOUT = {
    f"lpips_{net}": About(
        title=f"LPIPS ({net})",
        words="the learned perceptual distance",
        higher_is_better=False,
        decimals=3,
        latex=rf"LPIPS\textsubscript{{{short}}}",
        bounds=(0.0, 1.0),
        phrases=_PHRASES,
        absences=_ABSENCES,
    )
    for net, short in (("alex", "Alex"), ("vgg", "VGG"), ("squeeze", "Squeeze"))
}
