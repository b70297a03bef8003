"""Asks the peers that conflict with our environment what they say of the pairs, and writes tests/golden/<peer>.json.

From the environment of the tests, at the root of a checkout, with a package index in reach:

    python tests/peers/make.py [PEER...]

A peer is one of GROUPS below; all are asked where none is named. Each gets an environment of its own in a temporary
folder, which is removed afterwards (about 1 GB at most). Those that need torch see ours behind their own packages,
instead of installing another. Nothing is downloaded but the packages: the LPIPS backbones are the verified ones that
nvs-eval finds on this machine (`nvs-eval weights`).
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
    """Peers of one environment.

    Attributes:
        packages: what pip installs, as it takes them.
        script: asks them.
        torch: whether they see our environment behind their own, for its torch.
    """

    packages: tuple[str, ...]
    script: str
    torch: bool = True


GROUPS = {
    # Before 1.2.1 its LPIPS normalises as the lpips package does; before 1.4.2 its SSIM has no padding.
    "torchmetrics-1.2.0": Group(("--no-deps", "torchmetrics==1.2.0"), "say_torchmetrics.py"),
    "torchmetrics-1.4.1": Group(("--no-deps", "torchmetrics==1.4.1"), "say_torchmetrics.py"),
    "dm-pix": Group(("dm-pix==0.4.5", "jax[cpu]"), "say_dm_pix.py", torch=False),
    "nerfbaselines": Group(("nerfbaselines==1.2.12",), "say_nerfbaselines.py"),
}


def main(names: list[str]) -> None:
    """Writes the golden file of each named group."""
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        sys.exit(f"No such peer: {', '.join(unknown)}. Known: {', '.join(GROUPS)}.")
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "given")
        given.mkdir()
        write_given(given)
        for name in names or GROUPS:
            said = ask(GROUPS[name], given)
            write_golden(GOLDEN / f"{name}.json", {"made_by": f"python tests/peers/make.py {name}", **said})


def write_given(folder: Path) -> None:
    """What the scripts read: the pairs, and the LPIPS backbones."""
    from support.pairs import array_masks, array_pairs

    from nvs_eval.metrics.weights.backbones import load_backbone

    arrays: dict[str, Any] = {}
    for name, (reference, render) in array_pairs().items():
        arrays |= {f"reference {name}": reference, f"render {name}": render, f"mask {name}": array_masks()[name]}
    np.savez(folder / "pairs.npz", **arrays)
    for net in ("alex", "vgg"):
        backbone = {name: tensor.numpy() for name, tensor in load_backbone(net).items()}
        np.savez(folder / f"{net}.npz", **backbone)


def ask(group: Group, given: Path) -> dict[str, Any]:
    """What the peers of a group say, from an environment that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        if group.torch:
            (own,) = Path(folder, "lib").glob("python*/site-packages")
            (own / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *group.packages]
        subprocess.run(pip, check=True, env=environment, stdout=sys.stderr)
        command = [python, HERE / group.script, given]
        said = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    # A peer may print something of its own before the answer.
    return json.loads(said.stdout.splitlines()[-1])


def write_golden(path: Path, golden: dict[str, Any]) -> None:
    """A line a pair, both its values on it."""
    text = re.sub(r"\[\s+(\S+),\s+(\S+)\s+\]", r"[\1, \2]", json.dumps(golden, indent=1))
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(text)} characters", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
