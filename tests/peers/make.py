"""Score the pairs with peers that cannot be installed in our environment, and write tests/golden/<peer>.json.

Run in the environment of the tests, from the root of a checkout, with access to a package index:

    python tests/peers/make.py [PEER...]

A peer is one of GROUPS below (default: all). Each runs in a temporary environment of at most 1 GB. Peers that require
torch use ours, which is added after their own packages. Only packages are downloaded: the LPIPS backbones are the
verified ones on this machine (`nvs-eval weights`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]


@dataclass(frozen=True)
class Group:
    """Peers that share an environment.

    Attributes:
        packages: arguments of `pip install`.
        script: script that scores the pairs.
        torch: whether our packages are added, for torch.
    """

    packages: tuple[str, ...]
    script: str
    torch: bool = True


GROUPS = {
    # Before 1.2.1, LPIPS normalises like the lpips package; before 1.4.2, SSIM does not pad.
    "torchmetrics-1.2.0": Group(("--no-deps", "torchmetrics==1.2.0"), "score_torchmetrics.py"),
    "torchmetrics-1.4.1": Group(("--no-deps", "torchmetrics==1.4.1"), "score_torchmetrics.py"),
    "dm-pix": Group(("dm-pix==0.4.5", "jax[cpu]"), "score_dm_pix.py", torch=False),
    "nerfbaselines": Group(("nerfbaselines==1.2.12",), "score_nerfbaselines.py"),
}


def main(names: list[str]) -> None:
    """Write the golden file of each named group."""
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        sys.exit(f"Unknown peer {', '.join(unknown)}. Peers: {', '.join(GROUPS)}.")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        inputs.mkdir()
        write_inputs(inputs)
        for name in names or GROUPS:
            scores = run(GROUPS[name], inputs)
            write_golden(GOLDEN / f"{name}.json", {"made_by": f"python tests/peers/make.py {name}", **scores})


def write_inputs(folder: Path) -> None:
    """Write the inputs of the scripts: pairs and LPIPS backbones."""
    from support.pairs import array_masks, array_pairs

    from nvs_eval.metrics.weights.backbones import load_backbone

    arrays: dict[str, Any] = {}
    for name, (reference, render) in array_pairs().items():
        arrays |= {f"reference {name}": reference, f"render {name}": render, f"mask {name}": array_masks()[name]}
    np.savez(folder / "pairs.npz", **arrays)
    for net in ("alex", "vgg"):
        backbone: dict[str, Any] = {name: tensor.numpy() for name, tensor in load_backbone(net).items()}
        np.savez(folder / f"{net}.npz", allow_pickle=False, **backbone)


def run(group: Group, inputs: Path) -> dict[str, Any]:
    """Return the scores of a group's peers, computed in a temporary environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        if group.torch:
            (packages,) = Path(folder, "lib").glob("python*/site-packages")
            (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *group.packages]
        subprocess.run(pip, check=True, env=environment, stdout=sys.stderr)
        command = [python, HERE / group.script, inputs]
        process = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    # A peer may print other lines first.
    return json.loads(process.stdout.splitlines()[-1])


def write_golden(path: Path, golden: dict[str, Any]) -> None:
    """Write a golden file, with both values of a pair on one line."""
    text = re.sub(r"\[\s+(\S+),\s+(\S+)\s+\]", r"[\1, \2]", json.dumps(golden, indent=1))
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(text)} characters", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
