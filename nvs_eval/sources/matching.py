"""Renders and references matched by name, and columns with the same references put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from nvs_eval.errors import InputError, some
from nvs_eval.images.files import Reading
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import Column


@dataclass(frozen=True)
class Folder:
    """The renders of one column with the references they are scored against, not yet read."""

    column: Column
    renders: Mapping[str, Picture]
    references: Mapping[str, Picture]


def match_views(folder: Folder, *, allow_missing: bool) -> Folder:
    """The views of a column, those of both renders and references, in the references' order.

    Args:
        folder: the column.
        allow_missing: leave out views that only one side has, in place of an error.

    Raises:
        InputError: renders and references do not match.
    """
    common = [name for name in folder.references if name in folder.renders]
    if not common:
        raise InputError(
            f"No render of {folder.column} has the name of a reference: renders are {some(folder.renders)}, "
            f"references are {some(folder.references)}. Give both the same names."
        )
    orphans = [
        f"{len(names)} {kind}: {some(names)}"
        for kind, names in (
            ("renders without reference", [n for n in folder.renders if n not in folder.references]),
            ("references without render", [n for n in folder.references if n not in folder.renders]),
        )
        if names
    ]
    if orphans and not allow_missing:
        raise InputError(
            f"The views of {folder.column} do not match: {'; '.join(orphans)}. Add what is missing, or say "
            "`--allow-missing` to score the views that both have."
        )
    return Folder(folder.column, {n: folder.renders[n] for n in common}, {n: folder.references[n] for n in common})


def together(folders: Sequence[Folder], reading: Reading) -> list[ImageFiles]:
    """One source for the columns whose references are the same images."""
    candidates: dict[tuple, list[Folder]] = {}
    for folder in folders:
        candidates.setdefault((folder.column.scene, *folder.references), []).append(folder)
    hashes: dict[Picture, str] = {}
    groups = [group for alike in candidates.values() for group in _same_references(alike, hashes)]
    # What rescoring and verifying need to read the files again; what alpha means is the protocols'.
    said = {name: value for name, value in asdict(reading).items() if name != "alpha"}
    return [
        ImageFiles(
            [replace(f.column, provenance={**f.column.provenance, "reading": said}) for f in group],
            group[0].references,
            [f.renders for f in group],
            reading,
        )
        for group in groups
    ]


def _same_references(folders: Sequence[Folder], hashes: dict[Picture, str]) -> list[list[Folder]]:
    """Columns with references of the same names, those together whose references are the same images."""
    if len(folders) == 1:
        return [list(folders)]  # Nothing to compare: a canvas would be decoded for its hash.
    groups: dict[tuple, list[Folder]] = {}
    for folder in folders:
        for picture in folder.references.values():
            if picture not in hashes:
                hashes[picture] = picture.sha256()
        groups.setdefault(tuple(hashes[picture] for picture in folder.references.values()), []).append(folder)
    return list(groups.values())
