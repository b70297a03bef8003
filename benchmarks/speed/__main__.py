"""Benchmark nvs-eval and its peers: `make bench`, or `python -m benchmarks.speed [--quick] [--only PATTERN]`."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.speed.cases import MEMORY_CASES, Case, timed_cases
from benchmarks.speed.machine import code_revision, describe_machine, short_name
from benchmarks.speed.memory import measure_case
from benchmarks.speed.page import lines
from benchmarks.speed.places import RESULTS, torch_home
from benchmarks.speed.processes import (
    NERFBASELINES,
    ProcessCase,
    environment_of,
    help_case,
    nerfbaselines_case,
    run_case,
    time_processes,
)
from benchmarks.speed.results import QUICK, CaseResult, Results, files_of_results, read_results, write_results
from benchmarks.speed.timing import Rounds, time_case
from nvs_eval.errors import InputError

Work = Callable[[Callable[[str], None]], CaseResult]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the benchmark."""

    minutes: float = 40
    """Time for all cases together, in minutes. Slow cases have at least three rounds."""
    only: tuple[str, ...] = ()
    """Names or patterns of cases to measure, such as 'ssim/*' or '*/1080p/*/2' (default: all); --list prints them."""
    list: bool = False
    """Print the names of the cases without measuring."""
    quick: bool = False
    """Test the benchmark: three rounds at 540p on one thread, two views per folder, no 4K."""
    resume: bool = False
    """Continue with the newest results after an interruption."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device on which metrics are computed."""
    checkpoint: Path | None = None
    """The config.yml of a nerfstudio run, to compare `nvs-eval run` with `ns-eval`."""
    output: Path = RESULTS
    """Folder of the results."""


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, description=__doc__)
    console = Console(stderr=True)
    try:
        works = dict(_works(options))
        if options.list:
            print(*works, sep="\n")
            return 0
        if not works:
            names = ", ".join(case.name for case in _cases(options))
            raise InputError(f"No case matches {' or '.join(options.only)}. Cases: {names}.")
        file, results = begin(options)
        _run(works, file, results, console)
        results.finished = all(case.name in results.cases for case in _cases(options))
        write_results(file, results)
    except InputError as error:
        console.print(f"Error: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Interrupted. Finished cases are kept; `--resume` continues.", style="yellow")
        return 130
    print(*lines(results), sep="\n")
    return 0


def begin(options: Options) -> tuple[Path, Results]:
    """Return the file and results of a new run, or of the run to resume.

    Raises:
        InputError: if the run to resume was made on another machine, or if there are results of today to overwrite.
    """
    _set_up(options)
    machine = describe_machine(options.device)
    if options.resume:
        file = files_of_results(options.output, quick=options.quick)[0]
        results = read_results(file)
        if results.machine != machine:
            raise InputError(f"{file} cannot be resumed: it comes from another machine or other versions.")
        return file, results
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    kept = {"minutes": options.minutes, "quick": options.quick, "only": options.only, "threads": options.threads}
    file = options.output / f"{today}-{short_name(machine)}{QUICK if options.quick else ''}.json"
    if file.exists() and not options.quick:
        raise InputError(f"{file} has today's results. Use `--resume` to continue, or move the file.")
    return file, Results(today, machine, kept)


def _set_up(options: Options) -> None:
    os.environ["TORCH_HOME"] = str(torch_home())
    if options.device == "cuda":
        # Only contenders named "TF32" compute in TF32.
        backends: Any = torch.backends
        backends.cudnn.conv.fp32_precision = backends.cuda.matmul.fp32_precision = "ieee"


def _run(works: dict[str, Work], file: Path, results: Results, console: Console) -> None:
    waiting = {name: work for name, work in works.items() if name not in results.cases}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(works), completed=len(works) - len(waiting))
        for name, work in waiting.items():

            def report(activity: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {activity}")

            report("images")
            revision = code_revision()
            results.cases[name] = work(report)
            results.cases[name].revision = revision
            write_results(file, results)
            progress.advance(task)


def _works(options: Options) -> Iterator[tuple[str, Work]]:
    """Yield the cases to measure by name, the quickest first."""
    cases = _cases(options)
    # Time per share. It does not depend on --only.
    seconds = 0 if options.quick else options.minutes * 60 / sum(case.share for case in cases)
    for case in cases:
        if not options.only or any(fnmatch.fnmatch(case.name, pattern) for pattern in options.only):
            yield case.name, partial(_measure, case, case.share * seconds, options)


def _cases(options: Options) -> list[Case | ProcessCase]:
    # The number of CPU threads does not matter on a GPU.
    timed = timed_cases(options.threads if options.device == "cpu" else options.threads[-1:])
    memory = MEMORY_CASES
    if options.quick:
        timed = [case for case in timed if case.size == "540p" and case.threads == options.threads[0]]
        memory = [dataclasses.replace(case, size="540p") for case in memory[:3]]
    views, size = (2, "540p") if options.quick else (20, "1080p")
    processes = [help_case()]
    if options.checkpoint is not None:
        processes.append(run_case(options.checkpoint))
    for protocol, peer_protocol, ratios in NERFBASELINES:
        processes.append(nerfbaselines_case(protocol, peer_protocol, ratios, views, size))
    return [*timed, *processes, *memory]


def _measure(case: Case | ProcessCase, seconds: float, options: Options, report: Callable[[str], None]) -> CaseResult:
    if isinstance(case, ProcessCase):
        return time_processes(case, Rounds(seconds, least=1 if options.quick else case.least), options.device, report)
    if case.memory:
        report("peak memory")
        return measure_case(case, environment_of(case.threads), options.device)
    return time_case(case, Rounds(seconds), options.device, report)


if __name__ == "__main__":
    sys.exit(main())
