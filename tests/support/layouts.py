"""Small folders in the layouts of other tools, and archives of them."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scenes import HEIGHT, WIDTH, image, write_pngs
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_png
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.image_source import ImageFiles

VIEWS = {"0000": 1, "0001": 2}
NAMES = {"0001": 1, "0002": 2, "0003": 3}
"""Seeds of the references, by view."""
INFO = {
    "method": "gaussian-splatting",
    "nb_version": "1.2.7",
    "num_iterations": 30000,
    "dataset_metadata": {"id": "mipnerf360", "scene": "of training"},
    "evaluation_protocol": "nerf",
    "render_dataset_metadata": {"id": "mipnerf360", "scene": "garden", "background_color": None},
}

PREDICTED = {"cam0/DSC07956": (1, 11), "cam1/DSC07964": (2, 12)}


def check_views(source: ImageFiles, expected: dict[str, tuple[int, ...]]) -> None:
    """Check that each view consists of the images of these seeds, the reference first."""
    views = list(views_of(source))
    assert [view.name for view in views] == list(expected)
    for view, (reference, *renders) in zip(views, expected.values(), strict=True):
        assert torch.equal(view.reference, image(reference))
        assert len(view.renders) == len(renders)
        for render, seed in zip(view.renders, renders, strict=True):
            assert torch.equal(render.image, image(seed))


def labels(sources: Sequence[ImageFiles]) -> list[list[str]]:
    """Return the labels of each source's results."""
    return [[result.label for result in source.ids] for source in sources]


def model(folder: Path, *steps: int, names: dict[str, int] = NAMES, trained_on: str | None = None) -> Path:
    """Write the output of graphdeco-inria/gaussian-splatting after render.py."""
    for step in steps:
        for split in ("test", "train"):
            write_pngs(folder / split / f"ours_{step}" / "gt", names)
            write_pngs(folder / split / f"ours_{step}" / "renders", {n: seed + step for n, seed in names.items()})
    if trained_on is not None:
        config = f"Namespace(data_device='cuda', images='images', source_path='{trained_on}', white_background=False)"
        (folder / "cfg_args").write_text(config)
    return folder


def predictions(folder: Path, *, info: object = INFO, mask: bool = False) -> Path:
    """Write the output of nerfbaselines' save_predictions."""
    for name, (reference, render) in PREDICTED.items():
        save_png(folder / "gt-color" / f"{name}.png", image(reference))
        save_png(folder / "color" / f"{name}.png", image(render))
        save_png(folder / "depth-rgb" / f"{name}.png", image(99))
        if mask:
            save_png(folder / "mask" / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
        for kind, extension in (("cameras", "npz"), ("depth", "bin")):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.{extension}").write_bytes(b"not an image")
    if info is not None:
        (folder / "info.json").write_text(info if isinstance(info, str) else json.dumps(info))
    return folder


def canvas(path: Path, *seeds: int) -> None:
    save_png(path, torch.cat([image(seed) for seed in seeds], dim=1))


def gsplat(folder: Path, *steps: int, stage: str = "val", data: str | None = "data/360_v2/garden") -> Path:
    """Write the output of gsplat's simple_trainer: canvases with the reference left and the render right."""
    for step in steps:
        for name, seed in VIEWS.items():
            canvas(folder / "renders" / f"{stage}_step{step}_{name}.png", seed, seed + step)
    if data is not None:
        config = (
            f"antialiased: false\ndata_dir: {data}\ndata_factor: 4\nstrategy: !!python/object:gsplat.DefaultStrategy\n"
        )
        (folder / "cfg.yml").write_text(config)
    return folder


def ns_eval(folder: Path, *offsets: int, accumulated: int | None = 1) -> Path:
    """Write the output of `ns-eval --render-output-path`: canvases of reference and renders, and other images."""
    for name, seed in VIEWS.items():
        canvas(folder / f"eval_img_{name}.png", seed, *(seed + offset for offset in offsets))
        if accumulated is not None:
            for kind in ("accumulation", "depth", "prop_depth_0", "nvs_error"):
                canvas(folder / f"eval_{kind}_{name}.png", *[9] * accumulated)
    return folder


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Write an archive of all files of a folder, below a prefix."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in files:
                packed.write(file, prefix + file.relative_to(folder).as_posix())
    else:
        kind: Any = {".tar": "w:", ".bz2": "w:bz2", ".xz": "w:xz"}.get(archive.suffix, "w:gz")
        with tarfile.open(archive, kind) as packed:
            for file in files:
                packed.add(file, prefix + file.relative_to(folder).as_posix())
    return archive


def refusal(*folders: Path, reference: Path | None = None) -> str:
    """Return the message with which folders are refused."""
    with pytest.raises(InputError) as error:
        open_folders(folders, reference=reference)
    return str(error.value)
