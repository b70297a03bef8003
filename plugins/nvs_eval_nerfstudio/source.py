"""A source for each checkpoint of a trained nerfstudio run, which renders the views."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from nvs_eval.diagnostics.inspection import split_findings
from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId, selection_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.matching import choose_views
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.devices import peak_memory
from nvs_eval_nerfstudio.admitted import reading
from nvs_eval_nerfstudio.checkpoints import Checkpoint, chosen_checkpoints, is_whole, load_checkpoint, saved_checkpoints
from nvs_eval_nerfstudio.config import EXPECTED, SUFFIXES, knows, load_config
from nvs_eval_nerfstudio.downloads import downloads_explained
from nvs_eval_nerfstudio.hook import original_target
from nvs_eval_nerfstudio.loading import load_into
from nvs_eval_nerfstudio.own_metrics import no_downloads, own_protocol, without_own_metrics
from nvs_eval_nerfstudio.pairs import read_pair, render_view
from nvs_eval_nerfstudio.quiet import failing, quiet
from nvs_eval_nerfstudio.third_party import note_on

if TYPE_CHECKING:
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

__all__ = ["EXPECTED", "SUFFIXES", "NerfstudioCheckpoint", "knows", "open_run", "saved_steps"]


def open_run(
    path: Path,
    *,
    steps: Literal["last", "all"] | Sequence[int],
    split: Literal["test", "val", "train"],
    views: Sequence[str],
    every: int,
    data: Path | None,
    device: torch.device,
    eval_num_rays_per_chunk: int | None,
    trust: bool,
    warn: Callable[[str], None],
) -> list[NerfstudioCheckpoint]:
    """Return a source for each chosen checkpoint of a trained run. Only one of them is in memory at a time.

    Args:
        path: `config.yml` of the run. Checkpoints are searched for beside it, then in the folder that it names.
        steps: steps of the checkpoints.
        split: held-out views, validation views or training views.
        views: names of views (default: all).
        every: use every n-th of these views.
        data: current location of the data (default: the location recorded in the run).
        device: device to render on.
        eval_num_rays_per_chunk: number of rays in one forward pass (default: the run's; on a CPU at most 2048, which
            changes no value).
        trust: whether the user trusts the author of the run and all of its files.
        warn: called with each warning for the user.

    Raises:
        InputError: if the run, one of its checkpoints or its data is missing or cannot be read.
    """
    config = load_config(path, trust=trust)
    checkpoints = chosen_checkpoints(path, config, steps, warn)
    if note := note_on(config):
        warn(note)
    from nvs_eval_nerfstudio import eval_data

    with reading(path, trust=trust):
        eval_data.prepare_data(config, data=data)
        parsed = eval_data.parse_views(config, split)
        loaded = eval_data.evaluated_split(config, split)
        training = () if split == "train" else eval_data.training_files(config)
    _set_chunk(config, eval_num_rays_per_chunk, device)
    all_names = eval_data.view_names(parsed.image_filenames)
    chosen = choose_views(all_names, wanted=views, every=every)
    held_out = {name: Path(parsed.image_filenames[index]) for index, name in chosen.items()}
    doubts = [finding.text for finding in split_findings(training, held_out)]
    selection = selection_of(chosen.values(), all_names)
    run = Run(path, config, device, split, parsed, chosen, warn, selection, doubts, loaded, trust)
    return [NerfstudioCheckpoint(run, step, file) for step, file in checkpoints.items()]


def saved_steps(path: Path, *, trust: bool) -> tuple[list[int], bool]:
    """Return the steps of the checkpoints of a run that are whole, and whether training has written its last one.

    Args:
        path: `config.yml` of the run.
        trust: as for `open_run`.

    Raises:
        InputError: if the run cannot be read.
    """
    config = load_config(path, trust=trust)
    steps = [step for step, file in saved_checkpoints(path, config).items() if is_whole(file)]
    return steps, config.max_num_iterations - 1 in steps


# Chunks sized for a GPU overflow the caches of a CPU. Smaller ones render the same values several times faster
# (benchmarks/cpu_chunks.py).
_CPU_RAYS_PER_CHUNK = 2048


def _set_chunk(config: TrainerConfig, rays: int | None, device: torch.device) -> None:
    model = config.pipeline.model
    default = model.eval_num_rays_per_chunk
    option = "eval_num_rays_per_chunk in config.yml" if rays is None else "--eval-num-rays-per-chunk"
    if (chosen := default if rays is None else rays) < 1:
        raise InputError(f"{option} must be at least 1. Got {chosen}.")
    model.eval_num_rays_per_chunk = (
        min(chosen, _CPU_RAYS_PER_CHUNK) if rays is None and device.type == "cpu" else chosen
    )


@dataclass(frozen=True, eq=False)
class Run:
    """A trained run and its views to evaluate.

    Attributes:
        path: `config.yml` of the run.
        config: configuration of the run, set up for evaluation.
        device: device to render on.
        split: split that the views belong to.
        parsed: the dataparser's outputs for the whole split.
        views: names of the views to evaluate, by position in the split.
        warn: called with each warning for the user.
        selection: identifier of the views if they are a part of the split.
        doubts: sentences on views that are not held out.
        loaded: split that nerfstudio loads for evaluation.
        trust: whether the user trusts the author of the run.
    """

    path: Path
    config: TrainerConfig
    device: torch.device
    split: Literal["test", "val", "train"]
    parsed: DataparserOutputs
    views: dict[int, str]
    warn: Callable[[str], None]
    selection: str | None = None
    doubts: Sequence[str] = ()
    loaded: Literal["test", "val"] = "test"
    trust: bool = False
    _warned: set[str] = field(init=False, default_factory=set)

    def warn_once(self, message: str) -> None:
        """Warn, unless the run has given the same warning before."""
        if message not in self._warned:
            self._warned.add(message)
            self.warn(message)

    @property
    def indices(self) -> list[int]:
        """Positions of the views to evaluate."""
        return list(self.views)

    @cached_property
    def identity(self) -> dict[str, str]:
        """Hashes that all checkpoints share: one of `config.yml`, one of the image files and cameras."""
        from nvs_eval_nerfstudio.eval_data import data_sha256

        config = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"config_sha256": config, "data_sha256": data_sha256(self.parsed, self.indices)}

    def pipeline(self) -> Pipeline:
        """Return the pipeline of all checkpoints, as the method builds it for evaluation, without its metrics.

        The pipeline of a previous run is freed first.
        """
        if _built.get(self) is None:
            _built.clear()
            _built[self] = self._build()
        return _built[self].eval()

    def _build(self) -> Pipeline:
        self.config.pipeline._target = original_target(self.config.pipeline._target)
        name = self.config.method_name or "the model"
        with failing(f"{self.path}: building {name}"), no_downloads(), downloads_explained(name):
            pipeline = self.config.pipeline.setup(device=str(self.device), test_mode=self.loaded)
        without_own_metrics(pipeline.model)
        return pipeline


_built: dict[Run, Pipeline] = {}


@dataclass(eq=False)
class NerfstudioCheckpoint:
    """Views of one checkpoint, each rendered when it is needed.

    Attributes:
        run: run that the checkpoint belongs to.
        step: step of the checkpoint.
        file: file of the checkpoint.
        peak_memory_bytes: peak memory during rendering; None until the views are rendered.
    """

    run: Run
    step: int
    file: Path
    peak_memory_bytes: int | None = field(default=None, init=False)

    @property
    def id(self) -> ResultId:
        """Scene (experiment), method, run (timestamp), step, split and selection of its views."""
        config = self.run.config
        scene, method = config.experiment_name or "unnamed", config.method_name or "unnamed"
        return ResultId(scene, method, config.timestamp or None, self.step, self.run.split, self.run.selection)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """SHA-256 of checkpoint, configuration and data."""
        return {"checkpoint_sha256": self._checkpoint.sha256, **self.run.identity}

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        """The checkpoint, read before rendering starts so that a damaged file fails early. Tensors stay in the file."""
        with reading(self.run.path, trust=self.run.trust):
            return load_checkpoint(self.file)

    @property
    def names(self) -> list[str]:
        """Names of the views."""
        return list(self.run.views.values())

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each view, in pixels."""
        from nvs_eval_nerfstudio.eval_data import view_sizes

        return view_sizes(self.run.parsed, self.run.indices)

    @cached_property
    def masks(self) -> Masks | None:
        """Masks that the data contains, or None. nerfstudio treats every weight above 0 as 1, and so do these.

        Raises:
            InputError: if the method undistorts the references, so that the masks no longer fit them.
        """
        from nvs_eval_nerfstudio.eval_data import undistorts

        files = self.run.parsed.mask_filenames
        if not files:
            return None
        if undistorts(self.run.config.pipeline.datamanager, self.run.parsed):
            raise InputError(
                f"The data manager of {self.run.config.method_name} undistorts the references but not their masks. "
                "Undistort the masks and pass them with `--masks`."
            )
        return Masks({name: Path(files[index]) for index, name in self.run.views.items()}, binary=True)

    @property
    def doubts(self) -> Sequence[str]:
        """Sentences on evaluated views that are training views."""
        return self.run.doubts

    @property
    def own_protocol(self) -> str | None:
        """Name of the protocol that reproduces the scores of the model's own code, or None."""
        pipeline: Any = self.run.config.pipeline
        return own_protocol(pipeline.model._target, original_target(pipeline._target))

    def __len__(self) -> int:
        return len(self.run.views)

    def render(self, names: Collection[str]) -> Iterator[View | FailedView]:
        """Render some of the views, in their order. The first has no time, because it warms up."""
        from nvs_eval_nerfstudio.eval_data import evaluation_pairs

        device = self.run.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with reading(self.run.path, trust=self.run.trust):
            pipeline = self._load()
            chosen = {index: name for index, name in self.run.views.items() if name in names}
            pairs = evaluation_pairs(pipeline.datamanager, self.run.split, list(chosen), device)
        for index, name in enumerate(chosen.values()):
            with reading(self.run.path, trust=self.run.trust), torch.no_grad():
                camera, batch = read_pair(pairs, name)
            with quiet(), torch.no_grad():  # Not `reading`, because a model may compile kernels when it renders.
                view = render_view(
                    pipeline.model, camera, batch, name=name, device=device, timed=index > 0, warn=self.run.warn_once
                )
            yield view
        self.peak_memory_bytes = peak_memory(device)

    def _load(self) -> Pipeline:
        pipeline = self.run.pipeline()
        if load_into(pipeline, self._checkpoint, path=self.file, warn=self.run.warn_once) == "other":
            self.run.warn(
                f"{self.file}: the LPIPS network in this checkpoint is not the published one. ns-eval would use it; "
                "nvs-eval does not."
            )
        return pipeline.eval()
