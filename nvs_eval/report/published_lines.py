"""Published numbers as rows beside one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, some
from nvs_eval.report.blocks import Block
from nvs_eval.report.lines import Line, Score
from nvs_eval.report.notes import ODD
from nvs_eval.suites import load_suite

if TYPE_CHECKING:
    from nvs_eval.published import Published, Value
    from nvs_eval.records import Record
    from nvs_eval.suites import Suite

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
        known = {record.fingerprint: record.protocol["name"] for record in records}
        if each.fingerprint not in known:
            raise InputError(
                f"{each.title} was published under the protocol {each.protocol_name} ({each.fingerprint}), and the "
                f"records are of {some(f'{name} ({fingerprint})' for fingerprint, name in known.items())}: such "
                f"numbers do not rank. Score with `--protocol {each.protocol_name}`, rescore what was kept, or say "
                "`--allow-mixed` to print them side by side, marked."
            )
        of_protocol = {record.scene for record in records if record.fingerprint == each.fingerprint}
        if not of_protocol & set(each.scores):
            raise InputError(
                f"{each.title} ({each.name}) was published of {some(each.scores, 20)}, and the records are of "
                f"{some(sorted(of_protocol))}: name scenes so with `--scene` when they are scored, or leave it out."
            )


def published_lines(block: Block) -> list[Line]:
    """The published rows that stand in the tables of a block: those of its protocol, or all if they may be mixed."""
    layout = block.layout
    return [
        _line(published, block)
        for published in layout.published
        if layout.mixed or published.fingerprint == block.records[0].fingerprint
    ]


def published_notes(block: Block, lines: Sequence[Line]) -> Iterator[str]:
    """Where the published rows come from, and what of them is not what the column says."""
    shown = {line.method for line in lines if PUBLISHED in line.mark}
    for published in block.layout.published:
        if published.title not in shown:
            continue
        if published.fingerprint != block.records[0].fingerprint:
            yield f"{ODD} {published.title}: of protocol {published.protocol_name} ({published.fingerprint})"
        yield f"{PUBLISHED} {published.title}: published in {published.source}; its views could not be compared"
        for metric, reason in published.differs.items():
            if metric in block.metrics:
                yield f"{DIFFERS} {metric} of {published.title} has no rank: {reason}"


def _line(published: Published, block: Block) -> Line:
    suite = block.layout.suite
    scenes = [scene for scene in block.scenes if scene in published.scores and _is_of(scene, published, suite)]
    scores = {scene: _scores(published, published.scores[scene]) for scene in scenes}
    means = published.means.get(suite.name, {}) if suite else {}
    mark = PUBLISHED if published.fingerprint == block.records[0].fingerprint else PUBLISHED + ODD
    return Line(published.title, None, None, scores, _scores(published, means), mark=mark)


def _is_of(scene: str, published: Published, suite: Suite | None) -> bool:
    """Whether a published scene is that of the suite: two benchmarks have a scene called room."""
    if suite is None:
        return True
    return any(load_suite(name).scene(scene) == suite.scene(scene) for name in published.suites)


def _scores(published: Published, values: Mapping[str, Value]) -> dict[str, Score]:
    return {
        metric: Score(value.value, value.decimals, DIFFERS if metric in published.differs else "")
        for metric, value in values.items()
    }
