"""Score the scenes of a large suite in one pass: one scorer, files read ahead across scenes, one line per scene."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.evaluate import Session, evaluate, with_inputs
from nvs_eval.evaluation.lines_writer import LinePlaces
from nvs_eval.evaluation.options import RESULTS, ScoreOptions
from nvs_eval.evaluation.resume import Places
from nvs_eval.evaluation.score_folders import (
    check_not_copies,
    finished_and_waiting,
    open_sources,
    records_of_copies,
)
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.sizes import check_sizes
from nvs_eval.protocols import Protocol
from nvs_eval.records.incomplete import failures
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.read_ahead import views_of
from nvs_eval.system.devices import memory_advice
from nvs_eval.system.hashes import forget_hashes


@dataclass(frozen=True)
class SceneWork:
    """A method on a scene.

    Attributes:
        options: options of the evaluation.
        protocols: protocols to score under.
    """

    options: ScoreOptions
    protocols: Sequence[Protocol]


@dataclass
class SceneOutcome:
    """Result of a method on a scene.

    Attributes:
        records: its records, existing and new ones.
        errors: reasons why it has not all of them.
        incomplete: which views its records lack.
    """

    records: list[Record] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)


class ScenePass:
    """One pass over scenes of a suite.

    Args:
        suite: name of the suite.
        provenance: entries for the provenance of all records.
        callbacks: callbacks for progress and messages.
    """

    def __init__(self, suite: str, provenance: Mapping[str, Any], callbacks: Callbacks) -> None:
        self._suite, self._provenance, self._callbacks = suite, provenance, callbacks
        self._scorers: dict[object, Scorer] = {}
        self._places: dict[tuple[Path, bool], LinePlaces] = {}
        self._outcomes: list[SceneOutcome] = []

    def score(self, works: Sequence[SceneWork]) -> list[SceneOutcome]:
        """Score the scenes that have no records of the same inputs. An error of one does not affect the others.

        Raises:
            InputError: the records cannot be written, weights are missing, or memory ran out.
        """
        if any(work.options.rehash for work in works):
            forget_hashes()
        self._outcomes = [SceneOutcome() for _ in works]
        for work in works:
            self._scorer(work.options, work.protocols)  # All at first, to report missing weights.
        waiting: dict[int, tuple[int, list[Protocol]]] = {}
        title = f"Scoring {counted(len(works), 'scene')}"
        with ExitStack() as stack, memory_advice():
            begin = functools.cache(lambda: stack.enter_context(self._callbacks.progress(title, len(works))))
            try:
                for source, views in views_of(self._sources(works, waiting, begin)):
                    index, protocols = waiting.pop(id(source))
                    self._score(works[index], self._outcomes[index], source, protocols, views)
            finally:
                for places in self._places.values():
                    places.close()
        return self._outcomes

    def is_done(self, work: SceneWork) -> bool:
        """Return whether all records exist and match the current inputs.

        Raises:
            InputError: an input is not available, or a record of other inputs would be replaced.
        """
        return not self._open(work)[1]

    def _sources(
        self,
        works: Sequence[SceneWork],
        waiting: dict[int, tuple[int, list[Protocol]]],
        begin: Callable[[], Callable[[], None]],
    ) -> Iterator[ImageFiles]:
        """Yield the sources to score, and add the index of their work and their protocols to `waiting`, by their id."""
        finished, opened, begun = 0, 0, False
        told: set[str] = set()
        for index, work in enumerate(works):
            outcome = self._outcomes[index]
            try:
                outcome.records, sources = self._open(work)
            except InputError as error:
                outcome.errors.append(str(error))
                if str(error) not in told:  # A damaged file of records concerns all of its scenes.
                    self._callbacks.warn(f"Error: {_label(work.options)}: {error}")
                told.add(str(error))
                sources = []
            finished += bool(outcome.records) and not sources
            for source, protocols in sources:
                waiting[id(source)] = (index, protocols)
                begun = True  # There is no progress to show if nothing is left to do.
                yield source
            opened += 1
            while begun and opened:
                begin()()
                opened -= 1
        if finished:
            self._callbacks.say(
                f"{finished} of {counted(len(works), 'scene')} {'is' if finished == 1 else 'are'} already scored. Use "
                "--overwrite to score them again."
            )

    def _open(self, work: SceneWork) -> tuple[list[Record], list[tuple[ImageFiles, list[Protocol]]]]:
        """Return the records of the same inputs, and the sources to score with their protocols."""
        copies = records_of_copies(work.options.renders)
        for protocol in work.protocols:
            check_not_copies(copies, protocol)
        sources = [self._with_provenance(one) for one in open_sources(work.options, work.protocols, self._callbacks)]
        check_sizes(work.protocols, [size for source in sources for size in source.sizes.items()])
        return finished_and_waiting(sources, work.protocols, self._places_of(work.options))

    def _with_provenance(self, source: ImageFiles) -> ImageFiles:
        sets = [replace(one, provenance={**one.provenance, **self._provenance}) for one in source.sets]
        return replace(source, sets=sets)

    def _score(
        self,
        work: SceneWork,
        outcome: SceneOutcome,
        source: ImageFiles,
        protocols: Sequence[Protocol],
        views: Iterator[Any],
    ) -> None:
        options, places = work.options, self._places_of(work.options)
        session = Session(options.output_dir or RESULTS, self._callbacks.command, suite=self._suite)
        try:
            scored = evaluate(
                views,
                source.ids,
                self._scorer(options, protocols),
                session,
                provenance=source.provenance,
                on_lost=session.errors.append,
                warn=self._callbacks.warn,
            )
            records = with_inputs(scored, source)
        except InputError as error:
            outcome.errors.append(str(error))
            return
        for record in records:
            places.add(record)
        outcome.records += records
        outcome.errors += map(str, session.errors)
        outcome.incomplete += failures(records)

    def _places_of(self, options: ScoreOptions) -> LinePlaces:
        key = (options.output_dir or RESULTS, options.overwrite)
        if key not in self._places:
            self._places[key] = LinePlaces(Places(*key), self._suite)
        return self._places[key]

    def _scorer(self, options: ScoreOptions, protocols: Sequence[Protocol]) -> Scorer:
        """Return the scorer for some options, which is loaded once."""
        fingerprints = tuple(protocol.fingerprint for protocol in protocols)
        key = (fingerprints, options.device, options.weights_dir, options.max_memory)
        if key not in self._scorers:
            self._scorers[key] = options.scorer(protocols)
        return self._scorers[key]


def _label(options: ScoreOptions) -> str:
    return ResultId(options.scene or "", options.method[0] if options.method else "").label
