"""Ties with the best contender, and improvements on an earlier record."""

from __future__ import annotations

from dataclasses import replace

from support.two_sides import A, B, base, contenders, of

from nvs_eval.comparison.noise import Ties, improved


def test_contender_is_tied_if_its_difference_from_the_best_is_noise() -> None:
    close = of("c", [r.scores["psnr"] + 0.3 * (-1) ** (i + 1) for i, r in enumerate(B.views)])
    far = of("d", [x - 5.0 for x in base()])
    assert Ties()(contenders(A, B, close, far), ["fox"], "psnr") == [2]
    few = [replace(record, views=record.views[:5]) for record in (A, B)]
    assert Ties()(contenders(*few), ["fox"], "psnr") == [0]


def test_improvement_is_beyond_noise_or_unknown() -> None:
    assert improved(A, B, "psnr") is True
    assert improved(B, A, "psnr") is False
    assert improved(A, B, "ssim") is False
    assert improved(replace(A, views=A.views[:5]), replace(B, views=B.views[:5]), "psnr") is None
