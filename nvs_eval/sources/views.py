"""A held-out view with its renders. A source is any iterable of views with the ids of their renders' results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.pixels import AlphaRule, check_image, check_mask, without_alpha


@dataclass(frozen=True)
class Render:
    """One render of a view.

    Attributes:
        image: `[H, W, 3]` float32, finite.
        file: where its pixels lie, where they do.
        seconds: how long it took to render, the device synchronised; None where that is not known.
        alpha: `[H, W, 1]`, straight; None for an image that is opaque.
    """

    image: Float[Tensor, "h w 3"]
    file: Path | None = None
    seconds: float | None = None
    alpha: Float[Tensor, "h w 1"] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class View:
    """One held-out camera: its reference image, and one render of it a result.

    Attributes:
        name: the source image's path below the images' common folder, without extension.
        reference: `[H, W, 3]` float32, finite.
        renders: one a result, in the order of the source's ids, each of the reference's size.
        mask: `[H, W]` weights in [0, 1] of the pixels that count, or None.
        reference_file: where the reference lies, where it does.
        reference_alpha: `[H, W, 1]`, straight; None for a reference that is opaque.
        mask_file: where the mask lies, where it does.
        background: what images with alpha are composited over, by protocols that do.

    Raises:
        InputError: an image or the mask breaks the contract; the message names the view.
    """

    name: str
    reference: Float[Tensor, "h w 3"]
    renders: tuple[Render, ...]
    mask: Float[Tensor, "h w"] | None = None
    reference_file: Path | None = field(default=None, kw_only=True)
    reference_alpha: Float[Tensor, "h w 1"] | None = field(default=None, kw_only=True)
    mask_file: Path | None = field(default=None, kw_only=True)
    background: tuple[float, float, float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_image(self.reference, what=f"The reference of view {self.name!r}")
        if not self.renders:
            raise InputError(f"View {self.name!r} has no render to score.")
        for render in self.renders:
            which = _in(render.file)
            check_image(render.image, what=f"The render of view {self.name!r}{which}")
            if render.image.shape != self.reference.shape:
                raise InputError(
                    f"View {self.name!r}: the render{which} is {_size(render.image)} and the reference "
                    f"{_size(self.reference)}. Nothing is resized here: render at the reference's size."
                )
        if self.mask is not None:
            check_mask(self.mask, self.reference, what=f"The mask of view {self.name!r}")

    @property
    def is_opaque(self) -> bool:
        """Whether no image has alpha."""
        return self.reference_alpha is None and all(render.alpha is None for render in self.renders)

    def opaque(self, rule: AlphaRule) -> View:
        """This view with its images' alpha composited or dropped; itself where no image has any.

        Raises:
            InputError: an image has alpha, and the rule is `error` or needs a background that was not given.
        """
        if self.is_opaque:
            return self
        resolve = partial(without_alpha, rule=rule, background=self.background)
        what = f"The reference of view {self.name!r}{_in(self.reference_file)}"
        return replace(
            self,
            reference=resolve(self.reference, self.reference_alpha, what=what),
            reference_alpha=None,
            renders=tuple(self._opaque_render(render, resolve) for render in self.renders),
        )

    def _opaque_render(self, render: Render, resolve: Callable[..., Tensor]) -> Render:
        what = f"The render of view {self.name!r}{_in(render.file)}"
        return replace(render, image=resolve(render.image, render.alpha, what=what), alpha=None)


def _in(file: Path | None) -> str:
    return f" ({file})" if file else ""


def _size(image: Tensor) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
