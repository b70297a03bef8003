"""The Python API prints nothing: nerfstudio's output is suppressed, and the plugin's messages go to callbacks."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.pinned import Pinned
from support.protocols import protocol_file

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval_nerfstudio import source
from nvs_eval_nerfstudio.quiet import quiet

SHARED = Path(__file__).resolve().parents[3] / "shared"
RUN = SHARED / "runs" / "fox" / "nerfacto" / "base"
SCENE = SHARED / "scenes" / "fox_8"
CHECKPOINT = Path("nerfstudio_models/step-000002500.ckpt")


def test_output_is_suppressed_and_shown_with_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("Caching images")
    with pytest.raises(ValueError, match="broken") as error, quiet():
        print("Caching more images")
        raise ValueError("broken")
    assert capfd.readouterr() == ("", "")
    if sys.version_info >= (3, 11):
        shown = "".join(traceback.format_exception(error.value))
        assert shown.endswith("ValueError: broken\nnerfstudio had printed:\nCaching more images\n")


class WithoutNotes(ValueError):
    """An error without `add_note`, like all errors in Python 3.10."""

    def __getattribute__(self, name: str) -> object:
        if name == "add_note":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_error_without_notes_is_raised_unchanged() -> None:
    error = WithoutNotes("broken")
    with pytest.raises(ValueError, match="broken") as caught, quiet():
        print("Caching images")
        raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")


def test_prompt_raises_an_error_that_quotes_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"asks a question before .*'Really\?'"), quiet():
        input("Really?")
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def moved_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run with a modified LPIPS network, whose checkpoint is in the folder named in config.yml and not beside it."""
    if not RUN.is_dir() or not SCENE.is_dir():
        pytest.skip("there are no trained runs (../shared/runs)")
    here, recorded = tmp_path / "here", tmp_path / "shared" / "runs" / "fox" / "nerfacto" / "base" / CHECKPOINT
    for folder in (here, recorded.parent):
        folder.mkdir(parents=True)
    shutil.copyfile(RUN / "config.yml", here / "config.yml")
    state = torch.load(RUN / CHECKPOINT, weights_only=False)
    state["pipeline"]["_model.lpips.net.net.slice5.10.bias"] += 1
    torch.save(state, recorded)
    monkeypatch.chdir(here)
    yield here / "config.yml"
    source._built.clear()


@pytest.mark.slow
def test_warnings_go_to_the_callback(moved_run: Path, capfd: pytest.CaptureFixture[str], pinned: Pinned) -> None:
    warnings: list[str] = []
    (checkpoint,) = source.open_run(
        moved_run, steps="last", split="test", views=(), every=7, data=SCENE, device=torch.device("cpu"),
        eval_num_rays_per_chunk=None, trust=False, warn=warnings.append,
    )  # fmt: skip
    with quiet():
        checkpoint._load()
    moved, network = warnings
    pinned("run", moved)
    pinned("run", network)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_python_api_prints_nothing(moved_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    protocol = str(protocol_file(moved_run.parent))
    (record,) = nvs_eval.run(moved_run, every=7, data=SCENE, device="cpu", protocol=protocol)
    assert len(record.views) == 1
    assert capfd.readouterr() == ("", "")
