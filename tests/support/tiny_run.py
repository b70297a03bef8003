"""A tiny nerfstudio run, whose configuration, data and checkpoint tests change before a command reads them."""

from __future__ import annotations

import copy
import functools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from support.protocols import protocol_file
from support.scenes import FRAMES, nerfstudio_scene

from nvs_eval_nerfstudio.own_metrics import no_downloads
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

CONFIG = Path("run", "config.yml")
CHECKPOINT = Path("run", "nerfstudio_models", "step-000000007.ckpt")
RUN = ["run", "--load-config", str(CONFIG), "--protocol", "light.yaml", "--device", "cpu", "--keep-renders", "none"]
INSPECT = ["inspect", str(CONFIG)]


@functools.cache
def _tiny() -> tuple[Any, dict[str, torch.Tensor]]:
    """Return the configuration of a small nerfacto on the scene `scene`, and the state of its pipeline."""
    import_nerfstudio()
    from nerfstudio.configs.method_configs import all_methods
    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager

    config: Any = copy.deepcopy(all_methods["nerfacto"])
    config.experiment_name, config.timestamp, config.data = "scene", "a", Path("scene")
    manager, model = config.pipeline.datamanager, config.pipeline.model
    manager._target, manager.data, manager.dataparser.eval_mode = VanillaDataManager, Path("scene"), "interval"
    manager.train_num_images_to_sample_from = manager.eval_num_images_to_sample_from = 1
    model.implementation, model.num_levels, model.log2_hashmap_size, model.max_res = "torch", 2, 4, 32
    model.hidden_dim = model.hidden_dim_color = 8
    model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = (4, 4), 4
    for network in model.proposal_net_args_list:
        network.update(num_levels=2, log2_hashmap_size=4, max_res=16)
    built = copy.deepcopy(config)
    with tempfile.TemporaryDirectory() as folder, quiet(), no_downloads(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built.pipeline.datamanager.data = built.pipeline.datamanager.dataparser.data = nerfstudio_scene(Path(folder))
        torch.manual_seed(0)
        pipeline = built.pipeline.setup(device="cpu", test_mode="test")
    state = {key: value.clone() for key, value in pipeline.state_dict().items() if ".lpips." not in key}
    return config, {key: value for key, value in state.items() if not key.startswith("datamanager.")}


def write_run(
    config: Callable[[Any], object] = lambda config: None,
    *,
    text: Callable[[str], str] = lambda text: text,
    state: Callable[[dict[str, Any]], object] = lambda state: None,
) -> None:
    """Write the run, its scene and a protocol into the current folder.

    Args:
        config: changes the configuration in place.
        text: changes the text of `config.yml`.
        state: changes the entries of the checkpoint in place.
    """
    original, entries = _tiny()
    changed, entries = copy.deepcopy(original), dict(entries)
    config(changed)
    state(entries)
    CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(text(yaml.dump(changed)), encoding="utf-8")
    torch.save({"step": 7, "pipeline": entries}, CHECKPOINT)
    nerfstudio_scene(Path("scene"), FRAMES)
    protocol_file(Path())
