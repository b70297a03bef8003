"""Renders matched with references by name, and render sets of the same references grouped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from nvs_eval.errors import InputError, some
from nvs_eval.images.files import Reading
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_entry
from nvs_eval.sources.pictures import Picture


def match_views(render_set: RenderSet, *, allow_missing: bool) -> RenderSet:
    """Keep the views that have both a render and a reference, in the references' order.

    Args:
        render_set: renders of one result, and its references.
        allow_missing: leave out views that only one side has, in place of an error.

    Raises:
        InputError: renders and references do not match.
    """
    common = [name for name in render_set.references if name in render_set.renders]
    if not common:
        raise InputError(
            f"No render of {render_set.id} has the name of a reference: renders are {some(render_set.renders)}, "
            f"references are {some(render_set.references)}. Give both the same names."
        )
    orphans = [
        f"{len(names)} {kind}: {some(names)}"
        for kind, names in (
            ("renders without reference", [n for n in render_set.renders if n not in render_set.references]),
            ("references without render", [n for n in render_set.references if n not in render_set.renders]),
        )
        if names
    ]
    if orphans and not allow_missing:
        raise InputError(
            f"The views of {render_set.id} do not match: {'; '.join(orphans)}. Add what is missing, or say "
            "`--allow-missing` to score the views that both have."
        )
    return replace(
        render_set,
        renders={name: render_set.renders[name] for name in common},
        references={name: render_set.references[name] for name in common},
    )


def group_by_references(render_sets: Sequence[RenderSet], reading: Reading) -> list[ImageFiles]:
    """Group the render sets of a scene that have the same references and masks, each group to be scored view by view.

    References are the same images where they are the same files, or else where their hashes are equal.
    """
    candidates: dict[tuple, list[RenderSet]] = {}
    for render_set in render_sets:
        key = (render_set.id.scene, id(render_set.masks), *render_set.references)
        candidates.setdefault(key, []).append(render_set)
    sha256 = functools.cache(Picture.sha256)
    groups = [group for alike in candidates.values() for group in _same_images(alike, sha256)]
    return [ImageFiles([_as_read(one, group[0], reading) for one in group], reading) for group in groups]


def _as_read(render_set: RenderSet, first: RenderSet, reading: Reading) -> RenderSet:
    """A set of a group, which reads the first one's references, with the way its files are read."""
    provenance = {**render_set.provenance, "reading": reading_entry(reading)}
    return replace(render_set, references=first.references, provenance=provenance)


def _same_images(render_sets: Sequence[RenderSet], sha256: Callable[[Picture], str]) -> list[Sequence[RenderSet]]:
    """Group render sets whose references have the same names by their images."""
    if len({tuple(one.references.values()) for one in render_sets}) == 1:
        return [render_sets]  # No file is read for its hash.
    groups: dict[tuple, list[RenderSet]] = {}
    for one in render_sets:
        groups.setdefault(tuple(map(sha256, one.references.values())), []).append(one)
    return list(groups.values())
