"""Checks of the cameras, scales and bounds of a run's data."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()

from nerfstudio.cameras.cameras import Cameras  # noqa: E402
from nerfstudio.data.scene_box import SceneBox  # noqa: E402

from nvs_eval_nerfstudio import eval_data  # noqa: E402
from nvs_eval_nerfstudio.parsed import check_parsed  # noqa: E402

NAN, INF = float("nan"), float("inf")


def parsed(index: int = 1, *, scale: float = 1.0, corner: float = 1.0, **values: Any) -> Any:
    """Return three views, one with other values."""
    poses = torch.eye(4)[:3].repeat(3, 1, 1)
    numbers: dict[str, Any] = {name: torch.full((3, 1), 5.0) for name in ("fx", "fy", "cx", "cy")}
    lens = torch.zeros(3, 6)
    for name, value in values.items():
        if name == "pose":
            poses[index] = value
        elif name == "lens":
            lens[index, 0] = value
        else:
            numbers[name][index] = value
    cameras = Cameras(poses, **numbers, width=10, height=8, distortion_params=lens)
    box = SceneBox(torch.tensor([[-1.0] * 3, [corner] * 3]))
    files = [Path(f"{n}.png") for n in range(3)]
    return SimpleNamespace(image_filenames=files, cameras=cameras, dataparser_scale=scale, scene_box=box, metadata={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": 0.0}, r"focal lengths above 0\. Got 0x5 for 1\.png"),
        ({"fy": -5.0}, r"focal lengths above 0\. Got 5x-5 for 1\.png"),
        ({"fx": NAN}, r"focal lengths above 0\. Got nanx5 for 1\.png"),
        ({"fy": INF}, r"focal lengths above 0\. Got 5xinf for 1\.png"),
        ({"cx": NAN}, r"finite centres\. Got nanx5 for 1\.png"),
        ({"lens": INF}, r"finite distortion\. Got infx0 for 1\.png"),
        ({"pose": NAN}, r"finite poses\. Got nan for 1\.png"),
        ({"pose": 0.0}, r"poses with a rotation\. Got 0 for 1\.png"),
        ({"pose": torch.eye(4)[:3] * 1e30}, r"poses with a rotation\. Got 1e\+90 for 1\.png"),
        ({"pose": torch.tensor([[1, 0, 0, 1e12], [0, 1, 0, 0], [0, 0, 1, 0]])}, r"positions within 1e\+09"),
        ({"scale": 0.0}, r"finite scale above 0 and a finite box\. Got scale 0"),
        ({"scale": NAN}, r"Got scale nan"),
        ({"corner": NAN}, r"a finite box"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_parsed(parsed(**change), Path("scene"))


def test_cameras_of_any_scale_pass() -> None:
    check_parsed(parsed(pose=torch.eye(4)[:3] * 0.01), Path("scene"))
    check_parsed(parsed(pose=torch.tensor([[-1, 0, 0, 5e6], [0, 1, 0, 0], [0, 0, 1, 0]])), Path("scene"))


def config(data: Path, **values: Any) -> Any:
    parser = SimpleNamespace(data=data, **values)
    return SimpleNamespace(
        pipeline=SimpleNamespace(datamanager=SimpleNamespace(data=data, dataparser=parser, _target=0))
    )


def test_numbers_of_a_dataparser_are_bounded(tmp_path: Path) -> None:
    eval_data.prepare_data(config(tmp_path, eval_interval=1), data=None)
    with pytest.raises(InputError, match=r"eval_interval of the dataparser must be at least 1\. Got 0"):
        eval_data.prepare_data(config(tmp_path, eval_interval=0), data=None)
    with (tmp_path / "transforms.json").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(InputError, match=r"transforms\.json must have at most 64 MiB.*Got 953 MiB"):
        eval_data.prepare_data(config(tmp_path), data=None)


def test_a_file_that_is_cut_is_named(tmp_path: Path) -> None:
    (tmp_path / "cameras.bin").write_bytes(b"123")
    message = r"cannot be parsed: \S+/cameras\.bin is cut, or a count in it is wrong"
    with (
        pytest.raises(InputError, match=message),
        eval_data.parsing(tmp_path),
        (tmp_path / "cameras.bin").open("rb") as fid,
    ):
        struct.unpack("<Q", fid.read())
