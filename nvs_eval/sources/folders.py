"""Views from folders of images: renders and references matched by name, or a layout that is recognised."""

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
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.archives import Unpacked, is_archive, naming, unpack, without_suffix
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_entry
from nvs_eval.sources.layouts import NOTES, Contents, RenderFiles, known_layouts, read_layout
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture, check_folder, list_images, whole_files


@dataclass(frozen=True)
class _Opened:
    """A folder or archive of renders, as the user named it, and its contents."""

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
    """The sources for folders of renders: one for all results whose references and masks are the same.

    A folder of a known layout (`nvs_eval.sources.layouts`) brings its references, and perhaps its steps; any other is
    matched by name with the folder `reference`, subfolders included. An archive is read as the folder that was packed;
    it is unpacked into a temporary folder, which is removed when its source is.

    Args:
        renders: folders, or archives (zip, tar.gz).
        reference: folder of references, for renders that bring none or in place of those they bring.
        scene: name of the scene (default: that of the data it was trained on, where the layout tells; else that of the
            folder above the references).
        methods: name of the method of each folder (default: what the layout says, or the folder's own name, with as
            much of its path as makes it unique).
        allow_missing: skip views that only one side has, in place of an error.
        reading: what to do with grey and linear images, and the background of those with alpha.
        alpha: the protocols' rules for alpha.
        masks: folder of masks, one for each view that is scored, by view name.
        own_masks: take the masks that came with the renders, as NerfBaselines writes them, in place of such a folder.

    Raises:
        InputError: a folder is missing or empty, names do not match, or an image cannot be used.
    """
    if methods and len(methods) != len(renders):
        raise InputError(
            f"{counted(len(methods), 'method')} for {counted(len(renders), 'folder')} of renders: give one for each, "
            "or none."
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
    sources = _grouped(render_sets, reading or Reading())
    for source in sources:
        source.check(alpha)
    return sources


def _check_folders(renders: Sequence[Path]) -> None:
    for path in renders:
        if not is_archive(path):
            check_folder(path, "of renders ")
    resolved = [path.resolve() for path in renders]
    for path in resolved:
        if resolved.count(path) > 1:
            raise InputError(f"The folder {path} was given twice.")


def _open(path: Path, reference: Path | None, references: Mapping[str, Picture]) -> _Opened:
    """Read a folder or archive by its layout, or else as a folder to match with the references."""
    unpacked = unpack(path, also=NOTES) if is_archive(path) else None
    place = path.resolve() if unpacked is None else without_suffix(path.resolve())
    # An archive often has one folder around everything.
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
                f"{path} has no references of its own: say `--reference DIR`. What brings its references is known by "
                f"these files: {known_layouts()}."
            )
        files = RenderFiles(whole_files(list_images(levels[-1])), references)
    return _Opened(path, Contents([files], place, reference.resolve().parent.name), unpacked)


def _canvas_names(contents: Contents) -> set[str]:
    """Names of the canvases: where references have just these names, the files are no canvases."""
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
    """The renders of each result, with the user's references or their own."""
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


def _grouped(render_sets: Sequence[RenderSet], reading: Reading) -> list[ImageFiles]:
    """Group the render sets of a scene with the same references and masks, each group to be scored view by view."""
    sha256 = functools.cache(Picture.sha256)

    def belongs(one: RenderSet, first: RenderSet) -> bool:
        alike = (one.id.scene, list(one.references)) == (first.id.scene, list(first.references))
        pairs = zip(one.references.values(), first.references.values(), strict=False)
        # The same files are not read for their hashes.
        return alike and one.masks is first.masks and all(a == b or sha256(a) == sha256(b) for a, b in pairs)

    groups: list[list[RenderSet]] = []
    for one in render_sets:
        group = next((group for group in groups if belongs(one, group[0])), None)
        if group is None:
            groups.append(group := [])
        # All of a group read the first one's references.
        references = group[0].references if group else one.references
        provenance = {**one.provenance, "reading": reading_entry(reading)}
        group.append(replace(one, references=references, provenance=provenance))
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
    """The masks that came with renders.

    Raises:
        InputError: none came.
    """
    folder = opened.contents.masks
    if folder is None:
        raise InputError(f"No masks came with {opened.path}: leave `--data-masks` out, or say `--masks DIR`.")
    # A record cannot name files of an archive.
    return Masks(list_images(folder), lasting=opened.unpacked is None)


def _provenance(opened: _Opened, files: RenderFiles, *, masked: bool) -> dict[str, Any]:
    """Origin of renders that have no files of their own, and masks that came with them and are not used."""
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
    """Name of each input's method: from its layout, else the name of its folder.

    Where these names collide, the shortest trailing path that makes them unique; several iterations of one model are
    one method.
    """
    folders = [opened.contents.named_after for opened in inputs]
    depths = dict.fromkeys(folders, 1)
    while True:
        names = {path: "/".join(path.parts[-depth:]) for path, depth in depths.items()}
        counts = Counter(names.values())
        if max(counts.values(), default=0) <= 1:
            return [opened.contents.method or names[path] for opened, path in zip(inputs, folders, strict=True)]
        depths = {path: depth + (counts[names[path]] > 1) for path, depth in depths.items()}
