"""Fake checkpoints, which do not require nerfstudio, and their evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from support.protocols import protocol_of
from support.scenes import HEIGHT, WIDTH, float_image, image
from torch import Tensor

from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, report_lost
from nvs_eval.evaluation.plan import Job, Keep, plan_renders
from nvs_eval.evaluation.render_store import RenderStore
from nvs_eval.evaluation.rendering import Evaluation
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId, selection_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.views import FailedView, Render, View, checked_view


@dataclass(eq=False)
class FakeCheckpoint:
    """A checkpoint with the interface of a plugin, whose renders are noise.

    Attributes:
        step: step of the checkpoint, and seed of its renders.
        views: names of the views.
        of_split: names of all views of the split (default: `views`).
        references: returns the reference of the view at an index.
        renders: returns the render of the view at an index (default: noise).
        on_view: called with the index of each view before it is rendered, for example to interrupt.
        masks: masks in the data.
        own_protocol: protocol of the model, for `--protocol auto`.
        own: returns the model's own metrics of the view at an index.
        doubts: sentences to print below the table.
        rendered: names of all views rendered so far.
    """

    step: int
    views: Sequence[str] = ("a", "cam0/b", "c")
    references: Callable[[int], Tensor] = image
    renders: Callable[[int], Tensor] | None = None
    on_view: Callable[[int], None] = lambda index: None
    scene: str = "fox"
    method: str = "fake"
    masks: Masks | None = None
    own_protocol: str | None = None
    own: Callable[[int], dict[str, float]] = lambda index: {}
    identity: dict[str, str] = field(default_factory=dict)
    rendered: list[str] = field(default_factory=list)

    split: str = "test"
    doubts: Sequence[str] = ()
    of_split: Sequence[str] = ()

    def __post_init__(self) -> None:
        hashes = {"checkpoint_sha256": f"checkpoint {self.step}", "config_sha256": "config", "data_sha256": "data"}
        self.provenance = {**hashes, **self.identity}
        selection = selection_of(self.views, self.of_split)
        self.id = ResultId(self.scene, self.method, "base", self.step, self.split, selection)
        self.peak_memory_bytes: int | None = None

    @property
    def names(self) -> Sequence[str]:
        return self.views

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        return [(WIDTH, HEIGHT)] * len(self.views)

    def __len__(self) -> int:
        return len(self.views)

    def render(self, names: Collection[str]) -> Iterator[View | FailedView]:
        for index, name in enumerate(self.views):
            if name not in names:
                continue
            self.on_view(index)
            render = self.renders(index) if self.renders else float_image(1000 * self.step + index)
            # The first render is a warm-up without a time.
            seconds = float(index) if index else None
            self.rendered.append(name)
            yield checked_view(name, self.references(index), [Render(render, seconds=seconds, own=self.own(index))])
        self.peak_memory_bytes = 12345


class Opener(NamedTuple):
    """A fake plugin that records its calls and returns fake checkpoints.

    Attributes:
        asked: path and options of each call.
        given: checkpoints of paths that are not in `of`.
        of: checkpoints by path.
    """

    asked: list[dict[str, Any]]
    given: list[FakeCheckpoint]
    of: dict[str, list[FakeCheckpoint]]

    def __call__(self, path: Path, **options: Any) -> list[FakeCheckpoint]:
        self.asked.append({"path": path, **options})
        return self.of.get(str(path), self.given)

    @property
    def rendered(self) -> list[str]:
        """Names of all views that were rendered."""
        checkpoints = [*self.given, *(checkpoint for run in self.of.values() for checkpoint in run)]
        return [name for checkpoint in checkpoints for name in checkpoint.rendered]


def out_of_range(index: int) -> Tensor:
    """Return a render. That of the second view has one value outside [0, 1]."""
    render = float_image(7 + index)
    if index == 1:
        render[0, 0, 0] = 1.25
    return render


def job_of(checkpoint: FakeCheckpoint, **names: str) -> Job:
    """Return a job that evaluates a checkpoint with its own masks. Keywords replace parts of its id."""
    return Job(checkpoint, replace(checkpoint.id, **names), checkpoint.masks)


def evaluate_checkpoints(
    checkpoints: Sequence[FakeCheckpoint],
    output_dir: Path,
    *protocols: str,
    keep: Keep = "png",
    overwrite: bool = False,
) -> list[Record]:
    """Evaluate checkpoints without records as `nvs-eval run` does, and write their records."""
    jobs = [job_of(checkpoint) for checkpoint in checkpoints]
    return evaluate_jobs(jobs, output_dir, *protocols, keep=keep, overwrite=overwrite)


def evaluate_jobs(
    jobs: Sequence[Job], output_dir: Path, *protocols: str, keep: Keep = "png", overwrite: bool = False
) -> list[Record]:
    """Evaluate jobs without records as `nvs-eval run` does, and write their records."""
    scorer = Scorer([protocol_of(text) for text in protocols], torch.device("cpu"))
    plan = plan_renders(jobs, scorer.protocols, keep)
    with ExitStack() as stack:
        stores = [stack.enter_context(RenderStore(job, output_dir, plan, overwrite)) for job in jobs]
        session, callbacks = Session(output_dir), Callbacks()
        records = Evaluation(scorer, session, callbacks, stores, Places(output_dir, overwrite)).run()
    report_lost(session.errors, records, callbacks)
    assert records, "there are no records to test"
    return records
