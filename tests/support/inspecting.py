"""Shared parts of the tests of `inspect`: images of noise, the data of a run, and a record of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from support.records import record, row
from support.scenes import HEIGHT, WIDTH, bitmap, image, write_pngs

from nvs_eval.diagnostics.inspection import DataView, Inspection, RunData
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import Record

SIZE = (WIDTH, HEIGHT)


def texts(report: Inspection, *, doubtful: bool | None = None) -> list[str]:
    """Return the texts of the findings, either of all or only of those that are (not) doubtful."""
    return [finding.text for finding in report.findings if doubtful is None or finding.doubtful is doubtful]


def put(name: str, picture: Image.Image, **options: Any) -> Path:
    """Write an image file and return its path. The extension selects the format unless the options do."""
    path = Path("images") / name
    path.parent.mkdir(exist_ok=True)
    picture.save(path, **options)
    return path


def view(file: Path, size: tuple[int, int] = SIZE, mask: Path | None = None) -> DataView:
    return DataView(file.stem, file, size, mask)


def run_data(held_out: Sequence[DataView], training: Sequence[DataView] = (), **changes: Any) -> RunData:
    values: dict[str, Any] = {
        "name": "fox/nerfacto/base",
        "config": Path("config.yml"),
        "data": Path(),
        "parser": "Nerfstudio",
        "rule": "interval 8",
        "training": training or [view(put("t1.png", bitmap(101))), view(put("t2.png", bitmap(102)))],
        "held_out": held_out,
        "alpha": "each method composites differently",
    }
    return RunData(**{**values, **changes})


DEFINITION = {"alpha": "composite", "quantise": {"reference": "round"}, "mask": "valid-pixels", "round_means": None}


def scored(seeds: dict[str, int] | None = None, **changes: Any) -> Record:
    """Write folders of PNGs, and return a record of them."""
    rows = []
    seeds = seeds or {"a": 1, "b": 2}
    for folder in ("gt", "ours"):
        write_pngs(Path(folder), seeds)
    for name, seed in seeds.items():
        rows.append(
            replace(
                row(name, psnr=20.0),
                reference=f"gt/{name}.png",
                render=f"ours/{name}.png",
                reference_sha256=sha256_of_image(image(seed)),
            )
        )
    protocol = {"name": "light", "definition": DEFINITION, "fingerprint": "9f2c51ab"}
    return record(rows, **{"protocol": protocol, **changes})
