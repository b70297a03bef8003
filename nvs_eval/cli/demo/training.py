"""The demo's training: a small nerfacto in a subprocess."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nvs_eval.errors import InputError

Progress = Callable[[int, int], None]
"""Callback that takes the current step and the last step."""

_STEP = re.compile(r"\s*(\d+) \(\d+(?:\.\d+)?%\)")
"""Start of a line of nerfstudio's log that reports a step."""


@dataclass(frozen=True)
class Schedule:
    """Length of a training: last step, steps per checkpoint (a divisor of the last step) and rays per step."""

    steps: int
    steps_per_save: int
    rays: int

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Steps of the checkpoints."""
        return tuple(range(self.steps_per_save, self.steps + 1, self.steps_per_save))


ON_CPU = Schedule(steps=900, steps_per_save=300, rays=320)
ON_CUDA = Schedule(steps=3000, steps_per_save=1000, rays=4096)


def train(
    scene: Path,
    output_dir: Path,
    *,
    device: Literal["cpu", "cuda"],
    schedule: Schedule | None = None,
    weights_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train nerfacto on the demo's scene, unless a finished training exists.

    Args:
        scene: scene in nerfstudio's format, as `write_scene` writes it.
        output_dir: parent of the run, `<output_dir>/<name of the scene>/nerfacto/demo`.
        device: device to train on.
        schedule: length of the training (default: by device).
        weights_dir: folder to search first for LPIPS backbones, because nerfacto builds an LPIPS metric.
        progress: called with the step and the last step, about every tenth step.

    Returns:
        The run's `config.yml`; the checkpoints are beside it in `nerfstudio_models`.

    Raises:
        InputError: nerfstudio is not installed, or the training failed.
    """
    if importlib.util.find_spec("nerfstudio") is None:
        raise InputError("Training needs nerfstudio, which is not installed: pip install 'nvs-eval[nerfstudio]'.")
    schedule = schedule or (ON_CUDA if device == "cuda" else ON_CPU)
    scene, output_dir = scene.resolve(), output_dir.resolve()
    run = output_dir / scene.name / "nerfacto" / "demo"
    finished, inputs = run / "finished.txt", _inputs(scene, device, schedule)
    if not (_has_all(run, schedule) and finished.is_file() and finished.read_text() == inputs):
        _remove_checkpoints(run)
        _train(_command(scene, output_dir, device, schedule), run, schedule, _environment(weights_dir), progress)
        finished.write_text(inputs)
    return run / "config.yml"


def _inputs(scene: Path, device: str, schedule: Schedule) -> str:
    """Return the inputs of a training as text. A finished run is reused only if they are equal."""
    cameras = hashlib.sha256((scene / "transforms.json").read_bytes()).hexdigest()
    return f"{scene}\n{cameras}\n{device}\n{schedule}\n"


def _has_all(run: Path, schedule: Schedule) -> bool:
    checkpoints = [run / "nerfstudio_models" / f"step-{step:09d}.ckpt" for step in schedule.checkpoints]
    return all(file.is_file() for file in [run / "config.yml", *checkpoints])


def _remove_checkpoints(run: Path) -> None:
    """Remove checkpoints of an interrupted training or of another scene, so that they cannot pass for new ones."""
    (run / "finished.txt").unlink(missing_ok=True)
    for file in (run / "nerfstudio_models").glob("step-*.ckpt"):
        file.unlink()


def _command(scene: Path, output_dir: Path, device: str, schedule: Schedule) -> list[str]:
    # -u: unbuffered output, for progress.
    return [
        sys.executable, "-u", "-m", "nvs_eval_nerfstudio.train_small",
        "--data", str(scene), "--output-dir", str(output_dir), "--device", device,
        "--steps", str(schedule.steps), "--steps-per-save", str(schedule.steps_per_save), "--rays", str(schedule.rays),
    ]  # fmt: skip


def _environment(weights_dir: Path | None) -> dict[str, str]:
    """Return the user's environment with a default for speed."""
    # The operations are small: two threads are 10 % faster on idle cores, and 75 % slower on busy ones.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    if weights_dir is not None:
        environment["NVS_EVAL_WEIGHTS"] = str(weights_dir)
    return environment


def _train(
    command: list[str], run: Path, schedule: Schedule, environment: dict[str, str], progress: Progress | None
) -> None:
    """Run the training with its output in a log. It never outlives this process."""
    run.mkdir(parents=True, exist_ok=True)
    log, last = run / "train.log", deque[str](maxlen=15)
    # In a separate session, Ctrl-C reaches only this process, which then ends the whole group. If this process is
    # killed, the next write to the broken pipe ends the training.
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        with log.open("w", encoding="utf-8") as file, process.stdout:
            for line in process.stdout:
                file.write(line)
                last.append(line.rstrip())
                if progress is not None and (step := _STEP.match(line)):
                    progress(min(int(step[1]), schedule.steps), schedule.steps)
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    # nerfstudio exits with 0 even if interrupted, so check for its files.
    if code or not _has_all(run, schedule):
        raise InputError(
            f"Training the demo's scene failed (exit code {code}). The last lines of {log}: {' | '.join(last)}"
        )


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
