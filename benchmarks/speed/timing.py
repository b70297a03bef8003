"""Timing of one case: the values of all contenders are checked, then all are timed in turn, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmarks.speed import limits
from benchmarks.speed.cases import WORKS, Case
from benchmarks.speed.contenders import Contender, Missing, Score, promised
from benchmarks.speed.exact import exact
from benchmarks.speed.images import MADE, RENDERS, SIZES, Array, images
from benchmarks.speed.results import CaseResult, Measured
from nvs_eval.errors import InputError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Rounds:
    """Rounds of a case: at least `least`, then until the time is used up.

    Attributes:
        seconds: time for the case.
        least: minimum number of rounds.
        most: maximum number of rounds.
    """

    seconds: float
    least: int = 3
    most: int = 50

    def __iter__(self) -> Iterator[int]:
        start = time.perf_counter()
        for index in range(self.most):
            if index >= self.least and time.perf_counter() - start > self.seconds:
                return
            yield index


def time_case(case: Case, rounds: Rounds, place: str, report: Callable[[str], None]) -> CaseResult:
    """Check and time a case.

    Args:
        case: case to measure.
        rounds: rounds to run.
        place: device to compute on.
        report: called with a description of the current activity.
    """
    device = torch.device(place)
    torch.set_num_threads(case.threads)
    stack = images(case.images, case.size)
    entries = _entries(case, stack, device, report)
    entries += [_limit("matrix product", device), _limit("memory copy", device)]
    for index in rounds:
        report(f"round {index + 1}")
        # Rotate the order.
        turn = index % len(entries)
        for entry in entries[turn:] + entries[:turn]:
            entry.run(index)
    contenders = {entry.name: entry.measured for entry in entries}
    return CaseResult(case.work, case.size, case.images, case.threads, "s", contenders)


def pair(stack: Array, indices: Sequence[int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the reference `[3, H, W]` and some renders `[K, 3, H, W]` of a stack, float32 in [0, 1]."""
    tensors = [
        torch.from_numpy(stack[index].copy()).permute(2, 0, 1).contiguous().float().div_(255).to(device)
        for index in (0, *(1 + render for render in indices))
    ]
    return tensors[0], torch.stack(tensors[1:])


@dataclass
class _Entry:
    """A contender with its measurements; `run` makes one timed call."""

    name: str
    measured: Measured
    run: Callable[[int], None]


def _entries(case: Case, stack: Array, device: torch.device, report: Callable[[str], None]) -> list[_Entry]:
    entries = []
    for contender in WORKS[case.work]:
        if contender.only not in (None, device.type):
            continue
        report(f"checking {contender.name}")
        entries.append(_checked(contender, case, stack, device))
    return entries


def _checked(contender: Contender, case: Case, stack: Array, device: torch.device) -> _Entry:
    """Check the values of a contender. If they are wrong, the entry has the reason and is not timed."""
    height, width = SIZES[case.size]
    measured = Measured(
        contender.owner,
        renders=contender.renders,
        tolerance=contender.tolerance,
        target=promised(contender.targets, device.type, case.size),
        needs=limits.needs(case.work, height, width, contender.renders),
        fast=contender.fast,
    )
    entry = _Entry(contender.name, measured, lambda index: None)
    try:
        score = contender.make(device)
        for kind in MADE:
            _check(contender, measured, score, images(kind, "270p"), device)
        _check(contender, measured, score, stack, device)
    except (Missing, InputError) as error:
        measured.failed = str(error)
        return entry
    if measured.failed is None:
        entry.run = _timed(contender, measured, score, stack, device)
    return entry


def _check(contender: Contender, measured: Measured, score: Score, stack: Array, device: torch.device) -> None:
    indices = range(contender.renders)
    _compare(contender, measured, score(*pair(stack, indices, device)), stack, indices)


def _timed(
    contender: Contender, measured: Measured, score: Score, stack: Array, device: torch.device
) -> Callable[[int], None]:
    def run(index: int) -> None:
        indices = range(RENDERS) if contender.renders > 1 else [index % RENDERS]
        reference, renders = pair(stack, indices, device)
        seconds, values = _clock(lambda: score(reference, renders), device)
        measured.values.append(seconds / contender.renders)
        truth = _compare(contender, measured, values, stack, indices)
        if contender.fast:
            off = max(abs(value / true - 1) for value, true in zip(values, truth, strict=True))
            measured.off = max(off, measured.off or 0.0)

    return run


def _clock(work: Callable[[], Result], device: torch.device) -> tuple[float, Result]:
    _synchronise(device)
    start = time.perf_counter()
    result = work()
    _synchronise(device)
    return time.perf_counter() - start, result


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _compare(
    contender: Contender, measured: Measured, values: Sequence[float], stack: Array, indices: Sequence[int]
) -> list[float]:
    """Record the largest error, fail the contender if it exceeds the tolerance, and return the exact values."""
    by_definition = [exact(definition, stack) for definition in contender.exact]
    truth = [exact_values[render] for render in indices for exact_values in by_definition]
    error = largest_error(values, truth, relative=contender.relative)
    measured.error = max(error, measured.error or 0.0)
    if not measured.error <= contender.tolerance:
        measured.failed = f"wrong by {measured.error:.1e} (tolerance {contender.tolerance:.0e})"
    return truth


def largest_error(values: Sequence[float], truth: Sequence[float], *, relative: bool) -> float:
    """Return the largest difference relative to max(1, truth), or with `relative` to truth + 0.04 (for fast LPIPS).

    Raises:
        ValueError: if the numbers of values differ.
    """
    pairs = zip(values, truth, strict=True)
    return max(abs(value - true) / (abs(true) + 0.04 if relative else max(1.0, abs(true))) for value, true in pairs)


def _limit(name: str, device: torch.device) -> _Entry:
    product = name == "matrix product"
    work = limits.matrix_product(device) if product else limits.memory_copy(device)
    needs = limits.Needs(2 * limits.SIDE**3, 0) if product else limits.Needs(0, 2 * limits.COPIED)
    measured = Measured("limit", needs=needs)

    def run(_: int) -> None:
        # The first call may find cold caches.
        measured.values.append(min(_clock(work, device)[0] for _ in range(3)))

    _clock(work, device)
    return _Entry(name, measured, run)
