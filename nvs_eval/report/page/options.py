"""Options of `report`. The command line parses them; the Python API fills them from arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MapName = Literal["ssim", "lpips_alex", "lpips_vgg", "lpips_squeeze", "flip"]
"""Maps that are computed when the page is made. The browser computes those of plain errors."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of the page; names and files as the user wrote them."""

    records: tuple[str, ...]
    """Records, folders or patterns such as 'nvs-eval-results/*/nerfacto/**/*.json'."""
    output: Path
    """Folder of the page, or its HTML file with `--single-file`."""
    single_file: bool = False
    """Put everything into one HTML file, for small results."""
    maps: tuple[MapName, ...] = ()
    """Maps of each render to compute: ssim, lpips_alex, lpips_vgg, lpips_squeeze, flip (error maps need none)."""
    views: tuple[str, ...] = ()
    """Names of the views with pictures (default: all). Tables are of all views."""
    every: int = 1
    """Show every n-th view."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    with_published: tuple[str, ...] = ()
    """Add published numbers as rows, such as 3dgs (see `nvs-eval published`), or YAML files."""
    allow_mixed: bool = False
    """Also show results that are not comparable (other views, references, masks or protocol), marked and unranked."""
    title: str = "nvs-eval"
    """Title of the page."""
    device: str = "auto"
    """Device of the maps: auto, cpu, cuda, cuda:1, ..."""
    weights_dir: Path | None = None
    """Folder to search first for backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""
    overwrite: bool = False
    """Replace a page that this command made. Other files are never replaced."""
