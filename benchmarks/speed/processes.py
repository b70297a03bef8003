"""Timing of whole processes, from the command to the result, including start-up and decoding.

`nerfbaselines evaluate` and nvs-eval score the same folders, in the layout of NerfBaselines' predictions (`color/`,
`gt-color/`, `info.json`). Stock `ns-eval` cannot load its own checkpoints with torch 2.6 or newer unless torch's
protection is disabled, and it downloads AlexNet. The benchmark disables the protection and provides the weights.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.speed.contenders import Target, promised
from benchmarks.speed.images import RENDERS, SIZES, images
from benchmarks.speed.places import KEPT, PEERS, torch_home
from benchmarks.speed.results import CaseResult, Measured
from benchmarks.speed.timing import Rounds, largest_error

# Tolerance of values that NerfBaselines rounds to five decimals.
_ROUNDED = 5e-5
Values = Mapping[tuple[int, str], float]
"""Means by folder and metric."""

_NERFBASELINES = {"psnr": "psnr", "ssim": "ssim", "mae": "mae", "lpips": "lpips_alex", "lpips_vgg": "lpips_vgg"}
_NS_EVAL = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_alex"}

NERFBASELINES: Sequence[tuple[str, str, Mapping[tuple[int, bool], float]]] = (
    ("nerfbaselines", "default", {(1, False): 2, (4, False): 3, (1, True): 3, (4, True): 6}),
    ("nerfbaselines-nerf", "nerf", {(1, False): 1.3, (4, False): 2.1}),
)
"""Protocol of nvs-eval, protocol of NerfBaselines, and target ratios by number of folders and use of fast LPIPS."""


@dataclass(frozen=True)
class Program:
    """A contender that runs as a process.

    Attributes:
        name: name in tables.
        owner: nvs-eval (`ours`) or a peer.
        command: returns the command for an output folder and a round.
        read: reads the values from the output folder, for a round.
        environment: returns additional environment variables.
        folders: number of folders that it scores in one process.
        tolerance: tolerance of its values, as in `contenders.Contender`.
        relative: kind of the tolerance, as in `contenders.Contender`.
        targets: its targets.
        rendering: reads the seconds spent on rendering from the output folder.
        missing: why it is not available (default: it is available).
    """

    name: str
    owner: Literal["ours", "peer"]
    command: Callable[[Path, int], list[str]]
    read: Callable[[Path, int], Values] = lambda out, index: {}
    environment: Callable[[], dict[str, str]] = dict
    folders: int = 1
    tolerance: float = _ROUNDED
    relative: bool = False
    targets: tuple[Target, ...] = ()
    rendering: Callable[[Path], float] | None = None
    missing: str | None = None


@dataclass(frozen=True)
class ProcessCase:
    """Programs that do the same work."""

    work: str
    size: str
    programs: tuple[Program, ...]
    share: float
    least: int = 3
    threads: int = 2

    @property
    def name(self) -> str:
        """Name of the case, for `--only`."""
        return f"process/{self.work}/{self.size}/{self.threads}"


def time_processes(case: ProcessCase, rounds: Rounds, device: str, report: Callable[[str], None]) -> CaseResult:
    """Run the programs in turn, and compare the values of nvs-eval with the peers' on the same folders.

    Args:
        case: case to measure.
        rounds: rounds to run.
        device: kind of device, which selects the targets.
        report: called with a description of the current activity.
    """
    contenders = {
        program.name: Measured(
            program.owner,
            renders=program.folders,
            tolerance=program.tolerance,
            failed=program.missing,
            target=promised(program.targets, device, case.size),
        )
        for program in case.programs
    }
    truth: dict[tuple[int, str], float] = {}
    for index in rounds:
        # Peers run first, because their values are the expected ones.
        for program in sorted(case.programs, key=lambda program: program.owner == "ours"):
            measured = contenders[program.name]
            if measured.failed is None:
                report(f"round {index + 1}: {program.name}")
                _run(program, measured, index, case.threads, truth)
    return CaseResult(case.work, case.size, "photo", case.threads, "s", contenders)


def _run(program: Program, measured: Measured, index: int, threads: int, truth: dict[tuple[int, str], float]) -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        command = program.command(out, index)
        environment = {**environment_of(threads), **program.environment()}
        start = time.perf_counter()
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if process.returncode:
            measured.failed = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            return
        values = program.read(out, index)
        if program.rendering is not None:
            measured.more.setdefault("rendering", []).append(program.rendering(out))
    measured.values.append(seconds / program.folders)
    if program.owner != "ours":
        truth.update(values)
        return
    for learned in (True, False):
        # In fast programs, only LPIPS may differ by more than rounding.
        relative = program.relative and learned
        tolerance = program.tolerance if relative else min(program.tolerance, _ROUNDED)
        if keys := [key for key in values if key in truth and key[1].startswith("lpips") == learned]:
            error = largest_error([values[key] for key in keys], [truth[key] for key in keys], relative=relative)
            measured.error = max(error, measured.error or 0.0)
            if not error <= tolerance:
                measured.failed = f"differs from the peer by {error:.1e} (tolerance {tolerance:.0e})"


def environment_of(threads: int) -> dict[str, str]:
    """Return the environment of all processes: number of threads, and weights for torchvision."""
    count = str(threads)
    limits = {name: count for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**os.environ, **limits, "TORCH_HOME": str(torch_home())}


# --- Folders of predictions -----------------------------------------------------------------------------------------


def prediction_folders(views: int, size: str) -> list[Path]:
    """Return one folder per render, in NerfBaselines' layout and with the same references. They are written once."""
    from PIL import Image

    folders = [KEPT / "predictions" / f"{views} of {size}" / str(index) for index in range(RENDERS)]
    if all((folder / "info.json").is_file() for folder in folders):
        return folders
    for view in range(views):
        stack = images("photo", size, offset=97 * view)
        for index, folder in enumerate(folders):
            for kind, image in (("gt-color", stack[0]), ("color", stack[1 + index])):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / kind / f"{view:04d}.png")
        # Delete cached images that no other case uses.
        if view:
            (KEPT / "images" / f"photo-{size}-{97 * view}.npy").unlink()
    for index, folder in enumerate(folders):
        metadata = {"color_space": "srgb", "scene": "made"}
        info = {"evaluation_protocol": "default", "method": f"made-{index}", "dataset_metadata": metadata}
        (folder / "info.json").write_text(json.dumps(info))
    return folders


def nerfbaselines_case(
    protocol: str, peer_protocol: str, ratios: Mapping[tuple[int, bool], float], views: int, size: str
) -> ProcessCase:
    """Return a case that compares `nvs-eval score` with `nerfbaselines evaluate` under the same protocol.

    Args:
        protocol: name of the protocol in nvs-eval.
        peer_protocol: name of the protocol in NerfBaselines.
        ratios: target ratios, by the number of folders that nvs-eval scores in one process and by use of fast LPIPS.
        views: number of views in a folder.
        size: size of the images.
    """
    height, width = SIZES[size]

    def ours(count: int, fast: bool, ratio: float) -> Program:
        def command(out: Path, index: int) -> list[str]:
            folders = prediction_folders(views, size)
            chosen = folders if count > 1 else [folders[index % RENDERS]]
            options = ["--protocol", protocol, "--output-dir", str(out)] + ["--precision", "fast"] * fast
            return [sys.executable, "-m", "nvs_eval", "score", *map(str, chosen), *options]

        return Program(
            f"nvs-eval, {count} folder{'s' * (count > 1)}{', fast' * fast}",
            "ours",
            command,
            _record_means,
            folders=count,
            tolerance=5e-3 if fast else _ROUNDED,
            relative=fast,
            targets=(Target(ratio=ratio),),
        )

    def peer(out: Path, index: int) -> list[str]:
        folder = prediction_folders(views, size)[index % RENDERS]
        options = ["-o", str(out / "out.json"), "--evaluation-protocol", peer_protocol]
        return [sys.executable, "-m", "nerfbaselines", "evaluate", str(folder), *options]

    def read(out: Path, index: int) -> Values:
        metrics = json.loads((out / "out.json").read_text())["metrics"]
        return {(index % RENDERS, metric): metrics[name] for name, metric in _NERFBASELINES.items() if name in metrics}

    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(PEERS)]))
    missing = None if (PEERS / "nerfbaselines").is_dir() else f"not in {PEERS.name}/; `make bench` installs it"
    program = Program(
        "nerfbaselines evaluate", "peer", peer, read, lambda: {"PYTHONPATH": paths}, missing=missing
    )  # fmt: skip
    slow = peer_protocol == "nerf"
    return ProcessCase(
        protocol,
        f"{views} of {size}",
        (*(ours(count, fast, ratio) for (count, fast), ratio in ratios.items()), program),
        share=(200.0 if slow else 60.0) * views * height * width / (20 * 1080 * 1920),
        least=1 if slow else 3,
    )


def _record_means(out: Path, _: int) -> Values:
    records = [json.loads(file.read_text()) for file in out.rglob("*.json")]
    return {
        (int(record["method"].removeprefix("made-")), metric): value
        for record in records
        for metric, value in record["means"].items()
    }


# --- nerfstudio -----------------------------------------------------------------------------------------------------


def help_case() -> ProcessCase:
    """Return a case that times `--help`."""
    return ProcessCase(
        "--help",
        "",
        (
            Program(
                "nvs-eval --help", "ours", lambda out, index: [sys.executable, "-m", "nvs_eval", "--help"],
                targets=(Target(below=0.3),),
            ),
            Program(
                "ns-eval --help", "peer",
                lambda out, index: [sys.executable, "-m", "nerfstudio.scripts.eval", "--help"],
            ),
        ),
        share=8,
    )  # fmt: skip


def run_case(config: Path) -> ProcessCase:
    """Return a case that compares `nvs-eval run` with stock `ns-eval`. Both render every view of a checkpoint once."""

    def ours(out: Path, _: int) -> list[str]:
        options = ["--load-config", str(config), "--protocol", "nerfstudio", "--output-dir", str(out)]
        return [sys.executable, "-m", "nvs_eval", "run", *options]

    def stock(out: Path, _: int) -> list[str]:
        options = ["--load-config", str(config), "--output-path", str(out / "out.json")]
        return [sys.executable, "-m", "nerfstudio.scripts.eval", *options]

    return ProcessCase(
        "run",
        "",
        (
            Program(
                "nvs-eval run", "ours", ours, _run_means,
                tolerance=1e-5, targets=(Target(ratio=1),), rendering=_render_seconds,
            ),
            Program("ns-eval", "peer", stock, _stock_means, lambda: {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}),
        ),
        share=40,
    )  # fmt: skip


def _run_means(out: Path, _: int) -> Values:
    (record,) = (json.loads(file.read_text()) for file in out.rglob("*.json"))
    return {(0, metric): value for metric, value in record["means"].items()}


def _render_seconds(out: Path) -> float:
    """Return the seconds of all renders. The first is a warm-up without a time and counts as a median one."""
    (record,) = (json.loads(file.read_text()) for file in out.rglob("*.json"))
    timed = [view["render_seconds"] for view in record["views"] if view["render_seconds"] is not None]
    return sum(timed) + (len(record["views"]) - len(timed)) * statistics.median(timed)


def _stock_means(out: Path, _: int) -> Values:
    results = json.loads((out / "out.json").read_text())["results"]
    return {(0, metric): results[name] for name, metric in _NS_EVAL.items()}
