"""Records of different images are not ranked together; with `--allow-mixed` they are printed with marks."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.pinned import Pinned
from support.records import record, row, under

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.records.comparable import (
    blocks_of,
    check_comparable,
    check_distinct_cells,
    difference,
    usual_of,
)
from nvs_eval.records.record import Record, ViewRow, record_file, write_record

VIEWS = [row("0001", psnr=20.0), row("0002", psnr=30.0)]


def changed(views: list[ViewRow] = VIEWS, **fields: object) -> list[ViewRow]:
    return [replace(view, **fields) for view in views]


def other_references(letter: str = "1") -> list[ViewRow]:
    return changed(reference_sha256=letter * 64)


NERFACTO = record(VIEWS, method="nerfacto", step=30000)
SPLATFACTO = record(other_references(), method="splatfacto", step=30000)


def refusal(*records: Record, files: tuple[Path, ...] = ()) -> str:
    with pytest.raises(InputError) as error:
        check_comparable(records, files=files)
    return str(error.value)


# --- Comparability --------------------------------------------------------------------------------------------------


def test_records_of_the_same_images_in_any_order_are_comparable() -> None:
    reordered = record(VIEWS[::-1], method="b", run="r", provenance={"device": "cpu"})
    check_comparable([NERFACTO, reordered, replace(NERFACTO, step=1)])
    check_comparable([])
    assert difference(NERFACTO, reordered) == ""


def test_records_of_other_scenes_or_protocols_are_not_compared() -> None:
    protocol = {"name": "other", "definition": {"round_means": None}, "fingerprint": "00000000"}
    apart = [replace(SPLATFACTO, scene="garden"), replace(SPLATFACTO, split="train")]
    apart.append(replace(SPLATFACTO, protocol=protocol))
    check_comparable([NERFACTO, *apart])
    assert blocks_of([NERFACTO, *apart, NERFACTO]) == [[NERFACTO, NERFACTO], *([other] for other in apart)]


def test_a_protocol_under_another_name_is_the_same_protocol() -> None:
    copied = replace(SPLATFACTO, protocol={**SPLATFACTO.protocol, "name": "mine"})
    assert blocks_of([NERFACTO, copied]) == [[NERFACTO, copied]]
    assert "nerfacto/30000 and splatfacto/30000" in refusal(NERFACTO, copied)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (other_references(), "different references (2 of 2 views)"),
        ([VIEWS[0], *other_references()[1:]], "different references (1 of 2 views)"),
        (
            changed(width=96, height=80, reference_sha256="1" * 64),
            "different references (2 of 2 views; sizes 48x40 and 96x80)",
        ),
        (changed(width=96), "different references (2 of 2 views; sizes 48x40 and 96x40)"),
        (VIEWS[:1], "different views (2 and 1; only a has 0002)"),
        ([*VIEWS, row("0003", psnr=1.0)], "different views (2 and 3; only b has 0003)"),
        ([VIEWS[0], row("x", psnr=1.0)], "different views (2 and 2; only a has 0002; only b has x)"),
        (changed(mask_sha256="2" * 64, coverage=0.5), "different masks (2 of 2 views; a has none)"),
        (
            [*other_references()[:1], row("x", psnr=1.0)],
            "different views (2 and 2; only a has 0002; only b has x), and different references (1 of 1 views)",
        ),
    ],
    ids=["all", "one", "sizes", "width alone", "fewer", "more", "others", "masks", "both"],
)
def test_the_difference_of_two_records_in_words(views: list[ViewRow], message: str) -> None:
    assert difference(record(VIEWS, method="a"), record(views, method="b")) == message


def test_different_masks() -> None:
    masked = record(changed(mask_sha256="2" * 64, coverage=0.5), method="a")
    one_other = [masked.views[0], replace(masked.views[1], mask_sha256="3" * 64)]
    assert difference(masked, record(one_other, method="b")) == "different masks (1 of 2 views)"
    assert difference(masked, replace(masked, method="b")) == ""


def test_masks_that_the_protocol_ignored_make_no_difference() -> None:
    assert difference(record(VIEWS), record(changed(mask_sha256="2" * 64, coverage=None))) == ""


def test_long_lists_of_names_are_shortened() -> None:
    many = [row(f"{index}", psnr=1.0) for index in range(6)]
    message = difference(record(many, method="a"), record(many[:1], method="b"))
    assert message == "different views (6 and 1; only a has 1, 2, 3 and 2 more)"


def test_two_results_of_one_name_are_the_first_and_the_second() -> None:
    assert difference(record(VIEWS), record(VIEWS[:1])).endswith("only the first has 0002)")


def test_usual_images_are_those_of_most_or_the_first() -> None:
    same = replace(SPLATFACTO, step=1)
    assert usual_of([NERFACTO, SPLATFACTO]) is NERFACTO
    assert usual_of([SPLATFACTO, NERFACTO]) is SPLATFACTO
    assert usual_of([NERFACTO, SPLATFACTO, same]) is SPLATFACTO
    alike = [replace(NERFACTO, step=step) for step in range(3)]
    shuffled = random.Random(0).sample([*alike, SPLATFACTO], 4)
    assert usual_of(shuffled).method == "nerfacto"


def test_a_result_is_named_by_what_it_has() -> None:
    assert record(method="m", run="r", step=0).id.name == "m/r/0"
    assert record(method="m", run="", step=None).id.name == "m"


# --- The error ------------------------------------------------------------------------------------------------------


def test_the_error_names_the_records_and_the_difference(pinned: Pinned) -> None:
    pinned("table", refusal(replace(NERFACTO, scene="garden"), replace(SPLATFACTO, scene="garden")))


def test_the_error_names_known_files() -> None:
    small = [replace(view, reference="../../../images_8/0001.png") for view in VIEWS]
    large = [replace(view, reference="../../../images_4/0001.png") for view in other_references()]
    files = (Path("out/fox/nerfacto/a.json"), Path("out/fox/splatfacto/b.json"))
    message = refusal(replace(NERFACTO, views=small), replace(SPLATFACTO, views=large), files=files)
    assert message.startswith(
        "fox: nerfacto/30000 (out/fox/nerfacto/a.json) and splatfacto/30000 (out/fox/splatfacto/b.json) were scored "
        "with different references (2 of 2 views; 0001 against images_8/0001.png and images_4/0001.png). Such"
    )
    unkept = refusal(NERFACTO, replace(SPLATFACTO, views=large), files=files)
    assert "different references (2 of 2 views). Such" in unkept


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unit": "bel"}, ("unit 'dB'", "unit 'bel'")),
        (
            {"unit": "", "higher_is_better": False},
            ("unit 'dB', higher_is_better True", "unit '', higher_is_better False"),
        ),
    ],
    ids=["unit", "direction"],
)
@pytest.mark.parametrize("scene", ["fox", "garden"])
def test_several_units_or_directions_under_one_signature_are_an_error(
    scene: str, change: dict[str, object], expected: tuple[str, str]
) -> None:
    changed_metrics = {"psnr": replace(NERFACTO.metrics["psnr"], **change)}
    other = replace(NERFACTO, method="b", scene=scene, metrics=changed_metrics)
    message = refusal(NERFACTO, other, files=(Path("a.json"), Path("b.json")))
    assert message.startswith(
        "psnr must have one unit and direction in all records of its signature psnr|range:1|q:round8|v1: "
        f"fox, nerfacto/30000 (a.json), has {expected[0]}; {scene}, b/30000 (b.json), has {expected[1]}. One record"
    )
    check_comparable([NERFACTO, under(other)])


def test_the_error_names_all_records_that_differ() -> None:
    third = record(VIEWS[:1], method="third")
    fourth = replace(NERFACTO, method="fourth")
    message = refusal(SPLATFACTO, NERFACTO, third, fourth)
    assert message.startswith("fox: nerfacto/30000 and splatfacto/30000 were scored with different references")
    assert "These also differ from nerfacto/30000: third. Such" in message


# --- Cells ----------------------------------------------------------------------------------------------------------


def test_records_that_differ_in_a_part_of_the_cell_are_distinct() -> None:
    protocol = {**NERFACTO.protocol, "fingerprint": "00000000"}
    apart = [
        {"scene": "garden"},
        {"method": "b"},
        {"run": "r"},
        {"step": 1},
        {"split": "train"},
        {"protocol": protocol},
    ]
    records = [NERFACTO, *(replace(NERFACTO, **change) for change in apart)]
    check_distinct_cells(records, [Path(f"{index}.json") for index in range(len(records))])


@pytest.mark.parametrize(
    "change",
    [{}, {"run": ""}, {"provenance": {}}, {"protocol": {**NERFACTO.protocol, "name": "mine"}}, {"views": VIEWS[:1]}],
    ids=["nothing", "a run without a name", "how it came about", "the protocol's name", "its views"],
)
def test_two_records_of_one_cell_are_an_error(change: dict[str, object], pinned: Pinned) -> None:
    records = [replace(NERFACTO, step=1), NERFACTO, replace(NERFACTO, **change)]
    with pytest.raises(InputError) as error:
        check_distinct_cells(records, [Path("a.json"), Path("b/c.json"), Path("d.json")])
    pinned("table", error.value)


def test_one_of_many_repeated_cells_is_named() -> None:
    records = [replace(NERFACTO, step=step) for step in (1, 2, 3, 1, 2, 3)]
    with pytest.raises(InputError, match=r"^0 and 3 are two records .*nerfacto/1, .* 2 other results also"):
        check_distinct_cells(records, [Path(str(index)) for index in range(6)])


# --- nvs-eval table -------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nvs-eval"])
    apart = replace(SPLATFACTO, scene="aloe")
    for each in (NERFACTO, SPLATFACTO, replace(NERFACTO, step=10), apart):
        write_record(record_file(each, Path("out")), each)
    return tmp_path


def test_table_fails_before_it_prints_anything(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "out", "--per-view"]) == 2
    result = capsys.readouterr()
    assert result.out == ""
    assert result.err.startswith(
        "Error: fox: nerfacto/10 (out/fox/nerfacto/10/standard-9f2c51ab.json) and splatfacto/30000 "
        "(out/fox/splatfacto/30000/standard-9f2c51ab.json) were scored with different references"
    )


def test_table_marks_mixed_rows_with_the_option(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "out", "--allow-mixed"]) == 0
    result = capsys.readouterr()
    assert result.err == ""
    assert (
        result.out.split("\n\n")[1]
        == """\
fox, test views
method         step  PSNR [dB] ↑  views
───────────────────────────────────────
nerfacto         10        25.00      2
nerfacto      30000        25.00      2
splatfacto †  30000        25.00      2
protocol standard (9f2c51ab)
psnr|range:1|q:round8|v1
† splatfacto/30000: not comparable with nerfacto/10: different references (2 of 2 views)
Not all rows are comparable, so none is ranked."""
    )


def test_printing_what_was_just_scored_never_ends_in_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    from nvs_eval.cli.options import ScoringCommand

    ScoringCommand(per_view=True).show([NERFACTO, SPLATFACTO])
    assert capsys.readouterr().out.count("splatfacto †") == 3


def test_a_table_of_incomparable_records_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, result in enumerate((NERFACTO, SPLATFACTO)):
        write_record(tmp_path / f"{place}.json", result)
    assert main(["table", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "different references" in printed.err
