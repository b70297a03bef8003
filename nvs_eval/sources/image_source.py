"""Renders and references in files, and the views built from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from nvs_eval.errors import FileError, InputError, ResourceError, counted, quoted
from nvs_eval.images.files import Header, Reading, probe_image
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.images.stored import check_memory, image_bytes, warn
from nvs_eval.images.tags import check_orientation
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId, sha256_of_lines
from nvs_eval.sources.archives import naming
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import FileHash, Layers, Picture
from nvs_eval.sources.read_ahead import views_of
from nvs_eval.sources.views import FailedView, Render, View, checked_view
from nvs_eval.system.hashes import remembered_sha256

T = TypeVar("T")


@dataclass(frozen=True)
class RenderSet:
    """Image files of the renders of one result and of their references.

    Attributes:
        id: identity of the result.
        renders: render of each view, by view name.
        references: reference of each view, by view name, in the order of the views.
        provenance: identification of the renders for the record, such as the sha256 of their checkpoint.
        seconds: rendering time of each view, if known.
        masks: masks of the views, if they are scored with masks.
        own: values of the model's own metrics in each view, by the model's names.
        failed: errors of views that could not be rendered, by view name.
        left_out: views without a render or a reference, with the reason.
    """

    id: ResultId
    renders: Mapping[str, Picture]
    references: Mapping[str, Picture]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    masks: Masks | None = None
    own: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failed: Mapping[str, InputError] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageFiles:
    """Views whose images are files. Each file is decoded once, shortly before its view is used.

    A damaged render costs its own result the view, and a damaged reference or mask costs all results the view.

    Attributes:
        sets: render sets with the same references and masks; a view has one render from each, in this order.
        reading: how to read grey and linear images, and the background for protocols that composite alpha.
        sizes: width and height in pixels of each view that can be read, by name; empty if not checked.
        damaged: errors of the files that cannot be read, in the order of the views; empty if not checked.
        hash_file: returns the sha256 of a file, computed once, for results that are identified by their files; None
            otherwise.
    """

    sets: Sequence[RenderSet]
    reading: Reading = field(default_factory=Reading)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    damaged: Mapping[Path, FileError] = field(default_factory=dict)
    hash_file: FileHash | None = None

    @property
    def ids(self) -> list[ResultId]:
        """Identity of each result, in the order of each view's renders."""
        return [render_set.id for render_set in self.sets]

    @property
    def provenance(self) -> list[Mapping[str, Any]]:
        """Provenance of each result, in the order of `ids`."""
        return [
            {**one.provenance, "left_out": dict(one.left_out)} if one.left_out else one.provenance for one in self.sets
        ]

    @property
    def references(self) -> Mapping[str, Picture]:
        """Reference of each view, by view name."""
        return self.sets[0].references

    @property
    def masks(self) -> Masks | None:
        """Masks of the views, if they are scored with masks."""
        return self.sets[0].masks

    def __len__(self) -> int:
        return len(self.references)

    def without(self, names: Collection[str]) -> ImageFiles:
        """Return the source without some views."""

        def others(by_name: Mapping[str, T]) -> dict[str, T]:
            return {name: value for name, value in by_name.items() if name not in names}

        sets = [replace(one, references=others(one.references), failed=others(one.failed)) for one in self.sets]
        return replace(self, sets=sets)

    def __iter__(self) -> Generator[View | FailedView, None, None]:
        """Yield the views; while one is used, the files of the next two are read in the background."""
        for index, render_set in enumerate(self.sets):
            yield from (FailedView(name, {index: error}) for name, error in render_set.failed.items())
        for _, views in views_of([self]):
            yield from views

    def reads(self, name: str) -> list[Callable[[], Any]]:
        """Return the calls that read the files of a view, each once, and its mask. They return errors."""
        files = {picture.path: picture for picture in self._pictures(name)}
        calls = [partial(self._load, picture) for picture in files.values()]
        mask = (lambda: None) if self.masks is None else partial(self.masks.load, name)
        return [partial(_result, call) for call in (*calls, mask)]

    def _load(self, picture: Picture) -> Layers:
        """Read the file of a picture. It is hashed first, after which the system has it in memory."""
        if picture.path in self.damaged:  # It may be far too large to be hashed.
            raise self.damaged[picture.path]
        if self.hash_file is not None:
            picture.identity(self.hash_file)
        return picture.load_file(self.reading)

    def inputs_sha256(self, renders: RenderSet, names: Collection[str]) -> dict[str, str]:
        """Return the identity of the files of some views: a hash over their names and bytes, without paths and dates.

        Damaged files are not read.

        Args:
            renders: one of the sets.
            names: names of the views.

        Raises:
            InputError: a file cannot be read.
        """
        hash_file = self.hash_file or remembered_sha256

        def digest(pictures: Mapping[str, Picture]) -> str:
            return sha256_of_lines(f"{name} {identity(pictures[name])}" for name in sorted(names))

        def identity(picture: Picture) -> str:
            return "damaged" if picture.path in self.damaged else picture.identity(hash_file)

        return {"renders": digest(renders.renders), "references": digest(self.references)}

    def view(self, name: str, loaded: Sequence[Any]) -> View | FailedView:
        """Build a view from the results of the calls of `reads`."""
        pictures = self._pictures(name)
        *layers, mask = loaded
        files = dict(zip(dict.fromkeys(picture.path for picture in pictures), layers, strict=True))
        cut = [_result(partial(_cut_out, picture, files[picture.path])) for picture in pictures]
        for error in (cut[0], mask):
            if isinstance(error, InputError):
                return FailedView(name, dict.fromkeys(range(len(self.sets)), error))
        reference, reference_alpha = cut[0]
        return checked_view(
            name,
            reference,
            [
                _render(render_set, name, picture, layers)
                for render_set, picture, layers in zip(self.sets, pictures[1:], cut[1:], strict=True)
            ],
            mask,
            reference_file=pictures[0].file,
            reference_alpha=reference_alpha,
            mask_file=None if self.masks is None else self.masks.lasting_file(name),
            background=self.reading.background,
        )

    def _pictures(self, name: str) -> list[Picture]:
        """Return the reference of a view, then its renders."""
        return [self.references[name], *(render_set.renders[name] for render_set in self.sets)]

    def checked(self, alpha: Collection[AlphaRule] = ("composite",)) -> ImageFiles:
        """Return the source with its sizes and its damaged files. Check the header of every file once.

        Each file must have usable channels and sRGB colours, and the size and orientation of its reference.

        Args:
            alpha: alpha rules of the protocols. Images with alpha must satisfy all of them.

        Raises:
            InputError: a file is unusable, but not damaged, or no view can be read; the message names it.
        """
        damaged: dict[Path, FileError] = {}
        read = cache(partial(probe_image, reading=self.reading, alpha=tuple(alpha)))
        headers: dict[str, Header] = {}
        for name in self.references:
            reference, *renders = self._pictures(name)
            header = _header(reference, read, damaged)
            theirs = [_header(render, read, damaged) for render in renders]
            if header is None or not any(theirs):
                continue
            headers[name] = header
            for render, other in zip(renders, theirs, strict=True):
                if other is not None:
                    self._check_pair(name, (reference, header), (render, other))
            check_memory(f"View {quoted(name)}", image_bytes(header.size) * (1 + len(renders)))
        sizes = {name: header.size for name, header in headers.items()}
        orientations = {name: header.orientation for name, header in headers.items()}
        if self.masks is not None:
            damaged |= (masks := self.masks.check(sizes, None if self.reading.ignore_orientation else orientations))
            sizes = {name: size for name, size in sizes.items() if self.masks.files[name] not in masks}
        turned = [name for name, orientation in orientations.items() if orientation != 1]
        if turned and not self.reading.ignore_orientation:
            first, views = self.references[turned[0]], counted(len(turned), "view")
            with naming(first.archive):
                what = f"Stored pixels are scored; they are not rotated ({views})."
                warn(first.path, "has an EXIF orientation", what)
        return replace(self, sizes=sizes, damaged=damaged)

    def _check_pair(self, name: str, reference: tuple[Picture, Header], render: tuple[Picture, Header]) -> None:
        """Check that a render has the size and orientation of its reference."""
        (render_file, theirs), (reference_file, ours) = render, reference
        if not self.reading.ignore_orientation:
            check_orientation(
                name, {f"reference {reference_file}": ours.orientation, f"render {render_file}": theirs.orientation}
            )
        if theirs.size != ours.size:
            raise InputError(
                f"View {quoted(name)}: the render {render_file} is {theirs.size[0]}x{theirs.size[1]}, but the "
                f"reference {reference_file} is {ours.size[0]}x{ours.size[1]}. Images are never resized. Render at the "
                "reference's size."
            )


def _header(picture: Picture, read: Callable[[Path], Header], damaged: dict[Path, FileError]) -> Header | None:
    """Return the header of a picture, or add its error to those of the damaged files and return None."""
    if picture.path not in damaged:
        try:
            return picture.header(read)
        except FileError as error:
            damaged[picture.path] = error
    return None


def _render(render_set: RenderSet, name: str, picture: Picture, layers: Layers | InputError) -> Render | InputError:
    if isinstance(layers, InputError):
        return layers
    own = render_set.own.get(name, {})
    return Render(layers[0], picture.file, render_set.seconds.get(name), alpha=layers[1], own=own)


def _result(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or the error if it concerns its own view alone."""
    try:
        return call()
    except ResourceError:
        raise
    except InputError as error:
        return error


def _cut_out(picture: Picture, layers: Layers | InputError) -> Layers:
    if isinstance(layers, InputError):
        raise layers
    return picture.cut_out(layers)


def reading_entry(reading: Reading) -> dict[str, Any]:
    """Return the entry `reading` of a record's provenance: how to read its files.

    Alpha is defined by the protocol, and the largest number of pixels does not change any. Options that older versions
    lack are included only if they are set.
    """
    default, always = asdict(Reading()), ("background", "grey_to_rgb", "exr")
    entry = {name: value for name, value in asdict(reading).items() if name in always or value != default[name]}
    return {name: value for name, value in entry.items() if name not in ("alpha", "max_pixels")}


def reading_of(record: Record) -> Reading:
    """Return how the files of a record were read; the default if its provenance has no entry `reading`.

    Their tags are not judged again, because they were when the record was made or its version ignored them.
    """
    entry: Any = record.provenance.get("reading")
    alpha = record.protocol["definition"].get("alpha")
    choices = {
        **(entry if isinstance(entry, dict) else {}),
        "alpha": alpha if alpha in get_args(AlphaRule) else "composite",
        "ignore_colour_tags": True,
        "ignore_orientation": True,
    }
    try:
        return msgspec.convert(choices, Reading)
    except msgspec.ValidationError:
        return Reading(alpha=choices["alpha"], ignore_colour_tags=True, ignore_orientation=True)
