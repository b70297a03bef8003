"""A small suite of two scenes, two methods and three checkpoints, and its records without what differs by run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.scenes import write_pngs

SCENES = ("fox", "garden")
METHODS = ("a", "b")
STEPS = (100, 200, 300)
FILE = """\
scenes: [fox, garden]
title: suite of tests
protocol: light.yaml
device: cpu
max_memory: 200MB
methods:
  a: {score: 'renders/a/{scene}'}
  b: {score: 'renders/b/{scene}'}
"""
_OF_A_RUN = ("started", "seconds", "command", "peak_memory_bytes")


def write_suite(views: int = 2) -> None:
    """Write the images and `suite.yaml` to the working folder."""
    names = [f"{number:04}" for number in range(1, views + 1)]
    for place, scene in enumerate(SCENES):
        reference = {name: 10 * place + number for number, name in enumerate(names)}
        for number, method in enumerate(METHODS, 1):
            for step in STEPS:
                iteration = Path(f"renders/{method}/{scene}/test/ours_{step}")
                write_pngs(iteration / "gt", reference)
                write_pngs(iteration / "renders", {n: seed + step * number for n, seed in reference.items()})
    Path("suite.yaml").write_text(FILE, encoding="utf-8")


def finished(output_dir: Path) -> list[Path]:
    """Return the files of the records."""
    return sorted(output_dir.rglob("*.json"))


def normal_records(output_dir: Path) -> dict[str, Any]:
    """Return the records by path, without times and commands."""
    records = {}
    for file in finished(output_dir):
        record = json.loads(file.read_text("utf-8"))
        record["provenance"] = {key: value for key, value in record["provenance"].items() if key not in _OF_A_RUN}
        records[file.relative_to(output_dir).as_posix()] = record
    return records
