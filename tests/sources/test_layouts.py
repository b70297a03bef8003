"""Layouts of other tools, which include references: what commands do with them."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.layouts import (
    NAMES,
    VIEWS,
    gsplat,
    model,
    ns_eval,
    pack,
)
from support.protocols import protocol_file
from support.scenes import write_pngs

from nvs_eval.cli import main
from nvs_eval.records.record import Record, read_record
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.layouts import Contents, Layout, RenderFiles, registry
from nvs_eval.sources.pictures import Picture


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Record]]:
    """Run `score` and return the records by their folders."""
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)

    def run(*args: str) -> dict[str, Record]:
        shutil.rmtree("out", ignore_errors=True)
        assert main(("score", *args, "--protocol", "light.yaml", "--output-dir", "out", "--device", "cpu")) == 0
        files = sorted(Path("out").rglob("*.json"))
        return {file.parent.relative_to("out").as_posix(): read_record(file) for file in files}

    return run


@pytest.mark.parametrize("option", ["-m", "--model_paths", "--model-paths"])
def test_the_model_options_of_3dgs_are_accepted(option: str, scored: Callable[..., dict[str, Record]]) -> None:
    model(Path("3dgs/garden"), 7000, 30000, trained_on="/data/garden", names=VIEWS)
    model(Path("3dgs/bicycle"), 7000, trained_on="/data/bicycle", names=VIEWS)
    records = scored(option, "3dgs/garden", "3dgs/bicycle")
    assert list(records) == ["bicycle/3dgs/7000", "garden/3dgs/30000", "garden/3dgs/7000"]
    for others in (("3dgs/garden", "3dgs/bicycle"), ("3dgs/garden", option, "3dgs/bicycle"), (option, "3dgs")):
        again = scored(*others)
        assert {place: record.means for place, record in again.items()} == {
            place: record.means for place, record in records.items()
        }


def test_nothing_to_score_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("score", "-m")) == 2
    assert "At least one folder of renders" in capsys.readouterr().err


def test_all_layouts_give_the_same_scores(scored: Callable[..., dict[str, Record]]) -> None:
    renders = {name: seed + 10 for name, seed in VIEWS.items()}
    plain = scored(str(write_pngs(Path("ours"), renders)), "--reference", str(write_pngs(Path("gt"), VIEWS)))
    (expected,) = plain.values()
    write_pngs(Path("nb/color"), renders)
    write_pngs(Path("nb/gt-color"), VIEWS)
    ns_eval(Path("ns"), 10)
    gsplat(Path("gs"), 10)
    model(Path("gauss"), 10, trained_on="/data/garden", names=VIEWS)
    archives = [str(pack(Path("nb"), Path("nb.tar.gz"))), str(pack(Path("ns"), Path("ns.zip")))]
    for path in ("nb", "ns", "gs", "gauss", *archives):
        (record,) = scored(path).values()
        assert [row.scores for row in record.views] == [row.scores for row in expected.views]
        assert record.references_sha256 == expected.references_sha256
        whole = path in ("nb", "gauss")
        assert all((row.render is not None) == (row.reference is not None) == whole for row in record.views)
        assert record.provenance.get("renders_from") == (None if whole else path)
        assert ("archive_sha256" in record.provenance) == (path in archives)


def test_files_that_a_layout_reads_come_out_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(folder: Path, place: Path) -> Contents | None:
        if not (folder / "mine.txt").is_file():
            return None
        renders = {name: Picture(folder / f"{name}.png") for name in NAMES}
        return Contents([RenderFiles(renders, renders)], place, (folder / "mine.txt").read_text())

    mine = Layout("mine", "mine.txt", read, ("mine.txt",))
    monkeypatch.setattr(registry, "LAYOUTS", (*registry.LAYOUTS, mine))
    write_pngs(tmp_path / "ours", NAMES)
    (tmp_path / "ours" / "mine.txt").write_text("attic")
    with zipfile.ZipFile(tmp_path / "ours.zip", "w") as archive:
        for file in (tmp_path / "ours").iterdir():
            archive.write(file, file.name)
    (source,) = open_folders([tmp_path / "ours.zip"])
    assert [(result.scene, result.method) for result in source.ids] == [("attic", "ours")]
