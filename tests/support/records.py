"""Records for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from support.scenes import HEIGHT, WIDTH

from nvs_eval.records.record import MetricInfo, Record, ViewRow


def row(name: str = "0001", **scores: float) -> ViewRow:
    return ViewRow(
        name=name,
        width=WIDTH,
        height=HEIGHT,
        scores=scores or {"psnr": 28.25, "ssim": 0.875},
        render_seconds=None,
        render=None,
        reference=None,
        reference_sha256="0" * 64,
        coverage=None,
    )


INFO = {
    "psnr": MetricInfo("dB", True, "psnr|range:1|q:round8|v1"),
    "ssim": MetricInfo("", True, "ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|v1"),
    "lpips_alex": MetricInfo("", False, "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:round8|v1"),
}


def record(views: Sequence[ViewRow] = (row(),), **changes: Any) -> Record:
    values: dict[str, Any] = {
        "scene": "fox",
        "method": "nerfacto",
        "run": None,
        "step": None,
        "split": "test",
        "protocol": {"name": "standard", "definition": {"round_means": None}, "fingerprint": "9f2c51ab"},
        "metrics": {name: INFO[name] for name in views[0].scores},
        "views": list(views),
        "provenance": {"nvs_eval": "0.1.0"},
    }
    return Record(**{**values, **changes})


OTHER = {"name": "other", "definition": {"round_means": None}, "fingerprint": "00000000"}


def under(scored: Record, protocol: Mapping[str, Any] = OTHER) -> Record:
    """Return a record under another protocol, which does not quantise, so that all of its numbers are others."""
    metrics = {
        name: replace(info, signature=info.signature.replace("q:round8", "q:float"))
        for name, info in scored.metrics.items()
    }
    return replace(scored, protocol=protocol, metrics=metrics)


def rows(records: Sequence[Record], step: int) -> list[list[dict[str, Any]]]:
    """Return the rows of all records of one step as dictionaries, without their paths."""
    paths = {"render": None, "reference": None}
    return [[{**asdict(row), **paths} for row in record.views] for record in records if record.step == step]
