"""The examples run; those that are packages are installed as pip does it: files on the path and their entry points."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from support.fox import make_fox
from support.scenes import write_pngs

import nvs_eval
from nvs_eval.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fox")
    make_fox(folder)
    return folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install the package of an example into a folder on the path."""

    def into_path(example: str) -> None:
        site = tmp_path / "site"
        shutil.copytree(EXAMPLES / example, site)
        project = (site / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'\[project\.entry-points\."(.+)"\]\n((?:.+\n)+)', project)
        name, version = (re.search(rf'^{key} = "(.+)"', project, re.M) for key in ("name", "version"))
        assert found and name and version
        information = site / f"{name[1].replace('-', '_')}-{version[1]}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name[1]}\nVersion: {version[1]}\n")
        (information / "entry_points.txt").write_text(f"[{found[1]}]\n{found[2]}".replace('"', ""))
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    return into_path


def test_folders_are_scored(
    fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    records = load("score_folders").main(str(fox / "test_images"), str(fox / "ours"), str(fox / "theirs"))
    assert [record.method for record in records] == ["ours", "theirs"]
    assert records[0].means["psnr"] > records[1].means["psnr"]
    assert "\\begin{tabular}" in Path("table.tex").read_text()
    assert "theirs: worst view" in capsys.readouterr().out
    assert len(nvs_eval.read_records("results")) == 2


def test_checkpoints_are_compared(fox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("compare_checkpoints").main(str(fox / "nvs-eval-results" / "fox" / "nerfacto" / "base"))
    out = capsys.readouterr().out
    assert "Step 2500 against 1500, protocol inria-3dgs + standard" in out
    assert re.search(r"psnr: \d{4} gained most, \d{4} lost most", out)


def test_metric_of_a_plugin_is_in_the_table(
    install: Callable[[str], None],
    fox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("custom_metric")
    monkeypatch.chdir(tmp_path)
    protocol = str(EXAMPLES / "custom_metric" / "luminance.yaml")
    assert main(["score", str(fox / "ours"), "--reference", str(fox / "test_images"), "--protocol", protocol]) == 0
    out = capsys.readouterr().out
    assert "PSNR (Y) [dB] ↑  PSNR (Y) 709 [dB] ↑" in out
    assert "psnr_y|luma:bt709|range:1|q:round8|mask:valid-pixels|v1" in out
    (record,) = nvs_eval.read_records("nvs-eval-results")
    for row in record.views:
        images = [nvs_eval.load_image(fox / folder / f"{row.name}.png").double() for folder in ("test_images", "ours")]
        luma = [image @ image.new_tensor([0.299, 0.587, 0.114]) for image in images]
        assert row.scores["psnr_y"] == pytest.approx(-10 * np.log10(float(((luma[0] - luma[1]) ** 2).mean())), abs=1e-5)
    assert record.means["psnr_y"] != record.means["psnr_y_709"]
    with pytest.raises(nvs_eval.InputError, match=r"luma of psnr_y must be one of bt601, bt709\. Got 'rgb'\."):
        _changed(tmp_path, protocol, "bt601", "rgb")
    file = next(Path("nvs-eval-results").rglob("*.json"))
    assert main(["verify", str(file)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^PSNR \(Y\) 709 +- +- +- +not verified: no independent implementation$", out, re.M)
    assert re.search(r"^PSNR .* confirmed *$", out, re.M)
    monkeypatch.undo()
    assert main(["table", str(tmp_path / "nvs-eval-results")]) == 0
    assert "PSNR (Y) [dB] ↑" in capsys.readouterr().out, "a table needs no plugin"


@pytest.mark.parametrize("wrong", ["0.0", "torch.zeros(3, 2)"])
def test_wrong_value_of_a_plugins_metric_is_named(
    wrong: str, install: Callable[[str], None], fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("custom_metric")
    monkeypatch.setattr(importlib.import_module("psnr_y"), "psnr_y", lambda *_, **__: eval(wrong, {"torch": torch}))
    protocol = str(EXAMPLES / "custom_metric" / "luminance.yaml")
    with pytest.raises(
        nvs_eval.InputError, match=r"psnr_y must return a tensor of shape \[1\]\. Got (float|\[3, 2\])\."
    ):
        nvs_eval.score(str(fox / "ours"), reference=str(fox / "test_images"), protocol=protocol)


def _changed(folder: Path, protocol: str, old: str, new: str) -> nvs_eval.Protocol:
    file = folder / "changed.yaml"
    file.write_text(Path(protocol).read_text().replace(old, new))
    return nvs_eval.load_protocol(file)


def test_protocol_of_ones_own_is_scored(fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    protocol = EXAMPLES / "custom_protocol" / "inner.yaml"
    (record,) = nvs_eval.score(fox / "ours", reference=fox / "test_images", protocol=str(protocol))
    images = [nvs_eval.load_image(fox / folder / "0001.png")[4:-4, 4:-4].double() for folder in ("test_images", "ours")]
    assert record.views[0].scores["psnr"] == pytest.approx(
        -10 * np.log10(float(((images[0] - images[1]) ** 2).mean())), abs=1e-5
    )


def test_layout_of_a_plugin_is_read(
    install: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("custom_layout")
    monkeypatch.chdir(tmp_path)
    write_pngs(Path("garden/ours"), {"a_gt": 1, "a_pred": 1, "b_gt": 2, "b_pred": 3})
    assert main(["score", "garden/ours", "--protocol", "nerf"]) == 0
    assert capsys.readouterr().out.startswith("garden, test views\n")
    (record,) = nvs_eval.read_records("nvs-eval-results")
    assert {row.name: row.scores["psnr"] == np.inf for row in record.views} == {"a": True, "b": False}


def test_checkpoints_of_another_trainer_are_rendered(
    install: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("custom_source")
    monkeypatch.chdir(tmp_path)
    write_pngs(Path("runs/first/images"), {f"{number:02}": number for number in range(10)})
    Path("runs/first/toy.json").write_text(json.dumps({"scene": "attic", "images": "images"}))
    for step, name in ((100, "03"), (200, "08")):
        np.save(f"runs/first/{step}.npy", nvs_eval.load_image(Path(f"runs/first/images/{name}.png")).numpy())
    command = ["run", "--load-config", "runs/first", "--steps", "all", "--protocol", "nerf"]
    assert main(command) == 0
    records = nvs_eval.read_records("nvs-eval-results")
    assert [(record.scene, record.method, record.run, record.step) for record in records] == [
        ("attic", "toy", "first", 100),
        ("attic", "toy", "first", 200),
    ]
    assert [row.scores["psnr"] == np.inf for row in records[1].views] == [False, True]
    capsys.readouterr()
    assert main(["run", "--load-config", "runs/first", "--steps", "300", "--protocol", "nerf"]) == 2
    assert "--steps must be steps of runs/first: [100, 200]. Got [300]." in capsys.readouterr().err


def test_table_format_of_a_plugin_is_written(install: Callable[[str], None], fox: Path, tmp_path: Path) -> None:
    install("custom_table_format")
    file = tmp_path / "tables.typ"
    results = str(fox / "nvs-eval-results")
    assert main(["table", results, "--protocol", "standard", "--format", "typst", "--output", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert text.startswith("// fox, test views: protocol standard (f3d12c27)\n#table(columns: ")
    assert text.count("[nerfacto]") == 4


def test_training_hook_is_a_method_of_nerfstudio() -> None:
    pytest.importorskip("nerfstudio", reason="nerfstudio is not installed")
    from nvs_eval_nerfstudio.quiet import import_nerfstudio

    import_nerfstudio()
    specification = load("training_hook").small_nvs
    assert specification.config.method_name == "small-nvs"
    assert specification.config.pipeline.model.hidden_dim == 32


def test_every_example_is_listed_and_run() -> None:
    listed = set(re.findall(r"\]\((\w+)(?:\.py|/)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")}
    assert not [name for name in sys.modules if name.startswith("examples.")]
