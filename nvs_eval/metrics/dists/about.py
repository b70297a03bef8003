"""Facts of DISTS."""

from __future__ import annotations

from nvs_eval.metrics.about import About

ABOUT = {
    "dists": About(
        title="DISTS",
        words="the learned distance of structure and texture",
        higher_is_better=False,
        decimals=3,
        latex="DISTS",
        bounds=(0.0, 1.0),
        phrases={"weights:*": "uses the weights of dists-pytorch {}"},
    )
}
