"""Published numbers as rows beside one's own."""

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
    """The numbers of a publication for the scenes of a table: what a contender is for records.

    Attributes:
        published: where the numbers are from.
        scores: by scene and metric.
        means: by metric, those over all scenes that were published: they are of more decimals than their scenes show.
        mark: a sign that the notes explain.
    """

    run: ClassVar[None] = None
    step: ClassVar[None] = None

    published: Published
    scores: Mapping[str, Mapping[str, str]]
    means: Mapping[str, str]
    mark: str

    @property
    def method(self) -> str:
        """The method, as a table shows it."""
        return self.published.title

    name = method

    def records_of(self, scenes: Sequence[str]) -> list[Record]:
        """None."""
        return []

    def has(self, metric: str) -> bool:
        """Whether it has a metric of any scene, or a mean of it."""
        return metric in self.means or any(metric in scores for scores in self.scores.values())

    def mean(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> float | None:
        """The mean over scenes, as it was published if it was; None if any scene lacks the metric, or over views."""
        values = self._values(metric, scenes, over)
        return fmean(map(float, values)) if values else None

    def decimals(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> int:
        """How many decimals of that mean were published."""
        return min(map(decimals_of, self._values(metric, scenes, over)))

    def _values(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"]) -> list[str]:
        several = len(scenes) > 1
        if several and over == "scenes" and metric in self.means:
            return [self.means[metric]]
        values = [self.scores[scene][metric] for scene in scenes if metric in self.scores.get(scene, ())]
        return [] if len(values) < len(scenes) or (several and over == "views") else values


Row = Contender | PublishedRow
"""Whose scores stand in a row."""


def check_published(published: Sequence[Published], records: Sequence[Record]) -> None:
    """Check that published numbers may stand beside records: some are of their protocol, and of a scene of theirs.

    Args:
        published: numbers of others.
        records: at least one.

    Raises:
        InputError: naming what does not go with them, and why.
    """
    titles = {record.fingerprint: record.protocol_title for record in records}
    for source in published:
        if source.protocol.fingerprint not in titles:
            exact = " and `--precision exact`" if any(_only_faster(record, source) for record in records) else ""
            raise InputError(
                f"{source.title} was published under the protocol {source.protocol.name} "
                f"({source.protocol.fingerprint}), and the records are of "
                f"{some(f'{name} ({fingerprint})' for fingerprint, name in titles.items())}: such numbers do not rank. "
                f"Score with `--protocol {source.protocol.name}`{exact}, rescore what was kept, or say `--allow-mixed` "
                "to print them side by side, marked."
            )
        scenes = {record.scene for record in records if record.fingerprint == source.protocol.fingerprint}
        if not scenes & set(source.scores):
            raise InputError(
                f"{source.title} ({source.name}) was published of {some(source.scores, 20)}, and the records are of "
                f"{some(sorted(scenes))}: name scenes so with `--scene` when they are scored, or leave it out."
            )


def _only_faster(record: Record, published: Published) -> bool:
    """Whether a record's LPIPS is fast under a protocol of the published name."""
    return record.fast and record.protocol["name"] == published.protocol.name


def published_row(
    published: Published, record: Record, scenes: Sequence[str], *, company: Collection[str], suite: Suite | None
) -> PublishedRow | None:
    """The row of a publication in the table of some scenes; None if it has no number of them.

    Args:
        published: where the numbers are from.
        record: any of the table, which says its protocol.
        scenes: of the table.
        company: the scenes of all tables together.
        suite: that was named, or None.

    Raises:
        InputError: it has numbers of scenes of these names, but of another benchmark.
    """
    suites = [load_suite(name) for name in published.suites]
    named = [scene for scene in scenes if scene in published.scores]
    scores = {scene: published.scores[scene] for scene in named if _is_of(scene, suites, company, suite)}
    means = _means(published, scenes, suite)
    if scores or means:
        same = published.protocol.fingerprint == record.fingerprint
        return PublishedRow(published, scores, means, PUBLISHED if same else PUBLISHED + ODD)
    if named:
        raise InputError(
            f"{published.title} ({published.name}) was published of {listed(published.suites)}, and {listed(named)} of "
            "the records may be of another benchmark, which has scenes of these names, too: say `--suite` if they are "
            "of that one, else leave the published numbers out."
        )
    return None


def _is_of(scene: str, published: Sequence[Suite], company: Collection[str], suite: Suite | None) -> bool:
    """Whether a published scene is what the records call so: two benchmarks have a scene called room.

    Of a named suite it must be the very scene. Else a name that several benchmarks have needs company: another scene of
    the tables that only the published benchmark has, and none that only another one has.
    """
    if suite is not None and suite.name in named_suites():
        return any(theirs.scene(scene) == load_suite(suite.name).scene(scene) for theirs in published)
    if len(_homes(scene)) < 2:
        return True
    unmistakable = [homes for other in company if len(homes := _homes(other)) == 1]
    ours = {home for theirs in published for home in theirs.scenes}
    return bool(unmistakable) and all(homes <= ours for homes in unmistakable)


@cache
def _homes(scene: str) -> frozenset[Scene]:
    """The scenes of the named suites that go by a name; one that two suites share is one."""
    homes = (load_suite(name).scene(scene) for name in named_suites())
    return frozenset(home for home in homes if home is not None)


def _means(published: Published, scenes: Sequence[str], suite: Suite | None) -> Mapping[str, str]:
    """Those over all scenes of a suite, if the table is of these."""
    for name in [suite.name] if suite else published.means:
        if name in published.means and set(load_suite(name).names) == set(scenes):
            return published.means[name]
    return {}


def published_notes(rows: Sequence[PublishedRow], record: Record, metrics: Sequence[str]) -> Iterator[str]:
    """Where published rows of a table come from, and what of them is not what the columns of its metrics say."""
    for row in rows:
        published = row.published
        if published.protocol.fingerprint != record.fingerprint:
            exact = ", whose LPIPS is exact" if _only_faster(record, published) else ""
            yield f"{ODD} {row.name}: of protocol {published.protocol.name} ({published.protocol.fingerprint}){exact}"
        yield f"{PUBLISHED} {row.name}: published in {published.source}; its views could not be compared"
        if published.note:
            yield f"{PUBLISHED} {row.name}: {published.note}"
        for metric, reason in published.differs.items():
            if metric in metrics:
                yield f"{DIFFERS} {about_of(metric).title} of {row.name} has no rank: {reason}"
