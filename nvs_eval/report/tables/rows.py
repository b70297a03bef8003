"""The rows of a table: who stands in it, in which order, and what must be known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nvs_eval.errors import counted, some
from nvs_eval.records.groups import last_steps
from nvs_eval.records.record import Record
from nvs_eval.report.tables.blocks import Block
from nvs_eval.report.tables.columns import TIED, view_count
from nvs_eval.report.tables.lines import Line, line_of
from nvs_eval.report.tables.notes import ODD, left_out_notes, mask_notes, missing_notes, odd_notes, odd_records
from nvs_eval.report.tables.published_lines import published_lines, published_notes
from nvs_eval.report.tables.table import Cell


@dataclass(frozen=True)
class Rows:
    """The rows of the tables of a block.

    Attributes:
        block: whose they are.
        lines: in their order.
        odd: the records that may not be compared with most of their scene, as `odd_records` has them.
    """

    block: Block
    lines: Sequence[Line]
    odd: Sequence[tuple[Record, Record, str]]

    @property
    def unranked(self) -> bool:
        """Whether not all rows may be compared with each other."""
        return any(ODD in line.mark for line in self.lines)

    @property
    def mean_name(self) -> str:
        """What a mean of theirs is of."""
        scenes = f"{len(self.block.scenes)} scenes"
        return f"mean of {scenes}" if self.block.layout.mean == "scenes" else f"mean of the views of {scenes}"

    def of_suite(self, what: str) -> str:
        """A title: what it is of, the suite where there is one, and the split."""
        block = self.block
        suite = f"{block.layout.suite.title}, " if block.layout.suite else ""
        return f"{suite}{what}, {block.records[0].split} views"

    @property
    def views(self) -> list[int]:
        """Of how many views they are, each number once."""
        return sorted({view_count(line.records(self.block.scenes)) for line in self.lines if line.contender})

    def saying(self, metrics: Sequence[str]) -> Rows:
        """These rows without the published ones that say nothing of some metrics."""
        over, several = self.block.layout.mean, len(self.block.scenes) > 1
        lines = [
            line
            for line in self.lines
            if line.contender or (any(map(line.says, metrics)) and (over == "scenes" or not several))
        ]
        return replace(self, lines=lines)

    def with_ties(self, cells: Sequence[Cell], metric: str, scenes: Sequence[str]) -> list[Cell]:
        """The cells of a metric, those marked that cannot be told from the best over some scenes.

        Where the best is a published row there is nothing to tell from it with, and nothing is marked.
        """
        tied = self.block.layout.tied
        having = [i for i, line in enumerate(self.lines) if line.contender and not line.missing(scenes, metric)]
        if tied is None or self.unranked or not any(cells[index].rank == 1 for index in having):
            return list(cells)
        contenders = [contender for index in having if (contender := self.lines[index].contender)]
        places = {having[place] for place in tied(contenders, scenes, metric)} if len(having) > 1 else set()
        return [
            replace(cell, mark=cell.mark + TIED) if index in places and cell.rank != 1 else cell
            for index, cell in enumerate(cells)
        ]

    def notes(self, metrics: Sequence[str]) -> Iterator[str]:
        """What must be known of them, in a table of some metrics."""
        block = self.block
        records = [record for line in self.lines for record in line.records(block.scenes)]
        yield from odd_notes(self.odd, scenes=len(block.scenes))
        yield from published_notes(block, self.lines, metrics)
        if self.unranked:
            yield "As not all rows may be compared with each other, none is marked as best."
        if len(block.scenes) > 1:
            yield from missing_notes({line.name: self._without_mean(line, metrics) for line in self.lines}, metrics)
        yield from left_out_notes(records)
        yield from mask_notes(records)
        yield from self._step_notes()
        yield from self._run_notes()

    def _without_mean(self, line: Line, metrics: Sequence[str]) -> dict[str, list[str]]:
        """The metrics of which a line has no mean, though it has something of them, with the scenes that it lacks."""
        scenes, over = self.block.scenes, self.block.layout.mean
        found = {}
        for metric in metrics:
            missing = line.missing(scenes, metric)
            if missing and line.says(metric) and line.mean(scenes, metric, over) is None:
                found[metric] = missing
        return found

    def _step_notes(self) -> Iterator[str]:
        """That earlier checkpoints are not shown, and whose scenes are of different steps."""
        block = self.block
        if block.layout.rows == "checkpoint":
            return
        if earlier := len(block.records) - len(last_steps(block.records)):
            yield f"Of each run the last checkpoint; {counted(earlier, 'earlier one')} not shown."
        for line in self.lines:
            steps = {record.step for record in line.records(block.scenes) if record.step is not None}
            if len(steps) > 1:
                yield f"{line.name}: of different steps, {some(map(str, sorted(steps)))}"

    def _run_notes(self) -> Iterator[str]:
        for line in self.lines:
            counts = {len(line.records([scene])) for scene in self.block.scenes} - {0}
            if max(counts, default=1) > 1:
                yield f"{line.name}: mean of {' or '.join(map(str, sorted(counts)))} runs a scene"


def rows_of(block: Block) -> Rows:
    """The rows of a block: its contenders and the published ones, sorted if that was asked for.

    Raises:
        InputError: as `published_lines`.
    """
    contenders = block.contenders
    shown = [record for contender in contenders for record in contender.all_records]
    by_scene = [[record for record in shown if record.scene == scene] for scene in block.scenes]
    odd = odd_records([records for records in by_scene if records])
    apart = {id(record) for record, _, _ in odd}
    lines = [
        line_of(contender, mark=ODD if any(id(record) in apart for record in contender.all_records) else "")
        for contender in contenders
    ]
    return Rows(block, _sorted([*lines, *published_lines(block)], block), odd)


def _sorted(lines: Sequence[Line], block: Block) -> list[Line]:
    by, layout = block.layout.sort, block.layout
    if by is None:
        return list(lines)
    if by == "method":
        return sorted(lines, key=lambda line: (line.method, line.run or "", -1 if line.step is None else line.step))
    up = by in block.infos and block.infos[by].higher_is_better
    means = [line.mean(block.scenes, by, layout.mean) for line in lines]
    # What has no mean comes last, and before it what has no rank.
    key = [(2, 0.0) if mean is None else (int(bool(mean.mark)), -mean.value if up else mean.value) for mean in means]
    return [line for _, line in sorted(zip(key, lines, strict=True), key=lambda pair: pair[0])]
