"""Trained through the hook, a run is loaded again by ns-eval and nvs-eval; its scores are in the training's log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.cli.demo.scene import write_scene
from nvs_eval.records.record import read_record

pytestmark = pytest.mark.slow

# What a user writes to hook a method of their own; tensorf has a pipeline of its own.
MY_METHODS = """
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.plugins.types import MethodSpecification
from nvs_eval_nerfstudio.hook import with_nvs_eval

config = with_nvs_eval(method_configs["tensorf"], protocols=("quick.yaml",), method_name="tensorf-mine")
tensorf_mine = MethodSpecification(config=config, description="tensorf, evaluated by nvs-eval as well.")
"""
QUICK = """
name: quick
alpha: composite
colour_correction: none
out_of_range: clamp
quantise: {render: none, reference: none, mask: none}
region: full
crop: 0
mask: none
metrics: {psnr: {data_range: 1}}
round_means: null
"""
SMALL = {
    "nerfacto-nvs": """--pipeline.model.implementation torch --pipeline.model.log2-hashmap-size 12
        --pipeline.model.num-levels 4 --pipeline.model.num-proposal-samples-per-ray 8 8
        --pipeline.model.num-nerf-samples-per-ray 8 --pipeline.datamanager.train-num-rays-per-batch 64""",
    "tensorf-mine": """--pipeline.model.init-resolution 8 --pipeline.model.final-resolution 8
        --pipeline.model.num-samples 8 --pipeline.model.num-uniform-samples 8
        --pipeline.model.num-den-components 2 --pipeline.model.num-color-components 2
        --pipeline.datamanager.train-num-rays-per-batch 64 nerfstudio-data""",
}


def _run(module: str, *arguments: str, cwd: Path) -> str:
    """Run one of nerfstudio's commands, or ours, as a user would."""
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    environment["NERFSTUDIO_METHOD_CONFIGS"] = "tensorf-mine=my_methods:tensorf_mine"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("method", SMALL)
def test_trained_through_the_hook_then_evaluated_by_everyone(method: str, tmp_path: Path) -> None:
    (tmp_path / "my_methods.py").write_text(MY_METHODS)
    (tmp_path / "quick.yaml").write_text(QUICK)
    scene = write_scene(tmp_path / "scene", views=10, width=48, height=36)
    _run(
        "nerfstudio.scripts.train", method, "--data", str(scene), "--vis", "tensorboard", "--timestamp", "a",
        "--machine.device-type", "cpu", "--max-num-iterations", "4", "--steps-per-save", "3",
        "--steps-per-eval-image", "2", *SMALL[method].split(),
        cwd=tmp_path,
    )  # fmt: skip
    folder = tmp_path / "outputs" / "scene" / method / "a"
    protocol = "standard" if method == "nerfacto-nvs" else "quick"
    _check_log(folder, protocol)
    _check_ns_eval(tmp_path, folder, protocol)
    output = _run(
        "nvs_eval", "run", "--load-config", str(folder / "config.yml"), "--every", "5", "--protocol", "quick.yaml",
        cwd=tmp_path,
    )  # fmt: skip
    assert method in output
    (record,) = (tmp_path / "nvs-eval-results").rglob("*.json")
    assert read_record(record).method == method


def _check_log(folder: Path, protocol: str) -> None:
    """The scalars and the error map are in tensorboard's file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder)).Reload()
    tags = log.Tags()
    assert f"Eval Images Metrics/{protocol}/psnr" in tags["scalars"]
    assert "Eval Images Metrics/psnr" in tags["scalars"] or "Eval Images Metrics/fine_psnr" in tags["scalars"]
    assert "Eval Images/nvs_error" in tags["images"]


def _check_ns_eval(cwd: Path, folder: Path, protocol: str) -> None:
    """Stock ns-eval, images included."""
    _run(
        "nerfstudio.scripts.eval", "--load-config", str(folder / "config.yml"), "--output-path", "eval.json",
        "--render-output-path", "images",
        cwd=cwd,
    )  # fmt: skip
    results = json.loads((cwd / "eval.json").read_text())["results"]
    assert f"{protocol}/psnr" in results and "psnr" in results
    assert (cwd / "images" / "eval_nvs_error_0000.png").is_file()
