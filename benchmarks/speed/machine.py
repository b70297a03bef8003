"""Description of the machine: processor, memory, GPU, versions, and the revision of the code."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.speed.places import ROOT

# CPU flags that affect speed, under their names in Linux.
_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)
_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "lpips",
    "torchmetrics",
    "pytorch-msssim",
    "flip-evaluator",
    "dists-pytorch",
    "scikit-image",
)
_PACKAGES += ("fused-ssim", "pillow", "nerfstudio", "nvs-eval")
# Files that the benchmark itself writes do not change the code.
_WRITTEN = ("benchmarks/results", "benchmarks/speed/exact.json", "docs/speed.md")


def describe_machine(device: str) -> dict[str, Any]:
    """Return a description of this machine, without its name and without paths."""
    facts = _processor()
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in facts.get("flags", "").split()],
        "memory": _memory(),
        "device": device,
        "graphics card": _graphics_card() if device == "cuda" else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **dict(_versions())},
    }


def code_revision(root: Path = ROOT) -> str | None:
    """Return the short commit of a checkout, with `-dirty` if tracked files were changed; None without a checkout."""
    excluded = [f":(exclude){path}" for path in _WRITTEN]
    commit = _git(root, "rev-parse", "--short", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *excluded)
    return None if commit is None else f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    """Return the output of git, or None if there is no git or no checkout."""
    try:
        process = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()


def short_name(machine: dict[str, Any]) -> str:
    """Return a name for files: GPU or processor, and number of cores."""
    name = machine["graphics card"] or machine["processor"]
    return re.sub(r"[^a-z0-9]+", "-", f"{name} {machine['cores']} cores".lower()).strip("-")


def _processor() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory() -> int | None:
    """Return the size of the memory in bytes, or None if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _graphics_card() -> str:
    import torch

    return torch.cuda.get_device_name()


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
