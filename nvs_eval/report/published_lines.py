"""Published numbers as rows beside one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nvs_eval.report.blocks import Block
from nvs_eval.report.lines import Line, Score
from nvs_eval.report.notes import ODD

if TYPE_CHECKING:
    from nvs_eval.published import Published

PUBLISHED = "‡"
"""Marks a row that was published, and not computed here."""
DIFFERS = "§"
"""Marks a published value that was not computed as the protocol says."""


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
    scores = {
        scene: {metric: _score(value.value, value.text, metric in published.differs) for metric, value in row.items()}
        for scene, row in published.scores.items()
        if scene in block.scenes
    }
    suite = block.layout.suite
    means = published.means.get(suite.name, {}) if suite else {}
    mark = PUBLISHED if published.fingerprint == block.records[0].fingerprint else PUBLISHED + ODD
    known = {name: _score(value.value, value.text, name in published.differs) for name, value in means.items()}
    return Line(published.title, None, None, scores, known, mark=mark)


def _score(value: float, text: str, differs: bool) -> Score:
    return Score(value, len(text.partition(".")[2]), DIFFERS if differs else "")
