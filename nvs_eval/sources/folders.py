"""Views from folders of images: either a recognised layout, or renders and references matched by name or in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.archives import Unpacked, is_archive, naming
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_entry
from nvs_eval.sources.masks import MaskFiles, find_masks
from nvs_eval.sources.matching import Matching, Pictures
from nvs_eval.sources.opened import Opened, Opener
from nvs_eval.sources.pictures import Picture, check_folder
from nvs_eval.sources.result_names import Named, method_names, method_per_folder
from nvs_eval.system.hashes import remembered_sha256


def open_folders(
    renders: Sequence[Path],
    *,
    reference: Path | None = None,
    scene: str | None = None,
    methods: Sequence[str] = (),
    matching: Matching | None = None,
    allow_missing: bool = False,
    reading: Reading | None = None,
    alpha: Collection[AlphaRule] = ("composite",),
    masks: Path | None = None,
    own_masks: bool = False,
    warn: Callable[[str], None] = lambda message: None,
) -> list[ImageFiles]:
    """Open folders of renders as sources: results with identical references and masks share one source.

    A folder of a known layout (`nvs_eval.sources.layouts`) includes its references, and possibly several steps. A
    folder of such folders is taken as the scenes of one method. All other folders are matched with the folder
    `reference`, including subfolders. An archive is read like the folder that was packed. It is unpacked into a
    temporary folder, which is removed together with its source.

    Args:
        renders: folders or archives (zip, tar, tar.gz, tar.bz2, tar.xz).
        reference: folder of references. Takes precedence over references that a layout includes.
        scene: name of the scene (default: the name of the training data if the layout records it, otherwise the name of
            the parent folder of the references).
        methods: name of the method, one for all folders or one per folder (default: the name that the layout records,
            or the folder's name, with as much of its path as makes it unique; where the folder is named after its
            scene, the folder above).
        matching: which files are views, how renders and references are matched, and which views are scored (default:
            all, by name).
        allow_missing: skip views without a render or without a reference, and scenes and steps that lack all of either
            (default: raise an error).
        reading: how to read grey and linear images, and the background of images with alpha.
        alpha: alpha rules of the protocols.
        masks: folder of masks, one per scored view, by view name, or a file that is the mask of all views.
        own_masks: use the masks included with the renders, such as NerfBaselines writes, instead of `masks`.
        warn: called with each warning, such as of folders that are not scored.

    Raises:
        InputError: a folder is missing or empty, names do not match, or an image cannot be used.
    """
    matching = matching or Matching()
    given = method_per_folder(methods, len(renders))
    _check_folders(renders)
    references = None if reference is None else matching.references_in(reference)
    opener = Opener(reference, references or {}, allow_missing, warn)
    inputs = [(opened, method) for path, method in zip(renders, given, strict=True) for opened in opener.open(path)]
    common_masks = None if masks is None else find_masks(masks)
    render_sets = [
        render_set
        for opened in _named(inputs, scene)
        for render_set in _render_sets(
            opened,
            references,
            matching,
            masks=_own_masks(opened) if own_masks else common_masks,
            allow_missing=allow_missing,
            warn=warn,
        )
    ]
    sources = [source.checked(alpha) for source in _grouped(render_sets, reading or Reading())]
    report_damaged(sources, warn)
    return sources


def report_damaged(sources: Sequence[ImageFiles], warn: Callable[[str], None]) -> None:
    """Warn of the files whose headers cannot be read, most often because they are damaged. Each costs its view.

    Raises:
        FileError: no view can be scored; the message names the first file.
    """
    errors = [error for source in sources for error in source.damaged.values()]
    if errors and not any(source.sizes for source in sources):
        raise errors[0]
    if errors:
        what, them = ("1 file", "it") if len(errors) == 1 else (f"{len(errors)} files", "them")
        warn(f"{what} cannot be read. Views that need {them} will not be scored. {errors[0]}")


def _check_folders(renders: Sequence[Path]) -> None:
    for path in renders:
        if not is_archive(path):
            check_folder(path, "of renders ")
    resolved = [path.resolve() for path in renders]
    for path in resolved:
        if resolved.count(path) > 1:
            raise InputError(f"The folder {path} is listed twice. Remove one.")


def _named(inputs: Sequence[tuple[Opened, str | None]], scene: str | None) -> Iterator[Opened]:
    """Yield each input with its scene and its method: the user's, those that the layout records, or a folder's name."""
    names = [
        (scene or opened.scene, method or opened.contents.method, opened.contents.named_after, opened.plain)
        for opened, method in inputs
    ]
    of_folders = iter(method_names([Named(name, path, plain) for name, method, path, plain in names if not method]))
    for (opened, _), (name, method, _, _) in zip(inputs, names, strict=True):
        yield replace(opened, contents=replace(opened.contents, scene=name, method=method or next(of_folders)))


def _render_sets(
    opened: Opened,
    references: Pictures | None,
    matching: Matching,
    *,
    masks: MaskFiles | None,
    allow_missing: bool,
    warn: Callable[[str], None],
) -> Iterator[RenderSet]:
    """Yield the matched renders of each result, with the user's references or those of the layout."""
    contents = opened.contents
    for files in contents.results:
        scene = f"{opened.scene}{'' if files.scale == 1 else f'@{files.scale}'}"
        names = (scene, f"{contents.method}{files.variant}", contents.run)
        result = ResultId(*names, files.step, files.split, step_name=files.step_name)
        with naming(opened.unpacked):
            own = _pictures(files.renders, matching.renders_in)
            used = references or _pictures(files.references or {}, matching.references_in)
            pairs = matching.pairs(result, own, used, allow_missing=allow_missing)
        if pairs.ambiguous_order:
            warn(
                f"{result}: names are in the order of their numbers (2 before 10). A tool that sorts them as text "
                "pairs other images. Check the pairs with `nvs-eval inspect`. If they are wrong, rename the renders "
                "after their references."
            )
        renders = _in_archive(pairs.renders, opened.unpacked)
        used = pairs.references if references else _in_archive(pairs.references, opened.unpacked)
        provenance = _provenance(opened, renders, masks) | matching.provenance(pairs)
        of_views = None if masks is None else masks.of(used)
        selected = replace(result, selection=pairs.selection)
        yield RenderSet(selected, renders, used, provenance, masks=of_views, left_out=pairs.left_out)


def _pictures(files: Pictures | Path, listed: Callable[[Path], Pictures]) -> Pictures:
    return listed(files) if isinstance(files, Path) else files


def _grouped(render_sets: Sequence[RenderSet], reading: Reading) -> list[ImageFiles]:
    """Group the render sets of a scene that have the same references and masks; each group is scored view by view."""
    hash_file = functools.cache(remembered_sha256)
    sha256 = functools.cache(functools.partial(Picture.sha256, hash_file=hash_file))

    def same(one: Picture, other: Picture) -> bool:
        try:
            return one == other or sha256(one) == sha256(other)  # Identical files need no hash.
        except InputError:
            return False  # A damaged reference costs the view of its own result alone.

    def belongs(render_set: RenderSet, first: RenderSet) -> bool:
        pairs = zip(render_set.references.values(), first.references.values(), strict=True)
        return render_set.masks == first.masks and all(starmap(same, pairs))

    groups_by_views: dict[tuple[str, ...], list[list[RenderSet]]] = {}
    for render_set in render_sets:
        groups = groups_by_views.setdefault((render_set.id.scene, *render_set.references), [])
        group = next((group for group in groups if belongs(render_set, group[0])), None)
        if group is None:
            groups.append(group := [])
        # The whole group reads the references of its first member.
        references = group[0].references if group else render_set.references
        provenance = {**render_set.provenance, "reading": reading_entry(reading)}
        group.append(replace(render_set, references=references, provenance=provenance))
    groups = [group for several in groups_by_views.values() for group in several]
    return [ImageFiles(group, reading, hash_file=hash_file) for group in groups]


def _in_archive(pictures: Pictures, unpacked: Unpacked | None) -> Pictures:
    return {name: replace(picture, archive=unpacked) for name, picture in pictures.items()}


def _own_masks(opened: Opened) -> MaskFiles:
    """Return the masks included with renders.

    Raises:
        InputError: the renders include no masks.
    """
    folder = opened.contents.masks
    if folder is None:
        raise InputError(f"{opened.path} includes no masks. Remove `--data-masks`, or use `--masks DIR`.")
    return find_masks(folder, archive=opened.unpacked)


def _provenance(opened: Opened, renders: Pictures, masks: MaskFiles | None) -> dict[str, Any]:
    """Return the origin of renders without files of their own, how masks are read, and masks that are not used."""
    entries: dict[str, Any] = {}
    unpacked, included = opened.unpacked, opened.contents.masks
    if unpacked is not None or any(picture.parts > 1 for picture in renders.values()):
        entries["renders_from"] = str(opened.path)
    if unpacked is not None:
        entries["archive_sha256"] = unpacked.sha256
    if masks is not None and masks.binary:
        entries["masks"] = "binary"
    if masks is None and included is not None:
        entries["masks_not_used"] = str(included) if unpacked is None else unpacked.named(str(included))
    return entries
