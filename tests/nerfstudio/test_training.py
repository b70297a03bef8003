"""A run trained with the hook logs its scores and can be loaded by ns-eval and nvs-eval."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nerfstudio_commands import Commands, nerfstudio_commands
from support.protocols import protocol_file, rounding, variant

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.cli.demo.scene import write_scene
from nvs_eval.records.record import read_record

pytestmark = pytest.mark.slow

# A module that hooks a user's own method, based on tensorf, which has its own pipeline class.
MY_METHODS = """
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.plugins.types import MethodSpecification
from nvs_eval_nerfstudio.hook import with_nvs_eval

config = with_nvs_eval(method_configs["tensorf"], protocols=("quick.yaml",), method_name="tensorf-mine")
tensorf_mine = MethodSpecification(config=config, description="tensorf, also evaluated by nvs-eval.")
"""
QUICK = variant(name="quick", out_of_range="clamp", quantise=rounding(), mask="none")
SMALL = {
    "nerfacto-nvs": """--pipeline.model.implementation torch --pipeline.model.log2-hashmap-size 12
        --pipeline.model.num-levels 4 --pipeline.model.num-proposal-samples-per-ray 8 8
        --pipeline.model.num-nerf-samples-per-ray 8 --pipeline.datamanager.train-num-rays-per-batch 64""",
    "tensorf-mine": """--pipeline.model.init-resolution 8 --pipeline.model.final-resolution 8
        --pipeline.model.num-samples 8 --pipeline.model.num-uniform-samples 8
        --pipeline.model.num-den-components 2 --pipeline.model.num-color-components 2
        --pipeline.datamanager.train-num-rays-per-batch 64 nerfstudio-data""",
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands in a folder with a user's method and protocol, and a scene to train on."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_methods.py").write_text(MY_METHODS)
    protocol_file(folder, QUICK, "quick.yaml")
    write_scene(folder / "scene", views=10, width=48, height=36)
    with nerfstudio_commands(folder, NERFSTUDIO_METHOD_CONFIGS="tensorf-mine=my_methods:tensorf_mine") as commands:
        yield commands


@pytest.mark.parametrize("method", SMALL)
def test_training_with_the_hook_and_evaluation(method: str, commands: Commands) -> None:
    commands.run(
        "nerfstudio.scripts.train", method, "--data", "scene", "--vis", "tensorboard", "--timestamp", "a",
        "--machine.device-type", "cpu", "--max-num-iterations", "4", "--steps-per-save", "3",
        "--steps-per-eval-image", "2", *SMALL[method].split(),
    )  # fmt: skip
    run = Path("outputs", "scene", method, "a")
    protocol = "standard" if method == "nerfacto-nvs" else "quick"
    _check_log(commands.folder / run, protocol)
    _check_ns_eval(commands, run, protocol)
    output = commands.run(
        "nvs_eval", "run", "--load-config", str(run / "config.yml"), "--every", "5", "--protocol", "quick.yaml",
    )  # fmt: skip
    assert method in output
    (record,) = (commands.folder / "nvs-eval-results" / "scene" / method).rglob("*.json")
    assert read_record(record).method == method


def _check_log(folder: Path, protocol: str) -> None:
    """Check that TensorBoard's file contains the scores and the error map."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder)).Reload()
    tags = log.Tags()
    assert f"Eval Images Metrics/{protocol}/psnr" in tags["scalars"]
    assert "Eval Images Metrics/psnr" in tags["scalars"] or "Eval Images Metrics/fine_psnr" in tags["scalars"]
    assert "Eval Images/nvs_error" in tags["images"]


def _check_ns_eval(commands: Commands, run: Path, protocol: str) -> None:
    """Check that stock ns-eval writes the scores and the error map."""
    commands.run(
        "nerfstudio.scripts.eval", "--load-config", str(run / "config.yml"), "--output-path", str(run / "eval.json"),
        "--render-output-path", str(run / "images"),
    )  # fmt: skip
    results = json.loads((commands.folder / run / "eval.json").read_text())["results"]
    assert f"{protocol}/psnr" in results and "psnr" in results
    assert (commands.folder / run / "images" / "eval_nvs_error_0000.png").is_file()
