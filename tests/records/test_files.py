"""Records are found by file, folder and pattern, each once; other JSON files are distinguished from damaged records."""

from __future__ import annotations

import gc
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pinned import Pinned
from support.records import record, row

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.records.files import read_record_files, read_records
from nvs_eval.records.record import Record, record_file, write_record
from nvs_eval.records.result_id import selection_of

OURS, THEIRS = record(method="ours", step=7), record(method="theirs")
FOREIGN = '{"results": {"psnr": 20.0}}'


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of two records, below the current folder."""
    monkeypatch.chdir(tmp_path)
    for each in (OURS, THEIRS):
        written(each)
    return Path("out")


def written(each: Record, folder: str = "out") -> Path:
    path = record_file(each, Path(folder))
    write_record(path, each)
    return path


def refusal(*names: str | Path) -> str:
    with pytest.raises(InputError) as error:
        read_records(*names)
    return str(error.value)


# --- Search ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["out"],
        [Path("out")],
        ["out/fox/theirs", "out/fox/ours"],
        ["out/**/*.json"],
        ["out/*/*"],
        ["out/fox/ours/7/standard-9f2c51ab.json", Path("out/fox/theirs/final/standard-9f2c51ab.json")],
        ["./out", "out/fox/../fox/ours", "out/**", "out/fox/ours/7/standard-9f2c51ab.json"],
    ],
    ids=["a folder", "a path", "folders", "a pattern", "a pattern of folders", "files", "the same several times"],
)
def test_records_are_found_once_and_sorted(names: list[str | Path]) -> None:
    assert read_records(*names) == [OURS, THEIRS]


def test_each_record_comes_with_its_file() -> None:
    assert read_record_files(["out"]) == [
        (Path("out/fox/ours/7/standard-9f2c51ab.json"), OURS),
        (Path("out/fox/theirs/final/standard-9f2c51ab.json"), THEIRS),
    ]


def test_records_are_sorted_by_scene_protocol_method_run_step() -> None:
    other = {**OURS.protocol, "name": "a", "fingerprint": "00000000"}
    changes: list[dict[str, object]] = [
        {"scene": "aloe", "method": "z"},
        {"protocol": other, "method": "z"},
        {"run": None, "step": None},
        {"run": None, "step": 500},
        {"run": None, "step": 7000},
        {"run": "a", "step": 0},
    ]
    expected = [replace(OURS, **change) for change in changes]
    for each in reversed(expected):
        written(each, "sorted")
    assert read_records("sorted") == expected


def test_a_link_to_a_file_is_that_file(out: Path) -> None:
    file = record_file(OURS, out)
    Path("links").mkdir()
    os.symlink(file.resolve(), "links/soft.json")
    os.link(file, "links/hard.json")
    os.symlink(out.resolve(), "again")
    assert read_records("links", "out", "again", "links/*") == [OURS, THEIRS]


def test_name_with_brackets_is_a_file_if_it_exists() -> None:
    file = written(OURS, "runs [1]")
    assert read_records("runs [1]") == [OURS]
    shutil.copy(file, "a [b].txt")
    assert read_records("a [b].txt") == [OURS]


def test_garbage_collection_is_on_again_after_reading() -> None:
    assert gc.isenabled()
    read_records("out")
    assert gc.isenabled()
    refusal("gone")
    assert gc.isenabled()
    gc.disable()
    try:
        read_records("out")
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- Other files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [FOREIGN, "[1, 2]", '"text"', "3"])
@pytest.mark.parametrize("name", ["out", "out/**/*.json", "out/*"])
def test_files_of_other_tools_are_skipped(content: str, name: str, out: Path) -> None:
    for place in ("results.json", "fox/per_view.json", "fox/ours/output.json"):
        (out / place).write_text(content)
    (out / "notes.txt").write_text("{")
    assert read_records(name) == [OURS, THEIRS]


@pytest.mark.parametrize("before", [[], ["out"]], ids=["alone", "after its folder"])
def test_a_file_that_is_named_must_be_a_record(before: list[str], out: Path) -> None:
    (out / "results.json").write_text(FOREIGN)
    message = "out/results.json is not a record of nvs-eval: it has no schema_version."
    assert refusal(*before, "out/results.json") == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema_version": 1, "scene": "fox"', "out/other.json is not JSON ("),
        ("", "out/other.json is not JSON ("),
        ('{"schema_version": 1}', "out/other.json is not a record of nvs-eval: it lacks scene, method, "),
        ('{"schema_version": 2}', "out/other.json must have a schema_version of at most 1. Got 2. Upgrade"),
    ],
    ids=["truncated", "empty", "a part of one", "a newer one"],
)
def test_a_damaged_record_below_a_folder_is_an_error_by_name(content: str, message: str, out: Path) -> None:
    (out / "other.json").write_text(content)
    assert refusal("out").startswith(message)


def test_a_name_without_records_is_an_error(pinned: Pinned) -> None:
    Path("empty").mkdir()
    Path("notes").mkdir()
    Path("notes/a.txt").write_text("")
    for name in ("gone", "gone.json", "gone/*.json", "empty", "notes", "notes/*"):
        pinned("table", refusal("out", name))
    pinned("table", refusal())


def test_a_folder_of_other_json_files_is_an_error_that_names_them(pinned: Pinned) -> None:
    Path("export").mkdir()
    for name in ("a", "b", "c", "d"):
        Path(f"export/{name}.json").write_text(FOREIGN)
    pinned("table", refusal("export", "out"))


def test_a_link_to_nothing_is_an_error_by_name() -> None:
    os.symlink("gone.json", "out/link.json")
    assert refusal("out") == "The record out/link.json cannot be read: No such file or directory."


# --- Cells ----------------------------------------------------------------------------------------------------------


def test_two_files_of_one_cell_are_an_error_except_as_copies(out: Path) -> None:
    changed = replace(OURS, views=[row(psnr=1.0, ssim=0.5)], provenance={})
    again = written(changed, "again")
    message = refusal("out", "again")
    assert message.startswith(
        f"{record_file(OURS, out)} and {again} are two records of one result: fox, ours/7, test views,"
    )
    assert read_record_files(["out", "again"], copies=True) == [
        (record_file(OURS, out), OURS),
        (again, changed),
        (record_file(THEIRS, out), THEIRS),
    ]


def test_two_files_of_another_protocol_are_no_error(out: Path) -> None:
    other = {**OURS.protocol, "name": "mine", "fingerprint": "00000000"}
    written(replace(OURS, protocol=other), "first")
    written(replace(OURS, protocol=other), "second")
    assert [record for _, record in read_record_files(["out", "first", "second"], protocol=["standard"])] == [
        OURS,
        THEIRS,
    ]


# --- Selections of views ----------------------------------------------------------------------------------------------


def part(*names: str, psnr: float = 20.0, **changes: object) -> Record:
    """A record of `theirs` of a part of its views."""
    rows = [row(name, psnr=psnr, ssim=0.5) for name in names]
    return replace(THEIRS, views=rows, selection=selection_of(names, ["1", "2", "3"]), **changes)


def test_the_record_of_all_views_is_used_and_the_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    pair, single = written(part("1", "2")), written(part("3"))
    for names in (["out"], ["out/**/*.json"], ["out/fox/theirs/final"]):
        notes: list[str] = []
        used = [record for _, record in read_record_files(names, on_note=notes.append)]
        assert used[-1] == THEIRS
        assert used[:-1] in ([], [OURS])
        assert len(notes) == 1
        assert notes[0].startswith("fox/theirs: using the record of 1 view, not ")
        assert f"{pair} (2 views)" in notes[0]
        assert f"{single} (1 view)" in notes[0]
    assert main(["table", "out", "--rows", "method"]) == 0
    result = capsys.readouterr()
    assert result.out.count("theirs") == 1
    assert "28.25" in result.out
    assert f"{pair} (2 views)" in result.err
    assert read_records("out") == [OURS, THEIRS]


def test_without_a_record_of_all_views_the_largest_part_is_used(out: Path) -> None:
    record_file(THEIRS, out).unlink()
    written(part("1"))
    written(part("2", "3"))
    assert read_records("out") == [OURS, part("2", "3")]


def test_a_complete_record_is_preferred_to_an_incomplete_one_of_its_views(out: Path) -> None:
    failed: dict[str, Any] = {"provenance": {"failed": {"9": "damaged"}}}
    incomplete = replace(THEIRS, views=[row("1"), row("2")], **failed)
    file, notes = written(incomplete), []
    for names in (["out"], [out / "fox", out]):
        used = [record for _, record in read_record_files(names, on_note=notes.append)]
        assert used == [OURS, THEIRS]
        assert notes.pop() == f"fox/theirs: using the record of 1 view, not {file} (2 views, 1 failed)."
    # All views come before a part, even if some failed.
    record_file(THEIRS, out).unlink()
    larger = written(replace(part("1", "2", "3"), selection="0a1b2c3d"))
    assert [record for _, record in read_record_files(["out"], on_note=notes.append)] == [OURS, incomplete]
    assert notes.pop() == f"fox/theirs: using the record of 2 views, 1 failed, not {larger} (3 views)."
    # A larger part that is incomplete comes before a smaller one.
    file.unlink()
    larger.unlink()
    written(part("1"))
    incomplete = part("2", "3", **failed)
    written(incomplete)
    assert read_records("out") == [OURS, incomplete]


def test_a_part_is_used_if_its_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    file = written(part("1", psnr=11.0))
    notes: list[str] = []
    assert read_record_files([file], on_note=notes.append) == [(file, part("1", psnr=11.0))]
    assert notes == []
    # Also beside its folder, in either order.
    for names in (["out", file], [file, "out"]):
        assert [record.means["psnr"] for _, record in read_record_files(names, on_note=notes.append)] == [28.25, 11.0]
        assert notes.pop().startswith("fox/theirs: using the record of 1 view, not out/fox/theirs/final/standard-")
    assert main(["table", "out/fox/theirs/final/standard-9f2c51ab.json", str(file)]) == 2
    assert "two records of one result: fox, theirs, test views" in capsys.readouterr().err


def test_every_part_is_a_record_of_its_own_as_a_copy() -> None:
    written(part("1"))
    assert len(read_record_files(["out"], copies=True)) == 3


def test_a_checkpoint_with_a_name_has_a_row_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    written(replace(OURS, step=None, step_name="best", views=[row(psnr=29.5, ssim=0.9)]))
    for rows in ("method", "checkpoint"):
        assert main(["table", "out", "--rows", rows]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("ours")]
        assert [line[:3] for line in lines] == [["ours", "best", "29.50"], ["ours", "7", "28.25"]]
    assert main(["table", "out", "--format", "csv", "--long"]) == 0
    header, *rest = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert [dict(zip(header, line, strict=True))["step_name"] for line in rest] == ["best", "best", "", "", "", ""]
    assert main(["compare", "out"]) == 0
    assert "ours/best" in capsys.readouterr().out


def test_a_table_of_two_files_of_one_cell_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    written(OURS, "again")
    assert main(["table", "again", "out", "--allow-mixed"]) == 2
    result = capsys.readouterr()
    assert result.out == ""
    assert (
        "again/fox/ours/7/standard-9f2c51ab.json and out/fox/ours/7/standard-9f2c51ab.json are two records"
        in result.err
    )
    assert "Pass only one of them" in result.err
    assert main(["table", "out", "out/fox", "out/**/*.json"]) == 0
    assert capsys.readouterr().out.count("ours") == 1
