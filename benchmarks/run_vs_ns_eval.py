"""Whole-process time of `nvs-eval run` against stock `ns-eval` on one checkpoint, in pairs.

    python benchmarks/run_vs_ns_eval.py outputs/fox/nerfacto/base/config.yml [--rounds 3]

Stock ns-eval needs help on a machine like many: from torch 2.6 on it cannot load its own checkpoints unless torch's
protection is switched off, and it fetches AlexNet from the internet. Here it gets both: the switch for its process, and
a torch hub folder with an AlexNet whose convolutions are the verified ones (its classifier is never used).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def hub_folder(folder: Path) -> Path:
    """A torch hub folder from which torchvision loads AlexNet without internet."""
    import torch
    import torchvision

    from nvs_eval.weights import load_backbone

    with torch.device("meta"):
        shapes = torchvision.models.alexnet(weights=None).state_dict()
    weights = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()} | load_backbone("alex")
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(weights, checkpoints / "alexnet-owt-7be5be79.pth")
    return folder


def timed(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stock_environment = {"TORCH_HOME": str(hub_folder(folder / "torch")), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        config = ["--load-config", str(arguments.config)]
        stock = [sys.executable, "-m", "nerfstudio.scripts.eval", *config, "--output-path", str(folder / "stock.json")]
        ours = [sys.executable, "-m", "nvs_eval", "run", *config, "--protocol", "nerfstudio", "--overwrite"]
        ours += ["--output-dir", str(folder / "ours")]
        pairs = [(timed(ours, {}), timed(stock, stock_environment)) for _ in range(arguments.rounds)]
        results = json.loads((folder / "stock.json").read_text())["results"]
        (record,) = (folder / "ours").rglob("*.json")
        means = json.loads(record.read_text())["means"]
    for key, other in (("psnr", "psnr"), ("ssim", "ssim"), ("lpips_alex", "lpips")):
        print(
            f"{key:<12} nvs-eval {means[key]:.6f}   ns-eval {results[other]:.6f}   {means[key] - results[other]:+.1e}"
        )
    for label, times in (("nvs-eval run", [a for a, _ in pairs]), ("ns-eval", [b for _, b in pairs])):
        print(f"{label:<12} median {statistics.median(times):.1f} s   {', '.join(f'{t:.1f}' for t in times)}")
    print(f"ratio        median {statistics.median(a / b for a, b in pairs):.2f}")


if __name__ == "__main__":
    main()
