from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nvs_eval.errors import InputError
from nvs_eval.report.benchmarks import Scene, load_suite, named_suites, parse_suite

SUITE = """\
name: attic
title: Attic
source: nobody, https://example.org
split: every-8th
scenes:
  - {name: fox, folder: animals/fox, factor: 4, held_out: 7, aliases: [Fox]}
  - {name: cat, folder: cat, factor: 1}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "attic.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# --- Built-in files -------------------------------------------------------------------------------------------------


def test_the_suites_are_these() -> None:
    suites = {name: load_suite(name) for name in named_suites()}
    assert {name: len(suite.scenes) for name, suite in suites.items() if suite.index is None} == {
        "blender": 8,
        "deepblending": 2,
        "llff": 8,
        "mipnerf360": 9,
        "mipnerf360-1600": 9,
        "mipnerf360-7": 7,
        "scannetpp": 6,
        "tanksandtemples": 2,
    }


@pytest.mark.parametrize("name", sorted(named_suites()))
def test_named_suite_has_the_name_of_its_file_and_a_source(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert "https://" in suite.source


def test_the_factors_of_mipnerf360_are_those_of_the_papers() -> None:
    indoors = {"room", "counter", "kitchen", "bonsai"}
    for name in ("mipnerf360", "mipnerf360-7"):
        suite = load_suite(name)
        assert {scene.name: scene.factor for scene in suite.scenes} == {
            scene: 2 if scene in indoors else 4 for scene in suite.names
        }


def test_seven_scenes_are_the_nine_without_flowers_and_treehill() -> None:
    nine = {scene.name: scene for scene in load_suite("mipnerf360").scenes}
    seven = {scene.name: scene for scene in load_suite("mipnerf360-7").scenes}
    assert set(nine) - set(seven) == {"flowers", "treehill"}
    assert seven == {name: nine[name] for name in seven}


def test_the_scenes_at_1600_pixels_have_the_names_but_not_the_images_of_the_nine() -> None:
    nine, wide = load_suite("mipnerf360"), load_suite("mipnerf360-1600")
    assert (wide.names, wide.width, nine.width) == (nine.names, 1600, None)
    assert not set(nine.scenes) & set(wide.scenes)


def test_of_the_suites_with_scenes_only_blender_has_a_test_split() -> None:
    suites = [load_suite(name) for name in named_suites()]
    assert [suite.name for suite in suites if suite.split == "test" and suite.index is None] == ["blender"]
    assert {scene.held_out for scene in load_suite("blender").scenes} == {200}


def test_a_scene_is_found_by_name_and_by_alias() -> None:
    suite = load_suite("deepblending")
    assert suite.scene("drjohnson") is suite.scene("DrJohnson") is suite.scenes[0]
    assert suite.scene("garden") is None


# --- Custom files ---------------------------------------------------------------------------------------------------


def test_a_suite_is_read_from_a_file(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, SUITE))
    assert suite.names == ("fox", "cat")
    assert suite.scenes == (Scene("fox", "animals/fox", 4, 7, ("Fox",)), Scene("cat", "cat", 1, None, ()))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = copy.deepcopy(yaml.safe_load(SUITE))
    change(data)
    return data


FACTOR = r"^scenes\[0\]\.factor must be a whole number of at least 1\. Got "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.update(sceens=[]),
            r"^Unknown field of a suite 'sceens'\. Did you mean 'scenes'\? Known: index, name, ",
        ),
        (lambda d: d.pop("split"), r"^a suite lacks split: there is no default\.$"),
        (lambda d: d.update(split="every-9th"), r"^Unknown split 'every-9th'\. Did you mean 'every-8th'\?"),
        (lambda d: d.update(split=[8]), r"^split must be 'every-8th' or 'test'\. Got \[8\]\."),
        (lambda d: d.update(width=0), r"^width must be a whole number of at least 1 or None\. Got 0\.$"),
        (lambda d: d.update(name=1), r"^name must be a string\. Got 1\."),
        (lambda d: d.update(title=" "), r"^title must be a string\. Got ' '\.$"),
        (lambda d: d.update(source=None), r"^source must be a string\. Got None\.$"),
        (lambda d: d.update(scenes=[]), r"^scenes must be a list of mappings that is not empty, such as `scenes: \["),
        (lambda d: d.update(scenes={"fox": 1}), r"^scenes must be a list of mappings that is .*Got \{'fox': 1\}\.$"),
        (lambda d: d.update(scenes=["fox"]), r"^scenes\[0\] must be a mapping with the fields name, folder, factor, "),
        (lambda d: d["scenes"][0].pop("folder"), r"^scenes\[0\] lacks folder: there is no default\.$"),
        (lambda d: d["scenes"][0].update(views=3), r"^Unknown field of scenes\[0\] 'views'\."),
        (lambda d: d["scenes"][0].update(name=7), r"^scenes\[0\]\.name must be a string\. Got 7\."),
        (lambda d: d["scenes"][0].update(folder=""), r"^scenes\[0\]\.folder must be a string\. Got ''\.$"),
        (lambda d: d["scenes"][0].update(factor=0), FACTOR + r"0\.$"),
        (lambda d: d["scenes"][0].update(factor=2.0), FACTOR + r"2\.0\.$"),
        (lambda d: d["scenes"][0].update(factor=True), FACTOR + r"True\.$"),
        (lambda d: d["scenes"][0].update(held_out="7"), r"^scenes\[0\]\.held_out must be a whole number.*Got '7'\.$"),
        (
            lambda d: d["scenes"][0].update(aliases="Fox"),
            r"aliases must be a list of strings\. Got 'Fox'",
        ),
        (lambda d: d["scenes"][0].update(aliases=[1]), r"^scenes\[0\]\.aliases\[0\] must be a string\. Got 1\."),
        (lambda d: d["scenes"][1].update(name="fox"), r"^scenes must have distinct names and aliases\. Got fox twice"),
        (
            lambda d: d["scenes"][1].update(aliases=["Fox"]),
            r"^scenes must have distinct names and aliases\. Got Fox twice",
        ),
    ],
)
def test_a_malformed_suite_is_an_error(change: Callable[[dict[str, Any]], object], message: str) -> None:
    assert parse_suite(changed(lambda d: None)).name == "attic"
    with pytest.raises(InputError, match=message):
        parse_suite(changed(change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", r"^The suite file .*attic\.yaml is not YAML: "),
        ("name: 2024-13-45", r"^The suite file .*attic\.yaml is not YAML: "),
        ("[" * 5000, r"^The suite file .*attic\.yaml: .* at most 64 levels deep"),
        ("", r"^The suite file .*attic\.yaml: a suite must be a mapping with the fields name, .*Got None\.$"),
        (SUITE + "name: attic\n", r"attic\.yaml: name is given twice, the second time in line 8\. Remove one\.$"),
        (SUITE.replace("factor: 1", "factor: 1, factor: 2"), r"attic\.yaml: factor is given twice, .* in line 7"),
    ],
)
def test_other_files_are_errors(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_suite(written(tmp_path, text))


def test_bytes_that_are_not_text_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "attic.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(InputError, match=r"attic\.yaml is not YAML, because"):
        load_suite(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.yaml cannot be read: No such file or directory\.$"):
        load_suite(tmp_path / "gone.yaml")


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(InputError) as refused:
        load_suite("mipnerf36")
    assert str(refused.value) == (
        "Unknown suite 'mipnerf36'. Did you mean 'mipnerf360'? Known: acid, acid-noposplat, blender, deepblending, "
        "dl3dv-2v, dl3dv-4v, dl3dv-6v, llff, mipnerf360, mipnerf360-1600, mipnerf360-7, re10k, re10k-noposplat, "
        "scannetpp, tanksandtemples. A path must end in .yaml."
    )
