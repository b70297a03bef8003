"""Measure time and peak memory of `nvs-eval table` on many records, for the whole process and several rounds.

python benchmarks/table.py [--scenes 20 --methods 10 --steps 5 --views 200] [--rounds 5] [-- --per-view]

Arguments after `--` are passed to `nvs-eval table`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import yaml

from nvs_eval.records.record import MetricInfo, Record, ViewRow, record_file, write_record
from nvs_eval.system.yaml_files import config_folder

LEVELS = {"psnr": 27.0, "ssim": 0.85, "lpips_alex": 0.15, "lpips_vgg": 0.25, "mae": 0.03}
INFO = {
    "psnr": MetricInfo("dB", True, "psnr|range:1|q:round8|v1"),
    "ssim": MetricInfo("", True, "ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|v1"),
    "lpips_alex": MetricInfo("", False, "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:round8|v1"),
    "lpips_vgg": MetricInfo("", False, "lpips|net:vgg|heads:0.1|input:scaled|norm:lpips|q:round8|v1"),
    "mae": MetricInfo("", False, "mae|range:1|q:round8|v1"),
}


def made_records(scenes: int, methods: int, steps: int, views: int) -> Iterator[Record]:
    """Yield records of realistic size. Records of the same scene share their references."""
    chance = random.Random(0)
    # Read as YAML, because loading a protocol imports torch, whose memory would count for the processes started here.
    definition = yaml.safe_load((config_folder() / "protocols" / "standard.yaml").read_text())
    protocol = {"name": definition.pop("name"), "definition": definition, "fingerprint": "0" * 8}
    for scene in range(scenes):
        folder = f"../../../../references/{hashlib.sha256(b'%d' % scene).hexdigest()[:12]}"
        hashes = [hashlib.sha256(b"%d/%d" % (scene, view)).hexdigest() for view in range(views)]
        for method in range(methods):
            for step in range(steps):
                yield Record(
                    scene=f"scene{scene:02d}",
                    method=f"method{method}",
                    run="2026-01-02_030405",
                    step=6000 * (step + 1),
                    split="test",
                    protocol=protocol,
                    metrics=INFO,
                    views=[_row(f"frame_{view:05d}", folder, sha256, chance) for view, sha256 in enumerate(hashes)],
                    provenance=_provenance(chance),
                )


def _row(name: str, folder: str, sha256: str, chance: random.Random) -> ViewRow:
    return ViewRow(
        name=name,
        width=1237,
        height=822,
        scores={metric: level * chance.uniform(0.8, 1.2) for metric, level in LEVELS.items()},
        render_seconds=chance.uniform(0.1, 0.3),
        render=f"renders/{name}.png",
        reference=f"{folder}/{name}.png",
        reference_sha256=sha256,
        coverage=None,
    )


def _provenance(chance: random.Random) -> dict[str, object]:
    return {
        "nvs_eval": "0.1.0",
        "versions": {"torch": "2.9.1", "numpy": "1.26.4", "nerfstudio": "1.1.5"},
        "device": "cuda",
        "command": ["nvs-eval", "run", "--load-config", "outputs/scene/method/config.yml", "--steps", "all"],
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": chance.uniform(10, 100),
        "checkpoint_sha256": hashlib.sha256(chance.randbytes(8)).hexdigest(),
        "peak_memory_bytes": chance.randrange(10**9, 10**10),
        "tf32": False,
    }


# Program that prints the CPU seconds of each part of the command.
PARTS = """
import json, sys, time
times = [("start", time.process_time())]
import rich.console, tyro
from nvs_eval import cli
from nvs_eval.records.comparable import check_comparable
from nvs_eval.records.files import read_record_files
times.append(("imports", time.process_time()))
files, records = zip(*read_record_files(sys.argv[1:]))
times.append(("reading", time.process_time()))
check_comparable(records, files=files)
times.append(("comparability", time.process_time()))
print(json.dumps({part: seconds - before for (_, before), (part, seconds) in zip([("", 0.0), *times], times)}))
"""


class Measured(NamedTuple):
    """Wall-clock seconds, CPU seconds and peak memory (in MB) of one process."""

    seconds: float
    processor: float
    memory: float


def measured(folder: Path, options: list[str]) -> Measured:
    """Measure one run of `nvs-eval table`."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "nvs_eval", "table", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"nvs-eval table failed with exit code {process.returncode}")
    # The unit is KiB on Linux and bytes on macOS.
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Measured(seconds, usage.ru_utime + usage.ru_stime, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20, help="number of scenes (default: 20)")
    parser.add_argument("--methods", type=int, default=10, help="number of methods (default: 10)")
    parser.add_argument("--steps", type=int, default=5, help="number of steps per run (default: 5)")
    parser.add_argument("--views", type=int, default=200, help="number of views per record (default: 200)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument("options", nargs="*", help="options of nvs-eval table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = []
        for record in made_records(arguments.scenes, arguments.methods, arguments.steps, arguments.views):
            file = record_file(record, folder)
            write_record(file, record)
            sizes.append(file.stat().st_size)
        rounds = [measured(folder, arguments.options) for _ in range(arguments.rounds)]
        parts = json.loads(subprocess.check_output([sys.executable, "-c", PARTS, str(folder)]))
    print(f"{len(sizes)} records of {arguments.views} views, {sum(sizes) / 1e6:.0f} MB")
    print(f"nvs-eval table {' '.join(arguments.options)}".strip())
    times = {"wall clock": [run.seconds for run in rounds], "CPU": [run.processor for run in rounds]}
    for clock, values in times.items():
        low, high = min(values), max(values)
        print(f"  {clock} median {statistics.median(values):.2f} s ({low:.2f} to {high:.2f}, {len(values)} rounds)")
    print(f"  peak memory {max(run.memory for run in rounds):.0f} MB")
    print("CPU seconds before the tables, in a separate process:")
    print("  " + ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items()))
    versions = ", ".join(f"{name} {version(name)}" for name in ("msgspec", "rich", "tyro"))
    print(f"Python {platform.python_version()}, {versions}, {platform.system()} {platform.machine()}, {_processor()}")


def _processor() -> str:
    """Return the number and, if known, the name of the processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor() or 'unknown'}"


if __name__ == "__main__":
    main()
