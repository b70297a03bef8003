"""Result of a comparison: verdicts, changes of views, JSON values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.records import INFO
from support.two_sides import GAINS, A, B, of, pair_of


def test_swapped_sides_have_the_opposite_verdict() -> None:
    forth, back = (pair_of(*sides).pairs[0].differences["psnr"] for sides in ((A, B), (B, A)))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert forth.interval.low == -(back.interval.high or 0.0)
    assert (forth.wins.wins, forth.wins.losses) == (back.wins.losses, back.wins.wins)


def test_metric_whose_lower_scores_are_better() -> None:
    lower = {"psnr": replace(INFO["psnr"], higher_is_better=False)}
    worse = pair_of(*(of(side.method, [r.scores["psnr"] for r in side.views], metrics=lower) for side in (A, B)))
    assert worse.pairs[0].differences["psnr"].verdict == "worse"
    assert worse.pairs[0].differences["psnr"].changes[0].difference == pytest.approx(-0.05)


def test_changes_go_from_the_largest_gain_to_the_largest_loss() -> None:
    changes = pair_of(A, B).pairs[0].differences["psnr"].changes
    assert [(change.view, round(change.difference, 9)) for change in changes] == [
        ("0003", 0.52), ("0001", 0.45), ("0005", 0.38), ("0000", 0.31), ("0006", 0.29), ("0002", 0.12), ("0004", -0.05),
    ]  # fmt: skip


def test_json_has_every_view_and_number() -> None:
    comparison = pair_of(A, B)
    plain = json.loads(json.dumps(comparison.to_plain(), allow_nan=False))
    (pair,) = plain["pairs"]
    assert (plain["protocol"], plain["tests"], plain["level"]) == (
        {"name": "standard", "fingerprint": "9f2c51ab"}, 2, 0.95,
    )  # fmt: skip
    assert (pair["a"]["name"], pair["b"]["name"], pair["views"]) == ("a", "b", {"fox": 7})
    psnr = pair["metrics"]["psnr"]
    assert psnr["difference"] == comparison.pairs[0].differences["psnr"].interval.difference
    assert {view["view"]: round(view["difference"], 9) for view in psnr["views"]} == {
        f"{i:04}": gain for i, gain in enumerate(GAINS)
    }
    assert pair["words"] == comparison.pairs[0].words
