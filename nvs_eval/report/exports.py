"""Records as files of other tools: of nerfstudio's ns-eval, and of INRIA's metrics.py.

The numbers are the record's, whatever its protocol. Name, fingerprint and signatures of the protocol are added under
the key `nvs_eval`, which scripts of these tools do not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from nvs_eval.errors import InputError, listed, some
from nvs_eval.records.incomplete import failures
from nvs_eval.records.record import Record, is_fast

_INRIA = {"SSIM": "ssim", "PSNR": "psnr", "LPIPS": "lpips_vgg"}
_NETS = ("alex", "vgg", "squeeze")


@dataclass(frozen=True)
class Export:
    """Files to write.

    Attributes:
        files: content of each file as plain JSON values, by its name.
        messages: remarks for the user.
    """

    files: Mapping[str, Mapping[str, Any]]
    messages: Sequence[str]


def ns_eval(record: Record) -> Export:
    """Return the `output.json` of nerfstudio's ns-eval: means and unbiased standard deviations over the views.

    `checkpoint` is nerfstudio's file name for the step, or "unknown" without a step. `lpips` is LPIPS (Alex), or the
    record's LPIPS of another network. `fps` and `num_rays_per_sec` cover rendering only, and need its times. Infinite
    means and the deviation of a single view are null, because JSON has no number for them. Metrics that the record
    lacks are omitted.
    """
    keys = {"psnr": "psnr", "ssim": "ssim", "lpips": _lpips_of(record, ""), "cc_psnr": "cc_psnr", "cc_ssim": "cc_ssim"}
    keys["cc_lpips"] = _lpips_of(record, "cc_")
    exported = {key: metric for key, metric in keys.items() if metric in record.metrics}
    results: dict[str, float | None] = {}
    for key, metric in exported.items():
        results[key] = _number(record.means[metric])
        results[f"{key}_std"] = _deviation([row.scores[metric] for row in record.views])
    for key, values in _speeds(record).items():
        results |= {key: _number(math.fsum(values) / len(values)), f"{key}_std": _deviation(values)}
    step = record.step
    output = {
        "experiment_name": record.scene,
        "method_name": record.method,
        "checkpoint": "unknown" if step is None else f"step-{step:09d}.ckpt",
        "results": results,
        "nvs_eval": _how(record, exported),
    }
    missing = [key for key in ("psnr", "ssim", "lpips") if key not in exported]
    return Export({"output.json": output}, _messages(record, exported, missing, results, "nerfstudio"))


def inria(record: Record) -> Export:
    """Return the `results.json` and `per_view.json` of INRIA's metrics.py: means, and the scores of each view.

    The method is named `ours_<step>`, `ours_<name>` for a checkpoint with a name, or `ours_final`. LPIPS is LPIPS
    (VGG). Infinite scores are null, because JSON has no number for them.

    Raises:
        InputError: the record lacks one of the three metrics.
    """
    missing = [metric for metric in _INRIA.values() if metric not in record.metrics]
    if missing:
        raise InputError(
            f"The files of INRIA's metrics.py need psnr, ssim and lpips_vgg. Got {some(record.metrics)}, without "
            f"{', '.join(missing)}. Score under a protocol with these metrics, such as `--protocol inria-3dgs`."
        )
    method = f"ours_{(record.step_name or 'final') if record.step is None else record.step}"
    how = {"nvs_eval": _how(record, _INRIA)}
    means = {key: _number(record.means[metric]) for key, metric in _INRIA.items()}
    views = {
        key: {f"{row.name}.png": _number(row.scores[metric]) for row in record.views} for key, metric in _INRIA.items()
    }
    of_views = {f"{key} of {name}": value for key, values in views.items() for name, value in values.items()}
    messages = _messages(record, _INRIA, [], {**means, **of_views}, "inria")
    return Export({"results.json": {method: {**means, **how}}, "per_view.json": {method: {**views, **how}}}, messages)


FORMS: Mapping[str, Callable[[Record], Export]] = {"ns-eval": ns_eval, "inria": inria}
"""Exports of a record, by the name of the form."""


def _lpips_of(record: Record, prefix: str) -> str:
    """Return the key of the record's LPIPS: AlexNet if it has it, else VGG16, else SqueezeNet."""
    names = [f"{prefix}lpips_{net}" for net in _NETS]
    return next((name for name in names if name in record.metrics), names[0])


def _how(record: Record, exported: Mapping[str, str]) -> dict[str, Any]:
    return {
        "protocol": record.protocol_title,
        "fingerprint": record.fingerprint,
        "signatures": {key: record.metrics[metric].signature for key, metric in exported.items()},
        "run": record.run,
        "step": record.step,
        "split": record.split,
        "views": len(record.views),
    }


def _speeds(record: Record) -> dict[str, list[float]]:
    speeds = [(row.width * row.height, 1 / row.render_seconds) for row in record.views if row.render_seconds]
    if not speeds:
        return {}
    return {"num_rays_per_sec": [rays * fps for rays, fps in speeds], "fps": [fps for _, fps in speeds]}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _deviation(values: Sequence[float]) -> float | None:
    """Return the unbiased standard deviation; None for a single value or with an infinite one."""
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def _messages(
    record: Record, exported: Mapping[str, str], missing: Sequence[str], values: Mapping[str, float | None], tool: str
) -> list[str]:
    messages = [f"The record is incomplete; means are of its other views. {line}." for line in failures([record])]
    if not record.protocol["name"].startswith(tool):
        messages.append(
            f"The numbers are those of protocol {record.protocol_title} ({record.fingerprint}), not "
            "computed as that tool does."
        )
    if fast := [key for key, metric in exported.items() if is_fast(record.metrics[metric])]:
        messages.append(f"{', '.join(fast)} was computed with `--precision fast`, within 0.5 % + 2e-4 of exact.")
    if missing:
        messages.append(f"The record lacks {', '.join(missing)}.")
    if tool == "nerfstudio":
        others = {key: name for key, name in exported.items() if name.endswith(("_vgg", "_squeeze"))}
        messages += [f"{key} is the record's {name}; ns-eval uses AlexNet." for key, name in others.items()]
    skipped = [name for name in record.metrics if name not in exported.values()]
    if skipped:
        are, them = ("are", "them") if len(skipped) > 1 else ("is", "it")
        messages.append(f"{listed(skipped)} {are} omitted: the format has no field for {them}.")
    absent = [key for key, value in values.items() if value is None]
    if absent:
        messages.append(f"Infinite scores and undefined deviations are null: {some(absent, 4, whole=True)}.")
    return messages
