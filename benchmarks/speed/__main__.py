"""The benchmark: `make bench`, or `python -m benchmarks.speed [--quick] [--only PATTERN] [--resume]`."""

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
from benchmarks.speed.readme import lines
from benchmarks.speed.results import QUICK, CaseResult, Results, newest_results, read_results, write_results
from benchmarks.speed.timing import Rounds, time_case
from nvs_eval.errors import InputError

Work = Callable[[Callable[[str], None]], CaseResult]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time every path of ours and every peer on the same images, in turn, and write the results as they come."""

    minutes: float = 40
    """How long all cases may take together; slow ones have three rounds all the same."""
    only: tuple[str, ...] = ()
    """The cases whose names match one of these patterns, such as 'ssim/*' or '*/1080p/*/2'; --list shows the names."""
    list: bool = False
    """Print the names of the cases, and measure nothing."""
    quick: bool = False
    """Three rounds at 540p on one thread, two views in a folder, no 4K: to see that it works."""
    resume: bool = False
    """Go on with the newest results, which an interrupted run left."""
    threads: tuple[int, ...] = (1, 2)
    """With how many threads."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the metrics are computed."""
    checkpoint: Path | None = None
    """The config.yml of a nerfstudio run: `nvs-eval run` is compared with `ns-eval` on it."""
    output: Path = RESULTS
    """The folder of results."""


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
            raise InputError(f"No case is called {' or '.join(options.only)}. There are: {names}.")
        file, results = begin(options)
        _run(works, file, results, console)
        results.finished = all(case.name in results.cases for case in _cases(options))
        write_results(file, results)
    except InputError as error:
        console.print(f"Error: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Interrupted. What was measured is kept: `--resume` goes on.", style="yellow")
        return 130
    print(*lines(results), sep="\n")
    return 0


def begin(options: Options) -> tuple[Path, Results]:
    """The file of a new run, or of one that is gone on with."""
    _set_up(options)
    machine = describe_machine(options.device)
    if options.resume:
        file = newest_results(options.output, quick=options.quick)
        results = read_results(file)
        if results.machine != machine:
            raise InputError(f"{file} is of another machine or of other versions.")
        return file, results
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    kept = {"minutes": options.minutes, "quick": options.quick, "only": options.only, "threads": options.threads}
    file = options.output / f"{today}-{short_name(machine)}{QUICK if options.quick else ''}.json"
    if file.exists() and not options.quick:
        raise InputError(f"{file} has results of today: say `--resume` to go on with them, or move them elsewhere.")
    return file, Results(today, machine, kept)


def _set_up(options: Options) -> None:
    # Where torchvision looks for weights.
    os.environ["TORCH_HOME"] = str(torch_home())
    if options.device == "cuda":
        # Nobody computes in TF32, but where it is said.
        backends: Any = torch.backends
        backends.cudnn.conv.fp32_precision = backends.cuda.matmul.fp32_precision = "ieee"


def _run(works: dict[str, Work], file: Path, results: Results, console: Console) -> None:
    waiting = {name: work for name, work in works.items() if name not in results.cases}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(works), completed=len(works) - len(waiting))
        for name, work in waiting.items():

            def say(what: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {what}")

            say("images")
            revision = code_revision()
            results.cases[name] = work(say)
            results.cases[name].revision = revision
            write_results(file, results)
            progress.advance(task)


def _works(options: Options) -> Iterator[tuple[str, Work]]:
    """What there is to measure, by name: the quick first, so that something is there soon."""
    cases = _cases(options)
    # Of the time that there is, whatever part of the cases is asked for.
    seconds = 0 if options.quick else options.minutes * 60 / sum(case.share for case in cases)
    for case in cases:
        if not options.only or any(fnmatch.fnmatch(case.name, pattern) for pattern in options.only):
            yield case.name, partial(_measure, case, case.share * seconds, options)


def _cases(options: Options) -> list[Case | ProcessCase]:
    # On a graphics card the threads of the processor say nothing.
    timed = timed_cases(options.threads if options.device == "cpu" else options.threads[-1:])
    memory = MEMORY_CASES
    if options.quick:
        timed = [case for case in timed if case.size == "540p" and case.threads == options.threads[0]]
        memory = [dataclasses.replace(case, size="540p") for case in memory[:3]]
    views, size = (2, "540p") if options.quick else (20, "1080p")
    processes = [help_case()]
    if options.checkpoint is not None:
        processes.append(run_case(options.checkpoint))
    for protocol, theirs, ratios in NERFBASELINES:
        processes.append(nerfbaselines_case(protocol, theirs, ratios, views, size))
    return [*timed, *processes, *memory]


def _measure(case: Case | ProcessCase, seconds: float, options: Options, say: Callable[[str], None]) -> CaseResult:
    if isinstance(case, ProcessCase):
        return time_processes(case, Rounds(seconds, least=1 if options.quick else case.least), options.device, say)
    if case.memory:
        say("peak memory")
        return measure_case(case, environment_of(case.threads), options.device)
    return time_case(case, Rounds(seconds), options.device, say)


if __name__ == "__main__":
    sys.exit(main())
