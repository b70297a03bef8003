"""The README's table of speed, from a file of results: `make bench-table`, or `python -m benchmarks.speed.readme`.

The worst of what was measured decides: of a work at several sizes and with several threads, the table shows the case of
the largest size and most threads, the range of the ratios over all of them, and whether every one meets the target. A
contender of ours that failed in any case meets none there, and its row says why.
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
    met,
    newest_results,
    peers_of,
    read_results,
    spread,
)
from nvs_eval.errors import InputError
from nvs_eval.system.files import write_whole

BEGIN, END = "<!-- benchmark: begin (made by `make bench-table`) -->", "<!-- benchmark: end -->"
HEADER = ("work", "nvs-eval", "best peer", "ratio", "target", "met", "of the limit")

_SIZES = ("540p", "1080p", "4K")
_TARGETED = ("540p", "1080p")
"""The sizes for which something was promised of a metric."""


@dataclass(frozen=True)
class Line:
    """A contender of ours in the cases of one work.

    Attributes:
        work: as the table calls it.
        shown: the case that is shown.
        name: of the contender.
        cases: all that count for the target, and those in which it failed.
    """

    work: str
    shown: CaseResult
    name: str
    cases: Sequence[CaseResult]


def table(results: Results) -> list[str]:
    """The table in Markdown."""
    rows = [_row(line, results) for line in _lines(results)]
    return [_markdown(HEADER), "| :-- | --: | --: | --: | --: | :-: | --: |", *map(_markdown, rows)]


def lines(results: Results) -> list[str]:
    """What stands between the markers in the README."""
    machine = results.machine
    flags = [flag for flag in machine["flags"] if flag.startswith(("avx512f", "avx512_bf16", "amx_bf16"))]
    card = f", {machine['graphics card']}" if machine["graphics card"] else ""
    versions = machine["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "lpips", "torchmetrics") if name in versions)
    where = f"{machine['processor']} ({', '.join(flags) or 'no AVX-512'}), {machine['cores']} cores{card}"
    missing = "" if results.finished else " Not all cases were measured."
    quick = " A quick run, of few rounds." if results.options.get("quick") else ""
    return [
        f"{results.started}{_revision(results)}, {where}; {packages}. Seconds a render (of processes: a "
        f"folder), the median of interleaved rounds.{quick}{missing}",
        "",
        *table(results),
        "",
    ]


def _revision(results: Results) -> str:
    found = {case.revision for case in results.cases.values()}
    if found <= {None}:
        return ""
    return f", of revision {found.pop()}" if len(found) == 1 else f", of {len(found)} revisions"


def insert(readme: str, results: Results) -> str:
    """The README with its table made anew.

    Raises:
        InputError: it has no markers.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"The README has no place for the table: it needs the lines {BEGIN!r} and {END!r}.")
    return before + "\n".join([BEGIN, *lines(results), END]) + after


def _lines(results: Results) -> Iterator[Line]:
    """Each contender of ours of each work, once."""
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
    where = f"{line.shown.size}, " if line.shown.size else ""
    what = f"{line.work}: {line.name.removeprefix('nvs-eval').strip(', ') or 'nvs-eval'}"
    if line.shown.unit == "s":
        threads = line.shown.threads
        what += f" ({where}{threads} thread{'s' * (threads > 1)})"
    off = [each for case in line.cases if (each := case.contenders[line.name].off) is not None]
    if off:
        what += f", off by {max(off):.2%} at most"
    compared = [compare(case, line.name) for case in line.cases]
    own = compare(line.shown, line.name)
    amount = [_amount(measured, line.shown.unit)] if measured.counts else []
    peer = [f"{_amount(line.shown.contenders[own.peer], line.shown.unit)} ({own.peer})"] if own.peer else []
    return (
        what,
        "; ".join(amount + _failures(line, {line.name: line.cases})) or "not measured",
        "; ".join(peer + _failures(line, _missed(line, compared))),
        _ratios(compared),
        _promised(measured.target),
        _verdict(line, compared, results.machine["flags"]),
        "" if own.limit is None else f"{own.limit:.0%}",
    )


def _missed(line: Line, compared: Sequence[Compared]) -> dict[str, list[CaseResult]]:
    """The peers that failed, each with the cases in which there is no ratio for that."""
    found: dict[str, list[CaseResult]] = {}
    for case, each in zip(line.cases, compared, strict=True):
        if each.peer is None and case.contenders[line.name].counts:
            for name in peers_of(case, line.name):
                found.setdefault(name, []).append(case)
    return found


def _failures(line: Line, looked_at: Mapping[str, Sequence[CaseResult]]) -> list[str]:
    """Why contenders failed, each reason once, with the cases if they are others than the one that is shown."""
    reasons: dict[tuple[str, str], list[CaseResult]] = {}
    for name, cases in looked_at.items():
        for case in cases:
            if (why := case.contenders[name].failed) is not None:
                reasons.setdefault((name, textwrap.shorten(why, 90, placeholder=" ...")), []).append(case)
    return [
        ("failed" if name == line.name else f"{name} failed")
        + ("" if cases == [line.shown] else f" at {', '.join(map(_place, cases))}")
        + f": {why}"
        for (name, why), cases in reasons.items()
    ]


def _place(case: CaseResult) -> str:
    """A case of a work in a few words, such as `540p/1`, for 540p with one thread."""
    return "/".join(filter(None, [case.size, case.images if case.images != "photo" else "", str(case.threads)]))


def _amount(measured: Measured, unit: str) -> str:
    low, median, high = spread(measured.values)
    if unit == "bytes":
        return f"{median / 1e9:.2f} GB"
    digits = 3 if median < 1 else 2 if median < 10 else 1
    return f"{median:.{digits}f} s" if low == high else f"{median:.{digits}f} s ±{(high - low) / 2:.{digits}f}"


def _ratios(compared: Sequence[Compared]) -> str:
    medians = [f"{each.ratio.median:.2f}" for each in compared if each.ratio is not None]
    if not medians:
        return ""
    low, high = min(medians, key=float), max(medians, key=float)
    return low if low == high else f"{low} to {high}"


def _promised(target: Target | None) -> str:
    if target is None:
        return ""
    of = f" x {target.peer}" if target.peer else ""
    parts = [] if target.ratio is None else [f"{target.ratio:.3g}{of}"]
    if target.limit is not None:
        parts.append(f"{target.limit:.0%} of the limit")
    if target.below is not None:
        parts.append(f"< {target.below / 1e9:g} GB" if target.below > 1e6 else f"< {target.below:g} s")
    error = f", error < {target.error:g}" if target.error is not None else ""
    return " or ".join(parts) + (f" with {target.needs}" if target.needs else "") + error


def _verdict(line: Line, compared: Sequence[Compared], flags: Sequence[str]) -> str:
    """Whether the target is met: in how many cases, if not in all or none. A case that failed does not meet any."""
    ours = [case.contenders[line.name] for case in line.cases]
    if all(measured.target is None for measured in ours):
        return ""
    verdicts = []
    for measured, each in zip(ours, compared, strict=True):
        if measured.failed is not None:
            verdicts.append(False)
        elif measured.target is not None and applies(measured.target, flags):
            verdicts.append(met(measured.target, measured, each, flags))
    if not verdicts:
        return "not promised here"
    known = [verdict for verdict in verdicts if verdict is not None]
    if len(known) < len(verdicts):
        return f"{sum(known)} of {len(verdicts)}, {len(verdicts) - len(known)} unknown" if known else "unknown"
    return "yes" if all(known) else f"{sum(known)} of {len(known)}" if any(known) else "no"


def _markdown(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("_", "\\_") for cell in cells) + " |"


def main() -> int:
    """Make the table anew, from the newest results or from the file that is named."""
    try:
        file = Path(sys.argv[1]) if len(sys.argv) > 1 else newest_results()
        readme = ROOT / "README.md"
        text = insert(readme.read_text(encoding="utf-8"), read_results(file)).encode()
        write_whole(readme, lambda out: out.write(text))
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"README.md has the table of {file.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
