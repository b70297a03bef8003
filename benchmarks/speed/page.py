"""The tables of docs/speed.md, one for each file of results: `make bench-table`, or `python -m benchmarks.speed.page`.

The worst measurement decides. Work measured at several sizes and thread counts has one row: the case of the largest
size and most threads, the range of the ratios over all cases, and whether every case meets the target. If nvs-eval
failed in a case, that case does not meet the target, and the row states the reason.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.contenders import Target
from benchmarks.speed.places import ROOT
from benchmarks.speed.results import (
    CaseResult,
    Compared,
    Measured,
    Results,
    applies,
    compare,
    files_of_results,
    met,
    peers_of,
    read_results,
    spread,
)
from nvs_eval.errors import InputError
from nvs_eval.system.files import write_whole

PAGE = ROOT / "docs" / "speed.md"
BEGIN, END = "<!-- benchmark: begin (made by `make bench-table`) -->", "<!-- benchmark: end -->"
HEADER = ("work", "nvs-eval", "best peer", "ratio", "target", "met", "of the limit")

_PACKAGES = ("torch", "lpips", "torchmetrics", "scikit-image", "pytorch-msssim", "flip-evaluator", "dists-pytorch")
_SIZES = ("540p", "1080p", "4K")
_TARGETED = ("540p", "1080p")
"""Sizes at which the targets of metrics apply."""


@dataclass(frozen=True)
class Line:
    """One row: a contender of nvs-eval in all cases of the same work.

    Attributes:
        work: name of the work in the table.
        shown: the case whose times are shown.
        name: name of the contender.
        cases: the cases that count for the target, and those in which the contender failed.
    """

    work: str
    shown: CaseResult
    name: str
    cases: Sequence[CaseResult]


def table(results: Results) -> list[str]:
    """Return the table in Markdown."""
    rows = [_row(line, results) for line in _lines(results)]
    return [_markdown(HEADER), "| :-- | --: | --: | --: | --: | :-: | --: |", *map(_markdown, rows)]


def lines(results: Results) -> list[str]:
    """Return the description of a run and its table."""
    machine = results.machine
    flags = [flag for flag in machine["flags"] if flag.startswith(("avx512f", "avx512_bf16", "amx_bf16"))]
    card = f", {machine['graphics card']}" if machine["graphics card"] else ""
    versions = machine["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in _PACKAGES if name in versions)
    hardware = f"{machine['processor']} ({', '.join(flags) or 'no AVX-512'}), {machine['cores']} cores{card}"
    missing = "" if results.finished else " Not all cases were measured."
    quick = " A quick run with few rounds." if results.options.get("quick") else ""
    return [
        f"{results.started}{_revision(results)}, {hardware}; {packages}. Seconds per render (processes: per folder), "
        f"median of interleaved rounds.{quick}{missing}",
        "",
        *table(results),
        "",
    ]


def _revision(results: Results) -> str:
    revisions = {case.revision for case in results.cases.values()}
    if revisions <= {None}:
        return ""
    return f", revision {revisions.pop()}" if len(revisions) == 1 else f", {len(revisions)} revisions"


def insert(page: str, runs: Sequence[Results]) -> str:
    """Return the page with the tables of some runs between its markers.

    Raises:
        InputError: if the page has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"The page has no place for the table. Add the lines {BEGIN!r} and {END!r}.")
    return before + "\n".join([BEGIN, *(line for results in runs for line in lines(results)), END]) + after


def _lines(results: Results) -> Iterator[Line]:
    """Yield a line per work and contender of nvs-eval."""
    groups: dict[tuple[str, str, str], list[CaseResult]] = {}
    for case in results.cases.values():
        for name, measured in case.contenders.items():
            if measured.owner == "ours":
                groups.setdefault((case.unit, case.work, name), []).append(case)
    for (unit, work, name), cases in groups.items():
        if unit == "bytes":
            for case in cases:
                if case.contenders[name].renders == 1:
                    yield Line(f"memory, {work} of a {case.size} pair", case, name, [case])
            continue
        failed = [case for case in cases if case.contenders[name].failed is not None]
        photos = [case for case in cases if case.images == "photo"]
        counted = [case for case in photos if case.size in _TARGETED] or photos or failed
        if not counted:
            continue
        shown = max(counted, key=lambda case: (_SIZES.index(case.size) if case.size in _SIZES else 0, case.threads))
        yield Line(work, shown, name, [*counted, *(case for case in failed if case not in counted)])


def _row(line: Line, results: Results) -> tuple[str, ...]:
    measured = line.shown.contenders[line.name]
    size = f"{line.shown.size}, " if line.shown.size else ""
    title = f"{line.work}: {line.name.removeprefix('nvs-eval').strip(', ') or 'nvs-eval'}"
    if line.shown.unit == "s":
        threads = line.shown.threads
        title += f" ({size}{threads} thread{'s' * (threads > 1)})"
    errors = [off for case in line.cases if (off := case.contenders[line.name].off) is not None]
    if errors:
        title += f", error at most {max(errors):.2%}"
    compared = [compare(case, line.name) for case in line.cases]
    shown = compare(line.shown, line.name)
    amount = [_amount(measured, line.shown.unit)] if measured.counts else []
    peer = [f"{_amount(line.shown.contenders[shown.peer], line.shown.unit)} ({shown.peer})"] if shown.peer else []
    return (
        title,
        "; ".join(amount + _failures(line, {line.name: line.cases})) or "not measured",
        "; ".join(peer + _failures(line, _missed(line, compared))),
        _ratios(compared),
        _promised(measured.target),
        _verdict(line, compared, results.machine["flags"]),
        "" if shown.limit is None else f"{shown.limit:.0%}",
    )


def _missed(line: Line, compared: Sequence[Compared]) -> dict[str, list[CaseResult]]:
    """Return the peers that failed, each with the cases that have no ratio because of it."""
    missed: dict[str, list[CaseResult]] = {}
    for case, comparison in zip(line.cases, compared, strict=True):
        if comparison.peer is None and case.contenders[line.name].counts:
            for name in peers_of(case, line.name):
                missed.setdefault(name, []).append(case)
    return missed


def _failures(line: Line, by_contender: Mapping[str, Sequence[CaseResult]]) -> list[str]:
    """Return each reason of failure once, with its cases unless it is only the case that is shown."""
    reasons: dict[tuple[str, str], list[CaseResult]] = {}
    for name, cases in by_contender.items():
        for case in cases:
            if (reason := case.contenders[name].failed) is not None:
                reasons.setdefault((name, textwrap.shorten(reason, 90, placeholder=" ...")), []).append(case)
    return [
        ("failed" if name == line.name else f"{name} failed")
        + ("" if cases == [line.shown] else f" at {', '.join(map(_place, cases))}")
        + f": {reason}"
        for (name, reason), cases in reasons.items()
    ]


def _place(case: CaseResult) -> str:
    """Return a short name of a case, such as `540p/1` for 540p with one thread."""
    return "/".join(filter(None, [case.size, case.images if case.images != "photo" else "", str(case.threads)]))


def _amount(measured: Measured, unit: str) -> str:
    low, median, high = spread(measured.values)
    if unit == "bytes":
        return f"{median / 1e9:.2f} GB"
    digits = 3 if median < 1 else 2 if median < 10 else 1
    return f"{median:.{digits}f} s" if low == high else f"{median:.{digits}f} s ±{(high - low) / 2:.{digits}f}"


def _ratios(compared: Sequence[Compared]) -> str:
    medians = [f"{case.ratio.median:.2f}" for case in compared if case.ratio is not None]
    if not medians:
        return ""
    low, high = min(medians, key=float), max(medians, key=float)
    return low if low == high else f"{low} to {high}"


def _promised(target: Target | None) -> str:
    if target is None:
        return ""
    peer = f" x {target.peer}" if target.peer else ""
    parts = [] if target.ratio is None else [f"{target.ratio:.3g}{peer}"]
    if target.limit is not None:
        parts.append(f"{target.limit:.0%} of the limit")
    if target.below is not None:
        parts.append(f"< {target.below / 1e9:g} GB" if target.below > 1e6 else f"< {target.below:g} s")
    error = f", error < {target.error:g}" if target.error is not None else ""
    return " or ".join(parts) + (f" with {target.needs}" if target.needs else "") + error


def _verdict(line: Line, compared: Sequence[Compared], flags: Sequence[str]) -> str:
    """Return whether the target is met, or in how many cases. A case that failed does not meet it."""
    ours = [case.contenders[line.name] for case in line.cases]
    if all(measured.target is None for measured in ours):
        return ""
    verdicts = []
    for measured, comparison in zip(ours, compared, strict=True):
        if measured.failed is not None:
            verdicts.append(False)
        elif measured.target is not None and applies(measured.target, flags):
            verdicts.append(met(measured.target, measured, comparison, flags))
    if not verdicts:
        return "no target here"
    decided = [verdict for verdict in verdicts if verdict is not None]
    if len(decided) < len(verdicts):
        return f"{sum(decided)} of {len(verdicts)}, {len(verdicts) - len(decided)} unknown" if decided else "unknown"
    return "yes" if all(decided) else f"{sum(decided)} of {len(decided)}" if any(decided) else "no"


def _markdown(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("_", "\\_") for cell in cells) + " |"


def main() -> int:
    """Write the tables of all results, the newest first, or of the files named on the command line."""
    try:
        files = [Path(name) for name in sys.argv[1:]] or files_of_results()
        text = insert(PAGE.read_text(encoding="utf-8"), [read_results(file) for file in files]).encode()
        write_whole(PAGE, lambda out: out.write(text))
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"docs/speed.md shows {', '.join(file.name for file in files)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
