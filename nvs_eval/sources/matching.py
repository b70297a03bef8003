"""Renders and references matched by name, and columns with the same references put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from nvs_eval.errors import InputError, some
from nvs_eval.images.files import Reading
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.sources.pictures import Picture


def match_views(folder: RenderSet, *, allow_missing: bool) -> RenderSet:
    """Keep the views that have both a render and a reference, in the references' order.

    Args:
        folder: the render set.
        allow_missing: leave out views that only one side has, in place of an error.

    Raises:
        InputError: renders and references do not match.
    """
    common = [name for name in folder.references if name in folder.renders]
    if not common:
        raise InputError(
            f"No render of {folder.id} has the name of a reference: renders are {some(folder.renders)}, "
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
            f"The views of {folder.id} do not match: {'; '.join(orphans)}. Add what is missing, or say "
            "`--allow-missing` to score the views that both have."
        )
    return replace(
        folder,
        renders={name: folder.renders[name] for name in common},
        references={name: folder.references[name] for name in common},
    )


def together(folders: Sequence[RenderSet], reading: Reading) -> list[ImageFiles]:
    """Group render sets whose references are the same images, each group to be scored view by view."""
    candidates: dict[tuple, list[RenderSet]] = {}
    for folder in folders:
        candidates.setdefault((folder.id.scene, *folder.references), []).append(folder)
    hashes: dict[Picture, str] = {}
    groups = [group for alike in candidates.values() for group in _same_references(alike, hashes)]
    # What rescoring and verifying need to read the files again; what alpha means is the protocols'.
    said = {name: value for name, value in asdict(reading).items() if name != "alpha"}
    return [ImageFiles([_as_scored(render_set, group[0], said) for render_set in group], reading) for group in groups]


def _as_scored(render_set: RenderSet, first: RenderSet, reading: dict[str, Any]) -> RenderSet:
    """A set of a group: the first one's references are read for all, as they are the same images."""
    provenance = {**render_set.provenance, "reading": reading}
    return replace(render_set, references=first.references, provenance=provenance)


def _same_references(folders: Sequence[RenderSet], hashes: dict[Picture, str]) -> list[list[RenderSet]]:
    """Columns with references of the same names, those together whose references are the same images."""
    if len(folders) == 1:
        return [list(folders)]  # Nothing to compare: a canvas would be decoded for its hash.
    groups: dict[tuple, list[RenderSet]] = {}
    for folder in folders:
        for picture in folder.references.values():
            if picture not in hashes:
                hashes[picture] = picture.sha256()
        groups.setdefault(tuple(hashes[picture] for picture in folder.references.values()), []).append(folder)
    return list(groups.values())
