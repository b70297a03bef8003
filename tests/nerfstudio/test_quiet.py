"""Nothing is printed from Python: nerfstudio's chatter is kept back, and the plugin's own messages go to callbacks."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
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


def test_output_is_kept_back_and_shown_with_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("Caching images")
    with pytest.raises(ValueError, match="broken") as caught, quiet():
        print("Caching more images")
        raise ValueError("broken")
    assert capfd.readouterr() == ("", "")
    if sys.version_info >= (3, 11):
        shown = "".join(traceback.format_exception(caught.value))
        assert shown.endswith("ValueError: broken\nnerfstudio printed before:\nCaching more images\n")


class WithoutNotes(ValueError):
    """As all errors are in Python 3.10."""

    def __getattribute__(self, name: str) -> object:
        if name == "add_note":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_an_error_that_takes_no_notes_is_raised_as_it_is() -> None:
    error = WithoutNotes("broken")
    with pytest.raises(ValueError, match="broken") as caught, quiet():
        print("Caching images")
        raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")


def test_a_question_is_an_error_that_quotes_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"has a question before it reads this data: 'Really\?'"), quiet():
        input("Really?")
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def moved_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run whose checkpoint lies where its config.yml says, not beside it, and has an LPIPS network of its own."""
    if not RUN.is_dir() or not SCENE.is_dir():
        pytest.skip("the trained runs (../shared/runs) are not here")
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
def test_what_is_odd_about_a_run_is_told_to_the_callback(moved_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warnings: list[str] = []
    (checkpoint,) = source.open_run(
        moved_run, steps="last", split="test", views=(), every=7, data=SCENE, device=torch.device("cpu"),
        eval_num_rays_per_chunk=None, warn=warnings.append,
    )  # fmt: skip
    assert [warning.partition(":")[0] for warning in warnings] == [f"No checkpoints lie beside {moved_run}"]
    with quiet():
        checkpoint._load()
    (warning,) = warnings[1:]
    assert warning == (
        f"{checkpoint.file}: the LPIPS network in this checkpoint is not the published one. ns-eval would score with "
        "it; nvs-eval does not."
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_python_api_prints_nothing(moved_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    protocol = str(protocol_file(moved_run.parent))
    (record,) = nvs_eval.run(moved_run, every=7, data=SCENE, device="cpu", protocol=protocol)
    assert len(record.views) == 1
    assert capfd.readouterr() == ("", "")
