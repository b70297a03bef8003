"""Views from folders of images: renders and references matched by name, or a layout that is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted
from nvs_eval.images.files import Reading
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.archives import Unpacked, is_archive, naming, unpack, without_suffix
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.sources.layouts import NOTES, Found, Part, find_layout, known_layouts
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.matching import match_views, together
from nvs_eval.sources.pictures import Picture, check_folder, list_images, whole_files


@dataclass(frozen=True)
class _Given:
    """What the user gave as renders, and what was found in it."""

    path: Path
    found: Found
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
    """The sources for folders of renders: one for all columns whose references are the same images, by their hash.

    A folder of a layout that is known (`nvs_eval.sources.layouts`) brings its references, and perhaps its steps; any
    other is matched by name with the folder `reference`, subfolders included. An archive is read as the folder that was
    packed; it is unpacked into a temporary folder, which is removed when its source is.

    Args:
        renders: folders, or archives (zip, tar.gz).
        reference: the folder of references for those that bring none, or in place of those they bring.
        scene: its name; else that of the folder above the references (of a known layout: of the data it was trained
            on, where it says so).
        methods: one a folder, or none; else what the layout says, or the folder's own name, with as much of its path as
            tells them apart.
        allow_missing: leave out views that only one side has, in place of an error.
        reading: what to do with grey and linear images, and the background of those with alpha.
        alpha: what the protocols do with alpha.
        masks: the folder of masks, matched with the references by name: one for each view that is scored.
        own_masks: take the masks that came with the renders, as NerfBaselines leaves them, in place of such a folder.

    Raises:
        InputError: a folder is missing or empty, names do not match, or an image cannot be used.
    """
    if methods and len(methods) != len(renders):
        raise InputError(
            f"{counted(len(methods), 'method')} for {counted(len(renders), 'folder')} of renders: give one for each, "
            "or none."
        )
    given = _open_all(renders, reference)
    asked = masks is not None or own_masks
    columns = [
        [
            match_views(folder, allow_missing=allow_missing)
            for folder in _folders(one, reference, scene, method, masks_given=asked)
        ]
        for one, method in zip(given, methods or _names(given), strict=True)
    ]
    reading = reading or Reading()
    if own_masks:
        # Masks belong to their predictions: so these are not put together with others.
        sources = []
        for one, own in zip(given, columns, strict=True):
            masks_of_one = _own_masks(one)
            sources += together([replace(render_set, masks=masks_of_one) for render_set in own], reading)
    else:
        common = None if masks is None else Masks(list_images(masks))
        sources = together([replace(render_set, masks=common) for own in columns for render_set in own], reading)
    for source in sources:
        source.check(alpha)
    return sources


def _open_all(renders: Sequence[Path], reference: Path | None) -> list[_Given]:
    for path in renders:
        if not is_archive(path):
            check_folder(path, "of renders ")
    resolved = [path.resolve() for path in renders]
    for path in resolved:
        if resolved.count(path) > 1:
            raise InputError(f"The folder {path} was given twice.")
    return [_open(path, reference) for path in renders]


def _open(path: Path, reference: Path | None) -> _Given:
    if not is_archive(path):
        return _Given(
            path, _find(path, path.resolve(), reference) or _plain(path, path, path.resolve(), reference), None
        )
    unpacked = unpack(path, also=NOTES)
    place = without_suffix(path.resolve())
    with naming(unpacked):
        # An archive often holds one folder that holds everything.
        levels = [unpacked.folder]
        while len(below := list(levels[-1].iterdir())) == 1 and below[0].is_dir():
            levels.append(below[0])
        found = next((found for level in levels if (found := _find(level, place, reference))), None)
        return _Given(path, found or _plain(path, levels[-1], place, reference), unpacked)


def _find(folder: Path, place: Path, reference: Path | None) -> Found | None:
    """What a known layout finds in a folder."""
    found = find_layout(folder, place)
    if found is None or reference is None:
        return found
    canvases = {p.path.stem for part in found.parts for p in part.renders.values() if p.parts > 1}
    # Files that are called like canvases are none where there are references of just these names.
    return None if canvases & set(list_images(reference)) else found


def _plain(path: Path, folder: Path, place: Path, reference: Path | None) -> Found:
    """A folder that is matched with the folder of references."""
    if reference is None:
        raise InputError(
            f"{path} has no references of its own: say `--reference DIR`. What brings its references is known by these "
            f"files: {known_layouts()}."
        )
    part = Part(whole_files(list_images(folder)), reference)
    return Found([part], place, reference.resolve().parent.name)


def _folders(
    given: _Given, reference: Path | None, scene: str | None, method: str, *, masks_given: bool
) -> list[RenderSet]:
    """The render sets of what was given."""
    found = given.found
    return [
        RenderSet(
            ResultId(scene or found.scene, f"{method}{part.variant}", step=part.step, split=part.split),
            _in_archive(part.renders, given.unpacked),
            _references(given, part, reference),
            _provenance(given, part, masks_given=masks_given),
        )
        for part in found.parts
    ]


def _references(given: _Given, part: Part, reference: Path | None) -> Mapping[str, Picture]:
    if reference is not None:
        return whole_files(list_images(reference))
    if not isinstance(part.references, Path):
        return _in_archive(part.references, given.unpacked)
    with naming(given.unpacked):
        return _in_archive(whole_files(list_images(part.references)), given.unpacked)


def _own_masks(given: _Given) -> Masks:
    """The masks that came with renders.

    Raises:
        InputError: none came.
    """
    if given.found.masks is None:
        raise InputError(f"No masks came with {given.path}: leave `--data-masks` out, or say `--masks DIR`.")
    # What is in an archive is no file that a record could name.
    return Masks(list_images(given.found.masks), lasting=given.unpacked is None)


def _in_archive(pictures: Mapping[str, Picture], unpacked: Unpacked | None) -> Mapping[str, Picture]:
    return {name: replace(picture, archive=unpacked) for name, picture in pictures.items()}


def _provenance(given: _Given, part: Part, *, masks_given: bool) -> dict[str, Any]:
    """Where renders are that have no files of their own, and masks that lie beside them and were not asked for."""
    said: dict[str, Any] = {}
    if given.unpacked is not None or any(picture.parts > 1 for picture in part.renders.values()):
        said["renders_from"] = str(given.path)
    if given.unpacked is not None:
        said["archive_sha256"] = given.unpacked.sha256
    if given.found.masks is not None and not masks_given:
        masks = str(given.found.masks)
        said["masks_not_used"] = masks if given.unpacked is None else given.unpacked.named(masks)
    return said


def _names(given: Sequence[_Given]) -> list[str]:
    """The method of each: what it says itself, else the name of its folder.

    Where these names collide, the shortest trailing path that tells them apart; several iterations of one model are one
    method.
    """
    folders = [one.found.named_after for one in given]
    depths = dict.fromkeys(folders, 1)
    while True:
        names = {path: "/".join(path.parts[-depth:]) for path, depth in depths.items()}
        said = list(names.values())
        if len(set(said)) == len(said):
            return [one.found.method or names[path] for one, path in zip(given, folders, strict=True)]
        depths = {path: depth + (said.count(names[path]) > 1) for path, depth in depths.items()}
