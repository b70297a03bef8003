"""nvs-eval's scores of a trained nerfacto agree with nerfstudio's, both stored and computed live."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.cli import main
from nvs_eval.records.record import Record, read_record
from nvs_eval_nerfstudio.checkpoints import load_checkpoint
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.hook import with_nvs_eval
from nvs_eval_nerfstudio.loading import load_into
from nvs_eval_nerfstudio.quiet import quiet

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
RUN = SHARED / "runs" / "fox" / "nerfacto" / "base"
VIEWS = ("0001", "0110")

pytestmark = [
    pytest.mark.skipif(not RUN.is_dir(), reason="there are no trained runs (../shared/runs)"),
    pytest.mark.slow,
]


@dataclass(frozen=True)
class Live:
    """Scores of the model's own metric modules and of nvs-eval for the same tensors."""

    model: dict[str, float]
    nvs_eval: dict[str, float]


@pytest.fixture(autouse=True)
def _at_the_checkouts_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to the repository root, to which the paths in config.yml are relative."""
    monkeypatch.chdir(ROOT)


def _stock() -> dict[str, dict[str, float]]:
    results = json.loads((RUN / "stock-2500.json").read_text())
    return {view["name"]: view for view in results["views"]}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Records of two views under both protocols, written by `nvs-eval run`."""
    output = tmp_path_factory.mktemp("results")
    command = ["run", "--load-config", str(RUN / "config.yml"), "--views", *VIEWS, "--output-dir", str(output)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main([*command, "--protocol", "nerfstudio", "standard"]) == 0
    folder = output / "fox" / "nerfacto" / "base" / "2500"
    return {path.stem.split("-")[0]: read_record(path) for path in folder.glob("*.json")}


@pytest.mark.parametrize("view", VIEWS)
def test_nerfstudio_protocol_agrees_with_stock_ns_eval(records: dict[str, Record], view: str) -> None:
    stock = _stock()[view]
    scores = next(row.scores for row in records["nerfstudio"].views if row.name == view)
    # The stock results were rendered on another machine, hence 1e-3 dB.
    assert scores["psnr"] == pytest.approx(stock["psnr"], abs=1e-3)
    assert scores["ssim"] == pytest.approx(stock["ssim"], abs=2e-5)
    assert scores["lpips_alex"] == pytest.approx(stock["lpips"], abs=2e-5)


@pytest.fixture(scope="module")
def live() -> Live:
    """One view, rendered by the trained run with the hook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = with_nvs_eval(load_config(RUN / "config.yml"), protocols=("nerfstudio",))
        file = RUN / "nerfstudio_models" / "step-000002500.ckpt"
        from nvs_eval_nerfstudio.eval_data import evaluation_pairs, prepare_data

        prepare_data(config, data=None)
        with quiet(), torch.no_grad():
            pipeline = config.pipeline.setup(device="cpu", test_mode="test").eval()
            assert load_into(pipeline, load_checkpoint(file), path=file, warn=pytest.fail) == "true"
            camera, batch = next(evaluation_pairs(pipeline.datamanager, "test", [1], torch.device("cpu")))
            # Render at half size for speed; any pair of images will do.
            camera.rescale_output_resolution(0.5)
            batch["image"] = batch["image"][::2, ::2][: int(camera.height), : int(camera.width)]
            metrics, _ = pipeline.model.get_image_metrics_and_images(
                pipeline.model.get_outputs_for_camera(camera), batch
            )
    added = {name.removeprefix("nerfstudio/"): float(v) for name, v in metrics.items() if "/" in name}
    return Live({name: float(value) for name, value in metrics.items() if "/" not in name}, added)


def test_protocol_agrees_with_the_models_own_metrics(live: Live) -> None:
    assert live.nvs_eval["psnr"] == pytest.approx(live.model["psnr"], abs=1e-4)
    assert live.nvs_eval["ssim"] == pytest.approx(live.model["ssim"], abs=2e-5)
    assert live.nvs_eval["lpips_alex"] == pytest.approx(live.model["lpips"], abs=2e-5)


def test_provenance_of_records(records: dict[str, Record]) -> None:
    for record in records.values():
        assert (record.scene, record.method, record.run, record.step) == ("fox", "nerfacto", "base", 2500)
        provenance: Any = record.provenance
        assert all(len(provenance[f"{kind}_sha256"]) == 64 for kind in ("checkpoint", "config", "data"))
        assert provenance["tf32"] is False
        assert provenance["peak_memory_bytes"] > 0
        assert provenance["versions"]["nerfstudio"]
        # The first render is a warm-up and is not timed.
        assert [row.render_seconds is None for row in record.views] == [True, False]
        assert [(row.width, row.height) for row in record.views] == [(135, 240)] * 2
    assert records["standard"].provenance["kept_renders"] == "as scored"
    assert records["nerfstudio"].provenance["kept_renders"] == "8-bit copies of what was scored"
    assert records["standard"].references_sha256 == records["nerfstudio"].references_sha256
