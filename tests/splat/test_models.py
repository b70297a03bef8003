"""Files of trained splats are read as their tools read them, and others are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData
from support.splats import columns, random_parameters, splats_of, write_columns, write_gsplat, write_inria, write_ply

from nvs_eval.errors import InputError
from nvs_eval_splat.models.find import knows, open_model
from nvs_eval_splat.models.parameters import Activated, Parameters, activated
from nvs_eval_splat.models.splat_ply import read_splat_ply

CONFIGURATION = """antialiased: true
data_dir: data/fox
data_factor: 2
near_plane: 0.05
normalize_world_space: true
strategy: !!python/object:gsplat.strategy.default.DefaultStrategy
  prune_opa: 0.005
shape: !!python/tuple
- 16
test_every: 4
"""


def read(path: Path, step: int | None = None) -> Activated:
    model = open_model(path)
    return activated(model.read(model.files[step]), str(path))


def assert_equal(one: Parameters, other: Parameters) -> None:
    for name in ("means", "scales", "rotations", "opacities", "harmonics"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


# --- PLY ---


@pytest.mark.parametrize("degree", range(4))
def test_ply_has_the_values_that_plyfile_reads(degree: int, tmp_path: Path) -> None:
    parameters = random_parameters(9, degree)
    file = write_ply(tmp_path / "a.ply", parameters)
    assert_equal(read_splat_ply(file), parameters)
    vertices = PlyData.read(file)["vertex"]
    np.testing.assert_array_equal(vertices["opacity"], parameters.opacities)
    if degree:  # The second coefficient of green follows all of red.
        np.testing.assert_array_equal(vertices[f"f_rest_{(degree + 1) ** 2}"], parameters.harmonics[:, 2, 1])


@pytest.mark.parametrize("format", ["ascii", "binary_big_endian"])
def test_other_formats_of_ply_are_read(format: str, tmp_path: Path) -> None:
    parameters = random_parameters(4, 1)
    assert_equal(read_splat_ply(write_columns(tmp_path / "a.ply", columns(parameters), format=format)), parameters)


def test_properties_are_found_by_name(tmp_path: Path) -> None:
    parameters = random_parameters(4, 1)
    named = columns(parameters)
    assert_equal(read_splat_ply(write_columns(tmp_path / "a.ply", dict(reversed(named.items())))), parameters)


def test_parameters_are_activated_as_inria_does() -> None:
    parameters = random_parameters(50, 1)
    gaussians, dropped = activated(parameters, "a")
    assert dropped == 0
    tensors = {name: torch.from_numpy(getattr(parameters, name)) for name in ("scales", "rotations", "opacities")}
    np.testing.assert_allclose(gaussians.scales, torch.exp(tensors["scales"]), rtol=3e-7)
    np.testing.assert_allclose(gaussians.opacities, torch.sigmoid(tensors["opacities"]), rtol=3e-7)
    np.testing.assert_allclose(
        gaussians.rotations, torch.nn.functional.normalize(tensors["rotations"]), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(gaussians.harmonics, parameters.harmonics)


def test_mip_splattings_filter_widens_and_keeps_the_mass(tmp_path: Path) -> None:
    parameters = replace(random_parameters(6, 0), filter_3d=np.linspace(0, 0.5, 6, dtype=np.float32))
    plain, _ = activated(replace(parameters, filter_3d=None), "a")
    filtered, _ = activated(read_splat_ply(write_ply(tmp_path / "a.ply", parameters)), "a")
    variances = plain.scales.astype(float) ** 2 + np.linspace(0, 0.5, 6)[:, None] ** 2
    np.testing.assert_allclose(filtered.scales.astype(float) ** 2, variances, rtol=1e-6)
    mass = plain.opacities * plain.scales.prod(axis=1)
    np.testing.assert_allclose(filtered.opacities * filtered.scales.prod(axis=1), mass, rtol=2e-6)
    np.testing.assert_allclose(filtered.opacities[0], plain.opacities[0], rtol=1e-6)


def test_gaussians_that_are_not_finite_are_dropped_and_counted() -> None:
    parameters = random_parameters(5)
    parameters.means[1, 2] = np.nan
    parameters.scales[3] = 1000
    parameters.opacities[4] = np.inf  # An opacity of 1.
    gaussians, dropped = activated(parameters, "a.ply")
    assert (gaussians.count, dropped) == (3, 2)
    np.testing.assert_array_equal(gaussians.means, parameters.means[[0, 2, 4]])
    assert gaussians.opacities[2] == 1


def test_model_without_a_finite_gaussian_raises() -> None:
    parameters = random_parameters(3)
    parameters.harmonics[:] = np.nan
    parameters.means[0] = np.inf
    with pytest.raises(
        InputError, match=r"a\.ply has no Gaussian with finite .* means of 1 Gaussian, harmonics of 3 G"
    ):
        activated(parameters, "a.ply")


def test_model_without_gaussians_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no Gaussians"):
        read(write_ply(tmp_path / "a.ply", random_parameters(0)))


def test_rotation_of_zeros_is_the_identity() -> None:
    parameters = random_parameters(2)
    parameters.rotations[0] = 0
    np.testing.assert_array_equal(activated(parameters, "a").gaussians.rotations[0], [1, 0, 0, 0])


def without(*names: str) -> dict[str, np.ndarray]:
    return {name: column for name, column in columns(random_parameters()).items() if name not in names}


def with_property(name: str) -> dict[str, np.ndarray]:
    return columns(random_parameters()) | {name: np.zeros(5, np.float32)}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (without("scale_2"), "has surfels with two scales"),
        (without("rot_3", "opacity"), "lacks 2 properties of a splat: opacity, rot_3"),
        ({name: columns(random_parameters())[name] for name in "xyz"}, "It is a point cloud, not a splat"),
        (without("f_rest_44"), "f_rest_8, 23 or 44, or none .* Got 44 properties"),
        (with_property("beta"), "has Beta kernels"),
        (with_property("semantic_3"), "has semantic_3, which a plain splat does not have"),
        ({"packed_position": np.zeros(5, np.float32)}, "is a compressed PLY .*splat-transform"),
    ],
)
def test_ply_of_another_primitive_is_refused(named: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(write_columns(tmp_path / "a.ply", named))


@pytest.mark.parametrize("suffix", ["spz", "sog", "ksplat", "splat", "compressed.ply"])
def test_compressed_splats_are_known_and_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(b"ply\nformat ascii 1.0\nelement chunk 1\nproperty float min_x\nend_header\n1\n")
    assert knows(file)
    with pytest.raises(InputError, match=r"compressed|quantised"):
        read(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "is truncated: it has 4 of the 5 rows of vertex"),
        (lambda data: data + b"\0" * 7, "is 7 bytes longer than its header says"),
        (lambda data: data.replace(b"vertex 5", b"vertex 999999999999"), "is truncated: it has 5 of the 999999999999"),
        (lambda data: data.replace(b"vertex 5", b"vertex -1"), "has the line 'element vertex -1'"),
        (lambda data: data.replace(b"end_header", b"end_headre"), "has no end_header"),
        (lambda data: b"glTF" + data, "It is no PLY"),
        (lambda data: data.replace(b"float x", b"float y"), "has the line 'property float y'"),
        (lambda data: data.replace(b"property float x", b"property list uchar int x"), "must be float|has lists|lacks"),
        (lambda data: data.replace(b"binary_little_endian", b"ascii"), "row 1 must|is truncated"),
        (lambda data: b"", "It is no PLY"),
    ],
)
def test_damaged_ply_is_refused(change: object, message: str, tmp_path: Path) -> None:
    file = write_ply(tmp_path / "a.ply", random_parameters())
    file.write_bytes(change(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        read(file)


# --- INRIA's folder ---

ARGUMENTS = "sh_degree=3, source_path='data/fox', images='images_2', resolution=-1, white_background=True, eval=True"


def test_model_folder_has_its_steps_and_what_cfg_args_says(tmp_path: Path) -> None:
    steps = {step: random_parameters(seed=step) for step in (30000, 7000)}
    folder = write_inria(tmp_path / "fox", steps, f"{ARGUMENTS}, data_device=device(type='cuda')")
    (folder / "data" / "fox").mkdir(parents=True)
    assert knows(folder)
    model = open_model(folder)
    assert (model.tool, model.name, [*model.files]) == ("3dgs", "fox", [7000, 30000])
    assert_equal(model.read(model.files[7000]), steps[7000])
    training = model.training
    assert (training.convention, training.images, training.hold) == ("inria", "images_2", 8)
    assert (training.background, training.resolution) == ((1, 1, 1), -1)
    assert training.data == folder / "data" / "fox"
    assert [*open_model(folder / "point_cloud/iteration_7000/point_cloud.ply").files] == [7000]


def test_kernel_size_of_mip_splatting_is_its_low_pass_filter(tmp_path: Path) -> None:
    training = open_model(write_inria(tmp_path, {1: random_parameters()}, "eval=False, kernel_size=0.1")).training
    assert (training.low_pass, training.antialiased, training.hold) == (0.1, True, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('touch canary')", r"must be the Namespace\(\.\.\.\)"),
        ("Namespace(source_path=3)", "source_path must be a str. Got 3"),
        ("Namespace(eval=True", r"must be the Namespace\(\.\.\.\)"),
        ("Namespace('a')", r"must be the Namespace\(\.\.\.\)"),
        ("(" * 5000, r"must be the Namespace\(\.\.\.\)"),
        ("Namespace(a=" + "9" * 70000 + ")", "at most"),
    ],
)
def test_cfg_args_that_is_no_namespace_is_refused(text: str, message: str, tmp_path: Path) -> None:
    write_inria(tmp_path, {1: random_parameters()}, "").joinpath("cfg_args").write_text(text)
    with pytest.raises(InputError, match=message):
        open_model(tmp_path)


def test_calls_in_cfg_args_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = "eval=True, images=__import__('os').system('touch canary')"
    assert open_model(write_inria(tmp_path / "m", {1: random_parameters()}, arguments)).training.images is None
    assert not Path("canary").exists()


def test_folder_without_a_model_is_explained(tmp_path: Path) -> None:
    (tmp_path / "cfg_args").write_text("Namespace()")
    assert knows(tmp_path)
    with pytest.raises(InputError, match="has no model: there is no point_cloud/iteration_<step>/"):
        open_model(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_model(tmp_path / "missing")


@pytest.mark.parametrize("path", ["config.yml", "missing.ply", "empty"])
def test_other_paths_are_not_known(path: str, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("!!python/object:nerfstudio.engine.trainer.TrainerConfig\n")
    (tmp_path / "empty").mkdir()
    assert not knows(tmp_path / path)


# --- gsplat's results ---


@pytest.mark.parametrize("ranks", [1, 2])
def test_results_of_gsplat_have_the_gaussians_of_all_ranks(ranks: int, tmp_path: Path) -> None:
    parameters = random_parameters(7, 2)
    folder = write_gsplat(tmp_path / "fox", {29999: parameters}, CONFIGURATION, ranks=ranks)
    assert knows(folder) and knows(folder / "ckpts") and knows(folder / "ckpts" / "ckpt_29999_rank0.pt")
    model = open_model(folder)
    assert [*model.files] == [29999]
    order = np.concatenate([np.arange(7)[rank::ranks] for rank in range(ranks)])
    read = model.read(model.files[29999])
    np.testing.assert_array_equal(read.harmonics, parameters.harmonics[order])
    np.testing.assert_array_equal(read.rotations, parameters.rotations[order])
    training = model.training
    assert (training.antialiased, training.factor, training.hold, training.near) == (True, 2, 4, 0.05)
    assert (training.convention, training.normalised, training.background) == ("gsplat-1.4", True, (0, 0, 0))
    assert [*open_model(folder / "ckpts").files] == [*open_model(folder / "ckpts/ckpt_29999_rank0.pt").files] == [29999]


@pytest.mark.parametrize("degree", range(4))
def test_checkpoint_and_ply_of_one_model_are_equal(degree: int, tmp_path: Path) -> None:
    parameters = random_parameters(6, degree)
    one, _ = read(write_gsplat(tmp_path / "a", {1: parameters}), 1)
    other, _ = read(write_ply(tmp_path / "a.ply", parameters))
    for name in ("means", "scales", "rotations", "opacities", "harmonics"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(
    ("line", "convention"),
    [
        ("with_ut: false", "gsplat-1.5"),
        ("post_processing: null", "gsplat-main"),
        ("use_bilateral_grid: true", "gsplat-1.4"),
    ],
)
def test_version_of_gsplat_is_told_by_the_options_of_its_trainer(line: str, convention: str, tmp_path: Path) -> None:
    model = open_model(write_gsplat(tmp_path, {1: random_parameters()}, CONFIGURATION + line))
    assert model.training.convention == convention
    assert any("bilateral grids is not applied" in note for note in model.notes) == ("bilateral" in line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("camera_model: fisheye", "must be pinholes. Got 'fisheye'"),
        ("with_ut: true", "was trained with 3DGUT"),
        ("near_plane: [1]", "near_plane must be a float"),
        ("a: [", "is not the cfg.yml of gsplat's trainer"),
    ],
)
def test_configuration_that_cannot_be_followed_is_refused(line: str, message: str, tmp_path: Path) -> None:
    configuration = CONFIGURATION.replace("near_plane: 0.05\n", "") + line
    with pytest.raises(InputError, match=message):
        open_model(write_gsplat(tmp_path, {1: random_parameters()}, configuration))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": torch.zeros(5, 2)}, r"scales must have the shape \[5, 3\]. Got \[5, 2\]. It has surfels"),
        ({"means": torch.zeros(1).expand(5, 3)}, "tensor means repeats its values"),
        ({"features": torch.zeros(5, 4)}, "features of an appearance network"),
        ({"betas": torch.zeros(5)}, "has betas, which a plain splat does not have"),
        ({"shN": torch.zeros(5, 5, 3)}, "shN must have 0, 3, 8 or 15 coefficients. Got 5"),
        ({"means": torch.zeros(5, 3, dtype=torch.int64)}, "means must be a tensor of floats"),
    ],
)
def test_checkpoint_of_another_model_is_refused(change: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    write_gsplat(tmp_path, {1: random_parameters()})
    torch.save({"step": 1, "splats": splats_of(random_parameters()) | change}, tmp_path / "ckpts" / "ckpt_1_rank0.pt")
    with pytest.raises(InputError, match=message):
        read(tmp_path, 1)


def test_checkpoint_runs_no_code_and_ranks_are_complete(tmp_path: Path) -> None:
    write_gsplat(tmp_path, {1: random_parameters()}, ranks=3)
    (tmp_path / "ckpts" / "ckpt_1_rank1.pt").unlink()
    with pytest.raises(InputError, match="lacks rank 1 of step 1"):
        open_model(tmp_path)
    torch.save({"step": 1, "splats": Path("a")}, tmp_path / "ckpts" / "ckpt_1_rank1.pt")
    with pytest.raises(InputError, match="is refused, because it contains more than weights"):
        read(tmp_path, 1)
    torch.save({"step": 2, "splats": splats_of(random_parameters())}, tmp_path / "ckpts" / "ckpt_1_rank1.pt")
    with pytest.raises(InputError, match="contains step 2, which differs from its name"):
        read(tmp_path, 1)


def test_ply_of_nerfstudios_exporter_is_recognised(tmp_path: Path) -> None:
    named = columns(random_parameters())
    comments = ["Generated by Nerstudio 1.1.5", "Vertical Axis: z"]
    training = open_model(write_columns(tmp_path / "splat.ply", named, comments=comments)).training
    assert (training.convention, training.normalised) == ("gsplat-1.4", True)
    assert open_model(write_columns(tmp_path / "splat.ply", named)).training.convention is None
