"""Trains a small nerfacto on a small scene: `python -m nvs_eval_nerfstudio.train_small --help`.

It is nerfstudio's own training of its own method. Three things differ from `ns-train nerfacto`: the grids and batches
are small enough for two CPU cores, rays are sampled in this process (another one would take a core to itself), and the
LPIPS that the model builds takes its backbone from nvs-eval's verified weights, so that no internet is needed. The run
that it leaves is a stock one, which every ns-* command loads.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import tyro

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class Training:
    """Input, output and length of a small training."""

    data: Path
    """A scene in nerfstudio's format, with the camera poses as they are to be used: all of it within the unit cube."""
    output_dir: Path
    """The run is written to OUTPUT_DIR/<name of the data's folder>/nerfacto/demo."""
    steps: int
    """The step of the last checkpoint."""
    steps_per_save: int
    """Steps between checkpoints."""
    rays: int
    """Rays in a step."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device to train on."""


def configure(training: Training) -> TrainerConfig:
    """The configuration of nerfacto, made small."""
    # The dictionary's own module comes first: the modules of methods cannot be imported before it.
    from nerfstudio.configs.method_configs import method_configs

    config = cast("TrainerConfig", copy.deepcopy(method_configs["nerfacto"]))
    config.data, config.output_dir = training.data, training.output_dir
    config.experiment_name, config.timestamp = training.data.name, "demo"
    config.machine.device_type, config.mixed_precision = training.device, False
    # Steps count from 0, so that one more is needed for the last checkpoint to be at a round number.
    config.max_num_iterations, config.steps_per_save = training.steps + 1, training.steps_per_save
    config.save_only_latest_checkpoint = False
    # No viewer, which would go on for ever, and no evaluation on the way: 0 is never.
    config.vis = "tensorboard"
    config.steps_per_eval_batch = config.steps_per_eval_image = config.steps_per_eval_all_images = 0
    config.logging.local_writer.max_log_size = 0
    for group in ("proposal_networks", "fields"):
        config.optimizers[group]["scheduler"].lr_final = 3e-3
        config.optimizers[group]["scheduler"].max_steps = training.steps
    _shrink_data(config.pipeline.datamanager, training.rays)
    _shrink_model(config.pipeline.model)
    return config


def _shrink_data(manager: Any, rays: int) -> None:
    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager

    # The configuration's class stays ParallelDataManager's, as whoever loads the run expects of nerfacto.
    manager._target = VanillaDataManager
    manager.train_num_rays_per_batch = rays
    # The scene is upright, centred and of the right size already.
    manager.dataparser.orientation_method = manager.dataparser.center_method = "none"
    manager.dataparser.auto_scale_poses = False
    manager.dataparser.scene_scale = 1.05


def _shrink_model(model: Any) -> None:
    model.implementation = "torch"
    model.camera_optimizer.mode = "off"
    model.use_appearance_embedding = False
    # All but the backdrop lies within the box, so that short rays and few samples find it.
    model.disable_scene_contraction = True
    model.near_plane, model.far_plane = 1.2, 4.6
    model.proposal_initial_sampler = "uniform"
    model.average_init_density = 1.0
    # Without tiny-cuda-nn a level costs far more than the features in it: few levels of many features.
    model.num_levels, model.features_per_level, model.max_res, model.log2_hashmap_size = 4, 8, 160, 16
    model.num_proposal_iterations, model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = 1, (32,), 16
    model.proposal_net_args_list = [
        {"hidden_dim": 16, "log2_hashmap_size": 13, "num_levels": 2, "max_res": 64, "features_per_level": 4}
    ]
    model.proposal_warmup, model.proposal_weights_anneal_max_num_iters = 500, 200
    # A whole view at once would need gigabytes, and be slower for it.
    model.eval_num_rays_per_chunk = 2048


def main() -> int:
    """Train as the arguments say; 2 if the LPIPS weights cannot be had."""
    training = tyro.cli(Training, description=__doc__)
    from nvs_eval.metrics.weights.backbones import load_backbone

    try:
        load_backbone("alex")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    config = configure(training)
    from nerfstudio.scripts import train

    from nvs_eval_nerfstudio.own_metrics import verified_backbones

    with verified_backbones():
        train.main(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
