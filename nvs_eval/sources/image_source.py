"""Renders and references in files, and the views made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, probe_image
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import Render, View
from nvs_eval.system.prefetch import prefetch


@dataclass(frozen=True)
class RenderSet:
    """The renders of one result and the references they are scored against, in files.

    Attributes:
        id: identity of the result.
        renders: render of each view, by view name.
        references: reference of each view, by view name, in the order of the views.
        provenance: what identifies the renders (the sha256 of their checkpoint, ...), for the record.
        seconds: time each render took, where known.
        masks: masks of the views, if they are scored with masks.
    """

    id: ResultId
    renders: Mapping[str, Picture]
    references: Mapping[str, Picture]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    masks: Masks | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Views whose images lie in files, each file decoded once, shortly before its view's turn.

    Attributes:
        sets: render sets with the same references and masks; a view has one render of each, in this order.
        reading: what to do with grey and linear images, and the background of those with alpha, which the protocols
            composite or drop.
    """

    sets: Sequence[RenderSet]
    reading: Reading = field(default_factory=Reading)

    @property
    def ids(self) -> list[ResultId]:
        """Identity of each result, in the order of each view's renders."""
        return [render_set.id for render_set in self.sets]

    @property
    def provenance(self) -> list[Mapping[str, Any]]:
        """Provenance of each result, in the order of `ids`."""
        return [render_set.provenance for render_set in self.sets]

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

    def __iter__(self) -> Generator[View, None, None]:
        """The views; while one is used, the files of the next two are read in the background."""
        work = (self._reads(name) for name in self.references)
        with closing(prefetch(work)) as loaded:
            for name in self.references:
                yield self._view(name, next(loaded))

    def _reads(self, name: str) -> list[Callable[[], Any]]:
        """The calls that read the files of a view, each once, and its mask."""
        files = _by_path(self._pictures(name)).values()
        mask = (lambda: None) if self.masks is None else partial(self.masks.load, name)
        return [*(partial(picture.load_file, self.reading) for picture in files), mask]

    def _view(self, name: str, loaded: Sequence[Any]) -> View:
        """The view of a name, from what the calls of `_reads` returned."""
        pictures = self._pictures(name)
        *layers, mask = loaded
        files = dict(zip(_by_path(pictures), layers, strict=True))
        (reference, alpha), *images = (picture.cut_out(files[picture.path]) for picture in pictures)
        return View(
            name,
            reference,
            tuple(
                Render(image, picture.file, render_set.seconds.get(name), alpha=own_alpha)
                for render_set, picture, (image, own_alpha) in zip(self.sets, pictures[1:], images, strict=True)
            ),
            mask,
            reference_file=pictures[0].file,
            reference_alpha=alpha,
            mask_file=None if self.masks is None else self.masks.lasting_file(name),
            background=self.reading.background,
        )

    def _pictures(self, name: str) -> list[Picture]:
        """The reference of a view and its renders."""
        return [self.references[name], *(render_set.renders[name] for render_set in self.sets)]

    def check(self, alpha: Collection[AlphaRule] = ("composite",)) -> None:
        """Check the header of every file, once: it exists, is an image of usable channels and of its reference's size.

        Args:
            alpha: the protocols' rules for alpha: an image that has it must have what they need.

        Raises:
            InputError: naming the file.
        """
        probe = functools.cache(partial(probe_image, reading=self.reading, alpha=tuple(alpha)))
        sizes = {}
        for name in self.references:
            reference, *renders = self._pictures(name)
            size = sizes[name] = reference.size(probe)
            for render in renders:
                if (other := render.size(probe)) != size:
                    raise InputError(
                        f"View {name!r}: the render {render} is {other[0]}x{other[1]} and the reference {reference} is "
                        f"{size[0]}x{size[1]}. Nothing is resized here: render at the reference's size."
                    )
        if self.masks is not None:
            self.masks.check(sizes)


def _by_path(pictures: Sequence[Picture]) -> dict[Path, Picture]:
    """One picture of each file, by the file's path."""
    return {picture.path: picture for picture in pictures}


def reading_entry(reading: Reading) -> dict[str, Any]:
    """Entry `reading` of a record's provenance: how to read its files again. What alpha means is the protocol's."""
    return {name: value for name, value in asdict(reading).items() if name != "alpha"}


def reading_of(record: Record) -> Reading:
    """How the files of a record were read; the default where its provenance does not tell."""
    entry: Any = record.provenance.get("reading")
    alpha = record.protocol["definition"].get("alpha")
    choices = {
        **(entry if isinstance(entry, dict) else {}),
        "alpha": alpha if alpha in get_args(AlphaRule) else "composite",
    }
    try:
        return msgspec.convert(choices, Reading)
    except msgspec.ValidationError:
        return Reading(alpha=choices["alpha"])
