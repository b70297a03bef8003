"""Published numbers as rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import ClassVar, Literal

from nvs_eval.errors import InputError, listed, some
from nvs_eval.metrics.registry import about_of, base_of
from nvs_eval.records.columns import Column, Other
from nvs_eval.records.groups import Contender
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import same_number
from nvs_eval.report.benchmarks import (
    Published,
    Scene,
    Suite,
    decimals_of,
    load_suite,
    named_signatures,
    named_suites,
)
from nvs_eval.report.tables.table import DIFFERS, ODD, PUBLISHED


@dataclass(frozen=True)
class PublishedRow:
    """Published numbers for the scenes of a table, with the interface of a contender.

    Attributes:
        published: source of the numbers.
        scores: scores by scene and metric.
        means: published means over all scenes by metric, computed from more decimals than the scenes show.
        mark: mark that the notes explain.
        metrics: published metric of each column that has a number, by the column's key.
    """

    run: ClassVar[None] = None
    step: ClassVar[None] = None
    step_name: ClassVar[None] = None

    published: Published
    scores: Mapping[str, Mapping[str, str]]
    means: Mapping[str, str]
    mark: str
    metrics: Mapping[str, str]

    @property
    def method(self) -> str:
        """Name of the method in tables."""
        return self.published.title

    name = method

    def records_of(self, scenes: Sequence[str]) -> list[Record]:
        """Return an empty list: published rows have no records."""
        return []

    def has(self, metric: str) -> bool:
        """Return whether any scene, or a published mean, has a metric."""
        name = self.metrics.get(metric)
        return name in self.means or any(name in scores for scores in self.scores.values())

    def differs(self, metric: str) -> bool:
        """Return whether the numbers of a column were computed differently from their protocol."""
        return self.metrics.get(metric) in self.published.differs

    def mean(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> float | None:
        """Return the mean over scenes, published or computed; None over views, or if a scene lacks the metric."""
        values = self._values(metric, scenes, over)
        return fmean(map(float, values)) if values else None

    def decimals(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> int:
        """Return the number of published decimals of that mean."""
        return min(map(decimals_of, self._values(metric, scenes, over)))

    def _values(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"]) -> list[str]:
        several, name = len(scenes) > 1, self.metrics.get(metric, "")
        if several and over == "scenes" and name in self.means:
            return [self.means[name]]
        values = [self.scores[scene][name] for scene in scenes if name in self.scores.get(scene, ())]
        return [] if len(values) < len(scenes) or (several and over == "views") else values


Row = Contender | PublishedRow
"""Source of the scores of a row."""


def numbers_of(published: Sequence[Published], records: Sequence[Record]) -> list[Other]:
    """Return the numbers that are published, by the signatures of their protocols, as far as these are known.

    Args:
        published: published numbers.
        records: records, whose signatures are those of their protocols; other named protocols are known.
    """
    signatures: dict[str, dict[str, str]] = {}
    for record in records if published else ():
        of_protocol = signatures.setdefault(record.fingerprint, {})
        of_protocol |= {name: info.signature for name, info in record.metrics.items() if name not in of_protocol}
    numbers = []
    for source in published:
        protocol = source.protocol
        known = {**named_signatures().get(protocol.fingerprint, {}), **signatures.get(protocol.fingerprint, {})}
        numbers += [Other(name, known[name], protocol.name, source.name) for name in source.metrics if name in known]
    return numbers


def check_published(published: Sequence[Published], records: Sequence[Record]) -> None:
    """Check that published numbers are comparable with records: some have a number and a scene in common.

    Args:
        published: published numbers.
        records: at least one record.

    Raises:
        InputError: published numbers share no number or no scene with the records. The message names them.
    """
    titles = {record.fingerprint: record.protocol_title for record in records}
    for source in published:
        others = numbers_of([source], records)
        sharing = [record for record in records if any(_has(record, other) for other in others)]
        if not sharing:
            raise InputError(
                f"Records must have the protocol of {source.title}, {source.protocol.name} "
                f"({source.protocol.fingerprint}), to be comparable. Got "
                f"{some(f'{name} ({fingerprint})' for fingerprint, name in titles.items())}. "
                f"Score with `--protocol {source.protocol.name}`, rescore kept renders, or use `--allow-mixed` "
                "to print them side by side, marked."
            )
        _check_scenes(source, sharing)


def _check_scenes(source: Published, records: Sequence[Record]) -> None:
    """Check that records share a scene with published numbers, or all scenes of a suite if these are means alone."""
    scenes = {record.scene for record in records}
    if source.scores and not source.scores.keys() & scenes:
        raise InputError(
            f"Records must share a scene with {source.title} ({source.name}): {some(source.scores, 20)}. Got "
            f"{some(sorted(scenes))}. Use these names with `--scene` when scoring, or omit the published numbers."
        )
    suites = [load_suite(name).with_scenes_of(records) for name in source.means]
    if not source.scores and not any(suite.is_whole and suite.is_covered_by(scenes) for suite in suites):
        raise InputError(
            f"Records must have all scenes of {listed(list(source.means))} to be comparable with {source.title} "
            f"({source.name}), which has means alone. Got {some(sorted(scenes))}. Score the other scenes, or omit the "
            "published numbers."
        )


def _has(record: Record, other: Other) -> bool:
    """Return whether a record has a published number."""
    info = record.metrics.get(other.metric)
    return info is not None and same_number(info.signature, record.neutral, other.signature)


def published_row(
    published: Published,
    columns: Sequence[Column],
    scenes: Sequence[str],
    *,
    company: Mapping[str, frozenset[int]],
    suite: Suite | None,
    suites: Mapping[str, Suite],
    allow_mixed: bool,
) -> PublishedRow | None:
    """Return the row of published numbers in a table; None if they have no number for its columns and scenes.

    Args:
        published: source of the numbers.
        columns: columns of the table.
        scenes: scenes of the table.
        company: scenes of all tables together, with the widths of their images in pixels (none for a missing scene).
        suite: suite of the table, or None.
        suites: suites of published means, by name.
        allow_mixed: whether numbers of which none is that of a column are in columns of the same metrics, marked.

    Raises:
        InputError: the numbers are of scenes with the same names in another benchmark or of images of another width, or
            are means and the table has none.
    """
    mark, metrics = PUBLISHED, {col.key: col.metric for col in columns if col.has_number(published.name)}
    if not metrics and allow_mixed:
        first = {column.metric: column.key for column in reversed(columns)}
        metrics, mark = {key: metric for metric, key in first.items()}, PUBLISHED + ODD
    homes = [suites.get(name) or load_suite(name) for name in published.suites]
    own = [suites[name] for name in published.means]
    same_names = [scene for scene in scenes if scene in published.scores]
    scores = {scene: published.scores[scene] for scene in same_names if _is_of(scene, homes, company, suite)}
    means = _means(published, scenes, company, [one for one in own if suite is None or one.name == suite.name])
    if not metrics:
        return None
    if scores or means:
        return PublishedRow(published, scores, means, mark, metrics)
    whole = any(_shows_all(one, scenes) for one in own)
    if same_names or (whole and not published.scores):
        raise InputError(f"{published.title} ({published.name}) {_other_images(homes, same_names or scenes, company)}")
    if not published.scores:
        raise InputError(
            f"{published.title} ({published.name}) has means over {listed(list(published.means))} alone. Got a table "
            f"of {some(scenes)}. Use `--rows method` and all scenes of a suite, or omit the published numbers."
        )
    return None


def _is_of(scene: str, published: Sequence[Suite], company: Mapping[str, frozenset[int]], suite: Suite | None) -> bool:
    """Return whether a published scene is the records' scene of that name: two benchmarks have a scene called room.

    With a built-in suite, it must be the suite's scene. Without one, a name that several benchmarks have is accepted if
    the tables have another scene that only the published benchmark has, and none that only another benchmark has.
    """
    homes = _homes(scene, company[scene])
    own = {candidate.scene(scene) for candidate in published} & homes
    if suite is not None and suite.name in named_suites():
        return load_suite(suite.name).scene(scene) in own
    if len(homes) < 2:
        return bool(own)
    unambiguous = [homes for other, widths in company.items() if len(homes := _homes(other, widths)) == 1]
    published_scenes = {home for candidate in published for home in candidate.scenes}
    return bool(unambiguous) and all(homes <= published_scenes for homes in unambiguous)


@cache
def _homes(scene: str, widths: frozenset[int]) -> frozenset[Scene]:
    """Return the scenes of all built-in suites with a name. A scene shared by two suites counts once.

    Images that have the width of a suite are of that suite; images of several widths, one of them such, are of none.
    """
    suites = [suite for suite in map(load_suite, named_suites()) if suite.scene(scene)]
    sized = [suite for suite in suites if suite.width in widths]
    if not sized:
        sized = [suite for suite in suites if suite.width is None or not widths]
    elif len(widths) > 1:
        sized = []
    return frozenset(home for suite in sized if (home := suite.scene(scene)))


def _means(
    published: Published, scenes: Sequence[str], company: Mapping[str, frozenset[int]], suites: Sequence[Suite]
) -> Mapping[str, str]:
    """Return the published means over a suite, if the table shows exactly its scenes."""
    for suite in suites:
        if _shows_all(suite, scenes):
            return published.means[suite.name] if _are_of(scenes, suite, company) else {}
    return {}


def _shows_all(suite: Suite, scenes: Sequence[str]) -> bool:
    return suite.is_whole and {*suite.names} == {*scenes}


def _are_of(scenes: Sequence[str], suite: Suite, company: Mapping[str, frozenset[int]]) -> bool:
    """Return whether the records of the scenes of a suite have its images."""
    if suite.index is not None:  # Its hash has told the scenes from those of other benchmarks.
        return all(company[scene] <= {suite.width} for scene in scenes)
    return all(suite.scene(scene) in _homes(scene, company[scene]) for scene in scenes)


def _other_images(suites: Sequence[Suite], scenes: Sequence[str], company: Mapping[str, frozenset[int]]) -> str:
    """Return why published numbers of some scenes are not of the records' images, without the subject."""
    theirs = f"has numbers for scenes of {listed([suite.name for suite in suites])}."
    widths = {width for scene in scenes for width in company[scene]}
    known = [*suites, *map(load_suite, named_suites())]
    sized = next((suite for suite in known if suite.width and suite.scene(scenes[0])), None)
    if sized is not None and (widths != {sized.width} if sized in suites else sized.width in widths):
        return (
            f"{theirs} Got images of {some(scenes)} that are {listed([str(width) for width in sorted(widths)])} "
            f"pixels wide, and those of {sized.name} are {sized.width}. Omit the published numbers."
        )
    return (
        f"{theirs} Other benchmarks also have scenes named {some(scenes, 20)}. Pass `--suite` if the records are of "
        "that suite, or omit the published numbers."
    )


def published_notes(rows: Sequence[PublishedRow], metrics: Sequence[str]) -> Iterator[str]:
    """Yield notes on the sources of published rows, and on their numbers that are others or differ.

    Args:
        rows: published rows of a table.
        metrics: keys of the columns that are shown.
    """
    for row in rows:
        published = row.published
        protocol = f"protocol {published.protocol.name} ({published.protocol.fingerprint})"
        if ODD in row.mark:
            yield f"{ODD} {row.name}: {protocol}"
        yield f"{PUBLISHED} {row.name}: published in {published.source}; views could not be compared"
        if others := [m for m in published.metrics if m in map(base_of, metrics) and m not in row.metrics.values()]:
            verb = "is another number" if len(others) == 1 else "are other numbers"
            yield f"{PUBLISHED} {row.name}: {listed([about_of(m).title for m in others])} {verb} under {protocol}"
        if published.note:
            yield f"{PUBLISHED} {row.name}: {published.note}"
        for metric in metrics:
            if row.differs(metric):
                reason = published.differs[row.metrics[metric]]
                yield f"{DIFFERS} {about_of(metric).title} of {row.name} has no rank: {reason}"
