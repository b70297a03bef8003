"""A source whose images lie in files."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading
from nvs_eval.images.pixels import AlphaRule
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Layers, Picture, cut_out, loading
from nvs_eval.sources.views import Column, Render, View
from nvs_eval.system.prefetch import ahead

Files = Mapping[str, Picture] | Mapping[str, Path]


@dataclass(frozen=True)
class ImageFiles:
    """A source: views whose images lie in files, each file decoded once, a little before it is its view's turn.

    Attributes:
        columns: what made the renders.
        references: the reference of each view, by the view's name; a path is a file that holds one image.
        renders: for each column, the render of each view.
        reading: what to do with grey and linear images, and the background of those with alpha, which the protocols
            composite or drop.
        seconds: for each column, what each render took, where that is known.
        masks: of the views, if there are any.
    """

    columns: Sequence[Column]
    references: Files
    renders: Sequence[Files]
    reading: Reading = field(default_factory=Reading)
    seconds: Sequence[Mapping[str, float | None]] | None = None
    masks: Masks | None = None

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
                Render(image, picture.file, self._seconds(name, index), alpha=own_alpha)
                for index, (picture, (image, own_alpha)) in enumerate(zip(pictures[1:], layers, strict=True))
            ),
            reference_file=pictures[0].file,
            reference_alpha=alpha,
            background=self.reading.background,
        )
        return view if self.masks is None else self.masks.attach(view)

    def _pictures(self, name: str) -> list[Picture]:
        """The reference of a view and its renders."""
        files = [self.references[name], *(column[name] for column in self.renders)]
        return [file if isinstance(file, Picture) else Picture(file) for file in files]

    def _seconds(self, name: str, index: int) -> float | None:
        return None if self.seconds is None else self.seconds[index][name]

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
