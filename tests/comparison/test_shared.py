"""Views that two sides share, notes on the others, and errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.pinned import Pinned
from support.records import INFO
from support.two_sides import GAINS, A, B, base, contenders, of, pair_of, words

from nvs_eval.comparison.shared import shared
from nvs_eval.errors import InputError
from nvs_eval.metrics.registry import about_of


def test_shared_views_are_compared_and_others_are_noted(pinned: Pinned) -> None:
    more = of("a", [*base(), 99.0])
    other = of("b", base(), scene="garden")
    both = shared(*contenders(more, B, other))
    assert both.views == {"fox": [f"{i:04}" for i in range(7)]}
    pinned("compare", "\n".join(both.notes))
    assert both.scores("psnr").difference == pytest.approx(np.mean(GAINS))


def test_notes_are_among_the_sentences() -> None:
    info = {"lpips_vgg": INFO["psnr"], **INFO}
    a = replace(A, metrics=info, views=[replace(view, scores={**view.scores, "lpips_vgg": 0.1}) for view in A.views])
    sentences = words(a, of("b", base(6)))
    assert "fox: compared on 6 of 7 views; skipped 0006, which some records lack." in sentences
    assert f"Skipped {about_of('lpips_vgg').title}, which some records lack." in sentences


def test_different_steps_are_noted(pinned: Pinned) -> None:
    runs = [replace(A, run="x", step=500), replace(A, run="y", step=1000), replace(B, step=7)]
    pinned("compare", "\n".join(shared(*contenders(*runs, runs="mean")).notes))
    scenes = [*(replace(side, step=500) for side in (A, B)), replace(A, scene="x", step=9), replace(B, scene="x")]
    pinned("compare", "\n".join(shared(*contenders(*scenes)).notes))
    # Steps of scenes that are not compared do not matter.
    assert shared(*contenders(*scenes), scenes=["x"]).notes == []


def test_no_shared_view_is_an_error(pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        pair_of(A, of("b", base(), scene="garden"))
    pinned("compare", error.value)
    renamed = replace(B, views=[replace(view, name=f"x{view.name}") for view in B.views])
    with pytest.raises(InputError, match="must share a "):
        pair_of(A, renamed)


def test_shared_views_with_different_images_are_an_error(pinned: Pinned) -> None:
    changed = replace(B, views=[replace(view, reference_sha256="1" * 64) for view in B.views])
    with pytest.raises(InputError) as error:
        pair_of(A, changed)
    pinned("compare", error.value)
    # Images of views that are not shared do not matter.
    a = replace(A, views=[*A.views, replace(A.views[0], name="x", width=7)])
    assert pair_of(a, replace(B, views=[*B.views, replace(B.views[0], name="y")])).pairs
