"""A small suite of two scenes, two methods and three checkpoints, and its records without what differs by run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from support.commands import Said
from support.scenes import write_pngs

from nvs_eval.evaluation.executors.claims import FOLDER, Claim

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


@dataclass
class Started:
    """A command of a suite that runs in a process of its own."""

    process: subprocess.Popen[str]

    def claimed(self, output_dir: str, least: int = 1) -> Claim:
        """Wait until so many cells are evaluated; return the claim of one."""
        for _ in range(6000):
            files = [*Path(output_dir, FOLDER).rglob("*.claim")]
            if len(files) >= least:
                with suppress(FileNotFoundError):
                    return msgspec.json.decode(files[0].read_bytes(), type=Claim)
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)
        raise AssertionError("no cell is evaluated")

    def end(self) -> Said:
        """Wait for the end of the command."""
        out, err = self.process.communicate(timeout=120)
        return Said(self.process.returncode, out, err)


def started(*options: str, **environment: str) -> Started:
    """Start `nvs-eval suite suite.yaml` with options."""
    command = [sys.executable, "-m", "nvs_eval", "suite", "suite.yaml", *options]
    pipe = subprocess.PIPE
    return Started(subprocess.Popen(command, text=True, env={**os.environ, **environment}, stdout=pipe, stderr=pipe))
