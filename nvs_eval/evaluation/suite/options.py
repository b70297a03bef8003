"""Options of a suite. The command line reads them whatever the command, so nothing else is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """What is evaluated of a suite file, and what stands above its own options."""

    file: Path
    """The YAML file that says which methods and scenes, and where they lie: see docs/suites.md."""
    only: tuple[str, ...] = ()
    """Evaluate only these methods and scenes of the file; the tables are still of all that have records."""
    output_dir: Path | None = None
    """Where records and renders are written, in place of where the file says."""
    device: str | None = None
    """Where to compute, in place of what the file says: auto, cpu, cuda, cuda:1, ..."""
    precision: Literal["exact", "fast"] | None = None
    """Of LPIPS, exact or fast, in place of what the file says."""
    max_memory: str | None = None
    """What LPIPS may take beside the images, such as 2GB, in place of what the file says."""
    overwrite: bool = False
    """Render and score again what is done already. (The file of `--output` is replaced in any case.)"""
