"""The folder in which the commands of the documentation run: renders, results of other tools, and records."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import torch
from support.scenes import float_image

import nvs_eval
from nvs_eval.images.files import save_png
from nvs_eval.records.record import record_file

VIEWS = tuple(f"{number:04}" for number in range(1, 8))
STEPS = {("base", 500): 0.2, ("base", 1500): 0.1, ("base", 2500): 0.08, ("small", 2500): 0.09}


def make_fox(folder: Path) -> None:
    """Write images of seven views, the folders of two tools, and records of two runs below `nvs-eval-results`."""
    references = folder / "test_images"
    for seed, name in enumerate(VIEWS):
        save_png(references / f"{name}.png", _view(seed))
    for place, noise in (("renders", 0.1), ("ours", 0.1), ("theirs", 0.2)):
        _renders(folder / place, noise)
    for scene in ("garden", "bicycle"):
        iteration = folder / "output" / scene / "test" / "ours_30000"
        shutil.copytree(folder / "ours", iteration / "renders")
        shutil.copytree(references, iteration / "gt")
    shutil.copytree(folder / "ours", folder / "predictions" / "color")
    shutil.copytree(references, folder / "predictions" / "gt-color")
    with tarfile.open(folder / "predictions-30000.tar.gz", "w:gz") as archive:
        archive.add(folder / "predictions", "predictions")
    _records(folder)


def _view(seed: int) -> torch.Tensor:
    waves = torch.nn.functional.interpolate(float_image(seed, 9, 12).permute(2, 0, 1)[None], (64, 80), mode="bicubic")
    return waves[0].permute(1, 2, 0).clamp(0, 1)


def _renders(folder: Path, noise: float) -> Path:
    for seed, name in enumerate(VIEWS):
        image = _view(seed)
        save_png(folder / f"{name}.png", (image + noise * (float_image(seed, 64, 80) - 0.5)).clamp(0, 1))
    return folder


def _records(folder: Path) -> None:
    """Write records as `nvs-eval run` would: renders beside each record, references beside the methods."""
    results = folder / "nvs-eval-results"
    kept = results / "fox" / "references" / "0123456789ab"
    shutil.copytree(folder / "test_images", kept)
    for (run, step), noise in STEPS.items():
        renders = _renders(folder / "made" / f"{run}-{step}", noise)
        for record in nvs_eval.score(renders, reference=folder / "test_images", protocol=("standard", "inria-3dgs")):
            rows = [
                replace(
                    row, render=f"renders/{row.name}.png", reference=f"../../../references/{kept.name}/{row.name}.png"
                )
                for row in record.views
            ]
            placed = replace(record, scene="fox", method="nerfacto", run=run, step=step, views=rows)
            path = record_file(placed, results)
            shutil.copytree(renders, path.parent / "renders", dirs_exist_ok=True)
            nvs_eval.write_record(path, placed)
    for copy in ("new-results", "baseline"):
        shutil.copytree(results / "fox" / "nerfacto" / "base" / "2500", folder / copy)
