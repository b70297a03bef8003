"""The folder in which the commands of the documentation run: renders, results of other tools, and records."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import torch
from support.scenes import float_image

import nvs_eval
from nvs_eval.images.files import load_image, save_png
from nvs_eval.records.record import record_file

VIEWS = tuple(f"{number:04}" for number in range(1, 8))
STEPS = {("base", 500): 0.2, ("base", 1500): 0.1, ("base", 2500): 0.08, ("small", 2500): 0.09}


def make_fox(folder: Path) -> None:
    """Write images of seven views, the folders of other tools, and records of two runs below `nvs-eval-results`."""
    references = folder / "test_images"
    for seed, name in enumerate(VIEWS):
        save_png(references / f"{name}.png", _view(seed))
    for place, noise in (("renders", 0.1), ("ours", 0.1), ("theirs", 0.2)):
        _renders(folder / place, noise)
    _tools(folder)
    shutil.copytree(folder / "ours", folder / "predictions" / "color")
    shutil.copytree(references, folder / "predictions" / "gt-color")
    with tarfile.open(folder / "predictions-30000.tar.gz", "w:gz") as archive:
        archive.add(folder / "predictions", "predictions")
    _records(folder)


def _tools(folder: Path) -> None:
    """Write the folders of tools, and folders whose names differ from the references'."""
    pairs = {
        "3dgs/garden/test/ours_30000": ("renders", "gt"),
        "3dgs/bicycle/test/ours_30000": ("renders", "gt"),
        "output/garden/test/ours_30000": ("test_preds_-1", "gt_-1"),
        "3dgut/garden-2504_120000/ours_30000": ("renders", "gt"),
        "rendered/test": ("rgb", "gt-rgb"),
    }
    for place, (renders, references) in pairs.items():
        shutil.copytree(folder / "ours", folder / place / renders)
        shutil.copytree(folder / "test_images", folder / place / references)
    for model in ("3dgs/garden", "3dgs/bicycle", "output/garden"):
        (folder / model / "cfg_args").write_text(f"Namespace(source_path='/data/{Path(model).name}')")
    shutil.copytree(folder / "test_images", folder / "garden" / "images")
    for number, name in enumerate(VIEWS):
        reference, render = folder / "test_images" / f"{name}.png", folder / "ours" / f"{name}.png"
        copies = {
            f"depthsplat/images/scene_{number % 2}/color/{number:06}.png": render,
            f"depthsplat/images/scene_{number % 2}/color/{number:06}_gt.png": reference,
            f"numbered/{number:05}.png": render,
            f"with_depth/{name}.png": render,
            f"with_depth/{name}_depth.png": render,
            f"prefixed/gs_{name}.png": render,
        }
        if number % 8 == 0:
            copies[f"brush/eval_30000/{name}.jpg.png"] = render
        if number % 4 == 0:
            copies[f"numbered_every_4th/{number // 4:05}.png"] = render
        for place, source in copies.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / place)
        canvas = torch.cat([load_image(reference), load_image(render)], dim=1)
        save_png(folder / "gsplat" / "garden" / "renders" / f"val_step29999_{number:04}.png", canvas)
        save_png(folder / "poster" / "nerfacto" / f"eval_img_{number:04}.png", canvas)


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
