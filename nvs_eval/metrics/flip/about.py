"""Facts of FLIP."""

from __future__ import annotations

from nvs_eval.metrics.about import About

ABOUT = {
    "flip": About(
        title="FLIP",
        words="the difference seen when flipping between the images",
        higher_is_better=False,
        decimals=3,
        latex="FLIP",
        bounds=(0.0, 1.0),
        phrases={"ppd:*": "assumes {} pixels per degree of visual angle"},
    )
}
