"""Rows of records, collected view by view, with the views that have none and the reasons."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nvs_eval.errors import InputError, ResourceError, counted, listed, quoted, some
from nvs_eval.evaluation.callbacks import Refusal
from nvs_eval.evaluation.prepare import EmptyMask
from nvs_eval.evaluation.scorer import Outcome
from nvs_eval.images.pixels import AlphaRule, sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import ViewRow
from nvs_eval.records.result_id import ResultId
from nvs_eval.records.signatures import NEUTRAL
from nvs_eval.sources.views import FailedView, View


@dataclass(frozen=True)
class Entry:
    """Outcome of a view in one result under one protocol: its row, or the reason why it has none.

    Attributes:
        row: scores of the view.
        failed: error that prevented them.
        skipped: reason why the view is left out: its mask is empty.
        mask_sha256: hash of the mask of a skipped view.
        neutral: steps that changed nothing in the scores.
    """

    row: ViewRow | None = None
    failed: InputError | None = None
    skipped: str | None = None
    mask_sha256: str | None = None
    neutral: frozenset[str] = frozenset()


Entries = MutableMapping[str, Entry]
"""Entries of one result under one protocol, by the names of the views."""


@dataclass
class Rows:
    """Entries of one protocol for each result.

    Attributes:
        protocol: the protocol.
        folders: folder of the record of each result.
        entries: entries of each result, which may have some of an interrupted command.
        order: names of the views, in the order of the records (default: that of scoring).
        is_refused: whether the protocol gets no records.
    """

    protocol: Protocol
    folders: Sequence[Path]
    entries: Sequence[Entries]
    order: Sequence[str] = ()
    is_refused: bool = field(init=False, default=False)

    def _in_order(self, index: int) -> list[tuple[str, Entry]]:
        entries = self.entries[index]
        return [(name, entries[name]) for name in (self.order or entries) if name in entries]

    def rows(self, index: int) -> list[ViewRow]:
        """Return the rows of a result."""
        return [entry.row for _, entry in self._in_order(index) if entry.row is not None]

    def scored(self, index: int) -> bool:
        """Return whether a result has any row."""
        return any(entry.row is not None for entry in self.entries[index].values())

    def neutral(self, index: int) -> tuple[str, ...]:
        """Return the steps that changed nothing in any row of a result."""
        of_rows = [entry.neutral for _, entry in self._in_order(index) if entry.row is not None]
        return tuple(step for step in NEUTRAL if all(step in steps for steps in of_rows))

    def failed(self, index: int) -> dict[str, InputError]:
        """Return the errors of the views of a result that could not be scored, by name."""
        return {name: entry.failed for name, entry in self._in_order(index) if entry.failed is not None}

    def add(self, view: View, hashes: Hashes, outcome: Outcome) -> None:
        """Add the rows of a scored view, or the errors that prevent them."""
        if isinstance(outcome.error, EmptyMask):
            for entries in self.entries:
                entries[view.name] = Entry(skipped=str(outcome.error), mask_sha256=hashes.mask)
            return
        results = [index for index in range(len(self.entries)) if index not in view.failed]
        errors = outcome.failed if outcome.error is None else dict.fromkeys(range(len(results)), outcome.error)
        self.fail(view.name, {**view.failed, **{results[place]: error for place, error in errors.items()}})
        for place, index in enumerate(results):
            if place not in errors:
                row = self._row(view, place, index, outcome, hashes)
                self.entries[index][view.name] = Entry(row, neutral=outcome.neutral[place])

    def fail(self, name: str, errors: Mapping[int, InputError]) -> None:
        """Add a view that cannot be scored for some results, with their errors."""
        for index, error in errors.items():
            self.entries[index][name] = Entry(failed=error)

    def _row(self, view: View, place: int, index: int, outcome: Outcome, hashes: Hashes) -> ViewRow:
        """Return the row of one render of a view, with paths relative to the record's folder."""
        render, (height, width), folder = view.renders[place], view.reference.shape[:2], self.folders[index]
        masked = outcome.coverage is not None
        return ViewRow(
            name=view.name,
            width=width,
            height=height,
            scores={name: values[place] for name, values in outcome.scores.items()},
            render_seconds=render.seconds,
            render=relative_path(render.file, folder),
            reference=relative_path(view.reference_file, folder),
            reference_sha256=hashes.reference(self.protocol.alpha, outcome.reference),
            coverage=outcome.coverage,
            mask=relative_path(view.mask_file, folder) if masked else None,
            mask_sha256=hashes.mask if masked else None,
            own=dict(render.own) or None,
        )

    def provenance(self, index: int, left_out: Mapping[str, str]) -> dict[str, Any]:
        """Return the entries of a record's provenance on the views without rows.

        Args:
            index: index of the result.
            left_out: views that the source left out, with the reasons.
        """
        skipped = [(name, entry) for name, entry in self._in_order(index) if entry.skipped is not None]
        entries = {
            "left_out": {**left_out, **{name: entry.skipped for name, entry in skipped}},
            "left_out_masks": {name: entry.mask_sha256 for name, entry in skipped},
            "failed": {name: str(error) for name, error in self.failed(index).items()},
        }
        return {name: entry for name, entry in entries.items() if entry}

    def reason(self, index: int) -> InputError:
        """Return the error of a result without any row."""
        reasons = (entry.skipped for _, entry in self._in_order(index) if entry.skipped is not None)
        skipped = InputError(next(reasons, "There is no view to score."))
        return next(iter(self.failed(index).values()), skipped)


@dataclass
class Results:
    """Rows of all results under all protocols. It reports the views and results that cannot be scored.

    Attributes:
        ids: the results.
        by_protocol: rows of each protocol.
        on_refusal: called with each protocol that can score no view of a result, and the error, or None.
        warn: called once for each view that failed; with `on_refusal`, at the end.
    """

    ids: Sequence[ResultId]
    by_protocol: Sequence[Rows]
    on_refusal: Refusal | None
    warn: Callable[[str], None]
    _unreported: dict[str, None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        entries = [(name, entry) for rows in self.by_protocol for one in rows.entries for name, entry in one.items()]
        for name in dict.fromkeys(name for name, entry in entries if entry.failed is not None):
            self._report(name)

    def add(self, view: View, hashes: Hashes, outcomes: Sequence[Outcome]) -> None:
        """Add the outcomes of a view, one per protocol.

        Raises:
            ResourceError: Memory ran out and there is no `on_refusal`.
        """
        for rows, outcome in zip(self.by_protocol, outcomes, strict=True):
            if isinstance(outcome.error, ResourceError) and not rows.is_refused:
                if self.on_refusal is None:
                    raise outcome.error
                self.on_refusal(rows.protocol, outcome.error)
                rows.is_refused = True
            elif not rows.is_refused:
                rows.add(view, hashes, outcome)
        self._report(view.name)

    def fail(self, view: FailedView) -> None:
        """Add a view that cannot be scored for some results."""
        for rows in self.by_protocol:
            rows.fail(view.name, view.failed)
        self._report(view.name)

    def finish(self) -> list[InputError]:
        """Return the errors of the results without any row. With `on_refusal`, a result that has rows is not one."""
        kept = [rows for rows in self.by_protocol if not rows.is_refused]
        lost = {index: [rows for rows in kept if not rows.scored(index)] for index in range(len(self.ids))}
        results: dict[tuple[str, str], list[str]] = {}
        all_labels = [rows.protocol.label for rows in kept]
        for index, without in lost.items():
            protocols: dict[str, list[str]] = {}
            for rows in without if self.on_refusal is None or len(without) == len(kept) else ():
                protocols.setdefault(str(rows.reason(index)), []).append(rows.protocol.label)
            for reason, labels in protocols.items():
                results.setdefault((_part(labels, all_labels), reason), []).append(str(self.ids[index]))
        if self.on_refusal is not None:
            self._refuse(kept, [index for index, without in lost.items() if len(without) < len(kept)], self.on_refusal)
        for reason in filter(None, map(self._failure, self._unreported)):
            self.warn(reason)
        return [
            InputError(f"No view of {some(names)} could be scored{f' under {under}' if under else ''}. {reason}")
            for (under, reason), names in results.items()
        ]

    def _refuse(self, kept: Sequence[Rows], scored: Sequence[int], on_refusal: Refusal) -> None:
        """Refuse the protocols that can score no view of a result, of those that another protocol can score."""
        for rows in kept:
            rows.is_refused = not any(map(rows.scored, range(len(self.ids))))
            if empty := [index for index in scored if not rows.scored(index)]:
                which = "" if rows.failed(empty[0]) else "There is no view to score. "
                if not rows.is_refused:
                    which = f"No view of {listed([str(self.ids[index]) for index in empty])} could be scored. "
                on_refusal(rows.protocol, InputError(f"{which}{rows.reason(empty[0])}"))

    def _report(self, name: str) -> None:
        """Report why a view failed, at once if no protocol may turn out to score no view."""
        if self.on_refusal is not None:
            self._unreported[name] = None
        elif reason := self._failure(name):
            self.warn(reason)

    def _failure(self, name: str) -> str:
        """Return a sentence on the results and protocols that lack a view, with the first reason; "" if none does."""
        kept = [rows for rows in self.by_protocol if not rows.is_refused]
        errors = [
            (rows, index, entry.failed)
            for rows in kept
            for index, entries in enumerate(rows.entries)
            if (entry := entries.get(name))
            and entry.failed
            and (rows.scored(index) or self.on_refusal is None)  # Otherwise the result is reported.
        ]
        if not errors:
            return ""
        results = _part([str(self.ids[index]) for _, index, _ in errors], list(map(str, self.ids)))
        protocols = _part([rows.protocol.label for rows, *_ in errors], [rows.protocol.label for rows in kept])
        reason, *others = dict.fromkeys(str(error) for *_, error in errors)
        more = f" The records have {counted(len(others), 'other reason')}." if others else ""
        of, under = (f" {word} {part}" if part else "" for word, part in (("of", results), ("under", protocols)))
        return f"View {quoted(name)}{of} was not scored{under}. {reason}{more}"


def _part(names: Collection[str], all_names: Collection[str]) -> str:
    """Return distinct names as a list in a sentence; "" if they are all."""
    distinct = list(dict.fromkeys(names))
    return "" if len(distinct) == len(set(all_names)) else listed(distinct)


class Hashes:
    """Hashes of a view's mask and of its reference under each alpha rule, computed once."""

    def __init__(self, view: View, background: Executor, hash_mask: Callable[[Tensor], str]) -> None:
        self.mask = None if view.mask is None else hash_mask(view.mask)
        # Hashed in the background while the view is scored. A reference with alpha is hashed after compositing.
        self._opaque = background.submit(sha256_of_image, view.reference) if view.reference_alpha is None else None
        self._composited: dict[AlphaRule, str] = {}

    def reference(self, rule: AlphaRule, image: Tensor | None) -> str:
        """Return the hash of the reference; `image` is the reference without alpha, required if it has any."""
        if self._opaque is not None:
            return self._opaque.result()
        if rule not in self._composited:
            assert image is not None
            self._composited[rule] = sha256_of_image(image)
        return self._composited[rule]


def relative_path(file: Path | None, folder: Path) -> str | None:
    """Return a file's path relative to a folder, with forward slashes; None for no file."""
    return None if file is None else Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
