"""Which parts of signatures cannot have made a difference to some renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvs_eval.records.record import Record
from nvs_eval.report.words.phrases import parts_of


def idle_parts(records: Sequence[Record]) -> frozenset[str]:
    """The parts of signatures that cannot have made a difference here, whatever they say.

    Args:
        records: of the same renders, each under another protocol.

    Returns:
        What those parts are about, as `phrases.parts_of` has it.
    """
    idle = set()
    if all(row.coverage is None for record in records for row in record.views):
        idle |= {"mask", "qmask"}
    infos = [info for record in records for info in record.metrics.values()]
    if any("beyond" not in parts_of(info.signature) for info in infos):
        # A protocol that refuses images beyond [0, 1] refused none, so that nobody had anything to clamp.
        idle |= {"beyond", "clamp"}
    if _without_alpha(records):
        idle |= {"alpha"}
    return frozenset(idle)


def _without_alpha(records: Sequence[Record]) -> bool:
    """Whether no image had an alpha channel that mattered, as far as records know.

    The references are the same whatever became of alpha. Of renders no record says so; but without a background none
    is composited: alpha is an error then, or is dropped under every protocol.
    """
    references = {(row.name, row.reference_sha256) for record in records for row in record.views}
    readings = [record.provenance.get("reading") for record in records]
    given = any(isinstance(reading, Mapping) and reading.get("background") is not None for reading in readings)
    return not given and len(references) == len({name for name, _ in references})
