"""Identification as a table and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from nvs_eval.diagnostics.identify.fits import Fit
from nvs_eval.diagnostics.identify.model import Candidate, Identification
from nvs_eval.diagnostics.identify.numbers import Reported
from nvs_eval.errors import counted, listed, shortened
from nvs_eval.metrics.registry import about_of
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, change, printable, shown, visible

_CAPTION = "in brackets: difference from the number{of_view}; nearest first"
_OF_VIEW = ", the largest of a view where there is no mean"
_AGREE = {True: "{names} agrees with every number.", False: "{names} agree with every number."}
_TRUNCATED = "The numbers are truncated to the decimals shown, not rounded."
_SAME = "On these images {names} have the same {metrics} and cannot be told apart by {pronoun}."
_CLOSE = "The agreeing protocols differ by {differences} at most in a view, too little for these numbers to show."
_NONE = "none: no named protocol agrees with every number."
_NEAREST = "The nearest is {name}: its scores are off by {offs}."
_MENDED = "With {changes} in a copy of its file, {name} agrees with every number."
_NOT_COMPARED = "Not compared: {protocols}."
_REST = "Other values of the file: {names}."
_MOST_DECIMALS, _MOST_MENDS = 6, 2


def identification_table(found: Identification) -> Table:
    """Return a table with the numbers in the first row, and a row for each protocol, nearest first."""
    candidates = found.candidates
    label = f" of {printable(shortened(found.numbers.label))}" if found.numbers.label else ""
    columns = [
        text_column("protocol", [f"numbers{label}", *(candidate.protocol for candidate in candidates)]),
        text_column("fingerprint", ["", *(candidate.fingerprint for candidate in candidates)]),
        *(_column(reported, candidates) for reported in found.numbers.metrics.values()),
        text_column("agrees", ["", *map(_verdict, candidates)]),
    ]
    of_view = _OF_VIEW if any(reported.mean is None for reported in found.numbers.metrics.values()) else ""
    title = f"{found.result.scene}, {found.result.name}, {counted(found.views, f'{found.result.split} view')}"
    return table_from(title, columns, caption=_CAPTION.format(of_view=of_view))


def identification_words(found: Identification) -> list[str]:
    """Return sentences: which protocols agree, whether the images tell them apart, and what would mend the nearest."""
    sentences = list(_agreement(found) if found.agreeing else _disagreement(found))
    reasons: dict[str, list[str]] = {}
    for candidate in found.others:
        mend = f"; with {_mends(candidate)} it agrees" if candidate.mends else ""
        reasons.setdefault(f"{candidate.reason}{mend}", []).append(candidate.protocol)
    if reasons:
        protocols = "; ".join(f"{listed(names)} ({reason})" for reason, names in reasons.items())
        sentences.append(_NOT_COMPARED.format(protocols=protocols))
    if found.numbers.ignored:
        sentences.append(_REST.format(names=listed([shortened(name) for name in found.numbers.ignored])))
    return list(map(printable, sentences))


def _agreement(found: Identification) -> Iterator[str]:
    agreeing = found.agreeing
    yield _AGREE[len(agreeing) == 1].format(names=listed(found.protocols))
    if not all(fit.rounded for candidate in agreeing for fit in candidate.fits.values()):
        yield _TRUNCATED
    metrics = list(found.numbers.metrics)
    for group in found.groups:
        if len(group) > 1:
            names = "they" if len(found.groups) == 1 else listed([candidate.protocol for candidate in group])
            yield _SAME.format(names=names, metrics=listed(metrics), pronoun="them" if len(metrics) > 1 else "it")
    pairs = [a[0].differences(b[0]) for a, b in combinations(found.groups, 2)]
    if largest := {
        name: max(pair.get(name, 0.0) for pair in pairs) for name in metrics if any(name in p for p in pairs)
    }:
        yield _CLOSE.format(differences=listed([f"{_small(value)} in {name}" for name, value in largest.items()]))


def _disagreement(found: Identification) -> Iterator[str]:
    yield _NONE
    nearest = found.candidates[0]
    offs = [f"{_off(fit)} in {name}" for name, fit in nearest.fits.items() if not (fit.rounded or fit.truncated)]
    yield _NEAREST.format(
        name=nearest.protocol, offs=listed(offs or [f"{_off(f)} in {n}" for n, f in nearest.fits.items()])
    )
    mended = next((candidate for candidate in found.candidates if candidate.mends), None)
    if mended:
        yield _MENDED.format(changes=_mends(mended), name=mended.protocol)


def _column(reported: Reported, candidates: Sequence[Candidate]) -> Column:
    about, digits = about_of(reported.keys[0]), _digits(reported)
    mean = reported.mean
    first = Cell(counted(len(reported.views), "view")) if mean is None else Cell(shown(mean.value, digits), mean.value)
    # One decimal more than the numbers have shows which score is nearest.
    cells = [_cell(candidate.fits[reported.name], min(digits + 1, _MOST_DECIMALS)) for candidate in candidates]
    return Column(
        printable(reported.name),
        reported.keys[0],
        about.unit,
        about.higher_is_better,
        cells=[first, *cells],
        title=printable(shortened(reported.name)),
    )


def _cell(fit: Fit, digits: int) -> Cell:
    off = change(fit.value, fit.value - fit.off, digits)
    where = f" in {printable(shortened(fit.view))}" if fit.view and off[0] in "+-" else ""
    return Cell(shown(fit.value, digits), fit.value, aside=f"({off}{where})")


def _digits(reported: Reported) -> int:
    """Return the number of decimals of the numbers, as far as a table shows them."""
    numbers = [reported.mean] if reported.mean else [number for _, number in reported.views]
    unit = min(number.unit for number in numbers)
    return _MOST_DECIMALS if unit == 0 else min(max(0, round(-math.log10(unit))), _MOST_DECIMALS)


def _verdict(candidate: Candidate) -> str:
    if candidate.agrees:
        return "yes"
    return f"with {_mends(candidate)}" if candidate.mends else "no"


def _mends(candidate: Candidate) -> str:
    return " or ".join(f"`{change}`" for change in candidate.mends[:_MOST_MENDS])


def _off(fit: Fit) -> str:
    return visible(fit.off, 4) if fit.off else "0"


def _small(value: float) -> str:
    return visible(value, 5).removeprefix("+")
