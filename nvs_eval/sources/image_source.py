"""Renders and references in files, and the views made of them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Layers, Picture, cut_out, loading
from nvs_eval.sources.views import Render, View
from nvs_eval.system.prefetch import ahead


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
        work = (loading(self._pictures(name), self.reading) for name in self.references)
        with closing(ahead(work)) as loaded:
            for name in self.references:
                yield self._view(name, next(loaded))

    def _view(self, name: str, loaded: Sequence[Layers]) -> View:
        """The view of a name, of its files as they were read."""
        pictures = self._pictures(name)
        (reference, alpha), *layers = cut_out(pictures, loaded)
        view = View(
            name,
            reference,
            tuple(
                Render(image, picture.file, render_set.seconds.get(name), alpha=own_alpha)
                for render_set, picture, (image, own_alpha) in zip(self.sets, pictures[1:], layers, strict=True)
            ),
            reference_file=pictures[0].file,
            reference_alpha=alpha,
            background=self.reading.background,
        )
        return view if self.masks is None else self.masks.attach(view)

    def _pictures(self, name: str) -> list[Picture]:
        """The reference of a view and its renders."""
        return [self.references[name], *(render_set.renders[name] for render_set in self.sets)]

    def check(self, alpha: Collection[AlphaRule] = ("composite",)) -> None:
        """Check every file's header: it is there, is an image, has usable channels, and the size of its reference.

        Args:
            alpha: what the protocols do with alpha: an image that has it must have what they need.

        Raises:
            InputError: naming the file.
        """
        sizes = {}
        for name in self.references:
            reference, *renders = self._pictures(name)
            size = self._probe(reference, alpha)
            for render in renders:
                if (other := self._probe(render, alpha)) != size:
                    raise InputError(
                        f"View {name!r}: the render {render} is {other[0]}x{other[1]} and the reference {reference} is "
                        f"{size[0]}x{size[1]}. Nothing is resized here: render at the reference's size."
                    )
            sizes[name] = size
        if self.masks is not None:
            self.masks.check(sizes)

    def _probe(self, picture: Picture, alpha: Collection[AlphaRule]) -> tuple[int, int]:
        (size,) = {picture.probe(replace(self.reading, alpha=rule)) for rule in alpha}
        return size
