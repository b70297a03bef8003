"""Which records may stand in one ranking: those of the same views, references and masks, under the same protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from posixpath import normpath

from nvs_eval.errors import InputError, some
from nvs_eval.records import Record, ViewRow

_MOST_NAMED = 3


def blocks_of(records: Sequence[Record]) -> list[list[Record]]:
    """The records of one scene and split under one protocol together, in the order given.

    The metrics are part of the key only for records that were made by hand: a fingerprint fixes them.
    """
    blocks: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        blocks.setdefault((record.scene, record.split, record.fingerprint, *record.metrics), []).append(record)
    return list(blocks.values())


def result_name(record: Record) -> str:
    """What a result is called within its scene: method, run and step as far as there are any."""
    return "/".join(str(part) for part in (record.method, record.run, record.step) if part not in (None, ""))


def usual_of(block: Sequence[Record]) -> Record:
    """The first record of those that were scored on what most of a block were scored on."""
    counts = Counter(_scored_on(record) for record in block)
    # Of sets that are as common as each other, the one that comes first is the usual one.
    most_common = max(counts, key=counts.__getitem__)
    return next(record for record in block if _scored_on(record) == most_common)


def difference(record: Record, other: Record, *, folders: tuple[Path, Path] | None = None) -> str:
    """What two records of a scene were not both scored on, in words; "" where their scores may be compared.

    Args:
        record: of one result.
        other: of another.
        folders: in which the records lie, so that the files of differing references are named from here.
    """
    return ", and ".join(_differences(record, other, folders))


def check_comparable(records: Sequence[Record], *, files: Sequence[Path] = ()) -> None:
    """Check that the records of each block (`blocks_of`) were scored on the same views, references and masks.

    Args:
        records: any number, of any scenes and protocols.
        files: where each of them lies, in the same order, or none; they make the message clearer.

    Raises:
        InputError: naming the records and what differs.
    """
    known = {id(record): file for record, file in zip(records, files, strict=True)} if files else {}
    for block in blocks_of(records):
        usual = usual_of(block)
        odd = [record for record in block if _scored_on(record) != _scored_on(usual)]
        if odd:
            raise InputError(_refusal(usual, odd, known))


def _refusal(usual: Record, odd: Sequence[Record], files: Mapping[int, Path]) -> str:
    def named(record: Record) -> str:
        file = files.get(id(record))
        return f"{result_name(record)} ({file})" if file else result_name(record)

    folders = (files[id(usual)].parent, files[id(odd[0])].parent) if files else None
    others = [named(record) for record in odd[1:]]
    more = f" Nor do these go with {result_name(usual)}: {some(others, _MOST_NAMED)}." if others else ""
    return (
        f"{usual.scene}: {named(usual)} and {named(odd[0])} were scored with "
        f"{difference(usual, odd[0], folders=folders)}.{more} Such numbers do not rank: score the same images, leave "
        "some out, or say `--allow-mixed` to print them side by side, marked."
    )


def _scored_on(record: Record) -> Hashable:
    """All that must be the same; the order of the views changes no mean."""
    return frozenset((row.name, *_pictures(row)) for row in record.views)


def _pictures(row: ViewRow) -> tuple[object, ...]:
    return row.width, row.height, row.reference_sha256, _mask(row)


def _mask(row: ViewRow) -> str | None:
    """The mask that a view was scored with; one that the protocol ignores changed no number, and has no coverage."""
    return None if row.coverage is None else row.mask_sha256


def _differences(record: Record, other: Record, folders: tuple[Path, Path] | None) -> list[str]:
    mine, theirs = ({row.name: row for row in each.views} for each in (record, other))
    names = (result_name(record), result_name(other))
    if names[0] == names[1]:
        names = ("the first", "the second")
    found = []
    if mine.keys() != theirs.keys():
        found.append(_of_views(mine, theirs, names))
    pairs = [(row, theirs[name]) for name, row in mine.items() if name in theirs]
    references = [(a, b) for a, b in pairs if _pictures(a)[:3] != _pictures(b)[:3]]
    if references:
        found.append(_of_references(references, len(pairs), folders))
    masks = [(a, b) for a, b in pairs if _mask(a) != _mask(b)]
    if masks:
        found.append(_of_masks(masks, len(pairs), names))
    return found


def _of_views(mine: Mapping[str, ViewRow], theirs: Mapping[str, ViewRow], names: tuple[str, str]) -> str:
    only = [
        f"only {name} has {some([view for view in rows if view not in others], _MOST_NAMED)}"
        for name, rows, others in ((names[0], mine, theirs), (names[1], theirs, mine))
        if rows.keys() - others.keys()
    ]
    return f"different views ({len(mine)} and {len(theirs)}; {'; '.join(only)})"


def _of_references(pairs: Sequence[tuple[ViewRow, ViewRow]], common: int, folders: tuple[Path, Path] | None) -> str:
    said = [f"{len(pairs)} of {common} views"]
    sizes = sorted({(f"{a.width}x{a.height}", f"{b.width}x{b.height}") for a, b in pairs})
    differing = [f"{a} and {b}" for a, b in sizes if a != b]
    if differing:
        said.append(f"sizes {some(differing, _MOST_NAMED)}")
    first, second = pairs[0]
    if folders and first.reference and second.reference:
        paths = [_seen_from_here(*each) for each in ((folders[0], first.reference), (folders[1], second.reference))]
        if paths[0] != paths[1]:
            said.append(f"{first.name} against {paths[0]} and {paths[1]}")
    return f"different references ({'; '.join(said)})"


def _seen_from_here(folder: Path, file: str) -> str:
    return normpath((folder / file).as_posix())


def _of_masks(pairs: Sequence[tuple[ViewRow, ViewRow]], common: int, names: tuple[str, str]) -> str:
    without = [name for name, rows in zip(names, zip(*pairs, strict=True), strict=True) if not any(map(_mask, rows))]
    said = "".join(f"; {name} has none" for name in without)
    return f"different masks ({len(pairs)} of {common} views{said})"
