"""Views from folders of images: either a recognised layout, or renders and references matched by name."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted, some
from nvs_eval.images.files import Reading
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.records.result_id import ResultId, selection_of
from nvs_eval.sources.archives import Unpacked, is_archive, naming, unpack, without_suffix
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_entry
from nvs_eval.sources.layouts import Contents, RenderFiles, known_layouts, layouts, read_layout
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture, check_folder, list_images, whole_files


@dataclass(frozen=True)
class _Opened:
    """A folder or archive of renders, with the path that the user gave, and its contents."""

    path: Path
    contents: Contents
    unpacked: Unpacked | None


def open_folders(
    renders: Sequence[Path],
    *,
    reference: Path | None = None,
    scene: str | None = None,
    methods: Sequence[str] = (),
    allow_missing: bool = False,
    reading: Reading | None = None,
    alpha: Collection[AlphaRule] = ("composite",),
    masks: Path | None = None,
    own_masks: bool = False,
) -> list[ImageFiles]:
    """Open folders of renders as sources: results with identical references and masks share one source.

    A folder of a known layout (`nvs_eval.sources.layouts`) includes its references, and possibly several steps. All
    other folders are matched by name with the folder `reference`, including subfolders. An archive is read like the
    folder that was packed. It is unpacked into a temporary folder, which is removed together with its source.

    Args:
        renders: folders or archives (zip, tar.gz).
        reference: folder of references. Takes precedence over references that a layout includes.
        scene: name of the scene (default: the name of the training data if the layout records it, otherwise the name of
            the parent folder of the references).
        methods: name of the method of each folder (default: the name that the layout records, or the folder's name with
            as much of its path as makes it unique).
        allow_missing: skip views without a render or without a reference (default: raise an error).
        reading: how to read grey and linear images, and the background of images with alpha.
        alpha: alpha rules of the protocols.
        masks: folder of masks, one per scored view, by view name.
        own_masks: use the masks included with the renders, such as NerfBaselines writes, instead of `masks`.

    Raises:
        InputError: a folder is missing or empty, names do not match, or an image cannot be used.
    """
    if methods and len(methods) != len(renders):
        raise InputError(
            f"Got {counted(len(methods), 'method')} for {counted(len(renders), 'folder')} of renders. "
            "Name one method per folder, or none."
        )
    _check_folders(renders)
    references = None if reference is None else whole_files(list_images(reference))
    inputs = [_open(path, reference, references or {}) for path in renders]
    common_masks = None if masks is None else Masks(list_images(masks))
    render_sets = [
        _matched(render_set, allow_missing=allow_missing)
        for opened, method in zip(inputs, methods or _method_names(inputs), strict=True)
        for render_set in _render_sets(
            opened, references, scene, method, masks=_own_masks(opened) if own_masks else common_masks
        )
    ]
    return [source.checked(alpha) for source in _grouped(render_sets, reading or Reading())]


def _check_folders(renders: Sequence[Path]) -> None:
    for path in renders:
        if not is_archive(path):
            check_folder(path, "of renders ")
    resolved = [path.resolve() for path in renders]
    for path in resolved:
        if resolved.count(path) > 1:
            raise InputError(f"The folder {path} is listed twice. Remove one.")


def _open(path: Path, reference: Path | None, references: Mapping[str, Picture]) -> _Opened:
    """Read a folder or archive by its layout; match folders without a known layout with the references."""
    unpacked = None
    if is_archive(path):
        unpacked = unpack(path, also=[note for layout in layouts() for note in layout.notes])
    place = path.resolve() if unpacked is None else without_suffix(path.resolve())
    # Archives often wrap everything in a single folder.
    levels = [path if unpacked is None else unpacked.folder]
    while unpacked and len(below := list(levels[-1].iterdir())) == 1 and below[0].is_dir():
        levels.append(below[0])
    with naming(unpacked):
        for level in levels:
            contents = read_layout(level, place)
            if contents is not None and not _canvas_names(contents) & set(references):
                return _Opened(path, contents, unpacked)
        if reference is None:
            raise InputError(
                f"{path} has no references. Add `--reference DIR`. Layouts that include references have these files: "
                f"{known_layouts()}."
            )
        files = RenderFiles(whole_files(list_images(levels[-1])), references)
    return _Opened(path, Contents([files], place, reference.resolve().parent.name), unpacked)


def _canvas_names(contents: Contents) -> set[str]:
    """Return the names of the canvases. Files with the name of a reference are plain images, not canvases."""
    pictures = (picture for files in contents.results for picture in files.renders.values())
    return {picture.path.stem for picture in pictures if picture.parts > 1}


def _render_sets(
    opened: _Opened,
    references: Mapping[str, Picture] | None,
    scene: str | None,
    method: str,
    *,
    masks: Masks | None,
) -> list[RenderSet]:
    """Return the renders of each result, with the user's references or those of the layout."""
    return [
        RenderSet(
            ResultId(scene or opened.contents.scene, f"{method}{files.variant}", step=files.step, split=files.split),
            _in_archive(files.renders, opened.unpacked),
            _own_references(opened, files) if references is None else references,
            _provenance(opened, files, masked=masks is not None),
            masks=masks,
        )
        for files in opened.contents.results
    ]


def _matched(render_set: RenderSet, *, allow_missing: bool) -> RenderSet:
    """Keep the views that have both a render and a reference, in the references' order."""
    common = [name for name in render_set.references if name in render_set.renders]
    if not common:
        raise InputError(
            f"No render of {render_set.id} has the name of a reference. The renders are {some(render_set.renders)}; "
            f"the references are {some(render_set.references)}. Rename one of the two."
        )
    orphans = [
        f"{counted(len(names), kind)} without a {counterpart}: {some(names)}"
        for kind, counterpart, names in (
            ("render", "reference", [n for n in render_set.renders if n not in render_set.references]),
            ("reference", "render", [n for n in render_set.references if n not in render_set.renders]),
        )
        if names
    ]
    if orphans and not allow_missing:
        raise InputError(
            f"The views of {render_set.id} do not match: {'; '.join(orphans)}. Add the missing files, or use "
            "`--allow-missing` to score the views that have both."
        )
    return replace(
        render_set,
        id=replace(render_set.id, selection=selection_of(common, {*render_set.renders, *render_set.references})),
        renders={name: render_set.renders[name] for name in common},
        references={name: render_set.references[name] for name in common},
    )


def _grouped(render_sets: Sequence[RenderSet], reading: Reading) -> list[ImageFiles]:
    """Group the render sets of a scene that have the same references and masks; each group is scored view by view."""
    sha256 = functools.cache(Picture.sha256)

    def belongs(render_set: RenderSet, first: RenderSet) -> bool:
        same_views = (render_set.id.scene, list(render_set.references)) == (first.id.scene, list(first.references))
        pairs = zip(render_set.references.values(), first.references.values(), strict=False)
        # Identical files need no hash.
        same_masks = render_set.masks is first.masks
        return same_views and same_masks and all(a == b or sha256(a) == sha256(b) for a, b in pairs)

    groups: list[list[RenderSet]] = []
    for render_set in render_sets:
        group = next((group for group in groups if belongs(render_set, group[0])), None)
        if group is None:
            groups.append(group := [])
        # The whole group reads the references of its first member.
        references = group[0].references if group else render_set.references
        provenance = {**render_set.provenance, "reading": reading_entry(reading)}
        group.append(replace(render_set, references=references, provenance=provenance))
    return [ImageFiles(group, reading) for group in groups]


def _own_references(opened: _Opened, files: RenderFiles) -> Mapping[str, Picture]:
    references = files.references
    if isinstance(references, Path):
        with naming(opened.unpacked):
            references = whole_files(list_images(references))
    return _in_archive(references, opened.unpacked)


def _in_archive(pictures: Mapping[str, Picture], unpacked: Unpacked | None) -> Mapping[str, Picture]:
    return {name: replace(picture, archive=unpacked) for name, picture in pictures.items()}


def _own_masks(opened: _Opened) -> Masks:
    """Return the masks included with renders.

    Raises:
        InputError: the renders include no masks.
    """
    folder = opened.contents.masks
    if folder is None:
        raise InputError(f"{opened.path} includes no masks. Remove `--data-masks`, or use `--masks DIR`.")
    # A record cannot refer to files in an archive.
    return Masks(list_images(folder), lasting=opened.unpacked is None)


def _provenance(opened: _Opened, files: RenderFiles, *, masked: bool) -> dict[str, Any]:
    """Return the origin of renders without files of their own, and the included masks that are not used."""
    entries: dict[str, Any] = {}
    unpacked, masks = opened.unpacked, opened.contents.masks
    if unpacked is not None or any(picture.parts > 1 for picture in files.renders.values()):
        entries["renders_from"] = str(opened.path)
    if unpacked is not None:
        entries["archive_sha256"] = unpacked.sha256
    if masks is not None and not masked:
        entries["masks_not_used"] = str(masks) if unpacked is None else unpacked.named(str(masks))
    return entries


def _method_names(inputs: Sequence[_Opened]) -> list[str]:
    """Return the method name of each input: from its layout, or the name of its folder.

    Folder names that collide are extended to the shortest trailing path that is unique. Several iterations of one model
    are one method.
    """
    folders = [opened.contents.named_after for opened in inputs]
    depths = dict.fromkeys(folders, 1)
    while True:
        names = {path: "/".join(path.parts[-depth:]) for path, depth in depths.items()}
        counts = Counter(names.values())
        if max(counts.values(), default=0) <= 1:
            return [opened.contents.method or names[path] for opened, path in zip(inputs, folders, strict=True)]
        depths = {path: depth + (counts[names[path]] > 1) for path, depth in depths.items()}
