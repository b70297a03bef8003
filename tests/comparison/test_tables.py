"""Tables of a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.two_sides import GAINS, A, B, base, many, pair_of

from nvs_eval.comparison.tables import change_table, difference_table, digits_apart_from_zero, p_text, view_table


def test_tables_show_differences_changes_and_views() -> None:
    comparison = pair_of(A, B)
    table = difference_table(comparison, comparison.pairs[0])
    assert table.title == "b (B) against a (A): fox, 7 shared test views"
    assert [cells[0].text for cells in table.rows] == ["PSNR [dB] ↑", "SSIM ↑"]
    psnr = table.rows[0]
    assert [cell.text for cell in psnr[1:4]] == [
        f"{np.mean(base()):.2f}",
        f"{np.mean(base()) + np.mean(GAINS):.2f}",
        "+0.29",
    ]
    assert psnr[3].aside.startswith("[+0.")
    assert psnr[-1].text == "6/1/0"
    changes = change_table(comparison.pairs[0])
    assert [[cell.text for cell in cells] for cells in changes.rows[:3]] == [
        ["PSNR", "0003 +0.52", "0004 -0.05"],
        ["", "0001 +0.45", ""],
        ["", "0005 +0.38", ""],
    ]
    none = pair_of(A, replace(A, method="c"))
    assert [[cell.text for cell in cells] for cells in change_table(none.pairs[0]).rows] == [
        ["PSNR", "none", "none"],
        ["SSIM", "none", "none"],
    ]
    views = view_table(comparison, comparison.pairs[0])
    assert [cells[1].text for cells in views.rows] == [f"{index:04}" for index in range(7)]
    assert [cells[2].value for cells in views.rows] == pytest.approx(GAINS)


def test_small_change_is_shown_with_enough_digits() -> None:
    a, b = many([0.0004, -2e-12, 0.5, 0.6, 0.7, -0.8, 0.9, 0.0])
    few = [replace(record, views=[*record.views[:2], *record.views[5:6]]) for record in (a, b)]
    changes = change_table(pair_of(*few).pairs[0])
    assert [[cell.text for cell in cells] for cells in changes.rows] == [
        ["PSNR", "0000 +0.0004", "0005 -0.80"],
        ["", "", "0001 -2.0e-12"],
    ]


def test_every_part_of_a_wide_table_repeats_the_metric() -> None:
    table = difference_table(pair_of(A, B), pair_of(A, B).pairs[0])
    assert table.identity == 1
    assert view_table(pair_of(A, B), pair_of(A, B).pairs[0]).identity == 2


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, ""), (0.0123, "0.012"), (0.0496, "0.0496"), (0.04999, "0.04999"), (0.05, "0.05"), (0.0504, "0.05")],
)
def test_p_is_shown_on_its_side_of_the_level(p: float | None, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(0.0004, 0.2, 4), (-0.2, -0.03, 2), (-0.0004, 0.2, 0), (0.0, 0.2, 0), (None, None, 0), (0.1, float("inf"), 0)],
)
def test_an_interval_that_excludes_zero_shows_no_zero(low: float | None, high: float | None, digits: int) -> None:
    assert digits_apart_from_zero(low, high) == digits
