"""`nvs-eval verify`: samples, several records, and wrong input."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.checkpoints import FakeCheckpoint, evaluate_checkpoints
from support.pinned import Pinned
from support.protocols import FLOAT, LIGHT, variant
from support.scenes import float_image, write_images
from support.verifying import (
    PAIRS,
    change,
    score,
    with_score,
    write_scene,
)

from nvs_eval.cli import main
from nvs_eval.records.record import read_record, record_file


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the record of a scene of six views under the light protocol."""
    (file,) = score(write_scene(tmp_path), LIGHT)
    capsys.readouterr()
    return file


def test_a_confirmed_record(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(file), "--all"]) == 0
    result = capsys.readouterr()
    assert f"{file}: 6 of 6 views, protocol light {read_record(file).fingerprint}" in result.out
    rows = [line.split() for line in result.out.splitlines() if line.rstrip().endswith(" confirmed")]
    assert [(row[0], row[-2:]) for row in rows] == [("PSNR", ["0.0001", "confirmed"]), ("SSIM", ["1e-05", "confirmed"])]
    assert "6 of 6" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("args", "sample"),
    [((), [0, 2, 5, 8, 10]), (("--views", "1"), [5]), (("--views", "3"), [0, 5, 10]), (("--all",), list(range(11)))],
)
def test_a_sample_is_evenly_spread_over_the_views(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], sample: list[int]
) -> None:
    names = [f"{index:02}" for index in range(11)]
    for seed, part in enumerate(("gt", "ours")):
        write_images(tmp_path / part, dict.fromkeys(names, float_image(seed, 12, 12)))
    (file,) = score(tmp_path, LIGHT)
    for name in names:
        (tmp_path / "ours" / f"{name}.png").unlink()
    assert main(["verify", str(file), *args]) == 2
    out = capsys.readouterr().out
    assert [name for name in names if f"View {name!r} cannot" in out] == [names[index] for index in sample]


def test_control_characters_of_names_are_escaped(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(file, lambda record: replace(record, views=[replace(record.views[0], name="a\x1b[31m"), *record.views[1:]]))
    change(file, with_score("psnr", 3.0))
    assert main(["verify", str(file), "--all"]) == 1
    result = capsys.readouterr()
    assert "View 'a\\x1b[31m': psnr is recorded as 3.0" in result.out
    assert [row.split()[2] for row in result.out.splitlines() if "NOT CONFIRMED" in row] == ["a\\x1b[31m"]
    assert "\x1b" not in result.out + result.err


def test_a_folder_of_records_is_verified_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = score(write_scene(tmp_path, PAIRS[:2]), LIGHT, variant(name="cropped", crop=2))
    change(files[0], with_score("psnr", 3.0))
    assert main(["verify", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert all(f"{file}: 2 of 2 views" in out for file in files)


def test_an_unverifiable_record_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pinned: Pinned
) -> None:
    light, float_ = evaluate_checkpoints([FakeCheckpoint(1)], tmp_path, LIGHT, FLOAT)
    files = [record_file(record, tmp_path) for record in (light, float_)]
    assert main(["verify", str(tmp_path)]) == 2
    result = capsys.readouterr()
    (reason,) = [line for line in result.out.splitlines() if line.startswith(f"The record {files[1]} ")]
    pinned("verify", re.sub(r"-[0-9a-f]{8}\.json", "-FINGERPRINT.json", reason))
    assert f"{files[1]}: 0 of {len(float_.views)} views, protocol float" in result.out
    assert f"{files[0]}: {len(light.views)} of {len(light.views)} views, protocol light" in result.out
    rows = [line.split()[0] for line in result.out.splitlines() if line.rstrip().endswith(" confirmed")]
    assert rows == ["PSNR", "SSIM"]
    assert "Error" not in result.err
    change(files[0], with_score("psnr", 3.0))
    assert main(["verify", *map(str, files)]) == 1
    assert main(["verify", *map(str, reversed(files))]) == 1


@pytest.mark.parametrize("args", [("--views", "0"), ("--views", "2", "--all")])
def test_conflicting_options_are_refused(
    file: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], pinned: Pinned
) -> None:
    assert main(["verify", str(file), *args]) == 2
    pinned("verify", capsys.readouterr().err)


def test_views_without_a_record_are_refused(capsys: pytest.CaptureFixture[str], pinned: Pinned) -> None:
    assert main(["verify", "--all"]) == 2
    pinned("verify", capsys.readouterr().err)


def test_another_json_file_is_refused_before_any_work(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"some": "thing"}))
    assert main(["verify", str(file), str(other)]) == 2
    result = capsys.readouterr()
    assert f"{other} is not a record of nvs-eval" in result.err
    assert result.out == ""
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 2
    assert "There is no record at" in capsys.readouterr().err
