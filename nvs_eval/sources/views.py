"""A held-out view with its renders. A source is an iterable of views that also has the ids of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.images.pixels import AlphaRule, check_alpha, check_image, check_mask, without_alpha


@dataclass(frozen=True)
class Render:
    """One render of a view.

    Attributes:
        image: `[H, W, 3]` float32, finite.
        file: file of the pixels, if it exists.
        seconds: rendering time with the device synchronised; None if unknown.
        alpha: `[H, W, 1]` straight alpha; None for an opaque image.
        own: values of the model's own metrics, by the model's names; finite.
    """

    image: Float[Tensor, "h w 3"]
    file: Path | None = None
    seconds: float | None = None
    alpha: Float[Tensor, "h w 1"] | None = field(default=None, kw_only=True)
    own: Mapping[str, float] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class View:
    """One held-out camera: its reference image, and one render per result.

    Attributes:
        name: path of the source image relative to the images' common folder, without extension.
        reference: `[H, W, 3]` float32, finite.
        renders: one render per result, in the order of the source's ids, each of the reference's size. Results in
            `failed` have none.
        mask: `[H, W]` pixel weights in [0, 1], or None.
        reference_file: file of the reference, if it exists.
        reference_alpha: `[H, W, 1]` straight alpha; None for an opaque reference.
        mask_file: file of the mask, if it exists.
        background: background for protocols that composite images with alpha.
        failed: errors of the results that have no render of this view, by their index among the source's ids.

    Raises:
        InputError: an image or the mask violates the contract; the message names the view.
    """

    name: str
    reference: Float[Tensor, "h w 3"]
    renders: tuple[Render, ...]
    mask: Float[Tensor, "h w"] | None = None
    reference_file: Path | None = field(default=None, kw_only=True)
    reference_alpha: Float[Tensor, "h w 1"] | None = field(default=None, kw_only=True)
    mask_file: Path | None = field(default=None, kw_only=True)
    background: tuple[float, float, float] | None = field(default=None, kw_only=True)
    failed: Mapping[int, InputError] = field(default_factory=dict, kw_only=True, compare=False)

    bounds: tuple[tuple[float, float], ...] = field(init=False, compare=False, repr=False)
    """Minimum and maximum of the reference and of each render, computed once."""

    def __post_init__(self) -> None:
        if not isinstance(self.renders, Sequence) or not all(isinstance(render, Render) for render in self.renders):
            given = self.renders[0] if isinstance(self.renders, Sequence) else self.renders
            raise InputError(
                f"The renders of view {quoted(self.name)} must be a tuple of nvs_eval.Render. Got "
                f"{type(given).__name__}. Pass `(nvs_eval.Render(image),)`."
            )
        if not self.renders:
            raise InputError(f"View {quoted(self.name)} has no render to score.")
        bounds = []
        for layer, what in self._layers():
            bounds.append(check_image(layer.image, what=what))
            if layer.alpha is not None:
                check_alpha(layer.alpha, layer.image, what=what)
            if layer.image.shape != self.reference.shape:
                raise InputError(
                    f"View {quoted(self.name)}: the render{_in(layer.file)} is {_size(layer.image)}, but the "
                    f"reference is {_size(self.reference)}. Images are never resized. Render at the reference's size."
                )
        if self.mask is not None:
            check_mask(self.mask, self.reference, what=f"The mask of view {quoted(self.name)}")
        object.__setattr__(self, "bounds", tuple(bounds))

    def trusted(self, **changes: Any) -> View:
        """Return the view with changed fields, unchecked: the values of the images must have been checked before."""
        view = object.__new__(View)
        vars(view).update({**vars(self), **changes})
        return view

    def with_mask(self, mask: Float[Tensor, "h w"], file: Path | None) -> View:
        """Return the view with a mask.

        Raises:
            InputError: the mask does not fit the view's images.
        """
        check_mask(mask, self.reference, what=f"The mask of view {quoted(self.name)}")
        return self.trusted(mask=mask, mask_file=file)

    @property
    def is_opaque(self) -> bool:
        """Whether no image has alpha."""
        return self.reference_alpha is None and all(render.alpha is None for render in self.renders)

    def opaque(self, rule: AlphaRule) -> View:
        """Return the view with alpha composited or dropped, or the view itself if no image has alpha.

        Raises:
            InputError: an image has alpha, and the rule is `error` or there is no background to composite over.
        """
        if self.is_opaque:
            return self
        layers, bounds = [], []
        for (layer, what), old_bounds in zip(self._layers(), self.bounds, strict=True):
            image = without_alpha(layer.image, layer.alpha, rule=rule, background=self.background, what=what)
            layers.append(replace(layer, image=image, alpha=None))
            composited = layer.alpha is not None and rule == "composite"
            bounds.append(check_image(image, what=what) if composited else old_bounds)
        reference, *renders = layers
        return self.trusted(
            reference=reference.image, reference_alpha=None, renders=tuple(renders), bounds=tuple(bounds)
        )

    def _layers(self) -> list[tuple[Render, str]]:
        """Return the reference, as a render, and the renders, each with its name in errors."""
        reference = Render(self.reference, self.reference_file, alpha=self.reference_alpha)
        layers = [("reference", reference), *(("render", render) for render in self.renders)]
        return [(layer, f"The {kind} of view {quoted(self.name)}{_in(layer.file)}") for kind, layer in layers]


@dataclass(frozen=True)
class FailedView:
    """A view that cannot be scored, for example because a file is damaged. A source yields it in place of a `View`.

    Attributes:
        name: name of the view.
        failed: errors, by the index of the result among the source's ids.
    """

    name: str
    failed: Mapping[int, InputError]


def checked_view(
    name: str, reference: Tensor, renders: Sequence[Render | InputError], *args: Any, **fields: Any
) -> View | FailedView:
    """Build a view without the renders that cannot be scored.

    Args:
        name: name of the view.
        reference: `[H, W, 3]` float32.
        renders: the render of each result, or the error if there is none.
        args: other fields of `View`.
        fields: other fields of `View`.
    """
    failed = {index: render for index, render in enumerate(renders) if isinstance(render, InputError)}
    usable = {index: render for index, render in enumerate(renders) if isinstance(render, Render)}
    if not usable:
        return FailedView(name, failed)
    try:
        return View(name, reference, tuple(usable.values()), *args, **fields, failed=failed)
    except InputError as error:
        if len(usable) == 1:
            return FailedView(name, failed | dict.fromkeys(usable, error))
    # Find the renders that caused the error.
    alone = {index: checked_view(name, reference, [render], *args, **fields).failed for index, render in usable.items()}
    errors = {index: errors[0] for index, errors in alone.items() if errors}
    return checked_view(name, reference, [errors.get(i, render) for i, render in enumerate(renders)], *args, **fields)


def _in(file: Path | None) -> str:
    return f" ({file})" if file else ""


def _size(image: Tensor) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
