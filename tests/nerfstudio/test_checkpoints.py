"""Checkpoints of a run are found, chosen, read without running code, and loaded completely."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.checkpoints import (
    Checkpoint,
    choose_steps,
    find_checkpoints,
    load_checkpoint,
)
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.loading import load_into, lpips_entries
from nvs_eval_nerfstudio.quiet import import_nerfstudio
from nvs_eval_nerfstudio.source import saved_steps

import_nerfstudio()

from nerfstudio.pipelines.base_pipeline import VanillaPipeline  # noqa: E402

FOX = Path("../shared/runs/fox/nerfacto")
PATH = Path("step-000000007.ckpt")
on_fox = pytest.mark.skipif(not FOX.is_dir(), reason=f"the runs {FOX} do not exist")


# --- Finding checkpoints ---


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_steps_are_sorted_and_other_files_ignored(tmp_path):
    folder = touch(
        tmp_path / "nerfstudio_models",
        *("step-000002500.ckpt", "step-000000500.ckpt", "step-1234567890.ckpt"),
        *("step-500.ckpt", "step-000000600.ckpt.tmp", "old-step-000000700.ckpt", "best.ckpt", ".DS_Store"),
    )
    (folder / "step-000000800.ckpt").mkdir()
    config: Any = SimpleNamespace(relative_model_dir=Path(folder.name), get_checkpoint_dir=lambda: tmp_path / "gone")
    assert list(find_checkpoints(tmp_path / "config.yml", config).items()) == [
        (step, folder / f"step-{step:09d}.ckpt") for step in (500, 2500, 1234567890)
    ]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("last", [2500]), ("all", [500, 1500, 2500]), ([2500, 500], [500, 2500]), ((500, 500), [500])],
)
def test_steps_are_chosen_in_ascending_order(wanted, chosen):
    assert choose_steps({2500: "c", 500: "a", 1500: "b"}, wanted) == chosen


def test_error_lists_existing_steps():
    with pytest.raises(InputError, match=r"step 7, 9\. .*: 500, 2500\."):
        choose_steps([2500, 500], [9, 500, 7])
    with pytest.raises(InputError, match=r"empty.*: 500, 2500\."):
        choose_steps([2500, 500], [])


def test_checkpoints_are_searched_for_beside_the_config_and_in_the_recorded_folder(tmp_path):
    recorded = tmp_path / "outputs" / "nerfstudio_models"
    config: Any = SimpleNamespace(relative_model_dir=Path("nerfstudio_models"), get_checkpoint_dir=lambda: recorded)
    path = tmp_path / "moved" / "config.yml"
    with pytest.raises(InputError, match=r"no checkpoints.*moved.*outputs"):
        find_checkpoints(path, config)
    touch(recorded, "step-000000001.ckpt")
    assert find_checkpoints(path, config) == {1: recorded / "step-000000001.ckpt"}
    beside = touch(path.parent / "nerfstudio_models", "notes.txt")
    assert find_checkpoints(path, config) == {1: recorded / "step-000000001.ckpt"}  # No checkpoint beside config.yml.
    touch(beside, "step-000000002.ckpt")
    assert find_checkpoints(path, config) == {2: beside / "step-000000002.ckpt"}


# --- Reading one file ---


PythonPickler: Any = vars(pickle)["_Pickler"]  # The methods of the C version cannot be overridden.


class ForgingPickler(PythonPickler):
    """Pickler that writes numpy's scalar under the name used by another version of numpy."""

    module = ""

    def save_global(self, obj, name=None):
        if obj is np.float64(1).__reduce__()[0]:
            self.write(pickle.GLOBAL + f"{self.module}\nscalar\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def save(folder: Path, pipeline: dict, *, step: Any = 7, pickle_module: Any = pickle, **more: Any) -> Path:
    path = folder / "step-000000007.ckpt"
    torch.save({"step": step, "pipeline": pipeline, "scalers": {}, **more}, path, pickle_module=pickle_module)
    return path


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_checkpoints_of_numpy_1_and_2_are_read(module, tmp_path):
    forge = SimpleNamespace(__name__="forge", Pickler=type("Pickler", (ForgingPickler,), {"module": module}))
    rates = {"fields": {"_last_lr": [np.float64(0.01), np.float32(0.5)], "milestones": {3: 1}}}
    path = save(tmp_path, {"_model.w": torch.arange(3.0)}, schedulers=rates, pickle_module=forge)
    assert f"{module}\nscalar" in path.read_bytes().decode("latin-1")
    admitted = set(torch.serialization.get_safe_globals())
    checkpoint = load_checkpoint(path)
    assert (checkpoint.step, list(checkpoint.pipeline)) == (7, ["_model.w"])
    assert torch.equal(checkpoint.pipeline["_model.w"], torch.arange(3.0))
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(torch.serialization.get_safe_globals()) == admitted


class Runs:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.system, ["touch canary"]), (eval, ["open('canary', 'w')"]), (getattr, ["a", "upper"]), (Path, ["a"])],
)
@pytest.mark.parametrize("place", ["pipeline", "schedulers"])
def test_checkpoint_that_would_run_code_is_refused(function, arguments, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = {"_model.w": Runs(function, *arguments)}
    path = (
        save(tmp_path, {"_model.w": torch.ones(1)}, **{"schedulers": {}} | {place: hostile})
        if (place == "schedulers")
        else save(tmp_path, hostile)
    )
    with pytest.raises(InputError, match="is refused") as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "canary").exists()


def test_unsafe_load_creates_the_canary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.load(save(tmp_path, {"_model.w": Runs(os.system, "touch canary")}), weights_only=False)
    assert (tmp_path / "canary").exists()


def damaged(tmp_path: Path, change) -> Path:
    path = save(tmp_path, {"_model.w": torch.arange(1000.0)})
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-30],
        lambda data: b"",
        lambda data: b"not a checkpoint",
        lambda data: data.replace(b"_model.w", b"\x93\x93\x93\x93\x93\x93\x93\x93"),
        lambda data: data.replace(b"ctorch._utils\n", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        lambda data: data.replace(b"data.pkl", b"dota.pkl"),
    ],
)
def test_damaged_files_are_refused_by_name(change, tmp_path):
    path = damaged(tmp_path, change)
    with pytest.raises(InputError) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_only_whole_checkpoints_count_while_training_writes(trained, tmp_path):
    path = trained(tmp_path, method="nerfacto")
    folder = tmp_path / "nerfstudio_models"
    folder.mkdir()
    assert saved_steps(path, trust=False) == ([], False)
    last = load_config(path).max_num_iterations - 1
    for step in (500, 1000, last):
        torch.save({"step": step, "pipeline": {"a": torch.ones(20_000)}}, folder / f"step-{step:09d}.ckpt")
    assert saved_steps(path, trust=False) == ([500, 1000, last], True)
    for size in (0, 30, 40_000, (folder / f"step-{last:09d}.ckpt").stat().st_size - 1):
        os.truncate(folder / f"step-{last:09d}.ckpt", size)
        assert saved_steps(path, trust=False) == ([500, 1000], False)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "gone.ckpt")
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ([1], "'step' and 'pipeline'"),
        ({"state_dict": {}}, "'step' and 'pipeline'"),
        ({"step": "7", "pipeline": {}}, "'step' and 'pipeline'"),
        ({"step": np.float64(7), "pipeline": {}}, "'step' and 'pipeline'"),
        ({"step": 7, "pipeline": {"_model.w": [1.0]}}, "'_model.w' .* not a tensor"),
        ({"step": 8, "pipeline": {}}, "step 8, .* name"),
    ],
)
def test_files_of_other_tools_are_refused(contents, reason, tmp_path):
    path = tmp_path / "step-000000007.ckpt"
    torch.save(contents, path)
    with pytest.raises(InputError, match=reason):
        load_checkpoint(path)


def test_torch_without_safe_loading_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path, {})
    monkeypatch.delattr(torch.serialization, "clear_safe_globals")
    with pytest.raises(InputError, match=r"torch 2\.5"):
        load_checkpoint(path)


# --- Loading into a model ---


class Tiny(nn.Module):
    """A model of two layers, a buffer, and optionally its own LPIPS network."""

    def __init__(self, *, lpips: nn.Module | None = None, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(2, width)
        self.second = nn.Linear(width, 1)
        self.register_buffer("scale", torch.tensor(1.0))
        self.psnr = self.ssim = lambda a, b: 0.0
        self.lpips = lpips or (lambda a, b: 0.0)
        self.steps: list[int] = []

    def update_to_step(self, step: int) -> None:
        self.steps.append(step)


class TinyPipeline(VanillaPipeline):
    """A pipeline without data that uses nerfstudio's own loading."""

    def __init__(self, model: nn.Module, datamanager: nn.Module | None = None) -> None:
        nn.Module.__init__(self)
        self._model: Any = model
        self.datamanager: Any = datamanager or nn.Module()
        self.world_size = 1


def state(model: nn.Module, prefix: str = "_model.") -> dict[str, torch.Tensor]:
    return {prefix + key: torch.full_like(value, 0.25) for key, value in model.state_dict().items()}


def load(pipeline: TinyPipeline, entries: dict[str, torch.Tensor]) -> str:
    return load_into(pipeline, Checkpoint(7, entries, ""), path=PATH, warn=pytest.fail)


def refusal(pipeline: TinyPipeline, entries: dict[str, torch.Tensor]) -> str:
    with pytest.raises(InputError) as error:
        load(pipeline, entries)
    assert str(PATH) in str(error.value)
    return str(error.value)


def is_loaded(module: nn.Module) -> bool:
    return all(bool((value == 0.25).all()) for value in module.state_dict().values())


def test_matching_checkpoint_is_loaded_completely():
    model = Tiny()
    assert load(TinyPipeline(model), state(model)) == "absent"
    assert is_loaded(model)
    assert model.steps == [7]


def test_missing_entries_are_refused():
    model = Tiny()
    entries = state(model)
    del entries["_model.second.weight"], entries["_model.scale"]
    assert "it lacks _model.scale, _model.second.weight." in refusal(TinyPipeline(model), entries)
    TinyPipeline(model).load_pipeline(entries, 7)  # nerfstudio itself raises no error.


def test_unexpected_entries_are_refused():
    model = Tiny()
    message = refusal(TinyPipeline(model), state(model) | {"_model.third": torch.ones(1)})
    assert "the model lacks _model.third." in message


def test_error_shows_both_shapes_if_they_differ():
    message = refusal(TinyPipeline(Tiny()), state(Tiny(width=4)))
    assert "_model.first.weight (4x2, must be 3x2)" in message
    assert "lacks" not in message
    entries = state(Tiny()) | {"_model.scale": torch.ones(1)}
    assert "_model.scale (1, must be a single number)" in refusal(TinyPipeline(Tiny()), entries)


def test_long_lists_of_keys_are_shortened():
    message = refusal(TinyPipeline(Tiny()), {f"_model.k{i}": torch.ones(1) for i in range(9)})
    assert "_model.k0, _model.k1 and 7 more" in message
    assert "_model.k2" not in message


def test_error_mentions_tiny_cuda_nn():
    entries = {"_model.field.tcnn_encoding.params": torch.ones(1)}
    assert "tiny-cuda-nn" in refusal(TinyPipeline(Tiny()), entries)


@pytest.mark.parametrize("saved", [None, nn.Linear(4, 4), nn.Linear(2, 2)])
@pytest.mark.parametrize("built", [None, nn.Linear(4, 4)])
def test_own_lpips_of_the_model_may_differ_and_is_not_loaded(saved, built):
    model = Tiny(lpips=built)
    before = {key: value.clone() for key, value in built.state_dict().items()} if built else {}
    verdict = load(TinyPipeline(model), state(Tiny(lpips=saved)))
    assert verdict == ("absent" if saved is None else "other")
    assert is_loaded(model.first) and is_loaded(model.second)
    if built:
        assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())


def test_prefixes_of_training_on_several_gpus_are_removed(tmp_path):
    for prefix in ("module._model.", "_model.module.", "module._model.module."):
        model = Tiny()
        checkpoint = load_checkpoint(save(tmp_path, state(model, prefix)))
        load_into(TinyPipeline(model), checkpoint, path=PATH, warn=pytest.fail)
        assert is_loaded(model)


def test_submodule_named_module_keeps_its_name(tmp_path):
    model = Tiny()
    model.module = nn.Linear(2, 2)
    checkpoint = load_checkpoint(save(tmp_path, state(model)))
    load_into(TinyPipeline(model), checkpoint, path=PATH, warn=pytest.fail)
    assert is_loaded(model)


class Growing(Tiny):
    """A model whose size depends on the step, like tensorf."""

    def update_to_step(self, step: int) -> None:
        self.first = nn.Linear(2, step)
        self.second = nn.Linear(step, 1)


def test_model_grows_to_its_step_before_loading():
    model = Growing()
    load(TinyPipeline(model), state(Tiny(width=7)))
    assert model.first.out_features == 7
    assert is_loaded(model)


@pytest.fixture
def splats(monkeypatch):
    """The real splatfacto, which resizes to the number of Gaussians in the checkpoint."""
    from nerfstudio.data.scene_box import SceneBox
    from nerfstudio.models.splatfacto import SplatfactoModelConfig
    from torchmetrics.image import lpip

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", lambda **kwargs: None)
    box = SceneBox(torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))

    def build(count: int) -> Any:
        return SplatfactoModelConfig(num_random=count).setup(
            scene_box=box, num_train_data=2, metadata={}, device="cpu", grad_scaler=None
        )

    return build


@pytest.mark.parametrize("prefix", ["gauss_params.", ""])
def test_splatfacto_is_resized_with_new_and_old_names(prefix, splats):
    model = splats(30)
    entries = {key.replace("gauss_params.", prefix): value for key, value in state(splats(20)).items()}
    assert load(TinyPipeline(model), entries) == "absent"
    assert model.means.shape == (20, 3)
    assert is_loaded(model)


@pytest.mark.parametrize("name", ["quats", "means"])
def test_splatfacto_with_missing_entries_is_refused(name, splats):
    entries = state(splats(20))
    del entries[f"_model.gauss_params.{name}"]
    assert f"it lacks _model.gauss_params.{name}" in refusal(TinyPipeline(splats(30)), entries)


class Lenient(Tiny):
    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=False, assign=assign)


def test_model_that_overrides_strict_loading_is_checked():
    entries = state(Tiny())
    del entries["_model.scale"]
    assert "it lacks _model.scale." in refusal(TinyPipeline(Lenient()), entries)


class Failing(Tiny):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def load_state_dict(self, state_dict, strict=True, assign=False):
        raise self.error


def test_other_failures_are_reported_but_out_of_memory_is_raised():
    assert "cannot be loaded into its model: boom" in refusal(
        TinyPipeline(Failing(RuntimeError("boom"))), state(Tiny())
    )
    with pytest.raises(torch.cuda.OutOfMemoryError):
        load(TinyPipeline(Failing(torch.cuda.OutOfMemoryError("full"))), state(Tiny()))


class DataManager(nn.Module):
    def __init__(self, cameras: int) -> None:
        super().__init__()
        self.poses = nn.Parameter(torch.zeros(cameras, 6))


@pytest.mark.parametrize(("cameras", "loaded"), [(4, True), (5, False)])
def test_entries_of_the_data_manager_are_loaded_if_they_fit(cameras, loaded):
    pipeline = TinyPipeline(Tiny(), DataManager(cameras))
    load(pipeline, state(Tiny()) | state(DataManager(4), "datamanager.") | {"datamanager.gone": torch.ones(1)})
    assert is_loaded(pipeline.datamanager) is loaded
    load(TinyPipeline(Tiny(), DataManager(4)), state(Tiny()))


def test_network_beside_the_model_must_be_in_the_checkpoint():
    pipeline = TinyPipeline(Tiny())
    pipeline.guide = nn.Linear(2, 2)
    assert "it lacks guide.bias, guide.weight" in refusal(pipeline, state(Tiny())).replace(
        "guide.weight, guide.bias", "guide.bias, guide.weight"
    )
    load(pipeline, state(Tiny()) | state(pipeline.guide, "guide.") | {"critic.weight": torch.ones(1)})
    assert is_loaded(pipeline.guide)
    assert "guide.weight (3x3, must be 2x2)" in refusal(pipeline, state(Tiny()) | state(nn.Linear(3, 3), "guide."))


# --- Real checkpoints ---


@on_fox
@pytest.mark.parametrize(("step", "lpips"), [(500, "true"), (1500, "absent"), (2500, "true")])
def test_lpips_entries_of_real_checkpoints(step, lpips):
    assert lpips_entries(load_checkpoint(FOX / "base" / "nerfstudio_models" / f"step-{step:09d}.ckpt")) == lpips


@on_fox
@pytest.mark.parametrize("key", ["net.net.slice5.10.bias", "net.lins.4.model.1.weight"])
def test_changed_or_missing_lpips_entry_is_detected(key):
    checkpoint = load_checkpoint(FOX / "base" / "nerfstudio_models" / "step-000002500.ckpt")
    changed = dict(checkpoint.pipeline)
    changed[f"_model.lpips.{key}"] = changed[f"_model.lpips.{key}"] + 1
    assert lpips_entries(Checkpoint(2500, changed, "")) == "other"
    if "lin" not in key:
        del changed[f"_model.lpips.{key}"]
        assert lpips_entries(Checkpoint(2500, changed, "")) == "other"


@pytest.fixture(scope="module")
def fox_pipeline():
    """The real nerfacto, built without a download or a worker process."""
    if not FOX.is_dir() or not Path("../shared/scenes/fox_8").is_dir():
        pytest.skip("the fox run or its scene does not exist")
    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
    from torchmetrics.image import lpip

    config = load_config(FOX / "base" / "config.yml")
    config.pipeline.datamanager._target = VanillaDataManager
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # nerfstudio leaves an image open and starts more workers than a small machine has cores.
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        patch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", lambda **kwargs: None)
        return config.pipeline.setup(device="cpu", test_mode="test")


def test_steps_of_a_real_run_are_loaded_in_order(fox_pipeline):
    steps = find_checkpoints(FOX / "base" / "config.yml", load_config(FOX / "base" / "config.yml"))
    for step, verdict in {500: "true", 1500: "absent", 2500: "true"}.items():
        checkpoint = load_checkpoint(steps[step])
        assert load_into(fox_pipeline, checkpoint, path=steps[step], warn=pytest.fail) == verdict
        loaded = fox_pipeline.model.state_dict()
        expected = {key.removeprefix("_model."): value for key, value in checkpoint.pipeline.items()}
        assert not any(key.startswith("lpips") for key in loaded)
        assert all(torch.equal(value, expected[key]) for key, value in loaded.items())


def test_checkpoint_of_another_run_is_refused(fox_pipeline, tmp_path):
    path = tmp_path / "step-000002500.ckpt"
    shutil.copy(FOX / "small" / "nerfstudio_models" / path.name, path)
    with pytest.raises(
        InputError, match=r"_model\.field\.mlp_base\.model\.1\.layers\.0\.weight \(16x16, must be 64x16\)"
    ):
        load_into(fox_pipeline, load_checkpoint(path), path=path, warn=pytest.fail)


def test_safe_globals_are_restored(tmp_path: Path) -> None:
    import numpy as np

    number = np.float64(0)
    admitted = [number.__reduce__()[0], np.dtype]
    torch.serialization.add_safe_globals(admitted)
    try:
        before = set(torch.serialization.get_safe_globals())
        file = tmp_path / "step-000000001.ckpt"
        torch.save({"step": 1, "pipeline": {"a": torch.ones(1)}, "schedulers": {"lr": np.float64(0.5)}}, file)
        assert list(load_checkpoint(file).pipeline) == ["a"]
        assert set(torch.serialization.get_safe_globals()) == before
    finally:
        torch.serialization.clear_safe_globals()
