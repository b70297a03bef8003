"""Numbers in the files of tools: which metrics they are of, their decimals, and their views."""

from __future__ import annotations

import base64
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from nvs_eval.diagnostics.identify.numbers import Number, Numbers, given_numbers, keys_of
from nvs_eval.diagnostics.identify.readers import read_numbers
from nvs_eval.errors import InputError

LPIPS = ("lpips_alex", "lpips_vgg", "lpips_squeeze")
NAMES = ["00000", "00001", "cam/7"]


def read(tmp_path: Path, content: str) -> list[Numbers]:
    path = tmp_path / "numbers"
    path.write_text(content, encoding="utf-8")
    return read_numbers(path)


def means(numbers: Numbers) -> dict[str, Number | None]:
    return {name: reported.mean for name, reported in numbers.metrics.items()}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("PSNR", ("psnr",)),
        ("PSNR [dB] ↑", ("psnr",)),
        ("fine_psnr", ("psnr",)),
        ("mPSNR", ("psnr",)),
        ("psnr_std", ()),
        ("coarse_psnr", ()),
        ("MS-SSIM", ("ms_ssim",)),
        ("LPIPS", LPIPS),
        ("LPIPS (VGG)", ("lpips_vgg",)),
        ("LPIPSVGG", ("lpips_vgg",)),
        ("LPIPS-alex", ("lpips_alex",)),
        ("D-SSIM", ("dssim_ms", "dssim_range1", "dssim_range2")),
        ("DSSIM2", ("dssim_range2",)),
        ("cc_psnr", ("cc_psnr",)),
        ("cc_lpips", tuple(f"cc_{key}" for key in LPIPS)),
        ("ssim_ours", ("ssim",)),
        ("mae", ("mae",)),
        ("fps", ()),
        ("cc", ()),
        ("", ()),
    ],
)
def test_names_of_tools(name: str, keys: tuple[str, ...]) -> None:
    assert keys_of(name) == keys


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("25.250", 25.25, 1e-3),
        ("25", 25.0, 1.0),
        ("-1.5e-2", -0.015, 1e-3),
        (" .77 ", 0.77, 1e-2),
        ("inf", math.inf, 0),
    ],
)
def test_unit_is_that_of_the_last_decimal(text: str, value: float, unit: float) -> None:
    number = Number.of(text)
    assert (number.value, number.unit) == (value, pytest.approx(unit))


@pytest.mark.parametrize("text", ["nan", "-", "", "1e999999999", "25,1", "0x10"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        Number.of(text)


def test_results_of_3d_gaussian_splatting(tmp_path: Path) -> None:
    content = {"ours_7000": {"SSIM": 0.7, "PSNR": 24.5, "LPIPS": 0.3}, "ours_30000": {"SSIM": 0.771}}
    first, second = read(tmp_path, json.dumps(content))
    assert (first.label, second.label) == ("ours_7000", "ours_30000")
    assert means(first) == {"SSIM": Number(0.7, 0.1), "PSNR": Number(24.5, 0.1), "LPIPS": Number(0.3, 0.1)}
    assert means(second) == {"SSIM": Number(0.771, 1e-3)}


def test_views_of_3d_gaussian_splatting(tmp_path: Path) -> None:
    content = {"ours_30000": {"SSIM": {"00001.png": 0.7, "00000.png": 0.75}, "PSNR": {"cam/7.png": 24.5}}}
    (numbers,) = read(tmp_path, json.dumps(content))
    assert numbers.metrics["SSIM"].of_views(NAMES) == {"00001": Number(0.7, 0.1), "00000": Number(0.75, 0.01)}
    assert numbers.metrics["PSNR"].of_views(NAMES) == {"cam/7": Number(24.5, 0.1)}


def test_output_of_ns_eval(tmp_path: Path) -> None:
    results = {
        "psnr": 25.846,
        "psnr_std": 1.2,
        "ssim": 0.8265,
        "lpips": 0.123,
        "num_rays_per_sec": 123456.7,
        "fps": 0.3,
    }
    content = {"experiment_name": "fox", "method_name": "nerfacto", "checkpoint": "a/b.ckpt", "results": results}
    (numbers,) = read(tmp_path, json.dumps(content, indent=2))
    assert (numbers.label, list(numbers.metrics)) == ("", ["psnr", "ssim", "lpips"])
    assert list(numbers.ignored) == ["psnr_std", "num_rays_per_sec", "fps"]
    assert numbers.metrics["lpips"].keys == LPIPS


def test_results_of_nerfbaselines(tmp_path: Path) -> None:
    raw = base64.encodebytes(struct.pack("<3f", 24.0, 25.5, 27.25)).decode("ascii").strip()
    content = {
        "nb_info": {"method": "3dgs", "total_train_time": 1.5},
        "metrics": {"psnr": 25.58333, "mse": 0.003, "lpips_vgg": 0.2},
        "metrics_raw": {"psnr": raw, "mse": raw},
        "evaluation_protocol": "nerf",
    }
    (numbers,) = [one for one in read(tmp_path, json.dumps(content)) if one.label == ""]
    assert means(numbers) == {"psnr": Number(25.58333, pytest.approx(1e-5)), "lpips_vgg": Number(0.2, 0.1)}  # type: ignore[arg-type]
    assert numbers.metrics["psnr"].of_views(NAMES) == {
        name: Number(value, 0.0) for name, value in zip(NAMES, (24.0, 25.5, 27.25), strict=True)
    }


def test_flat_json_and_lists(tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, '{"psnr": [24.10, Infinity, 25.3], "ssim": 0.770, "time": 3}')
    assert numbers.metrics["psnr"].of_views(NAMES)["00001"] == Number(math.inf, 0.0)
    assert means(numbers)["ssim"] == Number(0.77, 1e-3)
    assert list(numbers.ignored) == ["time"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_views_and_their_mean(delimiter: str, tmp_path: Path) -> None:
    # Long-LRM's files have spaces after commas, the mean in a row, and other numbers below it.
    rows = ["index, psnr, ssim", "0, 24.1, .70", "1, 25.0, .80", "2, 26.5, .90", "mean, 25.2, .80", "gaussian_usage, 3"]
    (numbers,) = read(tmp_path, "\n".join(rows).replace(",", delimiter))
    assert means(numbers) == {"psnr": Number(25.2, 0.1), "ssim": Number(0.8, 0.01)}
    assert list(numbers.metrics["psnr"].of_views(NAMES)) == NAMES


def test_csv_of_means(tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, "\ufeffmethod,PSNR,LPIPS\r\n3dgs,25.250,0.2\r\n")
    assert means(numbers) == {"PSNR": Number(25.25, 1e-3), "LPIPS": Number(0.2, 0.1)}
    first, second = read(tmp_path, "scene,method,psnr\ngarden,a,25\nroom,a,26\n")
    assert (first.label, second.label) == ("garden/a", "room/a")


def test_csv_of_views_in_order(tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, "psnr\n24.1\n25.0\n26.5\n")
    assert numbers.metrics["psnr"].of_views(NAMES)["cam/7"] == Number(26.5, 0.1)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"00000": 1.0, "00007": 2.0}, r"must be of the views 00000, 00001, cam/7\. Got 00007\."),
        ({"00000": 1.0, "00000.png": 2.0}, "Got a view twice"),
        ([1.0, 2.0], r"must be of the 3 views\. Got 2 without names\."),
    ],
)
def test_views_of_other_renders_are_refused(views: Any, message: str, tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, json.dumps({"psnr": views}))
    with pytest.raises(InputError, match=message):
        numbers.metrics["psnr"].of_views(NAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have a metric"),
        ("{}", "must have a metric"),
        ('{"psnr": "high"}', "cannot be used: 'high' is not a number"),
        ("method,psnr\na,25\na,26\n", "cannot be used: row 3: 'a' has two rows"),
        ('{"psnr": NaN}', "cannot be used: psnr: 'NaN' is not a number"),
        ('{"psnr": 25', "cannot be used: "),
        ("[" * 100_000, "cannot be used: "),
        ('{"a":' * 5000 + "1" + "}" * 5000, "cannot be used: |must have a metric"),
        ("view,psnr\na,25\nb,\n", r"cannot be used: row 3 of psnr: '' is not a number"),
        ("view,psnr\na,25\nb\n", r"row 3 of psnr"),
        ('{"psnr": 1e400}', "not a number that a metric can have"),
        ("," * 2_000_001, "must have at most 2000000 values"),
        ('name,psnr\n"a,25\n', "must have a metric|cannot be used"),
    ],
)
def test_a_file_without_numbers_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_numbers(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="must be JSON or CSV in UTF-8"):
        read_numbers(tmp_path / "binary")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe"):
        read_numbers(tmp_path / "pipe")


def test_numbers_of_a_mapping() -> None:
    (numbers,) = given_numbers({"psnr": 25.25, "ssim": "0.770", "n": 3})
    assert means(numbers) == {"psnr": Number(25.25, 0.01), "ssim": Number(0.77, 1e-3)}
    for wrong in ({"psnr": None}, {"psnr": "x"}, {"fps": 1}):
        with pytest.raises(InputError, match="numbers"):
            given_numbers(wrong)


def test_json_with_texts_of_numbers_and_other_values_without_a_number(tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, '{"psnr": "25.250", "ssim": 0.77, "depth": NaN}')
    assert means(numbers) == {"psnr": Number(25.25, 1e-3), "ssim": Number(0.77, 0.01)}


def test_csv_with_columns_of_other_numbers(tmp_path: Path) -> None:
    (numbers,) = read(tmp_path, "psnr;time\n24,1;3\n25,0;4\n26,5;5\n")
    assert numbers.metrics["psnr"].of_views(NAMES)["cam/7"] == Number(26.5, 0.1)
    assert list(numbers.ignored) == ["time"]
    first, second = read(tmp_path, "iteration,psnr\n7000,25\n30000,26\n")
    assert (first.label, second.label) == ("7000", "30000")


def test_names_of_views_come_before_their_order_and_must_be_of_one_view(tmp_path: Path) -> None:
    names = ["0", "1", "10", *map(str, range(2, 10))]
    (numbers,) = read(tmp_path, json.dumps({"psnr": {name: int(name) for name in names}}))
    assert all(number.value == int(name) for name, number in numbers.metrics["psnr"].of_views(names).items())
    with pytest.raises(InputError, match="Got 0001"):
        read(tmp_path, '{"psnr": {"0001.png": 1}}')[0].metrics["psnr"].of_views(["a/0001", "b/0001"])
