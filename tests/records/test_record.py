"""Records are written in the documented format, and inconsistent records are errors."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import INFO, record, row

from nvs_eval.errors import InputError
from nvs_eval.records.record import (
    Record,
    read_record,
    record_file,
    record_name,
    references_sha256,
    to_plain,
    write_record,
)
from nvs_eval.records.result_id import ResultId, check_distinct, safe_name, selection_of
from nvs_eval.records.schema import MetricInfo, NoRecordError

# Every field is set, and no number survives rounding.
FULL = record(
    [
        replace(
            row("cam0/0001", psnr=28.25, ssim=0.1 + 0.2, lpips_alex=1 / 3),
            render_seconds=3.1,
            render="renders/cam0/0001.png",
            reference="../../../references/1b2c3d4e5f60/cam0/0001.png",
            reference_sha256="a" * 64,
            coverage=0.5,
            own={"depth_rmse": 0.1 + 0.7},
        ),
        replace(row("cam0/0002", psnr=math.inf, ssim=1.0, lpips_alex=0.0), reference_sha256="b" * 64),
    ],
    run="base",
    step=2500,
    provenance={"nvs_eval": "0.1.0", "command": ["nvs-eval", "score", "Füchse"], "tf32": False},
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_record(tmp_path / "record.json", FULL)
    return tmp_path / "record.json"


# --- Writing --------------------------------------------------------------------------------------------------------


def test_a_written_record_is_read_back(written: Path) -> None:
    again = read_record(written)
    assert again == replace(FULL, metrics=dict(FULL.metrics))
    assert again.views[0].scores["ssim"] == 0.30000000000000004
    assert again.views[1].scores["psnr"] == math.inf


def test_the_format_is_the_documented_one_to_the_letter(written: Path) -> None:
    metrics = {
        name: {"unit": info.unit, "higher_is_better": info.higher_is_better, "signature": info.signature}
        for name, info in INFO.items()
    }
    lines = hashlib.sha256(b"cam0/0001\ncam0/0002\n").hexdigest()
    references = hashlib.sha256(b"a" * 64 + b"\n" + b"b" * 64 + b"\n").hexdigest()
    expected = f"""\
{{
 "schema_version": 1,
 "scene": "fox",
 "method": "nerfacto",
 "run": "base",
 "step": 2500,
 "split": "test",
 "protocol": {{
  "name": "standard",
  "definition": {{
   "round_means": null
  }},
  "fingerprint": "9f2c51ab"
 }},
 "metrics": {json.dumps(metrics, indent=1).replace(chr(10), chr(10) + " ")},
 "views": [
  {{
   "name": "cam0/0001",
   "width": 48,
   "height": 40,
   "scores": {{
    "psnr": 28.25,
    "ssim": 0.30000000000000004,
    "lpips_alex": 0.3333333333333333
   }},
   "render_seconds": 3.1,
   "render": "renders/cam0/0001.png",
   "reference": "../../../references/1b2c3d4e5f60/cam0/0001.png",
   "reference_sha256": "{"a" * 64}",
   "coverage": 0.5,
   "own": {{
    "depth_rmse": 0.7999999999999999
   }}
  }},
  {{
   "name": "cam0/0002",
   "width": 48,
   "height": 40,
   "scores": {{
    "psnr": "inf",
    "ssim": 1.0,
    "lpips_alex": 0.0
   }},
   "render_seconds": null,
   "render": null,
   "reference": null,
   "reference_sha256": "{"b" * 64}",
   "coverage": null
  }}
 ],
 "means": {{
  "psnr": "inf",
  "ssim": 0.65,
  "lpips_alex": 0.16666666666666666
 }},
 "views_sha256": "{lines}",
 "references_sha256": "{references}",
 "provenance": {{
  "nvs_eval": "0.1.0",
  "command": [
   "nvs-eval",
   "score",
   "Füchse"
  ],
  "tf32": false
 }}
}}
"""
    assert written.read_text(encoding="utf-8") == expected


def test_hash_of_references_is_over_hashes_and_not_names() -> None:
    other_names = replace(FULL, views=[replace(view, name=f"other {view.name}") for view in FULL.views])
    assert other_names.references_sha256 == FULL.references_sha256 == references_sha256(["a" * 64, "b" * 64])
    assert other_names.views_sha256 != FULL.views_sha256


def test_means_are_rounded_only_if_the_protocol_requires_it() -> None:
    views = [row("a", psnr=20.0, ssim=0.1), row("b", psnr=21.0, ssim=0.2), row("c", psnr=21.0, ssim=0.4)]
    assert record(views).means == {"psnr": 62 / 3, "ssim": pytest.approx(0.7 / 3, abs=1e-16)}
    rounding = {"name": "p", "definition": {"round_means": 2}, "fingerprint": "0" * 8}
    assert record(views, protocol=rounding).means == {"psnr": 20.67, "ssim": 0.23}
    one_perfect = [row("a", psnr=20.0, ssim=0.1), row("b", psnr=math.inf, ssim=1.0)]
    assert record(one_perfect, protocol=rounding).means == {"psnr": math.inf, "ssim": 0.55}


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_an_invalid_score_is_never_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The score psnr must be"):
        write_record(tmp_path / "record.json", record([row(psnr=value)]))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_text_are_kept_to_the_byte(tmp_path: Path) -> None:
    # File names on Linux are bytes. Python represents those that are not UTF-8 as lone surrogates.
    odd = os.fsdecode(b"caf\xe9\xff")
    original = record([row(odd)], scene=odd, provenance={"command": [odd]})
    path = record_file(original, tmp_path)
    write_record(path, original)
    path.read_bytes().decode("utf-8")
    assert read_record(path) == original


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_record(path, FULL)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"record\.json cannot be written: .*No space left"):
        write_record(path, record())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_appears_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        os, "replace", lambda source, target: seen.append((Path(source), Path(target), target.exists()))
    )
    write_record(tmp_path / "record.json", FULL)
    ((source, target, existed),) = seen
    assert (source.parent, target, existed) == (tmp_path, tmp_path / "record.json", False)


def test_written_record_has_the_mode_of_the_umask(written: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert written.stat().st_mode & 0o777 == 0o666 & ~mask


# --- Paths ----------------------------------------------------------------------------------------------------------


def test_a_result_lies_where_its_identity_says() -> None:
    out = Path("out")
    assert record_file(FULL, out) == Path("out/fox/nerfacto/base/2500/standard-9f2c51ab.json")
    assert record_file(record(), out) == Path("out/fox/nerfacto/final/standard-9f2c51ab.json")
    assert record_file(record(step=0), out) == Path("out/fox/nerfacto/0/standard-9f2c51ab.json")
    assert record_file(record(step=7, split="train"), out).parent == Path("out/fox/nerfacto/7-train")
    assert record_file(record(split="val"), out).parent == Path("out/fox/nerfacto/final-val")
    assert record_file(record(step_name="best"), out).parent == Path("out/fox/nerfacto/best")
    assert record_file(record(selection="0a1b2c3d"), out).name == "standard-9f2c51ab-0a1b2c3d.json"
    failed = {"failed": {"0002": "damaged"}}
    assert record_file(record(provenance=failed), out).name == "standard-9f2c51ab-incomplete.json"
    incomplete = record(selection="0a1b2c3d", provenance=failed)
    assert record_file(incomplete, out).name == "standard-9f2c51ab-0a1b2c3d-incomplete.json"
    assert (incomplete.is_part, record(provenance=failed).is_part, record().is_part) == (True, True, False)


def test_a_selection_depends_on_the_names_alone() -> None:
    digits = hashlib.sha256(b"a\ncam0/b\n").hexdigest()[:8]
    assert selection_of(["cam0/b", "a"], ["a", "cam0/b", "c"]) == digits
    assert selection_of(["a", "cam0/b"], ["c", "d", "cam0/b", "a"]) == digits
    assert selection_of(["b", "a"], ["a", "b"]) is None
    assert selection_of(["a"], ["a", "b"]) != selection_of(["b"], ["a", "b"])


def test_selection_and_step_name_are_written_only_if_set(tmp_path: Path) -> None:
    plain = to_plain(record())
    assert "selection" not in plain
    assert "step_name" not in plain
    part = record(selection="0a1b2c3d", step_name="best", split="val")
    write_record(tmp_path / "part.json", part)
    assert read_record(tmp_path / "part.json") == part
    assert read_record(tmp_path / "part.json").id == ResultId(
        "fox", "nerfacto", split="val", selection="0a1b2c3d", step_name="best"
    )
    rewrite(tmp_path / "part.json", lambda plain: plain.update(selection="../x"))
    with pytest.raises(InputError, match="selection"):
        read_record(tmp_path / "part.json")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ResultId("fox", "a/b"), ResultId("fox", "a_b")),
        (ResultId("fox", "a"), ResultId("Fox", "a")),
        (ResultId("fox", "a", step=7), ResultId("fox", "a", step_name="7")),
        (ResultId("fox", "a", split="val"), ResultId("fox", "a", step_name="final-val")),
        (ResultId("fox", "a"), ResultId("fox", "a", selection="0a1b2c3d")),
    ],
)
def test_two_results_of_one_folder_are_refused(first: ResultId, second: ResultId) -> None:
    check_distinct([first, replace(first, method="other"), replace(first, split="train")])
    with pytest.raises(InputError, match="Results must have distinct names"):
        check_distinct([first, second])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("fox", "fox"),
        ("Füchse im Schnee", "Füchse im Schnee"),
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("..", "_."),
        (".", "_"),
        ("../..", "_._.."),
        ("/etc/passwd", "_etc_passwd"),
        (".hidden", "_hidden"),
        ("", "_"),
        ("a\0b\nc\td", "a_b_c_d"),
        ('C:<>|"?*', "C_______"),
    ],
)
def test_a_name_is_one_harmless_part_of_a_path(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@settings(max_examples=300, deadline=None, derandomize=True)
@given(*[st.text(st.characters(exclude_categories=())) | st.sampled_from(["..", "../..", "/", ".x", "\0"])] * 4)
def test_no_name_leaves_the_output_folder(scene: str, method: str, run: str, protocol: str) -> None:
    folder = Path("/out") / ResultId(scene, method, run).folder
    assert folder.parts[:2] == ("/", "out")
    assert len(folder.parts) == (6 if run else 5)
    file = folder / record_name(protocol, "9f2c51ab")
    assert Path(os.path.normpath(file)) == file
    assert file.parent == folder
    assert not any(part.startswith(".") for part in file.parts)


# --- Reading --------------------------------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    plain = json.loads(path.read_text(encoding="utf-8"))
    change(plain)
    path.write_text(json.dumps(plain), encoding="utf-8")


def set_score(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain["views"][0]["scores"].update(ssim=value)


NO_SCORE = r"is not a record of nvs-eval: views\[0\]\.scores\.ssim must be a number or .inf.\. Got "
SPOILT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a changed mean": (
        lambda p: p["means"].update(ssim=0.66),
        "its mean ssim must be 0.65.*, from its views. Got 0.66",
    ),
    "a finite mean of inf": (
        lambda p: p["means"].update(psnr=40.0),
        "its mean psnr must be inf, from its views. Got 40.0",
    ),
    "a mean too few": (
        lambda p: p["means"].pop("ssim"),
        r"its means must be of its metrics .* Got lpips_alex, psnr\.",
    ),
    "a mean too many": (
        lambda p: p["means"].update(mae=0.1),
        r"its means must be of its metrics .* Got lpips_alex, mae, ",
    ),
    "a changed score": (set_score(0.9), "its mean ssim must be 0.95.* Got 0.65"),
    "a score as text": (
        set_score("0.30000000000000004"),
        NO_SCORE + "'0.30000000000000004'",
    ),
    "a score of NaN as text": (set_score("nan"), NO_SCORE + "'nan'"),
    "a score of -inf": (set_score("-inf"), NO_SCORE + "'-inf'"),
    "a score of true": (set_score(True), NO_SCORE + "True"),
    "no score": (set_score(None), NO_SCORE + "None"),
    "a score too few": (
        lambda p: p["views"][0]["scores"].pop("ssim"),
        r"view 'cam0/0001' must have scores of lpips_alex, psnr, ssim\. Got lpips_alex, psnr\.",
    ),
    "a renamed view": (lambda p: p["views"][0].update(name="0009"), "its views_sha256 must be that of its views"),
    "another reference": (
        lambda p: p["views"][0].update(reference_sha256="c" * 64),
        "its references_sha256 must be that of its views",
    ),
    "a view too few": (lambda p: p["views"].pop(), "The record was edited"),
    "no views": (lambda p: p["views"].clear(), "it must have at least one view and one metric"),
    "no metrics": (lambda p: p["metrics"].clear(), "it must have at least one view and one metric"),
    "a newer schema": (
        lambda p: p.update(schema_version=2),
        r"must have a schema_version of at most 1\. Got 2\. Upgrade nvs-eval",
    ),
    **{
        f"a schema of {message}": (
            lambda p, version=version: p.update(schema_version=version),
            f"must be a record of nvs-eval, with the schema_version 1. Got {message}",
        )
        for version, message in (
            (0, "0"),
            (-1, "-1"),
            ("1", '"1"'),
            ("2", '"2"'),
            (True, "true"),
            (1.5, "1.5"),
            (2.0, "2.0"),
        )
    },
    "a part missing": (lambda p: p.pop("scene"), "is not a record of nvs-eval: it lacks scene: there is no default"),
    "a part of a row missing": (
        lambda p: p["views"][1].pop("width"),
        r"is not a record of nvs-eval: views\[1\] lacks width",
    ),
    "a protocol without name": (
        lambda p: p["protocol"].pop("name"),
        "is not a record of nvs-eval: protocol lacks name",
    ),
    "a protocol without rounding": (
        lambda p: p["protocol"]["definition"].clear(),
        "definition lacks round_means",
    ),
    "a scene that is no text": (
        lambda p: p.update(scene=["fox"]),
        r"is not a record of nvs-eval: scene must be a string\. Got \['fox'\]\.",
    ),
    "a step that is no number": (
        lambda p: p.update(step="last"),
        r"is not a record of nvs-eval: step must be a whole number of at least 0 or None\. Got 'last'\.",
    ),
    "a step of true": (
        lambda p: p.update(step=True),
        r"step must be a whole number of at least 0 or None\. Got True\.",
    ),
    "a width of true": (
        lambda p: p["views"][0].update(width=True),
        r"width must be a whole number of at least 1\. Got True",
    ),
    "a width with decimals": (
        lambda p: p["views"][0].update(width=48.5),
        r"width must be a whole number of at least 1\. Got 48\.5",
    ),
    "a coverage of true": (
        lambda p: p["views"][0].update(coverage=True),
        r"coverage must be a number from 0 to 1 or None\. Got True",
    ),
    "a mask that is no text": (
        lambda p: p["views"][0].update(mask=3),
        r"mask must be a string or None\. Got 3",
    ),
    "a mean of true": (lambda p: p["means"].update(ssim=True), r"means\.ssim must be a number or .inf.\. Got True\."),
    "scores that are a list": (
        lambda p: p["views"][0].update(scores=[1, 2]),
        r"scores must be a mapping\. Got \[1, 2\]",
    ),
    "a score that no float holds": (
        set_score(10**400),
        NO_SCORE + "1000",
    ),
    "a direction that is no truth": (
        lambda p: p["metrics"]["psnr"].update(higher_is_better="no"),
        r"is not a record of nvs-eval: metrics\.psnr\.higher_is_better must be True or False\. Got 'no'\.",
    ),
    "views that are no rows": (
        lambda p: p.update(views=["a"]),
        r"views\[0\] must be a mapping with the fields name, width",
    ),
    "a time that is no number": (
        lambda p: p["views"][0].update(render_seconds="fast"),
        r"views\[0\]\.render_seconds must be a number or None\. Got 'fast'\.",
    ),
}


@pytest.mark.parametrize(("change", "message"), SPOILT.values(), ids=SPOILT)
def test_an_invalid_record_is_an_error_with_its_name(
    change: Callable[[dict[str, Any]], object], message: str, written: Path
) -> None:
    rewrite(written, lambda plain: None)
    read_record(written)  # Writing the record again is no error by itself.
    rewrite(written, change)
    with pytest.raises(InputError, match=message) as error:
        read_record(written)
    assert str(written) in str(error.value)


def test_two_views_of_one_name_are_an_error(tmp_path: Path) -> None:
    views = [row("0001", psnr=20.0), row("0002", psnr=22.0), row("0002", psnr=24.0)]
    write_record(tmp_path / "record.json", record(views))
    with pytest.raises(InputError, match=r"record\.json: view '0002' must be listed once\. Got 2 rows"):
        read_record(tmp_path / "record.json")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("place", ['"psnr": 28.25', '"render_seconds": 3.1', '"coverage": 0.5', '"ssim": 0.65'])
def test_invalid_json_numbers_are_errors_everywhere(constant: str, place: str, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert place in text
    written.write_text(text.replace(place, f"{place.partition(':')[0]}: {constant}"), encoding="utf-8")
    with pytest.raises(InputError, match=f"is not JSON .*{constant} is not a JSON number"):
        read_record(written)


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_beyond_float64_is_an_error(number: str, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    written.write_text(text.replace('"psnr": 28.25', f'"psnr": {number}'), encoding="utf-8")
    with pytest.raises(InputError, match=f"is not JSON .{number} is too large"):
        read_record(written)


@pytest.mark.parametrize("kept", [0, 1, 200, -3])
def test_a_truncated_record_is_an_error(kept: int, written: Path) -> None:
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"record\.json is not JSON .* damaged, or not a record of nvs-eval"):
        read_record(written)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "is not a record of nvs-eval: it has no schema_version"),
        (b'{"results": {"psnr": 20.0}}', "is not a record of nvs-eval: it has no schema_version"),
        (b'{"schema_version": 1}', "is not a record of nvs-eval: it lacks scene, method, run, step, split and 7 more"),
        (b'{"schema_version": 1, "views": 3}', "is not a record of nvs-eval"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"schema_version": 1, "provenance": {"a": ' + b"[" * 100_000, "is not JSON"),
        (b'{"schema_version": 1, "scene": "\xff"}', "is not JSON"),
    ],
)
def test_other_files_are_errors(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_record(path)
    assert str(path) in str(error.value)


def test_a_missing_record_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The record .*gone\.json cannot be read: No such file or directory"):
        read_record(tmp_path / "gone.json")
    with pytest.raises(InputError, match="is a folder"):
        read_record(tmp_path)


def test_only_json_without_a_schema_version_is_of_another_tool(written: Path) -> None:
    damaged = written.with_name("damaged.json")
    damaged.write_bytes(written.read_bytes()[:-9])
    newer = written.with_name("newer.json")
    newer.write_text('{"schema_version": 2}')
    other = written.with_name("other.json")
    other.write_text('{"psnr": 20.0}')
    for path in (damaged, newer, other):
        with pytest.raises(InputError) as error:
            read_record(path)
        assert (type(error.value) is NoRecordError) == (path == other)


def test_fields_of_later_versions_are_ignored(written: Path) -> None:
    before = read_record(written)
    rewrite(written, lambda plain: plain.update(mood="fine"))
    rewrite(written, lambda plain: plain["views"][0].update(colour="red"))
    assert read_record(written) == before


def test_whole_numbers_are_numbers(written: Path) -> None:
    rewrite(written, lambda plain: plain["views"][0].update(coverage=1, render_seconds=3))
    rewrite(written, lambda plain: plain["views"][1]["scores"].update(ssim=1))
    (first, second) = read_record(written).views
    assert (first.coverage, first.render_seconds, second.scores["ssim"]) == (1, 3, 1)


@pytest.mark.parametrize("spelling", ["inf", "\\u0069nf"])
def test_infinity_is_read_however_it_is_spelt(spelling: str, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert text.count('"inf"') == 2
    written.write_text(text.replace('"inf"', f'"{spelling}"'), encoding="utf-8")
    assert read_record(written) == FULL


def test_record_with_names_that_are_not_text_is_still_checked(tmp_path: Path) -> None:
    # Such names take the slow path of reading.
    path = tmp_path / "record.json"
    write_record(path, record([row("caf\udce9", psnr=math.inf, ssim=0.5)]))
    assert read_record(path).views[0].scores == {"psnr": math.inf, "ssim": 0.5}
    for change in (
        lambda plain: plain["means"].update(ssim=0.6),
        lambda plain: plain.update(split=1),
        lambda plain: plain["views"][0].update(width=None),
        lambda plain: plain["views"][0]["scores"].update(ssim="0.5"),
    ):
        write_record(path, record([row("caf\udce9", psnr=math.inf, ssim=0.5)]))
        rewrite(path, change)
        with pytest.raises(InputError):
            read_record(path)


def test_images_hash_is_of_names_sizes_references_and_masks() -> None:
    first, second = FULL.views
    masked = replace(first, mask_sha256="c" * 64)
    others = [
        replace(first, name="cam0/0003"),
        replace(first, width=96),
        replace(first, height=96),
        replace(first, reference_sha256="c" * 64),
        masked,
        replace(masked, mask_sha256="d" * 64),
    ]
    hashes = [replace(FULL, views=[view, second]).images_sha256 for view in (first, *others)]
    assert len(set(hashes)) == len(hashes)
    assert replace(FULL, views=[replace(first, scores=second.scores), second]).images_sha256 == hashes[0]
    ignored = replace(masked, coverage=None)
    assert (ignored.scored_mask, masked.scored_mask) == (None, "c" * 64)
    assert replace(FULL, views=[ignored, second]).images_sha256 == hashes[0]


def test_changing_returned_means_does_not_change_the_record() -> None:
    FULL.means["psnr"] = 0.0
    assert FULL.means["psnr"] == math.inf


def test_reading_does_not_change_a_record(written: Path) -> None:
    again: Record = read_record(written)
    assert to_plain(again) == to_plain(FULL)


# --- Metrics of plugins ---------------------------------------------------------------------------------------------

SHARPNESS = MetricInfo("lp", True, "sharpness|v1", title="Sharpness", decimals=1)


def test_plugin_title_and_decimals_are_kept_in_a_record(tmp_path: Path) -> None:
    written = replace(record(), views=[row(sharpness=3.0)], metrics={"sharpness": SHARPNESS})
    write_record(tmp_path / "a.json", written)
    metric = read_record(tmp_path / "a.json").metrics["sharpness"]
    assert (metric.title, metric.decimals) == ("Sharpness", 1)


def test_record_of_built_in_metrics_has_no_title_or_decimals() -> None:
    assert all(info.keys() == {"unit", "higher_is_better", "signature"} for info in to_plain(FULL)["metrics"].values())


def test_title_and_decimals_do_not_change_the_metric() -> None:
    assert replace(SHARPNESS, title="sharpness", decimals=3) == SHARPNESS


@pytest.mark.parametrize("decimals", [-1, 16, 1.5])
def test_decimals_that_no_table_can_show_are_an_error(decimals: float, tmp_path: Path) -> None:
    plain = to_plain(replace(record(), views=[row(sharpness=3.0)], metrics={"sharpness": SHARPNESS}))
    plain["metrics"]["sharpness"]["decimals"] = decimals
    (tmp_path / "a.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match="decimals"):
        read_record(tmp_path / "a.json")
