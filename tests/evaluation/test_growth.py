"""Memory while thousands of views are scored: it grows by the rows of the record, and nothing else."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.protocols import LIGHT

import nvs_eval
from nvs_eval.evaluation.rows import Results
from nvs_eval.images.files import save_png

# A row with its scores, paths and hash, and what the files of partial results remember.
_MOST_BYTES = 4000
VIEWS = 120
PSNR_ONLY = LIGHT.replace("  ssim: {kernel: valid, data_range: 1}\n", "")


@dataclass
class Growth:
    """Python's memory, tensors and open files at two views."""

    at: tuple[int, int]
    seen: int = 0
    samples: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self) -> None:
        """Count a view."""
        self.seen += 1
        if self.seen in self.at:
            gc.collect()
            tensors = sum(type(value) is torch.Tensor for value in gc.get_objects())
            files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
            self.samples.append((tracemalloc.get_traced_memory()[0], tensors, files))

    def check(self) -> None:
        """Check that memory grew by at most a row per view, and the others not at all."""
        (first_bytes, *first), (last_bytes, *last) = self.samples
        assert (last_bytes - first_bytes) / (self.at[1] - self.at[0]) < _MOST_BYTES
        assert all(now <= before + 5 for before, now in zip(first, last, strict=True)), (first, last)


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Iterator[Growth]:
    growth, add = Growth((40, VIEWS)), Results.add

    def counted(*args: object) -> None:
        add(*args)  # pyright: ignore[reportArgumentType]
        growth.add()

    monkeypatch.setattr(Results, "add", counted)
    tracemalloc.start()
    yield growth
    tracemalloc.stop()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of renders and references of 16x16 pixels."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(VIEWS):
        picture = torch.full((16, 16, 3), index / VIEWS)
        save_png(folder / "gt" / f"{index:04}.png", picture)
        save_png(folder / "ours" / f"{index:04}.png", picture + 1 / VIEWS)
    return folder


@pytest.mark.parametrize("written", [True, pytest.param(False, marks=pytest.mark.long)])
def test_scoring_files_grows_by_rows(folders: Path, tmp_path: Path, growth: Growth, written: bool) -> None:
    (tmp_path / "light.yaml").write_text(PSNR_ONLY)
    (record,) = nvs_eval.score(
        folders / "ours",
        reference=folders / "gt",
        protocol=str(tmp_path / "light.yaml"),
        output_dir=tmp_path / "out" if written else None,
    )
    assert len(record.views) == VIEWS
    growth.check()


@pytest.mark.parametrize("steps", [(1,), pytest.param((1, 2), marks=pytest.mark.long)])
def test_evaluating_checkpoints_grows_by_rows(tmp_path: Path, growth: Growth, steps: tuple[int, ...]) -> None:
    names = [f"{index:04}" for index in range(VIEWS)]
    checkpoints = [FakeCheckpoint(step, views=names) for step in steps]
    assert len(evaluate_checkpoints(checkpoints, tmp_path, PSNR_ONLY)) == len(steps)
    growth.check()


@pytest.mark.long
def test_growth_is_found(growth: Growth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr("nvs_eval.evaluation.evaluate._check_renders", lambda view, ids: kept.append(view))
    evaluate_checkpoints([FakeCheckpoint(1, views=[f"{index:04}" for index in range(VIEWS)])], tmp_path, PSNR_ONLY)
    with pytest.raises(AssertionError):
        growth.check()
