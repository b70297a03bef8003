"""The benchmark: `make bench`, or `python -m benchmarks.speed [--quick] [--only PATTERN] [--resume]`."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.speed.cases import MEMORY_CASES, Case, timed_cases
from benchmarks.speed.contenders import Target
from benchmarks.speed.machine import describe_machine, short_name
from benchmarks.speed.places import RESULTS
from benchmarks.speed.results import CaseResult, Results, newest_results, read_results, write_results
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
    """Three rounds at 540p, two views in a folder, no 4K: to see that it works."""
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
        file, results = _begin(options)
        _run(works, file, results, console)
    except InputError as error:
        console.print(f"Error: {error}", style="red", markup=False)
        return 2
    from benchmarks.speed.readme import lines

    print(*lines(results), sep="\n")
    return 0


def _begin(options: Options) -> tuple[Path, Results]:
    """The file of a new run, or of one that is gone on with."""
    _set_up(options)
    if options.resume:
        file = newest_results(options.output)
        return file, read_results(file)
    machine = describe_machine(options.device)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    kept = {"minutes": options.minutes, "quick": options.quick, "only": options.only, "threads": options.threads}
    name = f"{today}-{short_name(machine)}{'-quick' if options.quick else ''}.json"
    return options.output / name, Results(today, machine, kept)


def _set_up(options: Options) -> None:
    from benchmarks.speed.places import torch_home

    # Before torch is imported: where torchvision looks for weights.
    os.environ["TORCH_HOME"] = str(torch_home())
    if options.device == "cuda":
        import torch

        # Nobody computes in TF32, but where it is said.
        for switch in (torch.backends.cudnn.conv, torch.backends.cuda.matmul):
            switch.fp32_precision = "ieee"


def _run(works: dict[str, Work], file: Path, results: Results, console: Console) -> None:
    waiting = {name: work for name, work in works.items() if name not in results.cases}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(works), completed=len(works) - len(waiting))
        for name, work in waiting.items():

            def say(what: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {what}")

            say("images")
            results.cases[name] = work(say)
            write_results(file, results)
            progress.advance(task)
    results.finished = True
    write_results(file, results)


def _works(options: Options) -> Iterator[tuple[str, Work]]:
    """What there is to measure, by name: the quick first, so that something is there soon."""
    found = {**_timed(options), **_processes(options), **_memory(options)}
    for name, work in found.items():
        if not options.only or any(fnmatch.fnmatch(name, pattern) for pattern in options.only):
            yield name, work


def _timed(options: Options) -> dict[str, Work]:
    import torch

    from benchmarks.speed.timing import Rounds, time_case

    cases = timed_cases(options.threads if options.device == "cpu" else options.threads[:1])
    if options.quick:
        cases = [dataclasses.replace(case, share=0) for case in cases if case.size == "540p" and case.threads == 1]
    seconds = _seconds_of_a_share(options)

    def work(case: Case) -> Work:
        rounds = Rounds(case.share * seconds)
        return lambda say: time_case(case, rounds, torch.device(options.device), say)

    return {case.name: work(case) for case in cases}


def _processes(options: Options) -> dict[str, Work]:
    from benchmarks.speed.processes import ProcessCase, help_case, nerfbaselines_case, run_case, time_processes
    from benchmarks.speed.timing import Rounds

    views, size = (2, "540p") if options.quick else (20, "1080p")
    default = {"1 folder": 2, "4 folders": 3, "1 folder, fast": 3, "4 folders, fast": 6}
    nerf = {"1 folder": 1.3, "4 folders": 2.1}
    cases = [help_case()]
    if options.checkpoint is not None:
        cases.append(run_case(options.checkpoint))
    for protocol, theirs, ratios in (("nerfbaselines", "default", default), ("nerfbaselines-nerf", "nerf", nerf)):
        targets = {f"nvs-eval, {name}": Target(ratio=ratio) for name, ratio in ratios.items()}
        cases.append(nerfbaselines_case(protocol, theirs, targets, views, size))
    seconds = _seconds_of_a_share(options)

    def work(case: ProcessCase) -> Work:
        rounds = Rounds(0 if options.quick else case.share * seconds, least=1 if options.quick else case.least)
        return lambda say: time_processes(case, rounds, say)

    return {case.name: work(case) for case in cases}


def _memory(options: Options) -> dict[str, Work]:
    from benchmarks.speed.memory import measure_case
    from benchmarks.speed.processes import environment_of

    cases = [dataclasses.replace(case, size="540p") for case in MEMORY_CASES] if options.quick else MEMORY_CASES

    def work(case: Case) -> Work:
        def measure(say: Callable[[str], None]) -> CaseResult:
            say("peak memory")
            return measure_case(case, environment_of(case.threads), options.device)

        return measure

    return {case.name: work(case) for case in cases}


def _seconds_of_a_share(options: Options) -> float:
    """The time of all timed cases is shared out by what a round of each takes; processes say their share themselves."""
    total = sum(case.share for case in timed_cases(options.threads)) + 290
    return options.minutes * 60 / total


if __name__ == "__main__":
    sys.exit(main())
