"""Tables say what the records say, mark as best only what may be compared, and are never cut."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from helpers import record, row
from rich.console import Console

from nvs_eval.records import Record
from nvs_eval.report.table import Table, median_seconds, tables_of
from nvs_eval.report.text import print_text


def scored(method: str, psnr: float, ssim: float, lpips: float, **changes: object) -> Record:
    return record([row("0001", psnr=psnr, ssim=ssim, lpips_alex=lpips)], method=method, **changes)


def column(table: Table, header: str) -> list[str]:
    """The cells of a column, the best in stars."""
    index = list(table.header).index(header)
    return [f"*{cells[index].text}*" if cells[index].best else cells[index].text for cells in table.rows]


def shown(table: Table, *, width: int, terminal: bool = True) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard", highlight=False)
    print_text(table, console)
    return out.getvalue()


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# --- What stands in it ----------------------------------------------------------------------------------------------


def test_each_metric_has_its_unit_and_direction_and_its_best_marked() -> None:
    (table,) = tables_of([scored("a", 28.25, 0.875, 0.125), scored("b", 27.004, 0.9, 0.25)])
    assert table.title == "fox, test views"
    assert table.caption == "protocol standard (9f2c51ab)"
    assert list(table.header) == ["method", "psnr [dB] ↑", "ssim ↑", "lpips_alex ↓", "views"]
    assert column(table, "method") == ["a", "b"]
    assert column(table, "psnr [dB] ↑") == ["*28.25*", "27.00"]
    assert column(table, "ssim ↑") == ["0.8750", "*0.9000*"]
    assert column(table, "lpips_alex ↓") == ["*0.1250*", "0.2500"]
    assert column(table, "views") == ["1", "1"]


def test_what_is_shown_as_equal_is_equally_good() -> None:
    (table,) = tables_of([scored("a", 28.251, 0.8, 0.1), scored("b", 28.249, 0.8, 0.1), scored("c", 28.0, 0.7, 0.2)])
    assert column(table, "psnr [dB] ↑") == ["*28.25*", "*28.25*", "28.00"]


def test_infinity_is_the_best_psnr() -> None:
    (table,) = tables_of([scored("a", math.inf, 1.0, 0.0), scored("b", 28.0, 0.8, 0.1)])
    assert column(table, "psnr [dB] ↑") == ["*inf*", "28.00"]


def test_a_row_alone_is_not_the_best_of_anything() -> None:
    (table,) = tables_of([scored("a", 28.25, 0.875, 0.125)])
    assert column(table, "psnr [dB] ↑") == ["28.25"]


def test_run_and_step_are_shown_where_any_record_has_them() -> None:
    plain, full = scored("a", 28.0, 0.8, 0.1), scored("b", 27.0, 0.7, 0.2, run="base", step=0)
    assert list(tables_of([plain])[0].header)[:2] == ["method", "psnr [dB] ↑"]
    (table,) = tables_of([plain, full])
    assert (column(table, "run"), column(table, "step")) == (["", "base"], ["", "0"])


def test_what_rendering_took_is_shown_where_it_is_known() -> None:
    times = {"a": None, "b": 9.0, "c": 2.0, "d": 1.0}
    views = [replace(row(name, psnr=20.0), render_seconds=seconds) for name, seconds in times.items()]
    known = record(views, method="a", provenance={"peak_memory_bytes": 1_234_567_890})
    odd = record([row(name, psnr=21.0) for name in "abcd"], method="b", provenance={"peak_memory_bytes": "much"})
    (table,) = tables_of([known, odd])
    assert median_seconds(views) == 2.0
    assert (column(table, "s/view"), column(table, "GB")) == (["2", ""], ["1.23", ""])
    assert "s/view" not in tables_of([odd])[0].header
    assert "GB" not in tables_of([odd])[0].header


def test_one_row_a_view_where_asked_for() -> None:
    views = [row("0001", psnr=20.0), row("cam0/0002", psnr=21.0)]
    (table,) = tables_of([record(views, method="a"), record(views, method="b", step=7)], per_view=True)
    assert column(table, "view") == ["0001", "cam0/0002", "0001", "cam0/0002"]
    assert column(table, "method") == ["a", "a", "b", "b"]
    assert column(table, "step") == ["", "", "7", "7"]
    assert column(table, "psnr [dB] ↑") == ["20.00", "21.00", "20.00", "21.00"]


# --- What may be compared -------------------------------------------------------------------------------------------


def test_scenes_splits_and_protocols_are_blocks_of_their_own() -> None:
    other = {"name": "other", "definition": {"round_means": None}, "fingerprint": "00000000"}
    records = [
        scored("a", 28.0, 0.8, 0.1),
        scored("b", 27.0, 0.7, 0.2, scene="garden"),
        scored("c", 30.0, 0.9, 0.1, split="train"),
        scored("d", 26.0, 0.6, 0.3, protocol=other),
        scored("e", 25.0, 0.5, 0.4),
    ]
    blocks = [(table.title, table.caption.split()[1], column(table, "method")) for table in tables_of(records)]
    assert blocks == [
        ("fox, test views", "standard", ["a", "e"]),
        ("garden, test views", "standard", ["b"]),
        ("fox, train views", "standard", ["c"]),
        ("fox, test views", "other", ["d"]),
    ]


def test_among_rows_of_different_views_none_is_the_best() -> None:
    all_views = record([row("a", psnr=20.0), row("b", psnr=30.0)], method="all")
    easy_ones = record([row("b", psnr=30.0)], method="easy")
    (table,) = tables_of([all_views, easy_ones])
    assert column(table, "psnr [dB] ↑") == ["25.00", "30.00"]
    assert table.caption.endswith("(9f2c51ab); the rows are of different views, so that none is the best")
    (table,) = tables_of([all_views, replace(all_views, method="reversed", views=all_views.views[::-1])])
    assert column(table, "psnr [dB] ↑") == ["*25.00*", "*25.00*"]


def test_different_references_of_the_same_views_are_said() -> None:
    distorted = scored("ray", 28.0, 0.8, 0.1)
    undistorted = replace(distorted, views=[replace(view, reference_sha256="1" * 64) for view in distorted.views])
    assert tables_of([distorted, undistorted])[0].caption.endswith("; the references differ between rows")


# --- How it looks ---------------------------------------------------------------------------------------------------


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
method                            run                 step  psnr [dB] ↑  ssim ↑  lpips_alex ↓  views
────────────────────────────────────────────────────────────────────────────────────────────────────
nerfacto-with-a-rather-long-name  2026-01-02_030405   2500        28.25  0.8750        0.1250      1
splatfacto                        2026-01-02_030405  30000        27.50  0.9000        0.2500      1
protocol standard (9f2c51ab)

"""
    )


def test_in_a_terminal_the_best_is_bold() -> None:
    text = shown(tables_of(PAIR)[0], width=200)
    assert re.findall(r"\x1b\[1m *([\d.]+)\x1b\[0m", text) == ["28.25", "0.1250", "0.9000"]


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.-])\d+\.\d+(?![\w.-])", without_style(text))


@pytest.mark.parametrize("width", [80, 50, 20])
def test_in_a_narrow_terminal_names_are_folded_and_no_number_is_cut(width: int) -> None:
    (table,) = tables_of(PAIR)
    text = without_style(shown(table, width=width))
    assert numbers(text) == ["28.25", "0.8750", "0.1250", "27.50", "0.9000", "0.2500"]
    assert "…" not in text
    lines = text.splitlines()
    # Six columns of numbers need some 50 columns, whatever the terminal has.
    assert max(map(len, lines)) <= max(width, 56)
    # The first column holds all of a name, over as many lines as it takes.
    assert "nerfacto-with-a-rather-long-name" in "".join(line.split("  ")[0].strip() for line in lines)


def test_names_cannot_steer_a_terminal() -> None:
    hostile = record(
        [row("view\x1b[2J", psnr=20.0)],
        scene="fo\nx",
        method="\x1b]0;owned\x07[bold]:100:",
        protocol={"name": "p\r", "definition": {"round_means": None}, "fingerprint": "9f2c51ab"},
        run="caf\udce9",
    )
    for per_view in (False, True):
        (table,) = tables_of([hostile], per_view=per_view)
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
