"""Scoring stays within its memory limit, the estimate is accurate, and no score depends on the limit."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scenes import noise
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips import passes as lpips_passes
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.lpips.network import Network
from nvs_eval.metrics.lpips.plan import Allowed, Images, Pairing, Pass, Plan, bytes_needed, plan_passes
from nvs_eval.metrics.together import Request
from nvs_eval.metrics.weights.pins import NETS, Net

LoadLpips = Callable[..., Lpips]

# Records every plan; the last one that fits is used.
BEGIN = """
import sys
from pathlib import Path
import psutil, torch
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.lpips.passes import score_together
from nvs_eval.metrics.together import Request
from nvs_eval.metrics.lpips.plan import bytes_needed
from nvs_eval.metrics.lpips.metric import load_lpips

process, plans, fitting = psutil.Process(), [], lpips_plan.rows_within


def record(layers, images, *args):
    rows = fitting(layers, images, *args)
    plans.append((layers, images, rows))
    return rows


lpips_plan.rows_within = record
net, folder = sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None
"""
MEASURED = """
count, height, width, allowed = map(int, sys.argv[3:7])
masked, clamped = sys.argv[7] == "masked", sys.argv[7] == "clamped"
metric = load_lpips(net, weights_dir=folder, clamp=clamped)
reference, renders = torch.rand(3, height, width) * (1 + clamped), torch.rand(count, 3, height, width) * (1 + clamped)
mask = torch.ones(1, height, width) if masked else None
before = process.memory_info().rss
Path("/proc/self/clear_refs").write_text("5")  # Resets the system's peak, which includes short peaks.
with torch.inference_mode():
    score_together([Request(metric, reference, renders, mask)], allowed or None)
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(bytes_needed(*plans[-1]), 1024 * int(status["VmHWM"].split()[0]) - before)
"""
# Simulates a container with a limit on the process's memory.
LIMITED = """
limit = int(sys.argv[3])
metric = load_lpips(net, weights_dir=folder)
before = process.memory_info().rss
lpips_plan.free_memory = lambda device: max(0, limit - (process.memory_info().rss - before))
reference, renders = torch.rand(3, 180, 320), torch.rand(2, 3, 180, 320)
for view in range(3):
    with torch.inference_mode():
        (scores,) = score_together([Request(metric, reference, renders, None)])
    layers, images, rows = plans[-1]
    print(len({type(layer) for layer in layers}), images.renders, *scores.tolist())
"""
MB = 10**6


def score_together(wanted: list[Request], max_memory: int | None = None) -> list[Any]:
    """Return values or errors, typed loosely for the tests."""
    return lpips_passes.score_together(wanted, max_memory)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system cannot reset the peak memory")
@pytest.mark.parametrize(
    ("net", "size", "allowed", "fed"),
    [
        ("alex", (4, 901, 1603), 0, "plain"),
        ("alex", (4, 901, 1603), 360 * MB, "plain"),
        ("squeeze", (1, 900, 1600), 0, "plain"),
        ("vgg", (1, 421, 803), 0, "plain"),
        ("vgg", (4, 240, 1201), 700 * MB, "plain"),
        ("vgg", (1, 1080, 1920), 240 * MB, "plain"),
        ("squeeze", (12, 700, 1280), 80 * MB, "plain"),
        ("squeeze", (4, 900, 1600), 120 * MB, "masked"),
        ("alex", (4, 901, 1603), 200 * MB, "clamped"),
    ],
)
def test_the_memory_estimate_is_accurate(
    *,
    net: Net,
    size: tuple[int, int, int],
    allowed: int,
    fed: str,
    weights_folder: Callable[[Net], Path | None],
    tmp_path: Path,
) -> None:
    arguments = [net, weights_folder(net) or "", *size, allowed, fed]
    estimate, peaks = 0, []
    for _ in range(3):  # A peak is too low if freed memory was reused, never too high: the largest counts.
        estimate, peak = map(int, in_new_process(BEGIN + MEASURED, *arguments, folder=tmp_path).split())
        peaks.append(peak)
        if estimate / peak <= 1.3:
            break
    assert not allowed or estimate <= allowed
    assert 0.7 <= estimate / max(peaks) <= 1.3, (estimate, peaks)


@pytest.mark.parametrize("limit", [450 * MB, 900 * MB])
def test_memory_of_earlier_views_is_reused(
    limit: int, weights_folder: Callable[[Net], Path | None], tmp_path: Path
) -> None:
    output = in_new_process(BEGIN + LIMITED, "vgg", weights_folder("vgg") or "", limit, folder=tmp_path)
    first, *later = [[float(number) for number in line.split()] for line in output.splitlines()]
    assert len(later) == 2
    for view in later:
        assert view == pytest.approx(first, abs=1e-6)


def in_new_process(code: str, *arguments: object, folder: Path) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


@pytest.mark.parametrize("net", NETS)
def test_less_memory_changes_no_score(net: Net, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = lpips_of(net)
    reference, renders = noise(3, 130, 141), noise(2, 3, 130, 141, seed=1)
    (plenty,) = score_together([Request(metric, reference, renders, None)])
    fed: list[int] = []
    scaled = Lpips.scaled

    def counting(self: Lpips, images: Tensor) -> Tensor:
        fed.append(images.shape[-2])
        return scaled(self, images)

    monkeypatch.setattr(Lpips, "scaled", counting)
    layers = metric.layers_for(reference)
    least = bytes_needed(layers, Pass(1, 2, 1, 130, 141, pairs=2), 8)
    (tight,) = score_together([Request(metric, reference, renders, None)], max_memory=least)
    assert max(fed) <= 8
    assert (tight - plenty).abs().max() <= 1e-6


def test_fewer_renders_pass_together_in_less_memory(lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = lpips_of("alex")
    reference, renders = noise(3, 131, 142), noise(5, 3, 131, 142, seed=1)
    renders[3] = reference
    (plenty,) = score_together([Request(metric, reference, renders, None)])
    counts: list[int] = []
    stream_pass = lpips_passes._pass

    def counting(network: Network, parts: Any, images: Images, plan: Plan) -> None:
        counts.append(len(images) - 1)
        stream_pass(network, parts, images, plan)

    monkeypatch.setattr(lpips_passes, "_pass", counting)
    least = bytes_needed(metric.layers_for(reference), Pass(1, 2, 1, 131, 142, pairs=3), 1)
    (tight,) = score_together([Request(metric, reference, renders, None)], max_memory=least)
    assert counts == [2, 2]
    assert (tight - plenty).abs().max() <= 1e-6
    assert tight[3] == 0


def test_little_memory_is_enough_for_slow_layers(lpips_of: LoadLpips) -> None:
    metric = lpips_of("vgg")
    reference, renders = noise(3, 133, 201), noise(2, 3, 133, 201, seed=1)
    (plenty,) = score_together([Request(metric, reference, renders, None)])
    quick = bytes_needed(metric.layers_for(reference), Pass(1, 1, 1, 133, 201, pairs=1), 1)
    allowed = bytes_needed(metric.layers_for(reference, lean=True), Pass(1, 1, 1, 133, 201, pairs=1), 1)
    assert allowed < 0.6 * quick
    plan = plan_passes([Pairing(metric, [0, 0], [1, 2])], [reference], list(renders), Allowed(allowed))
    assert plan.layers == metric.layers_for(reference, lean=True)
    (tight,) = score_together([Request(metric, reference, renders, None)], allowed)
    assert 0 < (tight - plenty).abs().max() <= 1e-6
    (refused,) = score_together([Request(metric, reference, renders, None)], allowed // 2)
    assert re.search(r"needs \d+ MB besides the images, .* MB may be used", str(refused))


def test_the_cache_of_estimates_keeps_no_network_alive(lpips_of: LoadLpips) -> None:
    backbone = Backbone("alex", lpips_of("alex").backbone.weights)
    layers = backbone.layers(torch.device("cpu"), torch.float32)
    bytes_needed(layers, Pass(1, 1, 1, 64, 71, pairs=1), 8)
    gone = weakref.ref(layers[0])
    del backbone, layers
    gc.collect()
    assert gone() is None


def test_a_used_metric_can_be_copied(lpips_of: LoadLpips) -> None:
    metric = lpips_of("alex")
    reference, render = noise(3, 64, 80), noise(3, 64, 80, seed=1)
    expected = metric(reference, render)
    assert copy.deepcopy(metric)(reference, render) == expected
    assert pickle.loads(pickle.dumps(metric))(reference, render) == expected


def test_half_precision_images_are_exact(lpips_of: LoadLpips) -> None:
    metric = lpips_of("alex")
    reference, render = noise(3, 64, 80).bfloat16(), noise(3, 64, 80, seed=1).bfloat16()
    assert (metric(reference, render) - metric(reference.double(), render.double())).abs() <= 1e-6


def test_too_little_memory_is_an_error_before_computing(lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lpips, "scaled", None)
    wanted = Request(lpips_of("squeeze"), noise(3, 64, 80), noise(1, 3, 64, 80, seed=1), None)
    (refused,) = score_together([wanted], max_memory=10**6)
    assert isinstance(refused, InputError)
    assert re.search(r"LPIPS with squeeze of a render of 80x64 needs \d+ MB .* 1 MB may be used", str(refused))
    monkeypatch.setattr(lpips_plan, "free_memory", lambda device: 0)
    (refused,) = score_together([wanted])
    assert re.search(r"only \d\S* MB of the free memory may be used\. Stop other programs", str(refused))


def test_more_images_and_rows_need_more_memory(lpips_of: LoadLpips) -> None:
    layers = lpips_of("alex").layers_for(noise(3, 64, 64))
    few = bytes_needed(layers, Pass(1, 1, 1, 2160, 960, pairs=1), 16)
    assert bytes_needed(layers, Pass(1, 4, 1, 2160, 960, pairs=4), 16) > few
    assert bytes_needed(layers, Pass(1, 1, 1, 2160, 960, pairs=1), 64) > few
    # At twice the height, as many rows are fed at a time, so only the map of differences grows.
    assert bytes_needed(layers, Pass(1, 1, 1, 4320, 960, pairs=1), 16) < 1.3 * few
