"""Signatures that differ in neutral steps alone are one number, and all others are several."""

from __future__ import annotations

import pytest

from nvs_eval.records.signatures import NEUTRAL, essential_parts, same_number, without_clamps

STANDARD = "psnr|range:1|q:round8|mask:valid-pixels|v1"
INRIA = "psnr|range:1|q:round8|alpha:drop|beyond:clamp|v1"
MULTINERF = "psnr|range:1|q:round8/float|beyond:keep|v1"
ALEX = "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:trunc8|"


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        (STANDARD, STANDARD, set()),
        (STANDARD, INRIA, {"alpha", "range", "mask"}),
        (STANDARD, MULTINERF, {"range", "mask", "q-reference"}),
        (INRIA, MULTINERF, {"alpha", "range", "q-reference"}),
        ("mae|q:float|v1", "mae|q:trunc8|v1", {"q-reference", "q-render"}),
        ("mae|q:round8/float|v1", "mae|q:trunc8/float|v1", {"q-render"}),
        ("mae|q:float|mask:dycheck|qmask:trunc8|v1", "mae|q:float|v1", {"mask"}),
        ("psnr|range:1|clamp|q:float|beyond:keep|v1", "psnr|range:1|q:float|beyond:clamp|v1", {"range"}),
        ("lpips|net:vgg|clamp|q:float|beyond:keep|v1", "lpips|net:vgg|q:float|beyond:clamp|v1", {"range"}),
    ],
)
def test_each_step_that_differs_must_be_neutral(one: str, other: str, steps: set[str]) -> None:
    for first, second in ((one, other), (other, one)):
        assert same_number(first, steps, second)
        assert same_number(first, NEUTRAL, second)
        assert not any(same_number(first, set(NEUTRAL) - {step}, second) for step in steps)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("psnr|range:1|q:float|v1", "psnr|range:255|q:float|v1"),
        ("psnr|range:1|q:float|v1", "psnr|range:1|q:float|v2"),
        ("psnr|range:1|q:float|v1", "mae|range:1|q:float|v1"),
        ("mae|q:float|region:right-half|v1", "mae|q:float|v1"),
        ("mae|q:float|crop:2|v1", "mae|q:float|v1"),
        # A full mask, which dycheck uses in place of none, gives another LPIPS.
        (f"{ALEX}mask:dycheck|qmask:trunc8|v1", f"{ALEX}mask:multiply|v1"),
        # The corrected render has other values than 8-bit levels.
        ("psnr|range:1|cc:affine|q:round8/float|v1", "psnr|range:1|cc:affine|q:float|v1"),
        # A metric of a plugin may use the topics of the preparation and of other metrics.
        ("mine|alpha:0.5|clamp|floor:1|q:float|v1", "mine|alpha:0.7|clamp|floor:1|q:float|v1"),
        ("mine|clamp|q:float|v1", "mine|q:float|v1"),
        ("mine|alpha:drop|v1", "mine|v1"),
    ],
)
def test_other_parts_are_never_neutral(one: str, other: str) -> None:
    assert not same_number(one, NEUTRAL, other)
    assert not same_number(other, NEUTRAL, one)


def test_neutral_clamps_concern_the_signature_of_their_record_alone() -> None:
    clamped, plain = "ssim|pad:valid|floor:0|covclamp|q:float|v1", "ssim|pad:valid|q:float|v1"
    assert same_number(clamped, ["clamps"], plain)
    assert not same_number(clamped, ["alpha"], plain)
    assert not same_number(plain, ["clamps"], clamped)  # Clamps of another strength might change a window.
    assert same_number(clamped, ["clamps", "q-render", "q-reference"], clamped.replace("float", "round8"))
    assert without_clamps(clamped) == plain
    assert without_clamps("mine|floor:0|v1") == "mine|floor:0|v1"


def test_essential_parts_are_those_that_matter() -> None:
    assert essential_parts(STANDARD, NEUTRAL) == {"range": "range:1"}
    assert essential_parts(MULTINERF, ["q-reference"]) == {
        "range": "range:1",
        "q": "q:round8/float",
        "beyond": "beyond:keep",
    }
