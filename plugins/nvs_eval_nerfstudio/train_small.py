"""Train a small nerfacto on a small scene: `python -m nvs_eval_nerfstudio.train_small --help`.

This is nerfstudio's own training, with three differences from `ns-train nerfacto`: grids and batches are small enough
for two CPU cores; rays are sampled in this process, because a second one would occupy a core; and the model's LPIPS
uses nvs-eval's verified weights, so that no internet access is required. Every ns-* command can load the trained run.
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
    """Input, output and length of the training."""

    data: Path
    """Scene in nerfstudio's format, inside the unit cube. Camera poses are used unchanged."""
    output_dir: Path
    """Output folder. The run is written to OUTPUT_DIR/<name of the data folder>/nerfacto/demo."""
    steps: int
    """Step of the last checkpoint."""
    steps_per_save: int
    """Number of steps between checkpoints."""
    rays: int
    """Number of rays per step."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device to train on."""


def configure(training: Training) -> TrainerConfig:
    """Return the configuration of a small nerfacto."""
    # Must be imported before the modules of the methods.
    from nerfstudio.configs.method_configs import method_configs

    config = cast("TrainerConfig", copy.deepcopy(method_configs["nerfacto"]))
    config.data, config.output_dir = training.data, training.output_dir
    config.experiment_name, config.timestamp = training.data.name, "demo"
    config.machine.device_type, config.mixed_precision = training.device, False
    # Steps count from 0: with one more, the last checkpoint is at a round number.
    config.max_num_iterations, config.steps_per_save = training.steps + 1, training.steps_per_save
    config.save_only_latest_checkpoint = False
    # No viewer, which would run forever, and no evaluation during training (0 means never).
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

    # Only the target changes. The class of the configuration stays nerfacto's, so that any tool can load the run.
    manager._target = VanillaDataManager
    manager.train_num_rays_per_batch = rays
    # The scene is already upright, centred and scaled.
    manager.dataparser.orientation_method = manager.dataparser.center_method = "none"
    manager.dataparser.auto_scale_poses = False
    manager.dataparser.scene_scale = 1.05


def _shrink_model(model: Any) -> None:
    model.implementation = "torch"
    model.camera_optimizer.mode = "off"
    model.use_appearance_embedding = False
    # Everything but the background is inside the box, so short rays with few samples suffice.
    model.disable_scene_contraction = True
    model.near_plane, model.far_plane = 1.2, 4.6
    model.proposal_initial_sampler = "uniform"
    model.average_init_density = 1.0
    # Without tiny-cuda-nn, levels are expensive and features cheap: use few levels with many features.
    model.num_levels, model.features_per_level, model.max_res, model.log2_hashmap_size = 4, 8, 160, 16
    model.num_proposal_iterations, model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = 1, (32,), 16
    model.proposal_net_args_list = [
        {"hidden_dim": 16, "log2_hashmap_size": 13, "num_levels": 2, "max_res": 64, "features_per_level": 4}
    ]
    model.proposal_warmup, model.proposal_weights_anneal_max_num_iters = 500, 200
    # Rendering a whole view at once would take gigabytes and more time.
    model.eval_num_rays_per_chunk = 2048


def main() -> int:
    """Train, and return the exit code: 2 if the LPIPS weights cannot be loaded."""
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
