"""A record in the forms that the scripts around other tools read: those of ns-eval, and of INRIA's metrics.py.

The numbers are the record's own, whatever its protocol; the protocol's name, its fingerprint and the metrics'
signatures stand beside them under `nvs_eval`, where no script that reads by key comes across them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, is_fast

_INRIA = {"SSIM": "ssim", "PSNR": "psnr", "LPIPS": "lpips_vgg"}
_NETS = ("alex", "vgg", "squeeze")


@dataclass(frozen=True)
class Export:
    """Files to write.

    Attributes:
        files: what each holds, as plain JSON values, by its name.
        messages: what a user should know of them.
    """

    files: Mapping[str, Mapping[str, Any]]
    messages: Sequence[str]


def ns_eval(record: Record) -> Export:
    """The `output.json` of nerfstudio's ns-eval: means and unbiased standard deviations over the views.

    `checkpoint` is the name of nerfstudio's file for the step, or "unknown" where the record has none. `lpips` is the
    record's LPIPS with AlexNet, else with what net it has. `fps` and `num_rays_per_sec` are of the rendering alone, and
    there only where its time is known. What JSON has no number for, an infinity or the deviation of a single view, is
    null. What the record lacks is left out.
    """
    keys = {"psnr": "psnr", "ssim": "ssim", "lpips": _lpips_of(record, ""), "cc_psnr": "cc_psnr", "cc_ssim": "cc_ssim"}
    keys["cc_lpips"] = _lpips_of(record, "cc_")
    taken = {key: metric for key, metric in keys.items() if metric in record.metrics}
    results: dict[str, float | None] = {}
    for key, metric in taken.items():
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
        "nvs_eval": _how(record, taken),
    }
    missing = [key for key in ("psnr", "ssim", "lpips") if key not in taken]
    return Export({"output.json": output}, _messages(record, taken, missing, results, "nerfstudio"))


def inria(record: Record) -> Export:
    """The `results.json` and `per_view.json` of INRIA's metrics.py: means, and the scores of each view.

    The method is called `ours_<step>`, or `ours_final` where the record has no step. Its LPIPS is that with VGG16. An
    infinity, for which JSON has no number, is null.

    Raises:
        InputError: the record lacks one of the three scores.
    """
    missing = [metric for metric in _INRIA.values() if metric not in record.metrics]
    if missing:
        raise InputError(
            f"INRIA's files hold psnr, ssim and lpips_vgg, and the record has {', '.join(record.metrics)}: it lacks "
            f"{', '.join(missing)}. Score under a protocol that has them, such as `--protocol inria-3dgs`."
        )
    method = f"ours_{'final' if record.step is None else record.step}"
    how = {"nvs_eval": _how(record, _INRIA)}
    means = {key: _number(record.means[metric]) for key, metric in _INRIA.items()}
    views = {
        key: {f"{row.name}.png": _number(row.scores[metric]) for row in record.views} for key, metric in _INRIA.items()
    }
    of_views = {f"{key} of {name}": value for key, values in views.items() for name, value in values.items()}
    messages = _messages(record, _INRIA, [], {**means, **of_views}, "inria")
    return Export({"results.json": {method: {**means, **how}}, "per_view.json": {method: {**views, **how}}}, messages)


FORMS: Mapping[str, Callable[[Record], Export]] = {"ns-eval": ns_eval, "inria": inria}
"""What a record can be exported as."""


def _lpips_of(record: Record, prefix: str) -> str:
    """The record's LPIPS by the first net that it has."""
    names = [f"{prefix}lpips_{net}" for net in _NETS]
    return next((name for name in names if name in record.metrics), names[0])


def _how(record: Record, taken: Mapping[str, str]) -> dict[str, Any]:
    return {
        "protocol": record.protocol_title,
        "fingerprint": record.fingerprint,
        "signatures": {key: record.metrics[metric].signature for key, metric in taken.items()},
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
    """The unbiased standard deviation; of one value, or with an infinity among them, there is none."""
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def _messages(
    record: Record, taken: Mapping[str, str], missing: Sequence[str], values: Mapping[str, float | None], tool: str
) -> list[str]:
    messages = []
    if not record.protocol["name"].startswith(tool):
        messages.append(
            f"The numbers are those of protocol {record.protocol_title} ({record.fingerprint}), and not how that "
            "tool computes them."
        )
    if fast := [key for key, metric in taken.items() if is_fast(record.metrics[metric])]:
        messages.append(
            f"{', '.join(fast)} was computed with `--precision fast`: up to 0.5 % plus 2e-4 off what is exact."
        )
    if missing:
        messages.append(f"The record lacks {', '.join(missing)}: left out.")
    if tool == "nerfstudio":
        others = {key: name for key, name in taken.items() if name.endswith(("_vgg", "_squeeze"))}
        messages += [f"{key} is the record's {name}: ns-eval's is of AlexNet." for key, name in others.items()]
    left = [name for name in record.metrics if name not in taken.values()]
    if left:
        messages.append(f"That format has no place for {', '.join(left)}: left out.")
    absent = [key for key, value in values.items() if value is None]
    if absent:
        named = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
        messages.append(f"Null, as JSON has no number for an infinity or for the deviation of one view: {named}.")
    return messages
