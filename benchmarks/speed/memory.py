"""Peak memory of contenders above their imports, each measured in a separate process.

    python -m benchmarks.speed.memory WORK CONTENDER SIZE DEVICE

measures one contender and prints its numbers as JSON. Images, weights and all temporary data count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed.cases import MEMORY_TARGETS, WORKS, Case
from benchmarks.speed.contenders import Contender, promised
from benchmarks.speed.images import images
from benchmarks.speed.places import ROOT
from benchmarks.speed.results import CaseResult, Measured

_SPARE = 2 * 2**30
"""Number of bytes left to the rest of the machine. A process that would take more is stopped."""


def measure_case(case: Case, environment: dict[str, str], device: str) -> CaseResult:
    """Return the peak memory of each contender of a case.

    Args:
        case: case to measure.
        environment: environment variables of the processes.
        device: device to compute on.
    """
    images(case.images, case.size)  # Fill the cache of images before the processes start.
    contenders = {
        contender.name: _measure(contender, case, environment, device)
        for contender in WORKS[case.work]
        if contender.only in (None, device)
    }
    return CaseResult(case.work, case.size, case.images, case.threads, "bytes", contenders)


def _measure(contender: Contender, case: Case, environment: dict[str, str], device: str) -> Measured:
    targets = MEMORY_TARGETS.get(case.name, ()) if contender.owner == "ours" and contender.renders == 1 else ()
    target = promised(targets, device, case.size)
    measured = Measured(contender.owner, renders=contender.renders, target=target, fast=contender.fast)
    command = [sys.executable, "-m", "benchmarks.speed.memory", case.work, contender.name, case.size, device]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    allowed = _available() - _SPARE
    while process.poll() is None:
        if (used := _status(process.pid, "VmRSS")) is not None and used > allowed:
            process.kill()
            process.communicate()
            measured.failed = f"stopped at {used / 1e9:.1f} GB"
            return measured
        time.sleep(0.02)
    out, err = process.communicate()
    if process.returncode:
        measured.failed = (
            err.strip().splitlines()[-1].rpartition("Missing: ")[2]
            if err.strip()
            else f"exit code {process.returncode}"
        )
        return measured
    numbers = json.loads(out)
    measured.values.append(numbers["process"])
    if numbers["device"] is not None:
        measured.more["device"] = [numbers["device"]]
    return measured


def _available() -> int:
    """Return the number of bytes of available memory."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return sys.maxsize


def _status(process: int, field: str) -> int | None:
    """Return a field of a process in /proc, in bytes; None if the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


class Peak(NamedTuple):
    """Peak memory above the imports, in bytes: of the process, and of the GPU if one is used."""

    process: int
    device: int | None


def _peak(work: str, name: str, size: str, place: str) -> Peak:
    """Score once, and read the high-water mark of this process, which other processes cannot affect."""
    import lpips  # noqa: F401
    import pytorch_msssim  # noqa: F401
    import skimage.metrics  # noqa: F401
    import torch
    import torchmetrics.image  # noqa: F401

    import nvs_eval.metrics.lpips.metric
    import nvs_eval.metrics.ssim.metric  # noqa: F401
    from benchmarks.speed.timing import pair

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    device = torch.device(place)
    before = _status(os.getpid(), "VmRSS")
    (contender,) = (contender for contender in WORKS[work] if contender.name == name)
    contender.make(device)(*pair(images("photo", size), range(contender.renders), device))
    after = _status(os.getpid(), "VmHWM")
    assert before is not None and after is not None
    return Peak(after - before, torch.cuda.max_memory_allocated() if device.type == "cuda" else None)


if __name__ == "__main__":
    print(json.dumps(_peak(*sys.argv[1:])._asdict()))
