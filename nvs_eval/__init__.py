"""nvs-eval: the referee for novel-view synthesis.

Importing this package imports neither torch nor nerfstudio. The public names below load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from nvs_eval.api.diagnosing import diagnose as diagnose
    from nvs_eval.api.identifying import identify as identify
    from nvs_eval.api.installed import install_weights as install_weights
    from nvs_eval.api.installed import protocol_words as protocol_words
    from nvs_eval.api.installed import published as published
    from nvs_eval.api.installed import verify_installation as verify_installation
    from nvs_eval.api.installed import weights as weights
    from nvs_eval.api.page import page as page
    from nvs_eval.api.pictures import figure as figure
    from nvs_eval.api.pictures import video as video
    from nvs_eval.api.reporting import check as check
    from nvs_eval.api.reporting import compare as compare
    from nvs_eval.api.reporting import curve as curve
    from nvs_eval.api.reporting import export as export
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
    from nvs_eval.metrics.dists.metric import load_dists as load_dists
    from nvs_eval.metrics.flip.metric import flip as flip
    from nvs_eval.metrics.flip.metric import flip_map as flip_map
    from nvs_eval.metrics.lpips.metric import load_lpips as load_lpips
    from nvs_eval.metrics.mae.metric import mae as mae
    from nvs_eval.metrics.mipnerf_average.metric import mipnerf_average as mipnerf_average
    from nvs_eval.metrics.ms_ssim.metric import ms_ssim as ms_ssim
    from nvs_eval.metrics.psnr.metric import mse as mse
    from nvs_eval.metrics.psnr.metric import psnr as psnr
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
    from nvs_eval.records.result_id import selection_of as selection_of
    from nvs_eval.report.frames import data_frame as data_frame
    from nvs_eval.sources.folders import open_folders as open_folders
    from nvs_eval.sources.views import FailedView as FailedView
    from nvs_eval.sources.views import Render as Render
    from nvs_eval.sources.views import View as View

_PUBLIC = {
    "nvs_eval.api.diagnosing": ["diagnose"],
    "nvs_eval.api.identifying": ["identify"],
    "nvs_eval.api.installed": ["install_weights", "protocol_words", "published", "verify_installation", "weights"],
    "nvs_eval.api.page": ["page"],
    "nvs_eval.api.pictures": ["figure", "video"],
    "nvs_eval.api.reporting": ["check", "compare", "curve", "export", "inspect", "table", "verify"],
    "nvs_eval.api.scoring": ["audit", "rescore", "run", "score", "suite"],
    "nvs_eval.errors": ["InputError"],
    "nvs_eval.evaluation.evaluate": ["Session", "evaluate"],
    "nvs_eval.evaluation.scorer": ["Scorer"],
    "nvs_eval.images.files": ["Reading", "load_image"],
    "nvs_eval.metrics.colour_correction": ["correct_colours"],
    "nvs_eval.metrics.describe": ["Metric"],
    "nvs_eval.metrics.dists.metric": ["load_dists"],
    "nvs_eval.metrics.flip.metric": ["flip", "flip_map"],
    "nvs_eval.metrics.lpips.metric": ["load_lpips"],
    "nvs_eval.metrics.mipnerf_average.metric": ["mipnerf_average"],
    "nvs_eval.metrics.mae.metric": ["mae"],
    "nvs_eval.metrics.ms_ssim.metric": ["ms_ssim"],
    "nvs_eval.metrics.psnr.metric": ["mse", "psnr"],
    "nvs_eval.metrics.ssim.metric": ["ssim", "ssim_map"],
    "nvs_eval.protocols": ["Protocol", "load_protocol", "named_protocols"],
    "nvs_eval.records.files": ["read_records"],
    "nvs_eval.records.record": ["Record", "read_record", "write_record"],
    "nvs_eval.records.result_id": ["ResultId", "selection_of"],
    "nvs_eval.report.frames": ["data_frame"],
    "nvs_eval.sources.folders": ["open_folders"],
    "nvs_eval.sources.views": ["FailedView", "Render", "View"],
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]: the names are imported above
__all__ += ["__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # Slower to import than everything that `--help` needs.

        value: object = version("nvs-eval")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'nvs_eval' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
