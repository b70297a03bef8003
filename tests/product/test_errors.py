"""Helpers for the wording of messages."""

from __future__ import annotations

from nvs_eval.errors import InputError, counted, some, unknown_name


def test_unknown_name_lists_all_names_and_the_nearest() -> None:
    error = unknown_name("metric", "psrn", ["ssim", "psnr"])
    assert isinstance(error, InputError)
    assert str(error) == "Unknown metric 'psrn'. Did you mean 'psnr'? Known: psnr, ssim."


def test_no_similar_name_gives_no_hint() -> None:
    assert str(unknown_name("metric", "zzz", ["psnr"])) == "Unknown metric 'zzz'. Known: psnr."
    assert str(unknown_name("metric", "zzz", [])) == "Unknown metric 'zzz'. Known: none."


def test_many_names_are_shortened() -> None:
    assert some("abcde") == "a, b, c, d, e"
    assert some("abcdef") == "a, b, c, d, e and 1 more"
    assert some("abcdef", 3) == "a, b, c and 3 more"
    assert some([]) == ""


def test_counted_noun_is_singular_only_for_1() -> None:
    assert [counted(count, "shared view") for count in (0, 1, 2)] == [
        "0 shared views",
        "1 shared view",
        "2 shared views",
    ]
    assert counted(2, "leaf", "leaves") == "2 leaves"
