"""Published numbers as rows beside one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, listed, some
from nvs_eval.report.benchmarks.suites import load_suite, named_suites
from nvs_eval.report.tables.blocks import Block
from nvs_eval.report.tables.lines import Line, Score
from nvs_eval.report.tables.notes import ODD

if TYPE_CHECKING:
    from nvs_eval.records.record import Record
    from nvs_eval.report.benchmarks.published import Published, Value
    from nvs_eval.report.benchmarks.suites import Scene, Suite

PUBLISHED = "‡"
"""Marks a row that was published, and not computed here."""
DIFFERS = "§"
"""Marks a published value that was not computed as the protocol says."""


def check_published(published: Sequence[Published], records: Sequence[Record]) -> None:
    """Check that published numbers may stand beside records: some are of their protocol, and of a scene of theirs.

    Args:
        published: numbers of others.
        records: at least one.

    Raises:
        InputError: naming what does not go with them, and why.
    """
    for each in published:
        known = {record.fingerprint: record.protocol_title for record in records}
        if each.fingerprint not in known:
            raise InputError(
                f"{each.title} was published under the protocol {each.protocol_name} ({each.fingerprint}), and the "
                f"records are of {some(f'{name} ({fingerprint})' for fingerprint, name in known.items())}: such "
                f"numbers do not rank. Score with {_how(each, records)}, rescore what was kept, or say "
                "`--allow-mixed` to print them side by side, marked."
            )
        of_protocol = {record.scene for record in records if record.fingerprint == each.fingerprint}
        if not of_protocol & set(each.scores):
            raise InputError(
                f"{each.title} ({each.name}) was published of {some(each.scores, 20)}, and the records are of "
                f"{some(sorted(of_protocol))}: name scenes so with `--scene` when they are scored, or leave it out."
            )


def _how(published: Published, records: Sequence[Record]) -> str:
    """By which options records come to be of the protocol of published numbers."""
    exact = " and `--precision exact`" if any(_only_faster(record, published) for record in records) else ""
    return f"`--protocol {published.protocol_name}`{exact}"


def _only_faster(record: Record, published: Published) -> bool:
    """Whether a record's LPIPS is fast under a protocol of the published name."""
    return record.fast and record.protocol["name"] == published.protocol_name


def published_lines(block: Block) -> list[Line]:
    """The published rows that stand in the tables of a block: those of its protocol, or all if they may be mixed.

    Raises:
        InputError: one has numbers of scenes of these names, but of another benchmark.
    """
    layout = block.layout
    lines = []
    for published in layout.published:
        same = published.fingerprint == block.records[0].fingerprint
        if same or layout.mixed:
            line = _line(published, block, mark=PUBLISHED if same else PUBLISHED + ODD)
            if line.scores or line.means:
                lines.append(line)
            elif any(scene in published.scores for scene in block.scenes):
                raise InputError(_other_benchmark(published, block))
    return lines


def published_notes(block: Block, lines: Sequence[Line], metrics: Sequence[str]) -> Iterator[str]:
    """Where the published rows come from, and what of them is not what the columns of some metrics say."""
    shown = {line.method for line in lines if PUBLISHED in line.mark}
    for published in block.layout.published:
        if published.title not in shown:
            continue
        if published.fingerprint != (first := block.records[0]).fingerprint:
            exact = ", whose LPIPS is exact" if _only_faster(first, published) else ""
            yield f"{ODD} {published.title}: of protocol {published.protocol_name} ({published.fingerprint}){exact}"
        yield f"{PUBLISHED} {published.title}: published in {published.source}; its views could not be compared"
        if published.note:
            yield f"{PUBLISHED} {published.title}: {published.note}"
        for metric, reason in published.differs.items():
            if metric in metrics:
                yield f"{DIFFERS} {metric} of {published.title} has no rank: {reason}"


def _line(published: Published, block: Block, *, mark: str) -> Line:
    suites = [load_suite(name) for name in published.suites]
    scenes = [scene for scene in block.scenes if scene in published.scores and _is_of(scene, suites, block)]
    scores = {scene: _scores(published, published.scores[scene]) for scene in scenes}
    return Line(published.title, None, None, scores, _scores(published, _means(published, block)), mark=mark)


def _is_of(scene: str, published: Sequence[Suite], block: Block) -> bool:
    """Whether a published scene is what the records call so: two benchmarks have a scene called room.

    Of a named suite it must be the very scene. Else a name that several benchmarks have needs company: another scene of
    the tables that only the published benchmark has, and none that only another one has.
    """
    named, suite = named_suites(), block.layout.suite
    if suite is not None and suite.name in named:
        return any(each.scene(scene) == load_suite(suite.name).scene(scene) for each in published)
    if len(_homes(scene)) < 2:
        return True
    told = [homes for other in block.company if len(homes := _homes(other)) == 1]
    ours = {home for each in published for home in each.scenes}
    return bool(told) and all(homes <= ours for homes in told)


def _homes(scene: str) -> set[Scene]:
    """The scenes of the named suites that go by a name; one that two suites share is one."""
    found = (load_suite(name).scene(scene) for name in named_suites())
    return {each for each in found if each is not None}


def _other_benchmark(published: Published, block: Block) -> str:
    shared = [scene for scene in block.scenes if scene in published.scores]
    return (
        f"{published.title} ({published.name}) was published of {listed(published.suites)}, and {listed(shared)} of "
        "the records may be of another benchmark, which has scenes of these names, too: say `--suite` if they are of "
        "that one, else leave the published numbers out."
    )


def _means(published: Published, block: Block) -> Mapping[str, Value]:
    """Those over all scenes of a suite, if the table is of these."""
    suite = block.layout.suite
    names = [suite.name] if suite else list(published.means)
    for name in names:
        if name in published.means and set(load_suite(name).names) == set(block.scenes):
            return published.means[name]
    return {}


def _scores(published: Published, values: Mapping[str, Value]) -> dict[str, Score]:
    return {
        metric: Score(value.value, value.decimals, DIFFERS if metric in published.differs else "")
        for metric, value in values.items()
    }
