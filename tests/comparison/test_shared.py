"""The views that two sides share: what is compared, what is not, and what is an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.records import INFO
from support.two_sides import GAINS, A, B, base, contenders, of, pair_of, words

from nvs_eval.comparison.shared import shared
from nvs_eval.errors import InputError


def test_shared_views_are_compared_and_the_others_named() -> None:
    more = of("a", [*base(), 99.0])
    other = of("b", base(), scene="garden")
    both = shared(*contenders(more, B, other))
    assert both.views == {"fox": [f"{i:04}" for i in range(7)]}
    assert both.notes == [
        "Only b has garden: left out",
        "fox: compared on the 7 of 8 views that all have; without 0007",
        "SSIM: not of all records, and left out",
    ]
    assert both.scores("psnr").difference == pytest.approx(np.mean(GAINS))


def test_names_in_notes_stay_as_they_are() -> None:
    info = {"lpips_vgg": INFO["psnr"], **INFO}
    other = replace(
        A, metrics=info, views=[replace(each, scores={**each.scores, "lpips_vgg": 0.1}) for each in A.views]
    )
    said = words(other, of("b", base(6)))
    assert "fox: compared on the 6 of 7 views that all have; without 0006." in said
    assert "LPIPS (VGG): not of all records, and left out." in said


def test_runs_and_scenes_of_different_steps_are_said() -> None:
    runs = [replace(A, run="x", step=500), replace(A, run="y", step=1000), replace(B, step=7)]
    assert shared(*contenders(*runs, runs="mean")).notes == ["a: of different steps, 500, 1000"]
    scenes = [*(replace(each, step=500) for each in (A, B)), replace(A, scene="x", step=9), replace(B, scene="x")]
    assert shared(*contenders(*scenes)).notes == ["a: of different steps, 9, 500", "b: of different steps, 500, none"]
    # Of scenes that are not compared it does not matter.
    assert shared(*contenders(*scenes), scenes=["x"]).notes == []


def test_no_shared_view_is_an_error() -> None:
    with pytest.raises(InputError, match=r"a and b share no view: a is of fox \(0000, .*b of garden"):
        pair_of(A, of("b", base(), scene="garden"))
    renamed = replace(B, views=[replace(each, name=f"x{each.name}") for each in B.views])
    with pytest.raises(InputError, match="share no view"):
        pair_of(A, renamed)


def test_views_of_one_name_and_different_images_are_an_error() -> None:
    other = replace(B, views=[replace(each, reference_sha256="1" * 64) for each in B.views])
    with pytest.raises(InputError, match=r"fox: a and b were scored with different references \(7 of 7 views\)"):
        pair_of(A, other)
    # But of views that are not shared it does not matter.
    one = replace(A, views=[*A.views, replace(A.views[0], name="x", width=7)])
    assert pair_of(one, replace(B, views=[*B.views, replace(B.views[0], name="y")])).pairs
