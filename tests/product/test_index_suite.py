"""Suites whose scenes and views come from an evaluation index, with the records of all scenes in one file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.protocols import protocol_file, variant
from support.scenes import write_pngs

import nvs_eval
from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.evaluation import suite as suites
from nvs_eval.evaluation.lines_writer import LinePlaces
from nvs_eval.records.lines import read_record_lines
from nvs_eval.records.record import Record
from nvs_eval.report.benchmarks import load_suite, named_suites
from nvs_eval.sources.evaluation_index import load_index

pytestmark = pytest.mark.usefixtures("here")

SCENES = [f"{number:016x}" for number in range(12)]
FILE = """\
index: index.json
output_dir: out
protocol: light.yaml
methods:
  a: {score: 'a/images/{scene}/color'}
  b: {score: 'b/images/{scene}'}
"""
LINES = Path("out/suite/a/final")


@pytest.fixture
def project(here: Path) -> Path:
    """Write twelve scenes of two frames, as DepthSplat saves them, with an index that uses both and skips a scene."""
    for seed, scene in enumerate(SCENES):
        for method, shift in (("a", 100), ("b", 200)):
            color = Path(f"{method}/images/{scene}/color")
            write_pngs(color, {"000003_gt": seed, "000008_gt": seed + 50})
            write_pngs(color, {"000003": seed + shift, "000008": seed + shift + 50})
    entries = {scene: {"context": [0, 9], "target": [3, 8], "overlap": 0.5} for scene in SCENES}
    Path("index.json").write_text(json.dumps({**entries, "unused": None}), encoding="utf-8")
    for file in Path().rglob("*.png"):
        before = file.stat().st_mtime - 86_400
        os.utime(file, (before, before))
    protocol_file(Path())
    Path("suite.yaml").write_text(FILE, encoding="utf-8")
    return here


def records_of(method: str) -> list[Record]:
    (file,) = Path(f"out/suite/{method}/final").glob("*.jsonl")
    return [record for _, record in read_record_lines(file).values()]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Scenes whose records are written, in order."""
    scenes: list[str] = []
    add = LinePlaces.add

    def noted(self: LinePlaces, record: Record) -> None:
        scenes.append(f"{record.method}/{record.scene}")
        add(self, record)

    monkeypatch.setattr(LinePlaces, "add", noted)
    yield scenes


@pytest.mark.usefixtures("project")
def test_the_scenes_of_an_index_are_lines_that_equal_records_of_their_own() -> None:
    assert main(["suite", "suite.yaml"]) == 0
    assert {path.suffix for path in Path("out").rglob("*") if path.is_file()} == {".jsonl"}
    records = records_of("a")
    assert [record.scene for record in records] == SCENES
    sha256 = hashlib.sha256(Path("index.json").read_bytes()).hexdigest()
    assert {record.provenance["index_sha256"] for record in records} == {sha256}
    for record in records[:3]:
        (alone,) = nvs_eval.score(
            [f"a/images/{record.scene}/color"],
            scene=record.scene,
            method="a",
            protocol="light.yaml",
            output_dir=None,
        )
        assert [row.scores for row in record.views] == [row.scores for row in alone.views]
        assert record.images_sha256 == alone.images_sha256
        assert (LINES / str(record.views[0].render)).resolve().is_file()


def test_every_reader_takes_the_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["suite", "suite.yaml"])
    (file,) = map(str, LINES.glob("*.jsonl"))
    capsys.readouterr()
    assert main(["table", "out", "--rows", "method"]) == 0
    assert "mean of 12 scenes" in capsys.readouterr().out
    assert main(["table", file, "--rows", "method", "--format", "csv"]) == 0
    assert main(["compare", "out/suite/a", "out/suite/b"]) == 0
    assert main(["check", file, "--baseline", file]) == 0
    capsys.readouterr()
    assert main(["verify", file]) == 0
    out = capsys.readouterr().out
    assert all(f"{file}: {scene}, 2 of 2 views" in out for scene in SCENES)
    assert main(["inspect", file]) == 2
    assert f"{file} has the records of many scenes." in capsys.readouterr().err
    assert main(["rescore", file, "--protocol", "light.yaml", "--output-dir", "again"]) == 0
    scored, again = nvs_eval.read_records(file), nvs_eval.read_records("again")
    assert [record.means for record in again] == [record.means for record in scored]
    assert [record.provenance["index_sha256"] for record in again] == [load_index(Path("index.json")).sha256] * 12
    assert {path.suffix for path in Path("again").rglob("*") if path.is_file()} == {".jsonl"}


@pytest.mark.usefixtures("project")
def test_scenes_are_rescored_into_one_file_beside_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    main(["suite", "suite.yaml", "--only", "a"])
    Path("other.yaml").write_text(variant(name="other", crop=2), encoding="utf-8")
    before = {path: path.read_bytes() for path in LINES.glob("*.jsonl")}
    for expected in ("Scoring 12 scenes", "already exists"):
        capsys.readouterr()
        assert main(["rescore", "out", "--protocol", "light.yaml", "other.yaml"]) == 0
        assert capsys.readouterr().err.count(expected) in (1, 2)
    assert {path.name[:5] for path in Path("out").rglob("*") if path.is_file()} == {"light", "other"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert [record.scene for record in nvs_eval.read_records("out", protocol="other")] == SCENES


@pytest.mark.usefixtures("project")
def test_a_damaged_line_is_named_once_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    main(["suite", "suite.yaml", "--only", "a"])
    (file,) = LINES.glob("*.jsonl")
    first, second, *others = file.read_bytes().splitlines(keepends=True)
    damaged = first + second[:80] + b"\n" + b"".join(others)
    file.write_bytes(damaged)
    capsys.readouterr()
    assert main(["suite", "suite.yaml", "--only", "a"]) == 3
    error = capsys.readouterr().err
    assert error.count(f"{file}, line 2 is not JSON") == 2  # At once, and with what was not done.
    assert "Remove this line, and its scene is scored again." in error
    assert file.read_bytes() == damaged
    file.write_bytes(first + b"".join(others))
    assert main(["suite", "suite.yaml", "--only", "a"]) == 0
    assert sorted(record.scene for record in records_of("a")) == SCENES


@pytest.mark.usefixtures("project")
def test_an_interruption_costs_only_the_scene_that_was_cut_off(added: list[str]) -> None:
    main(["suite", "suite.yaml", "--only", "a"])
    (file,) = LINES.glob("*.jsonl")
    first, second, third, *_ = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second + third[: len(third) // 2])
    added.clear()
    assert len(nvs_eval.read_records(file)) == 2
    assert main(["suite", "suite.yaml"]) == 0
    assert [name for name in added if name.startswith("a/")] == [f"a/{scene}" for scene in SCENES[2:]]
    assert [record.scene for record in records_of("a")] == SCENES
    added.clear()
    assert main(["suite", "suite.yaml"]) == 0
    assert added == []


@pytest.mark.usefixtures("project")
def test_a_damaged_file_costs_its_view_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Path(f"a/images/{SCENES[4]}/color/000003.png")
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    assert main(["suite", "suite.yaml", "--only", "a"]) == 3
    assert SCENES[4] in capsys.readouterr().err
    assert len(records_of("a")) in (11, 12)
    broken.write_bytes(whole)
    assert main(["suite", "suite.yaml", "--only", "a"]) == 0
    records = records_of("a")
    assert sorted(record.scene for record in records) == SCENES
    assert not any(record.failed for record in records)


@pytest.mark.usefixtures("project")
def test_changed_renders_are_not_replaced_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    main(["suite", "suite.yaml", "--only", "a"])
    before = {record.scene: record.means for record in records_of("a")}
    write_pngs(Path(f"a/images/{SCENES[5]}/color"), {"000003": 999})
    capsys.readouterr()
    assert main(["suite", "suite.yaml", "--only", "a"]) == 3
    assert "other renders" in capsys.readouterr().err
    assert {record.scene: record.means for record in records_of("a")} == before
    assert main(["suite", "suite.yaml", "--only", "a", "--overwrite"]) == 0
    after = {record.scene: record.means for record in records_of("a")}
    assert [scene for scene in SCENES if after[scene] != before[scene]] == [SCENES[5]]


@pytest.mark.usefixtures("project")
def test_missing_views_are_counted_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"a/images/{SCENES[0]}/color/000008.png").unlink()
    Path(f"a/images/{SCENES[1]}/color/000003.png").unlink()
    assert main(["suite", "suite.yaml", "--only", "a"]) == 3
    error = capsys.readouterr().err
    assert f"a: 2 views of the index without a render: {SCENES[0]}/000008, {SCENES[1]}/000003" in error
    assert len(records_of("a")) == 10


@pytest.mark.usefixtures("project")
def test_the_example_of_the_documentation_takes_the_users_index() -> None:
    text = (Path(__file__).parents[2] / "docs/suites.md").read_text(encoding="utf-8")
    *_, example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Path("assets").mkdir()
    Path("index.json").rename("assets/evaluation_index_re10k.json")
    Path("example.yaml").write_text(example, encoding="utf-8")
    suite = suites.open_suite(suites.SuiteOptions(file=Path("example.yaml")))
    assert [(entry.method, entry.scene) for entry in suite.entries[:2]] == [
        ("depthsplat", SCENES[0]),
        ("mvsplat", SCENES[0]),
    ]
    assert all(entry.options.views == ("000003", "000008") for entry in suite.entries)


@pytest.mark.usefixtures("project")
def test_an_index_with_another_hash_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("suite.yaml").write_text(f"suite: re10k\n{FILE}", encoding="utf-8")
    assert main(["suite", "suite.yaml", "--only", "a"]) == 0
    out, error = capsys.readouterr()
    assert "index.json is not the index of re10k" in error
    assert f"RealEstate10K, index {load_index(Path('index.json')).sha256[:8]}" in out


@pytest.mark.usefixtures("project")
def test_suites_of_many_scenes_are_lines_without_an_index(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suites, "LARGE", 11)
    text = FILE.replace("index: index.json", f"scenes: {json.dumps(SCENES)}")
    Path("suite.yaml").write_text(text, encoding="utf-8")
    assert main(["suite", "suite.yaml", "--only", "a"]) == 0
    capsys.readouterr()
    assert main(["suite", "suite.yaml", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line[:2] in ("a ", "b ")] == [
        ["a", "12", "0"],
        ["b", "0", "12"],
    ]
    assert main(["suite", "suite.yaml"]) == 0
    assert [record.scene for record in records_of("b")] == SCENES


@pytest.mark.usefixtures("project")
def test_a_suite_with_an_index_needs_the_file() -> None:
    Path("suite.yaml").write_text("suite: re10k\n" + FILE.replace("index: index.json\n", ""), encoding="utf-8")
    with pytest.raises(InputError, match="in an evaluation index, which is not included"):
        suites.open_suite(suites.SuiteOptions(file=Path("suite.yaml")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must be a JSON object of scenes"),
        ("{", "is not JSON"),
        ('{"a": null}', "has no scene with views"),
        ('{"a": {"target": []}}', "target"),
        ('{"a": {"target": [-1]}}', "target"),
        ('{"a": {"context": [1]}}', "target"),
        ('{"a": null, "a": null}', "given twice"),
    ],
)
def test_a_wrong_index_is_an_error(here: Path, text: str, message: str) -> None:
    file = here / "index.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_index(file)


def test_the_suites_with_an_index_are_these() -> None:
    scenes = {name: suite.index.scenes for name in named_suites() if (suite := load_suite(name)).index is not None}
    assert scenes == {
        "acid": 1595,
        "acid-noposplat": 1341,
        "dl3dv-2v": 140,
        "dl3dv-4v": 140,
        "dl3dv-6v": 140,
        "re10k": 6474,
        "re10k-noposplat": 5601,
    }
