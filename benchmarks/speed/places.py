"""Folders of the benchmark: results, and a cache of images, peers and their weights, which git ignores."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ROOT / ".bench"
PEERS = KEPT / "peers"
"""Folder in which `make bench` installs NerfBaselines, which requires a different OpenCV than nerfstudio."""


def torch_home() -> Path:
    """Return a `TORCH_HOME` from which torchvision loads each network without internet access.

    Files are written once. Convolutions are the verified ones; classifiers, which LPIPS does not use, are zeros.
    """
    import torch
    import torchvision

    from nvs_eval.metrics.weights.backbones import find_backbone, load_backbone
    from nvs_eval.metrics.weights.pins import Net

    files: dict[Net, tuple[str, str]] = {
        "alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
        "vgg": ("vgg16", "vgg16-397923af.pth"),
        "squeeze": ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
    }
    checkpoints = KEPT / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    for net, (model, name) in files.items():
        if (checkpoints / name).is_file() or not find_backbone(net).verified:
            continue
        with torch.device("meta"):
            shapes = getattr(torchvision.models, model)(weights=None).state_dict()
        weights = {key: torch.zeros(tensor.shape) for key, tensor in shapes.items()} | load_backbone(net)
        partial = checkpoints / f"{name}.{os.getpid()}"  # Other processes may write the same file.
        torch.save(weights, partial)
        partial.rename(checkpoints / name)
    return KEPT / "torch"
