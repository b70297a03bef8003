"""Published numbers as rows of tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import ClassVar, Literal

from nvs_eval.errors import InputError, listed, some
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.groups import Contender
from nvs_eval.records.record import Record
from nvs_eval.report.benchmarks import Published, Scene, Suite, decimals_of, load_suite, named_suites
from nvs_eval.report.tables.table import DIFFERS, ODD, PUBLISHED


@dataclass(frozen=True)
class PublishedRow:
    """Published numbers for the scenes of a table, with the interface of a contender.

    Attributes:
        published: source of the numbers.
        scores: scores by scene and metric.
        means: published means over all scenes by metric, computed from more decimals than the scenes show.
        mark: mark that the notes explain.
    """

    run: ClassVar[None] = None
    step: ClassVar[None] = None
    step_name: ClassVar[None] = None

    published: Published
    scores: Mapping[str, Mapping[str, str]]
    means: Mapping[str, str]
    mark: str

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
        return metric in self.means or any(metric in scores for scores in self.scores.values())

    def mean(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> float | None:
        """Return the mean over scenes, published or computed; None over views, or if a scene lacks the metric."""
        values = self._values(metric, scenes, over)
        return fmean(map(float, values)) if values else None

    def decimals(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> int:
        """Return the number of published decimals of that mean."""
        return min(map(decimals_of, self._values(metric, scenes, over)))

    def _values(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"]) -> list[str]:
        several = len(scenes) > 1
        if several and over == "scenes" and metric in self.means:
            return [self.means[metric]]
        values = [self.scores[scene][metric] for scene in scenes if metric in self.scores.get(scene, ())]
        return [] if len(values) < len(scenes) or (several and over == "views") else values


Row = Contender | PublishedRow
"""Source of the scores of a row."""


def check_published(published: Sequence[Published], records: Sequence[Record]) -> None:
    """Check that published numbers are comparable with records: some share their protocol and a scene.

    Args:
        published: published numbers.
        records: at least one record.

    Raises:
        InputError: published numbers share no protocol or no scene with the records. The message names them.
    """
    titles = {record.fingerprint: record.protocol_title for record in records}
    for source in published:
        if source.protocol.fingerprint not in titles:
            exact = " and `--precision exact`" if any(_only_faster(record, source) for record in records) else ""
            raise InputError(
                f"Records must have the protocol of {source.title}, {source.protocol.name} "
                f"({source.protocol.fingerprint}), to be comparable. Got "
                f"{some(f'{name} ({fingerprint})' for fingerprint, name in titles.items())}. "
                f"Score with `--protocol {source.protocol.name}`{exact}, rescore kept renders, or use `--allow-mixed` "
                "to print them side by side, marked."
            )
        _check_scenes(source, {record.scene for record in records if record.fingerprint == source.protocol.fingerprint})


def _check_scenes(source: Published, scenes: Collection[str]) -> None:
    """Check that records share a scene with published numbers, or all scenes of a suite if these are means alone."""
    if source.scores and not source.scores.keys() & scenes:
        raise InputError(
            f"Records must share a scene with {source.title} ({source.name}): {some(source.scores, 20)}. Got "
            f"{some(sorted(scenes))}. Use these names with `--scene` when scoring, or omit the published numbers."
        )
    suites = [load_suite(name) for name in source.means]
    if not source.scores and not any({suite.scene(scene) for scene in scenes} >= {*suite.scenes} for suite in suites):
        raise InputError(
            f"Records must have all scenes of {listed(list(source.means))} to be comparable with {source.title} "
            f"({source.name}), which has means alone. Got {some(sorted(scenes))}. Score the other scenes, or omit the "
            "published numbers."
        )


def _only_faster(record: Record, published: Published) -> bool:
    """Return whether a record differs from the published protocol only by fast LPIPS."""
    return record.fast and record.protocol["name"] == published.protocol.name


def published_row(
    published: Published,
    record: Record,
    scenes: Sequence[str],
    *,
    company: Mapping[str, frozenset[int]],
    suite: Suite | None,
) -> PublishedRow | None:
    """Return the row of published numbers in a table; None if they have no number for its scenes.

    Args:
        published: source of the numbers.
        record: any record of the table, for its protocol.
        scenes: scenes of the table.
        company: scenes of all tables together, with the widths of their images in pixels (none for a missing scene).
        suite: suite of the table, or None.

    Raises:
        InputError: the numbers are of scenes with the same names in another benchmark or of images of another width, or
            are means and the table has none.
    """
    suites = [load_suite(name) for name in published.suites]
    same_names = [scene for scene in scenes if scene in published.scores]
    scores = {scene: published.scores[scene] for scene in same_names if _is_of(scene, suites, company, suite)}
    means = _means(published, scenes, company, suite)
    if scores or means:
        same = published.protocol.fingerprint == record.fingerprint
        return PublishedRow(published, scores, means, PUBLISHED if same else PUBLISHED + ODD)
    whole = any(set(load_suite(name).names) == set(scenes) for name in published.means)
    if same_names or (whole and not published.scores):
        raise InputError(f"{published.title} ({published.name}) {_other_images(suites, same_names or scenes, company)}")
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
    published: Published, scenes: Sequence[str], company: Mapping[str, frozenset[int]], suite: Suite | None
) -> Mapping[str, str]:
    """Return the published means over a suite, if the table shows exactly its scenes."""
    for name in [suite.name] if suite else published.means:
        if name in published.means and set(load_suite(name).names) == set(scenes):
            homes = (load_suite(name).scene(scene) in _homes(scene, company[scene]) for scene in scenes)
            return published.means[name] if all(homes) else {}
    return {}


def _other_images(suites: Sequence[Suite], scenes: Sequence[str], company: Mapping[str, frozenset[int]]) -> str:
    """Return why published numbers of some scenes are not of the records' images, without the subject."""
    theirs = f"has numbers for scenes of {listed([suite.name for suite in suites])}."
    widths = {width for scene in scenes for width in company[scene]}
    sized = next((suite for suite in map(load_suite, named_suites()) if suite.width and suite.scene(scenes[0])), None)
    if sized is not None and (widths != {sized.width} if sized in suites else sized.width in widths):
        return (
            f"{theirs} Got images of {some(scenes)} that are {listed([str(width) for width in sorted(widths)])} "
            f"pixels wide, and those of {sized.name} are {sized.width}. Omit the published numbers."
        )
    return (
        f"{theirs} Other benchmarks also have scenes named {listed(scenes)}. Pass `--suite` if the records are of that "
        "suite, or omit the published numbers."
    )


def published_notes(rows: Sequence[PublishedRow], record: Record, metrics: Sequence[str]) -> Iterator[str]:
    """Yield notes on the sources of published rows, and on metrics that were computed differently."""
    for row in rows:
        published = row.published
        if published.protocol.fingerprint != record.fingerprint:
            exact = ", with exact LPIPS" if _only_faster(record, published) else ""
            yield f"{ODD} {row.name}: protocol {published.protocol.name} ({published.protocol.fingerprint}){exact}"
        yield f"{PUBLISHED} {row.name}: published in {published.source}; views could not be compared"
        if published.note:
            yield f"{PUBLISHED} {row.name}: {published.note}"
        for metric, reason in published.differs.items():
            if metric in metrics:
                yield f"{DIFFERS} {about_of(metric).title} of {row.name} has no rank: {reason}"
