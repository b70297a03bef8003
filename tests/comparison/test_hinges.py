"""The sentences on what a verdict hangs on."""

from __future__ import annotations

from support.two_sides import base, many, of, scenes_of, words


def test_a_verdict_that_hangs_on_one_view_is_said() -> None:
    gains = [0.30, 0.28, 0.35, 0.31, 0.27, 0.33, -0.55, 0.29, 0.32, 0.30]
    said = words(of("a", base(10)), of("b", [x + gain for x, gain in zip(base(10), gains, strict=True)]))
    assert "is not distinguishable" in said[0]
    hinge = next(sentence for sentence in said if "hangs on" in sentence)
    assert hinge.startswith("The verdict in PSNR hangs on view 0006: the difference is +0.31 [")
    assert hinge.endswith("] without 0006.")


def test_hinge_among_six_views_cannot_be_told() -> None:
    said = words(*many([0.5, 0.51, 0.52, 0.53, 0.54, 0.56]))
    assert (
        "Without any one of the 6 views, there is no interval: whether the verdict hangs on these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)


def test_what_hangs_on_views_of_a_scene_of_few_cannot_be_told() -> None:
    of_a, of_b = scenes_of(x=[0.9, 1.0, 1.1, 1.05], z=[1.0 + 0.01 * (index % 7) for index in range(60)])
    said = words(*of_a, *of_b)
    assert (
        "Without any one of the 4 views of x, or without scene z, there is no interval: whether the verdict hangs on "
        "these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)
