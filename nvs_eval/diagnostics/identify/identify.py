"""Find the named protocols that a tool's numbers agree with, and the changes of one field that make others agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace

from nvs_eval.diagnostics.identify.fits import Fit, Scores, agree, distance_of
from nvs_eval.diagnostics.identify.model import Candidate, Identification
from nvs_eval.diagnostics.identify.numbers import Numbers
from nvs_eval.diagnostics.identify.readers import read_numbers
from nvs_eval.diagnostics.identify.variants import OF_METRIC, single, variants
from nvs_eval.errors import InputError, counted, listed, some
from nvs_eval.evaluation.audit import named
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import IdentifyOptions
from nvs_eval.evaluation.score_folders import open_sources, score_folders
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId

POOLED = "PSNR of the mean error over all views"
"""A difference that is no field of a protocol."""

Cells = dict[str, Protocol]
"""Protocols of one metric, by fingerprint. Several named protocols and their variants share them."""


@dataclass(frozen=True, kw_only=True)
class _OfCells(IdentifyOptions):
    """Options of scoring the renders under cells."""

    cells: tuple[Protocol, ...]

    def protocols(self, *, auto: str | None = None) -> list[Protocol]:
        """Return the cells."""
        del auto
        return list(self.cells)


@dataclass(frozen=True)
class _Way:
    """A named protocol, or a variant of it.

    Attributes:
        change: the changed field; "" for the protocol itself.
        cells: for each reported metric, the fingerprint of the cell of each key that it can be.
    """

    change: str
    cells: Mapping[str, Mapping[str, str]]


def identify(options: IdentifyOptions, callbacks: Callbacks, given: Sequence[Numbers] = ()) -> Identification:
    """Score renders under all named protocols and their variants, in one pass, and compare with a tool's numbers.

    Args:
        options: the renders, and the file of the numbers.
        callbacks: callbacks for progress and messages.
        given: the numbers (default: those of the file).

    Raises:
        InputError: An input is not available, the numbers are not of these renders, or no protocol can be compared.
    """
    results = given or read_numbers(options.numbers)
    if not options.protocol:
        options = replace(options, protocol=named(masked=options.masked, callbacks=callbacks))
    protocols = options.protocols()
    result, views = _only_result(options, protocols)
    numbers = _chosen(results, result)
    _check(numbers, protocols, views)
    cells: Cells = {}
    plain = [_plain(protocol, numbers, cells) for protocol in protocols]  # First, so that these name the cells.
    nets: set[Net] = {net for cell in cells.values() for net in cell.nets}  # Variants need no other weights.
    changed = [_changed(p, way, cells, nets, masked=options.masked) for p, way in zip(protocols, plain, strict=True)]
    refused: dict[str, str] = {}
    records = _scored(options, list(cells.values()), callbacks, refused)
    comparison = _Comparison(numbers, _scores(records, views), refused)
    candidates = [comparison.candidate(*each) for each in zip(protocols, plain, changed, strict=True)]
    compared = sorted((one for one in candidates if one.fits), key=lambda one: (not one.agrees, one.distance))
    others = [one for one in candidates if not one.fits]
    if not compared:
        reasons = dict.fromkeys(f"{one.protocol} ({one.reason})" for one in others)
        raise InputError(f"No protocol can be compared with these numbers: {some(reasons, 3, whole=True)}.")
    return Identification(result, numbers, len(views), compared, others)


def _only_result(options: IdentifyOptions, protocols: Sequence[Protocol]) -> tuple[ResultId, list[str]]:
    """Return the result of the renders and the names of its views, without decoding images."""
    sources = open_sources(options, protocols, Callbacks())
    ids = [renders.id for source in sources for renders in source.sets]
    if len(ids) != 1:
        raise InputError(
            f"Numbers can be identified for one result. Got {counted(len(ids), 'result')}: {some(map(str, ids))}. "
            "Name the folder of one."
        )
    return ids[0], list(sources[0].sizes)


def _check(numbers: Numbers, protocols: Sequence[Protocol], views: Sequence[str]) -> None:
    """Check that the numbers are of these views, and that a protocol has all of their metrics."""
    for reported in numbers.metrics.values():
        if reported.views:
            reported.of_views(views)
    if not any(
        all(set(reported.keys) & protocol.metrics.keys() for reported in numbers.metrics.values())
        for protocol in protocols
    ):
        raise InputError(
            f"No protocol computes all of {listed(list(numbers.metrics))}. Remove the metrics of other tools, or name "
            "a protocol that does with `--protocol`."
        )


def _plain(protocol: Protocol, numbers: Numbers, cells: Cells) -> _Way:
    """Return a protocol as it is, for the reported metrics that it has, and add its cells."""
    keys = {name: [k for k in reported.keys if k in protocol.metrics] for name, reported in numbers.metrics.items()}
    of_names = {name: {key: _add(cells, single(protocol, key)) for key in own} for name, own in keys.items() if own}
    return _Way("", of_names)


def _changed(protocol: Protocol, plain: _Way, cells: Cells, nets: AbstractSet[Net], *, masked: bool) -> list[_Way]:
    """Return the variants of a protocol that use only some nets, and add their cells."""
    changed: dict[str, dict[str, dict[str, str]]] = {}
    for name, keys in plain.cells.items():
        for key in keys:
            for change, variant in variants(single(protocol, key), masked=masked):
                if nets >= set(variant.nets):
                    changed.setdefault(change, {}).setdefault(name, {})[key] = _add(cells, variant)
    return [
        _Way(change, {**plain.cells, **of_change})
        for change, of_change in changed.items()
        # A change of the images must fit every metric; one of a metric leaves the others as they are.
        if change.startswith(OF_METRIC) or of_change.keys() == plain.cells.keys()
    ]


def _add(cells: Cells, cell: Protocol) -> str:
    return cells.setdefault(cell.fingerprint, cell).fingerprint


def _scored(
    options: IdentifyOptions, cells: Sequence[Protocol], callbacks: Callbacks, refused: dict[str, str]
) -> list[Record]:
    """Score the renders under all cells. The reasons of those that can score no view are added to `refused`."""

    def refuse(protocol: Protocol, error: InputError) -> None:
        refused.setdefault(protocol.fingerprint, str(error))

    given = {option.name: getattr(options, option.name) for option in fields(IdentifyOptions)}
    return score_folders(_OfCells(**given, cells=tuple(cells)), replace(callbacks, on_refusal=refuse))


def _first_sentence(reasons: Sequence[str]) -> str:
    return reasons[0].partition(". ")[0].rstrip(".") if reasons else ""


def _chosen(results: Sequence[Numbers], result: ResultId) -> Numbers:
    """Return the numbers of the result: the only ones, or those whose label has its step, method or scene."""
    if len(results) == 1:
        return results[0]
    own = {result.scene, result.method, result.run, result.step_name, f"ours_{result.step}", str(result.step)}
    words = {numbers.label: set(numbers.label.split("/")) for numbers in results}
    matching = [numbers for numbers in results if words[numbers.label] & own]
    best = [numbers for numbers in matching if words[numbers.label] <= own] or matching
    if len(best) != 1:
        raise InputError(
            f"The numbers must be of one result, or name {result}. Got {some(words)}. Keep those of one in a copy of "
            "the file."
        )
    return best[0]


def _scores(records: Sequence[Record], names: Sequence[str]) -> dict[str, Scores]:
    """Return the scores of each cell that could score all views but those with an empty mask."""
    return {
        record.fingerprint: Scores(
            {row.name: next(iter(row.scores.values())) for row in record.views},
            {row.name: row.width * row.height for row in record.views},
            names,
        )
        for record in records
        if not record.failed
    }


@dataclass(frozen=True)
class _Comparison:
    """Comparison of numbers with scores.

    Attributes:
        numbers: the numbers.
        scores: scores of each cell, by fingerprint.
        refused: reasons of cells without scores.
    """

    numbers: Numbers
    scores: Mapping[str, Scores]
    refused: Mapping[str, str]

    def candidate(self, protocol: Protocol, plain: _Way, changed: Sequence[_Way]) -> Candidate:
        """Compare a protocol, and its variants if it does not agree."""
        candidate = Candidate(protocol.name, protocol.fingerprint)
        if missing := [name for name in self.numbers.metrics if name not in plain.cells]:
            return replace(candidate, reason=f"without {listed(missing)}")
        fits = self._fits(plain)
        candidate = replace(candidate, fits=fits)
        if candidate.agrees:
            return candidate
        if not fits:
            own = [cell for name in self.numbers.metrics for cell in plain.cells[name].values()]
            reasons = [self.refused[cell] for cell in own if cell in self.refused]
            candidate = replace(candidate, reason=_first_sentence(reasons) or "some views have no score")
        mends = {way.change: self._fits(way) for way in changed} | {POOLED: self._fits(plain, pooled=True)}
        distances = {
            change: distance_of(list(fits.values()))
            for change, fits in mends.items()
            if fits and agree(list(fits.values()))
        }
        return replace(candidate, mends=sorted(distances, key=distances.__getitem__))

    def _fits(self, way: _Way, *, pooled: bool = False) -> dict[str, Fit]:
        """Return the fit of each reported metric, with the key that fits best; none if a metric has no scores."""
        fits: dict[str, Fit] = {}
        for name, reported in self.numbers.metrics.items():
            possible = [
                fit
                for key, cell in way.cells[name].items()
                if (scores := self.scores.get(cell))
                and (fit := Fit.of(key, reported, scores, pooled=pooled and key.endswith("psnr")))
            ]
            if not possible:
                return {}
            fits[name] = min(possible, key=lambda fit: fit.distance)
        return fits
