"""Records of two methods that differ by known gains, and their comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from support.records import INFO, record, row

from nvs_eval.comparison.compare import compare_contenders
from nvs_eval.comparison.model import Comparison
from nvs_eval.records.groups import Contender, methods_of
from nvs_eval.records.record import Record

# Gain of B in dB, by view: about 0.3 for all views but one.
GAINS = [0.31, 0.45, 0.12, 0.52, -0.05, 0.38, 0.29]


def of(method: str, psnr: Sequence[float], *, ssim: Sequence[float] | None = None, **changes: Any) -> Record:
    scores = [{"psnr": value} for value in psnr]
    if ssim is not None:
        scores = [{**view, "ssim": value} for view, value in zip(scores, ssim, strict=True)]
    return record([row(f"{i:04}", **view) for i, view in enumerate(scores)], method=method, **changes)


def base(count: int = 7) -> list[float]:
    """Return the PSNR of each view. Views differ much more than methods do."""
    return [20.0 + 2.5 * math.sin(3.0 * index) for index in range(count)]


def contenders(*records: Record, runs: str = "each") -> list[Contender]:
    return methods_of(records, runs="mean" if runs == "mean" else "each")


def pair_of(*records: Record, runs: str = "each", **options: Any) -> Comparison:
    return compare_contenders(contenders(*records, runs=runs), resamples=1000, **options)


A = of("a", base(), ssim=[0.8] * 7)

B = of("b", [x + gain for x, gain in zip(base(), GAINS, strict=True)], ssim=[0.8 + 0.01 * (-1) ** i for i in range(7)])


def words(*records: Record, **options: Any) -> list[str]:
    return list(pair_of(*records, **options).pairs[0].words)


def many(gains: Sequence[float], **more: Sequence[float]) -> tuple[Record, Record]:
    """Return two sides that differ by these gains in PSNR, and by the keywords' gains in more metrics."""
    count = len(gains)
    sides = []
    for method, changed in (("a", False), ("b", True)):
        scores = [
            {"psnr": x + (gains[i] if changed else 0.0)}
            | {name: 0.5 + metric_gains[i] * changed for name, metric_gains in more.items()}
            for i, x in enumerate(base(count))
        ]
        metrics = {"psnr": INFO["psnr"], **dict.fromkeys(more, INFO["ssim"])}
        views = [row(f"{i:04}", **view) for i, view in enumerate(scores)]
        sides.append(replace(record(method=method), views=views, metrics=metrics))
    return sides[0], sides[1]


def scenes_of(**gains: Sequence[float]) -> tuple[list[Record], list[Record]]:
    """Return two sides that differ by these gains in each scene."""
    of_a = [of("a", base(len(views)), scene=scene) for scene, views in gains.items()]
    of_b = [
        of("b", [x + gain for x, gain in zip(base(len(views)), views, strict=True)], scene=scene)
        for scene, views in gains.items()
    ]
    return of_a, of_b
