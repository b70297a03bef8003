"""Tables show the records, rank only comparable rows, and are never cut."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from support.records import INFO, record, row, under
from support.tables import table_of_rows

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.tables.tables import chosen_records, per_view_tables, tables_of
from nvs_eval.report.writers import Style, find_writer
from nvs_eval.report.writers.text import print_text
from nvs_eval.system.terminal import SafeConsole


def scored(method: str, psnr: float, ssim: float, lpips: float, **changes: object) -> Record:
    return record([row("0001", psnr=psnr, ssim=ssim, lpips_alex=lpips)], method=method, **changes)


def column(table: Table, header: str) -> list[str]:
    """Return the cells of a column with their marks, the best in stars."""
    index = headings(table).index(header)
    cells = [row[index] for row in table.rows]
    return [f"*{cell.text}*" if cell.rank == 1 else f"{cell.text} {cell.mark}".strip() for cell in cells]


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


def shown(table: Table, *, width: int, terminal: bool = True) -> str:
    out = io.StringIO()
    console = SafeConsole(out, width=width, terminal=terminal)
    print_text(table, console)
    return out.getvalue()


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def with_own(record: Record, *values: float | None) -> Record:
    """Return a record with the model's own metric `depth_rmse` of each view; None for a view without it."""
    rows = [replace(record.views[0], name=str(place)) for place in range(len(values))]
    own = [None if value is None else {"depth_rmse": value} for value in values]
    return replace(record, views=[replace(row, own=value) for row, value in zip(rows, own, strict=True)])


def notes_on_infinity(*records: Record) -> list[str]:
    return [note for table in tables_of(records) for note in table.notes if "is inf" in note]


def test_views_that_make_a_mean_infinite_are_named() -> None:
    views = [row("0001", psnr=28.0), row("0002", psnr=math.inf), row("0003", psnr=math.inf)]
    assert notes_on_infinity(record(views[:1])) == []
    assert notes_on_infinity(record(views[:2])) == ["PSNR is inf: view 0002 equals its reference"]
    others = record([replace(view, scores={"psnr": 28.0}) for view in views], method="b")
    assert notes_on_infinity(record(views), others) == [
        "nerfacto: PSNR is inf: views 0002, 0003 equal their references"
    ]


@pytest.mark.parametrize("name", ["text", "markdown", "latex", "json", "html"])
def test_every_format_with_notes_names_them(name: str) -> None:
    text = find_writer(name)(tables_of([record([row("0001", psnr=math.inf)])]), Style())
    assert "PSNR is inf: view 0001 equals its reference" in text


# --- Content --------------------------------------------------------------------------------------------------------


def test_metric_has_its_unit_direction_and_best_marked() -> None:
    (table,) = tables_of([scored("a", 28.25, 0.875, 0.125), scored("b", 27.004, 0.9, 0.25)])
    assert table.title == "fox, test views"
    assert table.caption == "protocol standard (9f2c51ab)"
    assert table.signatures == [info.signature for info in INFO.values()]
    assert headings(table) == ["method", "PSNR [dB] ↑", "SSIM ↑", "LPIPS (Alex) ↓", "views"]
    assert column(table, "method") == ["a", "b"]
    assert column(table, "PSNR [dB] ↑") == ["*28.25*", "27.00"]
    assert column(table, "SSIM ↑") == ["0.875", "*0.900*"]
    assert column(table, "LPIPS (Alex) ↓") == ["*0.125*", "0.250"]
    assert column(table, "views") == ["1", "1"]


def test_values_shown_as_equal_share_a_rank() -> None:
    (table,) = tables_of([scored("a", 28.251, 0.8, 0.1), scored("b", 28.249, 0.8, 0.1), scored("c", 28.0, 0.7, 0.2)])
    assert column(table, "PSNR [dB] ↑") == ["*28.25*", "*28.25*", "28.00"]


def test_infinity_is_the_best_psnr() -> None:
    (table,) = tables_of([scored("a", math.inf, 1.0, 0.0), scored("b", 28.0, 0.8, 0.1)])
    assert column(table, "PSNR [dB] ↑") == ["*inf*", "28.00"]


def test_a_row_alone_is_not_the_best_of_anything() -> None:
    (table,) = tables_of([scored("a", 28.25, 0.875, 0.125)])
    assert column(table, "PSNR [dB] ↑") == ["28.25"]


def test_run_and_step_are_shown_if_any_record_has_them() -> None:
    plain, full = scored("a", 28.0, 0.8, 0.1), scored("b", 27.0, 0.7, 0.2, run="base", step=0)
    assert headings(tables_of([plain])[0])[:2] == ["method", "PSNR [dB] ↑"]
    (table,) = tables_of([plain, full])
    assert (column(table, "run"), column(table, "step")) == (["", "base"], ["", "0"])


def test_render_time_and_memory_are_shown_if_known() -> None:
    times = {"a": None, "b": 9.0, "c": 2.0, "d": 1.0}
    views = [replace(row(name, psnr=20.0), render_seconds=seconds) for name, seconds in times.items()]
    known = record(views, method="a", provenance={"peak_memory_bytes": 1_234_567_890})
    odd = record([row(name, psnr=21.0) for name in "abcd"], method="b", provenance={"peak_memory_bytes": "much"})
    (table,) = tables_of([known, odd])
    (seconds,) = (each for each in table.columns if each.name == "s/view")
    assert [cell.value for cell in seconds.cells] == [2.0, None]
    assert (column(table, "s/view"), column(table, "GB")) == (["2", ""], ["1.23", ""])
    assert "s/view" not in headings(tables_of([odd])[0])
    assert "GB" not in headings(tables_of([odd])[0])


def test_one_row_per_view_on_request() -> None:
    views = [row("0001", psnr=20.0), row("cam0/0002", psnr=21.0)]
    (table,) = per_view_tables([record(views, method="a"), record(views, method="b", step=7)])
    assert column(table, "view") == ["0001", "cam0/0002", "0001", "cam0/0002"]
    assert column(table, "method") == ["a", "a", "b", "b"]
    assert column(table, "step") == ["", "", "7", "7"]
    assert column(table, "PSNR [dB] ↑") == ["20.00", "21.00", "20.00", "21.00"]


# --- Comparable rows ------------------------------------------------------------------------------------------------


def test_scenes_splits_and_protocols_are_separate_blocks() -> None:
    records = [
        scored("a", 28.0, 0.8, 0.1),
        scored("b", 27.0, 0.7, 0.2, scene="garden"),
        scored("c", 30.0, 0.9, 0.1, split="train"),
        under(scored("d", 26.0, 0.6, 0.3)),
        scored("e", 25.0, 0.5, 0.4),
    ]
    blocks = [(table.title, table.caption.split()[1], column(table, "method")) for table in tables_of(records)]
    assert blocks == [
        ("fox, test views", "standard", ["a", "e"]),
        ("garden, test views", "standard", ["b"]),
        ("fox, train views", "standard", ["c"]),
        ("fox, test views", "other", ["d"]),
    ]


def test_rows_of_different_images_are_not_ranked() -> None:
    all_views = record([row("a", psnr=20.0), row("b", psnr=30.0)], method="all")
    easy_ones = record([row("b", psnr=30.0)], method="easy")
    (table,) = tables_of([all_views, easy_ones])
    assert column(table, "PSNR [dB] ↑") == ["25.00", "30.00"]
    assert column(table, "method") == ["all", "easy †"]
    assert table.notes == [
        "† easy: not comparable with all: different views (2 and 1; only all has a)",
        "Not all rows are comparable, so none is ranked.",
    ]
    (table,) = tables_of([all_views, replace(all_views, method="reversed", views=all_views.views[::-1])])
    assert column(table, "PSNR [dB] ↑") == ["*25.00*", "*25.00*"]
    assert table.notes == []


def test_rows_that_differ_in_the_same_way_share_a_footnote() -> None:
    distorted = scored("ray", 28.0, 0.8, 0.1)
    undistorted = replace(distorted, views=[replace(view, reference_sha256="1" * 64) for view in distorted.views])
    records = [
        distorted,
        replace(undistorted, method="b"),
        replace(distorted, method="c"),
        replace(undistorted, method="d"),
        replace(distorted, method="e"),
    ]
    (table,) = tables_of(records)
    assert column(table, "method") == ["ray", "b †", "c", "d †", "e"]
    assert table.notes[0] == "† b, d: not comparable with ray: different references (1 of 1 views)"
    assert len(table.notes) == 2
    (per_view,) = per_view_tables(records)
    assert (column(per_view, "method"), per_view.notes) == (column(table, "method"), table.notes)


def test_skipped_views_are_noted() -> None:
    left = {"left_out": {"0003": "mask empty", "0004": "mask empty"}}
    one, other = scored("a", 28.0, 0.8, 0.1, provenance=left), scored("b", 28.0, 0.8, 0.1)
    assert tables_of([one])[0].notes == ["2 views skipped: mask empty"]
    assert tables_of([one, replace(one, method="c")])[0].notes == ["2 views skipped: mask empty"]
    assert tables_of([one, other])[0].notes == ["a: 2 views skipped: mask empty"]
    two_reasons = {"left_out": {"0003": "mask empty", "0004": "too dark"}}
    assert tables_of([replace(one, provenance=two_reasons)])[0].notes == [
        "1 view skipped: mask empty; 1 view skipped: too dark"
    ]
    for none in ({}, {"left_out": {}}, {"left_out": "odd"}):
        assert tables_of([replace(one, provenance=none)])[0].notes == []


def test_coverage_is_shown_if_there_are_masks() -> None:
    views = [replace(row(name, psnr=20.0), coverage=coverage) for name, coverage in (("a", 0.25), ("b", 0.75))]
    masked, plain = record(views, method="m"), record([row("a", psnr=20.0), row("b", psnr=20.0)], method="p")
    assert column(tables_of([masked, plain])[0], "coverage") == ["0.500", ""]
    assert column(per_view_tables([masked, plain])[0], "coverage") == ["0.250", "0.750", "", ""]
    assert "coverage" not in headings(tables_of([plain])[0])


# --- Appearance -----------------------------------------------------------------------------------------------------


PAIR = [
    scored("nerfacto-with-a-rather-long-name", 28.25, 0.875, 0.125, run="2026-01-02_030405", step=2500),
    scored("splatfacto", 27.5, 0.9, 0.25, run="2026-01-02_030405", step=30000),
]


def test_with_room_a_table_has_one_line_a_row() -> None:
    (table,) = tables_of(PAIR)
    assert (
        without_style(shown(table, width=200))
        == """\
fox, test views
method                            run                 step  PSNR [dB] ↑  SSIM ↑  LPIPS (Alex) ↓  views
──────────────────────────────────────────────────────────────────────────────────────────────────────
nerfacto-with-a-rather-long-name  2026-01-02_030405   2500        28.25   0.875           0.125      1
splatfacto                        2026-01-02_030405  30000        27.50   0.900           0.250      1
protocol standard (9f2c51ab)
psnr|range:1|q:round8|v1
ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|v1
lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:round8|v1

"""
    )


def test_in_a_terminal_the_best_is_bold() -> None:
    text = shown(tables_of(PAIR)[0], width=200)
    assert re.findall(r"\x1b\[1m *([\d.]+)\x1b\[0m", text) == ["28.25", "0.125", "0.900"]


def test_signatures_without_room_name_common_parts_once() -> None:
    (table,) = tables_of(PAIR)
    own = ["psnr|range:1", "ssim|win:gauss11s1.5|pad:valid|cov:population|range:1"]
    own.append("lpips|net:alex|heads:0.1|input:scaled|norm:lpips")
    whole = [f"{each}|q:round8|v1" for each in own]
    assert without_style(shown(table, width=80)).splitlines()[-4:-1] == whole
    assert without_style(shown(table, width=64)).splitlines()[-5:-1] == [*own, "each with q:round8|v1"]
    assert without_style(shown(table, width=100_000, terminal=False)).splitlines()[-4:-1] == whole
    unlike = replace(table, signatures=["a|x:1|y:2", "b|" + "z" * 70])
    assert "a|x:1|y:2\n" in without_style(shown(unlike, width=64))
    alone = replace(table, signatures=["a|" + "z" * 70])
    assert "each with" not in shown(alone, width=64)


def test_in_a_terminal_the_signatures_are_dim() -> None:
    text = shown(tables_of(PAIR)[0], width=200)
    assert re.findall(r"\x1b\[2m(\w+)\|", text) == ["psnr", "ssim", "lpips"]


def test_notes_stand_below_the_caption() -> None:
    (table,) = tables_of([replace(PAIR[0], provenance={"left_out": {"0007": "mask\nempty"}})])
    text = without_style(shown(table, width=200))
    assert text.endswith("|q:round8|v1\n1 view skipped: mask\\nempty\n\n")


def test_asides_are_aligned_and_columns_without_room_go_below() -> None:
    cells = [
        [Cell("a"), Cell("9.50"), Cell("0.8000")],
        [Cell("bb"), Cell("25.91", aside="(+16.41)"), Cell("0.7000", aside="(-0.1000)")],
        [Cell("c"), Cell("9.50", aside="(0.00)"), Cell("-")],
    ]
    table = table_of_rows(
        "title", [Column("protocol", numeric=False), Column("psnr"), Column("ssim")], cells, "caption"
    )
    assert [line.rstrip() for line in without_style(shown(table, width=60)).splitlines()] == [
        "title",
        "protocol  psnr            ssim",
        "──────────────────────────────────────────",
        "a          9.50           0.8000",
        "bb        25.91 (+16.41)  0.7000 (-0.1000)",
        "c          9.50   (0.00)       -",
        "caption",
        "",
    ]
    assert [line.rstrip() for line in without_style(shown(table, width=40)).splitlines()] == [
        "title",
        "protocol  psnr",
        "────────────────────────",
        "a          9.50",
        "bb        25.91 (+16.41)",
        "c          9.50   (0.00)",
        "",
        "protocol  ssim",
        "──────────────────────────",
        "a         0.8000",
        "bb        0.7000 (-0.1000)",
        "c              -",
        "caption",
        "",
    ]


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.-])\d+\.\d+(?![\w.-])", without_style(text))


@pytest.mark.parametrize("width", [80, 50, 20])
def test_narrow_terminal_folds_names_and_cuts_no_number(width: int) -> None:
    (table,) = tables_of(PAIR)
    text = without_style(shown(table, width=width))
    text, _, _ = text.partition("protocol standard")
    shown_numbers = ["28.25", "27.50", "0.875", "0.900", "0.125", "0.250"]
    assert sorted(numbers(text)) == sorted(shown_numbers)
    assert "…" not in text
    parts = text.split("\n\n")
    assert len(parts) == {80: 1, 50: 2, 20: 4}[width]
    # Narrow names and one column of numbers need about thirty characters, even in a narrower terminal.
    assert max(map(len, text.splitlines())) <= max(width, 31)
    for part in parts:
        # The first column has the complete name, over several lines.
        assert "nerfacto-with-a-rather-long-name" in "".join(line.split("  ")[0].strip() for line in part.splitlines())


def test_names_of_several_words_are_folded_between_them() -> None:
    cells = [[Cell("a method of words"), Cell("1.00")], [Cell("b"), Cell("2.00")]]
    text = shown(
        table_of_rows("t", [Column("name", numeric=False), Column("psnr")], cells, "c"), width=20, terminal=False
    )
    assert text.splitlines()[3:6] == ["a method of", "words           1.00", "b               2.00"]


def test_numbers_of_fewer_decimals_align_at_the_point() -> None:
    cells = [
        [Cell("a"), Cell("27.16", 27.16)],
        [Cell("b"), Cell("9.2", 9.2, mark="‡")],
        [Cell("c"), Cell("inf", math.inf)],
    ]
    text = shown(
        table_of_rows("t", [Column("name", numeric=False), Column("psnr")], cells, "c"), width=80, terminal=False
    )
    assert text.splitlines()[3:6] == ["a     27.16", "b      9.2‡", "c       inf"]


def test_the_widest_names_are_folded_first() -> None:
    cells = [[Cell("short-name"), Cell("x" * 40), Cell("1.00")]]
    columns = [Column("name", numeric=False), Column("about", numeric=False), Column("psnr")]
    text = shown(table_of_rows("t", columns, cells, "c"), width=40, terminal=False)
    assert text.splitlines()[3:5] == [f"{'':10}  {'x' * 22}", f"short-name  {'x' * 18}{'':4}  1.00"]


def test_names_cannot_steer_a_terminal() -> None:
    hostile = record(
        [row("view\x1b[2J", psnr=20.0)],
        scene="fo\nx",
        method="\x1b]0;owned\x07[bold]:100:",
        protocol={"name": "p\r", "definition": {"round_means": None}, "fingerprint": "9f2c51ab"},
        run="caf\udce9",
        metrics={"psnr": replace(INFO["psnr"], signature="psnr|\x1b[2J")},
        provenance={"left_out": {"a": "\x1b[3J"}},
    )
    for layout in (tables_of, per_view_tables):
        (table,) = layout([hostile])
        text = shown(table, width=300, terminal=False)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\r" not in text
        assert r"\x1b]0;owned\x07[bold]:100:" in text
        assert r"fo\nx, test views" in text
        assert r"caf\udce9" in text
        text.encode("utf-8")
    assert r"view\x1b[2J" in text


def test_without_a_terminal_nothing_is_styled() -> None:
    assert "\x1b" not in shown(tables_of(PAIR)[0], width=100_000, terminal=False)


# --- The models' own metrics ----------------------------------------------------------------------------------------


def test_own_metrics_are_shown_on_request_and_never_ranked() -> None:
    pair = [with_own(scored("a", 28.25, 0.875, 0.125), 0.5, 1.0), with_own(scored("b", 27.0, 0.9, 0.25), 3.0, None)]
    (plain,) = tables_of(pair)
    assert not any("own" in heading for heading in headings(plain))
    layout = Layout(options=TableOptions(metrics=("own/depth_rmse", "psnr")))
    (table,) = tables_of(pair, layout)
    assert headings(table) == ["method", "own/depth_rmse", "PSNR [dB] ↑"]
    # A mean over some of the views could not be compared with one over all of them.
    assert column(table, "own/depth_rmse") == ["0.75", ""]
    assert column(table, "PSNR [dB] ↑") == ["*28.25*", "27.00"]
    (views,) = per_view_tables(pair, layout)
    assert column(views, "own/depth_rmse") == ["0.5", "1", "3", ""]


def test_own_metric_that_no_record_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"'own/depth'.*Did you mean 'own/depth_rmse'"):
        tables_of(
            [with_own(scored("a", 28.25, 0.875, 0.125), 0.5)], Layout(options=TableOptions(metrics=("own/depth",)))
        )


def test_long_form_has_the_chosen_own_metrics() -> None:
    (record,) = [with_own(scored("a", 28.25, 0.875, 0.125), 0.5)]
    for metrics, own in (((), {"depth_rmse": 0.5}), (("psnr",), {}), (("own/depth_rmse", "psnr"), {"depth_rmse": 0.5})):
        (chosen,) = chosen_records([record], Layout(options=TableOptions(metrics=metrics)))
        assert chosen.views[0].own == own
        assert list(chosen.metrics) == (["psnr"] if metrics else ["psnr", "ssim", "lpips_alex"])
