"""nvs-eval: the referee for novel-view synthesis.

Importing this package imports neither torch nor nerfstudio: the public names below load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from nvs_eval.api.reporting import check as check
    from nvs_eval.api.reporting import compare as compare
    from nvs_eval.api.reporting import curve as curve
    from nvs_eval.api.reporting import inspect as inspect
    from nvs_eval.api.reporting import table as table
    from nvs_eval.api.reporting import verify as verify
    from nvs_eval.api.scoring import audit as audit
    from nvs_eval.api.scoring import rescore as rescore
    from nvs_eval.api.scoring import run as run
    from nvs_eval.api.scoring import score as score
    from nvs_eval.api.scoring import suite as suite
    from nvs_eval.errors import InputError as InputError
    from nvs_eval.evaluation.evaluate import Session as Session
    from nvs_eval.evaluation.evaluate import evaluate as evaluate
    from nvs_eval.evaluation.scorer import Scorer as Scorer
    from nvs_eval.images.files import Reading as Reading
    from nvs_eval.images.files import load_image as load_image
    from nvs_eval.metrics.colour_correction import correct_colours as correct_colours
    from nvs_eval.metrics.describe import Metric as Metric
    from nvs_eval.metrics.lpips.metric import load_lpips as load_lpips
    from nvs_eval.metrics.mipnerf_average import mipnerf_average as mipnerf_average
    from nvs_eval.metrics.psnr import mae as mae
    from nvs_eval.metrics.psnr import mse as mse
    from nvs_eval.metrics.psnr import psnr as psnr
    from nvs_eval.metrics.ssim.metric import ssim as ssim
    from nvs_eval.metrics.ssim.metric import ssim_map as ssim_map
    from nvs_eval.protocols import Protocol as Protocol
    from nvs_eval.protocols import load_protocol as load_protocol
    from nvs_eval.protocols import named_protocols as named_protocols
    from nvs_eval.records.files import read_records as read_records
    from nvs_eval.records.record import Record as Record
    from nvs_eval.records.record import read_record as read_record
    from nvs_eval.records.record import write_record as write_record
    from nvs_eval.records.result_id import ResultId as ResultId
    from nvs_eval.report.frames import data_frame as data_frame
    from nvs_eval.sources.folders import open_folders as open_folders
    from nvs_eval.sources.views import Render as Render
    from nvs_eval.sources.views import View as View

_HOMES = {
    "inspect": "nvs_eval.api.reporting",
    "verify": "nvs_eval.api.reporting",
    "curve": "nvs_eval.api.reporting",
    "check": "nvs_eval.api.reporting",
    "suite": "nvs_eval.api.scoring",
    "rescore": "nvs_eval.api.scoring",
    "audit": "nvs_eval.api.scoring",
    "InputError": "nvs_eval.errors",
    "Metric": "nvs_eval.metrics.describe",
    "Protocol": "nvs_eval.protocols",
    "Reading": "nvs_eval.images.files",
    "Record": "nvs_eval.records.record",
    "ResultId": "nvs_eval.records.result_id",
    "Render": "nvs_eval.sources.views",
    "Scorer": "nvs_eval.evaluation.scorer",
    "Session": "nvs_eval.evaluation.evaluate",
    "evaluate": "nvs_eval.evaluation.evaluate",
    "View": "nvs_eval.sources.views",
    "compare": "nvs_eval.api.reporting",
    "correct_colours": "nvs_eval.metrics.colour_correction",
    "data_frame": "nvs_eval.report.frames",
    "load_image": "nvs_eval.images.files",
    "load_lpips": "nvs_eval.metrics.lpips.metric",
    "load_protocol": "nvs_eval.protocols",
    "mae": "nvs_eval.metrics.psnr",
    "mipnerf_average": "nvs_eval.metrics.mipnerf_average",
    "mse": "nvs_eval.metrics.psnr",
    "named_protocols": "nvs_eval.protocols",
    "open_folders": "nvs_eval.sources.folders",
    "psnr": "nvs_eval.metrics.psnr",
    "read_record": "nvs_eval.records.record",
    "read_records": "nvs_eval.records.files",
    "run": "nvs_eval.api.scoring",
    "score": "nvs_eval.api.scoring",
    "ssim": "nvs_eval.metrics.ssim.metric",
    "ssim_map": "nvs_eval.metrics.ssim.metric",
    "table": "nvs_eval.api.reporting",
    "write_record": "nvs_eval.records.record",
}

__all__ = [
    "InputError",
    "Metric",
    "Protocol",
    "Reading",
    "Record",
    "Render",
    "ResultId",
    "Scorer",
    "Session",
    "View",
    "__version__",
    "audit",
    "check",
    "compare",
    "correct_colours",
    "curve",
    "data_frame",
    "evaluate",
    "inspect",
    "load_image",
    "load_lpips",
    "load_protocol",
    "mae",
    "mipnerf_average",
    "mse",
    "named_protocols",
    "open_folders",
    "psnr",
    "read_record",
    "read_records",
    "rescore",
    "run",
    "score",
    "ssim",
    "ssim_map",
    "suite",
    "table",
    "verify",
    "write_record",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # Which takes longer to import than all that `--help` needs.

        value: object = version("nvs-eval")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'nvs_eval' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
