"""Rules of comparison: records rank together if views, references, masks and rasterisers are the same (see `joint`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from posixpath import normpath

from nvs_eval.errors import InputError, counted, quoted, some
from nvs_eval.records.record import MetricInfo, Record, ViewRow
from nvs_eval.records.result_id import ResultId

_MOST_NAMED = 3


def blocks_of(records: Sequence[Record]) -> list[list[Record]]:
    """Group records by scene, split and protocol. Keeps their order."""
    blocks: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        blocks.setdefault((record.scene, record.split, record.fingerprint), []).append(record)
    return list(blocks.values())


def usual_of(block: Sequence[Record]) -> Record:
    """Return the first record that was scored on the same images, by the same rasteriser, as most of its block."""
    return _split(block)[0]


def difference(
    record: Record, other: Record, *, folders: tuple[Path, Path] | None = None, rasterisers: bool = True
) -> str:
    """Describe how two records of a scene differ in images or rasterisers; "" if the scores are comparable.

    Args:
        record: one record.
        other: the other record.
        folders: folders of the two records, to show the paths of references that differ.
        rasterisers: whether a difference of rasterisers counts.
    """
    images = [] if record.images_sha256 == other.images_sha256 else _differences(record, other, folders)
    return ", and ".join([*images, *(_of_rasterisers(record, other) if rasterisers else [])])


def rasteriser_of(record: Record) -> str | None:
    """Return the signature of the rasteriser that rendered the splat of a record; None for other renders."""
    signature = record.provenance.get("rasteriser")
    return signature if isinstance(signature, str) and signature.startswith("raster|") else None


def convention_of(record: Record) -> str | None:
    """Return the convention of a record's rasteriser and the version of its implementation, such as `inria v1`."""
    signature = rasteriser_of(record)
    return None if signature is None else " ".join(signature.split("|")[i] for i in (1, -1))


def _of_rasterisers(record: Record, other: Record) -> list[str]:
    """Describe a difference of conventions. Renders that the model's own code made are compared with any others."""
    mine, theirs = convention_of(record), convention_of(other)
    return [] if None in (mine, theirs) or mine == theirs else [f"different rasterisers ({mine} and {theirs})"]


def check_comparable(records: Sequence[Record], *, files: Sequence[Path] = ()) -> None:
    """Check that the records of each block (`blocks_of`) were scored on the same views, references and masks.

    Splats must also be rendered by one convention of rasterising.

    Unit and direction of a metric must also be the same in all records that have its signature, over all scenes.

    Args:
        records: any number of records, of any scenes and protocols.
        files: file of each record, in the same order, for clearer messages (default: none).

    Raises:
        InputError: records differ. The message names them and the difference.
    """
    file_of = {id(record): file for record, file in zip(records, files, strict=True)} if files else {}
    _check_metrics(records, file_of)
    for block in blocks_of(records):
        usual, odd = _split(block)
        if odd:
            raise InputError(_refusal(usual, odd, file_of))


def check_distinct_cells(records: Sequence[Record], files: Sequence[Path]) -> None:
    """Check that no two records are of one cell: a scene, method, run, step and split under one protocol.

    Records of different views of one result are of one cell; `main_records` chooses among them.

    Args:
        records: any number of records.
        files: file of each record, in the same order.

    Raises:
        InputError: two records are of one cell. The message names their files.
    """
    cells: dict[tuple[ResultId, str], list[tuple[Path, Record]]] = {}
    for record, file in zip(records, files, strict=True):
        cells.setdefault(record.cell, []).append((file, record))
    repeated = [cell for cell in cells.values() if len(cell) > 1]
    if repeated:
        (first, record), (second, other), *_ = repeated[0]
        others = counted(len(repeated) - 1, "other result")
        more = f" {others} also {'has' if len(repeated) == 2 else 'have'} several records." if len(repeated) > 1 else ""
        same = record.views_sha256 == other.views_sha256
        counts = "" if same else f" ({len(record.views)} and {len(other.views)} of them)"
        raise InputError(
            f"{first} and {second} are two records of one result: {record.scene}, {record.id.name}, {record.split} "
            f"views{counts}, protocol {record.protocol_title} ({record.fingerprint}).{more} Pass only one of them."
        )


def main_records(
    records: Sequence[tuple[Path, Record]], *, named: Collection[Path] = ()
) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Choose one record of each cell that has records of several selections of views, or incomplete ones.

    A complete record is preferred to an incomplete one of its selection. Then a record of all views is preferred to one
    of a part, and one of more views to one of fewer.

    Args:
        records: records with their files.
        named: files that the user named, which are all kept, and preferred to others of their cell.

    Returns:
        The chosen records in their order, and a note on each cell that has others.
    """
    cells: dict[tuple[ResultId, str], list[tuple[Path, Record]]] = {}
    for file, record in records:
        cells.setdefault(record.cell, []).append((file, record))
    chosen: set[int] = set()
    notes = []
    for cell in cells.values():
        kept = [record for file, record in cell if file in named] or _best(cell)
        chosen.update(map(id, kept))
        if others := [f"{file} ({_size(record)})" for file, record in cell if id(record) not in chosen]:
            shown = kept[0]
            notes.append(
                f"{shown.id}: using the record of {_size(shown)}, not {some(others, _MOST_NAMED, whole=True)}."
            )
    return [(file, record) for file, record in records if id(record) in chosen], notes


def _best(cell: Sequence[tuple[Path, Record]]) -> list[Record]:
    """Return the best record of a cell; several if there are copies of it, which are an error later."""
    if len(cell) == 1:
        return [cell[0][1]]
    complete = {record.selection for _, record in cell if not record.failed}
    eligible = [record for _, record in cell if not record.failed or record.selection not in complete]
    best = min(eligible, key=lambda record: (record.selection is not None, -len(record.views)))
    return [record for record in eligible if record.selection == best.selection]


def _size(record: Record) -> str:
    failed = f", {len(record.failed)} failed" if record.failed else ""
    return f"{counted(len(record.views), 'view')}{failed}"


def check_cells(records: Sequence[Record], name: str = "records") -> None:
    """Check that no two records of an argument are of one cell.

    Args:
        records: any number of records.
        name: name of the argument, for errors.

    Raises:
        InputError: two records are of one cell. The message names their indices.
    """
    check_distinct_cells(records, [Path(f"{name}[{place}]") for place in range(len(records))])


def precision_advice(records: Sequence[Record]) -> str:
    """Return advice where records of one protocol mix exact and fast LPIPS; "" otherwise.

    Args:
        records: records that were to be compared.
    """
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for record in records:
        names[record.fast].add(record.protocol["name"])
    if not names[True] & names[False]:
        return ""
    return (
        " Fast and exact LPIPS are different metrics. Score again, or rescore kept renders with `nvs-eval rescore`, "
        "with the same `--precision`."
    )


def _check_metrics(records: Sequence[Record], files: Mapping[int, Path]) -> None:
    """Check that each metric has one unit and direction under one signature, which decides what is ranked together."""
    first_of: dict[tuple[str, str], tuple[MetricInfo, Record]] = {}
    for record in records:
        for metric, info in record.metrics.items():
            first, other = first_of.setdefault((metric, info.signature), (info, record))
            if info != first:
                facts = "; ".join(
                    f"{holder.scene}, {_named(holder, files)}, has {values}"
                    for holder, values in zip((other, record), _differing(first, info), strict=True)
                )
                raise InputError(
                    f"{metric} must have one unit and direction in all records of its signature {info.signature}: "
                    f"{facts}. One record was edited. Score again, or omit one of them."
                )


def _differing(info: MetricInfo, other: MetricInfo) -> list[str]:
    """Return the fields in which two metrics differ, with both values."""
    names = [
        field.name
        for field in fields(info)
        if field.compare and getattr(info, field.name) != getattr(other, field.name)
    ]
    return [", ".join(f"{name} {quoted(getattr(metric, name))}" for name in names) for metric in (info, other)]


def _named(record: Record, files: Mapping[int, Path]) -> str:
    file = files.get(id(record))
    return f"{record.id.name} ({file})" if file else record.id.name


def _refusal(usual: Record, odd: Sequence[Record], files: Mapping[int, Path]) -> str:
    folders = (files[id(usual)].parent, files[id(odd[0])].parent) if files else None
    others = [_named(record, files) for record in odd[1:]]
    more = f" These also differ from {usual.id.name}: {some(others, _MOST_NAMED)}." if others else ""
    return (
        f"{usual.scene}: {_named(usual, files)} and {_named(odd[0], files)} were scored with "
        f"{difference(usual, odd[0], folders=folders)}.{more} Such scores cannot be ranked. {_remedy(usual, odd[0])}, "
        "omit some records, or use `--allow-mixed` to print them side by side, marked."
    )


def _remedy(usual: Record, odd: Record) -> str:
    same_images = _scored_on([usual, odd])
    return "Render both with one `--convention`" if len({*same_images}) == 1 else "Score the same images"


def _split(block: Sequence[Record]) -> tuple[Record, list[Record]]:
    """Split a block into its usual record and those that were scored on other images or by another rasteriser."""
    images = _scored_on(block)
    common = _most_common(images)
    of_images = [record for record, scored_on in zip(block, images, strict=True) if scored_on == common]
    conventions = [convention for record in of_images if (convention := convention_of(record))]
    wanted = (None, _most_common(conventions)) if conventions else (None,)
    usual = next(record for record in of_images if convention_of(record) == wanted[-1])
    alike = {id(record) for record in of_images if convention_of(record) in wanted}
    return usual, [record for record in block if id(record) not in alike]


def _most_common(values: Sequence[str]) -> str:
    """Return the most common of some values; the first of several equally common ones."""
    counts = Counter(values)
    return max(counts, key=counts.__getitem__)


def _scored_on(block: Sequence[Record]) -> list[str]:
    """Return an identifier of the images of each record: equal if names, references, sizes and masks are equal.

    The order of views does not matter. Records that agree in it, too, are compared by their hash alone.
    """
    sets: dict[frozenset[object], str] = {}
    set_of: dict[str, str] = {}
    for record in block:
        ordered = record.images_sha256
        if ordered not in set_of:
            set_of[ordered] = sets.setdefault(frozenset((row.name, *_pictures(row)) for row in record.views), ordered)
    return [set_of[record.images_sha256] for record in block]


def _pictures(row: ViewRow) -> tuple[object, ...]:
    return row.width, row.height, row.reference_sha256, row.scored_mask


def _differences(record: Record, other: Record, folders: tuple[Path, Path] | None) -> list[str]:
    mine, theirs = ({row.name: row for row in side.views} for side in (record, other))
    names = (record.id.name, other.id.name)
    if names[0] == names[1]:
        names = ("the first", "the second")
    differences = []
    if mine.keys() != theirs.keys():
        differences.append(_of_views(mine, theirs, names))
    pairs = [(row, theirs[name]) for name, row in mine.items() if name in theirs]
    references = [(a, b) for a, b in pairs if _pictures(a)[:3] != _pictures(b)[:3]]
    if references:
        differences.append(_of_references(references, len(pairs), folders))
    masks = [(a, b) for a, b in pairs if a.scored_mask != b.scored_mask]
    if masks:
        differences.append(_of_masks(masks, len(pairs), names))
    return differences


def _of_views(mine: Mapping[str, ViewRow], theirs: Mapping[str, ViewRow], names: tuple[str, str]) -> str:
    only = [
        f"only {name} has {some([view for view in rows if view not in others], _MOST_NAMED)}"
        for name, rows, others in ((names[0], mine, theirs), (names[1], theirs, mine))
        if rows.keys() - others.keys()
    ]
    return f"different views ({len(mine)} and {len(theirs)}; {'; '.join(only)})"


def _of_references(pairs: Sequence[tuple[ViewRow, ViewRow]], common: int, folders: tuple[Path, Path] | None) -> str:
    facts = [f"{len(pairs)} of {common} views"]
    sizes = sorted({(f"{a.width}x{a.height}", f"{b.width}x{b.height}") for a, b in pairs})
    differing = [f"{a} and {b}" for a, b in sizes if a != b]
    if differing:
        facts.append(f"sizes {some(differing, _MOST_NAMED)}")
    first, second = pairs[0]
    if folders and first.reference and second.reference:
        paths = [_seen_from_here(folders[0], first.reference), _seen_from_here(folders[1], second.reference)]
        if paths[0] != paths[1]:
            facts.append(f"{first.name} against {paths[0]} and {paths[1]}")
    return f"different references ({'; '.join(facts)})"


def _seen_from_here(folder: Path, file: str) -> str:
    return normpath((folder / file).as_posix())


def _of_masks(pairs: Sequence[tuple[ViewRow, ViewRow]], common: int, names: tuple[str, str]) -> str:
    columns = zip(names, zip(*pairs, strict=True), strict=True)
    without = [name for name, rows in columns if not any(row.scored_mask for row in rows)]
    none = "".join(f"; {name} has none" for name in without)
    return f"different masks ({len(pairs)} of {common} views{none})"
