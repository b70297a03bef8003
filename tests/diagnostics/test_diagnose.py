"""`nvs-eval diagnose`: sentences, the file beside the record, and bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import Said
from support.planted import photograph, planted
from support.protocols import protocol_file
from support.scenes import write_images

import nvs_eval
from nvs_eval.cli.options import EXIT_FAILED
from nvs_eval.errors import InputError
from nvs_eval.evaluation.kept_images import KeptImages
from nvs_eval.records.causes import causes_file, read_causes
from nvs_eval.records.schema import ViewRow

VIEWS = ("astronaut", "coffee", "chelsea")
FILE = Path("out/photos/ours/final")


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results in `out`: `ours` is too bright, `blurred` is also blurred; one view of both is moved."""
    folder = tmp_path_factory.mktemp("diagnose")
    for method, causes in {"ours": {"exposure": 1}, "blurred": {"exposure": 1, "blur": 1}}.items():
        images: dict[str, dict[str, np.ndarray]] = {"gt": {}, method: {}}
        for view in VIEWS:
            moved = {"shift": 2} if view == "coffee" else {}
            images["gt"][view], images[method][view], *_ = planted(photograph(view, 168), {**causes, **moved}, seed=1)
        for name, several in images.items():
            write_images(folder / "photos" / name, {view: torch.from_numpy(image) for view, image in several.items()})
    renders = [folder / "photos" / name for name in ("ours", "blurred")]
    nvs_eval.score(
        renders, reference=folder / "photos/gt", protocol=str(protocol_file(folder)), output_dir=folder / "out"
    )
    return folder


@pytest.fixture
def record(here: Path, diagnosed: Path) -> Path:
    """The record of `ours`, in a copy of the folder, which is the working directory."""
    shutil.copytree(diagnosed, here, dirs_exist_ok=True)
    (file,) = FILE.glob("*.json")
    return file


def test_a_run_and_its_views_are_diagnosed(record: Path, cli: Callable[..., Said]) -> None:
    said = cli("diagnose", str(record), "--per-view")
    assert said.code == 0
    assert "dB is exposure (median, above noise in 3 of 3 views): fit appearance, or report cc_psnr." in said.out
    assert "View coffee loses" in said.out and "by shift by 1.0 px: check the pose." in said.out
    assert "chelsea: " in said.out and "(gain 1.08" in said.out
    assert said.err.splitlines()[-1] == f"Written: {causes_file(record)}"
    causes = read_causes(record, nvs_eval.read_record(record))
    assert causes is not None and causes.views.keys() == {*VIEWS}
    for name, view in causes.views.items():
        row = next(row for row in nvs_eval.read_record(record).views if row.name == name)
        assert view.psnr == pytest.approx(row.scores["psnr"], abs=1e-3)


def test_known_causes_are_read_until_the_scores_change(record: Path, cli: Callable[..., Said]) -> None:
    first = cli("diagnose", str(record))
    content = causes_file(record).read_bytes()
    again = cli("diagnose", str(record))
    assert again.out == first.out and "Written" not in again.err
    assert "Written" in cli("diagnose", str(record), "--overwrite").err
    assert causes_file(record).read_bytes() == content
    rescored = nvs_eval.read_record(record)
    assert read_causes(record, replace(rescored, views=rescored.views[1:])) is None


def test_json_has_all_numbers(record: Path, cli: Callable[..., Said]) -> None:
    (one,) = json.loads(cli("diagnose", str(record), "--format", "json").out)["records"]
    view = one["views"]["coffee"]
    assert view["pose"]["chosen"] == "shift" and set(view["decibels"]) == {"colour", "pose"}
    assert set(view["regions"]) == {"border", "darkest", "brightest", "flat", "edges"}
    assert sum(view["frequencies"].values()) == pytest.approx(1)


def test_python_returns_what_the_command_writes(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (diagnosis,) = nvs_eval.diagnose(record)
    assert diagnosis.written == causes_file(record) and diagnosis.words == diagnosis.causes.words
    (again,) = nvs_eval.diagnose([record])
    assert again.written is None and again.causes == diagnosis.causes
    assert capsys.readouterr() == ("", "")


def test_a_changed_image_costs_its_view(
    record: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = KeptImages.render

    def render(self: KeptImages, row: ViewRow) -> torch.Tensor:
        if row.name == "coffee":
            raise InputError("the render has changed.")
        return read(self, row)

    with monkeypatch.context() as changed:
        changed.setattr(KeptImages, "render", render)
        said = cli("diagnose", str(record))
    assert said.code == EXIT_FAILED and "View 'coffee' was not diagnosed: the render has changed." in said.err
    assert "View coffee loses" in cli("diagnose", str(record)).out


def test_changed_renders_are_an_error(record: Path, cli: Callable[..., Said]) -> None:
    shutil.copy("photos/gt/coffee.png", "photos/ours/coffee.png")
    said = cli("diagnose", str(record))
    assert said.code == 2 and "have changed since" in said.err and not causes_file(record).exists()


def test_a_record_without_images_is_an_error(record: Path, cli: Callable[..., Said]) -> None:
    shutil.rmtree("photos/ours")
    said = cli("diagnose", str(record))
    assert said.code == 2 and "cannot be diagnosed" in said.err and "is no longer at" in said.err
    assert not causes_file(record).exists()


def test_one_view_has_its_own_sentences(record: Path, cli: Callable[..., Said], here: Path) -> None:
    protocol = str(protocol_file(here))
    cli(
        "score",
        "photos/ours",
        "--reference",
        "photos/gt",
        "--views",
        "coffee",
        "--protocol",
        protocol,
        "--output-dir",
        "one",
    )
    said = cli("diagnose", "one")
    assert said.code == 0 and " dB is a shift by " in said.out and "median" not in said.out


def test_causes_that_cannot_be_written_are_an_error_before_the_work(
    record: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise InputError(f"{path} cannot be written: Permission denied.")

    monkeypatch.setattr("nvs_eval.diagnostics.causes.diagnose.check_writable", refuse)
    said = cli("diagnose", "out")
    assert said.code == 2 and ".causes cannot be written: Permission denied." in said.err and not said.out
    assert not list(Path("out").rglob("*.causes"))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"causes_version": 2}', b"\xff\xfe", b"[" * 100_000])
def test_damaged_causes_are_an_error_that_says_what_to_do(
    record: Path, cli: Callable[..., Said], content: bytes
) -> None:
    causes_file(record).write_bytes(content)
    said = cli("diagnose", str(record))
    assert said.code == 2 and "is damaged" in said.err and "Remove it" in said.err
    assert causes_file(record).read_bytes() == content
