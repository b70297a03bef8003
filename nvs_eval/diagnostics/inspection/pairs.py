"""Findings on pairs of renders and references: wrong pairs, mirrored or turned renders, swapped colour channels.

Images are compared as thumbnails, in which the errors of a method average out and those of a pairing remain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from nvs_eval.diagnostics.inspection.findings import Finding, findings_on, of_all

_SIDE = 32
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 256, 2048
# Side of the blocks that are averaged to find references that cannot fit best, and most pairs of the others to compare.
_COARSE, _MOST_CANDIDATES = 4, 20_000
_ROUNDING = 1 + 1e-9
# Ratios of mean squared errors: a gain of 1 dB for most views is no accident, for a single view one of 6 dB.
_SHIFTED, _BETTER, _MUCH_BETTER = 10**0.1, 10**0.3, 10**0.6
_MOST = 0.75
_FEWEST = 3
"""Number of views from which a shift can be told from two views that were swapped."""
_NO_ERROR = 1e-9
"""Error below which images are equal, so that two tiny errors have no ratio."""

Thumbnail = Float[Tensor, "3 side side"]


@dataclass(frozen=True)
class Pair:
    """Thumbnails of a view's reference and render.

    Attributes:
        name: name of the view.
        reference: thumbnail of the reference.
        render: thumbnail of the render.
        square: whether the images are square, so that a render turned by 90 degrees has the size of its reference.
    """

    name: str
    reference: Thumbnail
    render: Thumbnail
    square: bool


def thumbnail(image: Float[Tensor, "h w 3"]) -> Thumbnail:
    """Return an image averaged to a small square, whatever its aspect ratio."""
    return adaptive_avg_pool2d(image.permute(2, 0, 1), (_SIDE, _SIDE))


def pair_findings(pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yield findings on renders that fit their references badly, and fit them better after a change.

    Args:
        pairs: thumbnails of all views, in the order of the views.
    """
    if not pairs:
        return
    changed = list(_changed(pairs))
    # Mirrored renders, too, may fit other references better.
    yield from changed or _paired_wrongly(pairs)


# --- Renders that are mirrored, turned, or have swapped channels ------------------------------------------------------

_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "mirrored left to right": lambda render: render.flip(-1),
    "upside down": lambda render: render.flip(-2),
    "turned by 180 degrees": lambda render: render.flip(-1, -2),
    "stored with red and blue swapped": lambda render: render.flip(-3),
}
_OF_SQUARES: dict[str, Callable[[Tensor], Tensor]] = {
    "turned by 90 degrees to the left": lambda render: render.rot90(-1, (-2, -1)),
    "turned by 90 degrees to the right": lambda render: render.rot90(1, (-2, -1)),
    "transposed": lambda render: render.mT,
}
"""For each fault of a render, the function that undoes it."""


def _changed(pairs: Sequence[Pair]) -> Iterator[Finding]:
    changes = _CHANGES | (_OF_SQUARES if all(pair.square for pair in pairs) else {})
    references, renders = _stacked(pairs)
    errors = _errors(references, renders)
    gains = {fault: errors / _errors(references, undo(renders)) for fault, undo in changes.items()}
    fault = max(gains, key=lambda name: float(gains[name].median()))
    better = gains[fault] >= _BETTER
    if better.double().mean() >= _MOST:
        count = _of_all(int(better.sum()), len(pairs))
        yield Finding(
            f"The renders seem to be {fault}: {count} closer to the reference once this is undone.", doubtful=True
        )


def _of_all(count: int, total: int) -> str:
    words = of_all(count, total, "render")
    return words[0].lower() + words[1:]


def _stacked(pairs: Sequence[Pair]) -> tuple[Float[Tensor, "n 3 s s"], Float[Tensor, "n 3 s s"]]:
    return torch.stack([pair.reference for pair in pairs]), torch.stack([pair.render for pair in pairs])


def _errors(references: Float[Tensor, "n 3 s s"], renders: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n"]:
    blocks = zip(references.split(_ROWS_AT_ONCE), renders.split(_ROWS_AT_ONCE), strict=True)
    return torch.cat([(a - b).double().square().mean((1, 2, 3)) for a, b in blocks]) + _NO_ERROR


# --- Renders that fit the reference of another view -------------------------------------------------------------------


def _paired_wrongly(pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find renders that fit another view's reference better: most of them the next one's, or some of them any."""
    best, gains = _best_references(pairs)
    offsets = Counter(other - own for own, other in enumerate(best) if gains[own] >= _SHIFTED)
    offset, count = max(offsets.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    # The reference that fits a render at the end may not exist.
    if abs(offset) and len(pairs) >= _FEWEST and count >= max(_MOST * (len(pairs) - abs(offset)), _FEWEST - 1):
        example = next(own for own, other in enumerate(best) if other - own == offset)
        yield Finding(
            f"The renders seem to be shifted by {abs(offset)}: {_of_all(count, len(pairs))} closer to the "
            f"reference {_away(offset)} than to their own (the render of {pairs[example].name} shows "
            f"{pairs[example + offset].name}).",
            doubtful=True,
        )
        return
    wrong = [
        f"the render of {pairs[own].name} shows {pairs[other].name}"
        for own, other in enumerate(best)
        if gains[own] >= _MUCH_BETTER
    ]
    text = "Some renders are much closer to the reference of another view: {names}."
    yield from findings_on(wrong, text, doubtful=True)


def _away(offset: int) -> str:
    direction = "after" if offset > 0 else "before"
    return f"{direction} it" if abs(offset) == 1 else f"{abs(offset)} places {direction} it"


def _best_references(pairs: Sequence[Pair]) -> tuple[list[int], list[float]]:
    """Return for each render the place of the reference that fits best, and its own error divided by that one's."""
    references, renders = _stacked(pairs)
    own, coarse = _errors(references, renders), avg_pool2d(references, _COARSE)
    best, gains = [], []
    for start in range(0, len(pairs), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        some, own_errors = renders[rows], own[rows]
        # Averages differ by less than what they are averages of: this is the least error that is possible.
        least = _all_errors(coarse, avg_pool2d(some, _COARSE))
        limits = torch.minimum(own_errors, _errors(references[least.argmin(1)], some))
        render, reference = (least <= limits[:, None] * _ROUNDING).nonzero(as_tuple=True)
        if len(render) <= _MOST_CANDIDATES:
            errors = torch.full_like(least, torch.inf)
            errors[render, reference] = _errors(references[reference], some[render])
        else:
            errors = _all_errors(references, some)
        errors.diagonal(start)[: len(some)] = own_errors
        smallest, places = errors.min(1)
        best += places.tolist()
        gains += (own_errors / smallest).tolist()
    return best, gains


def _all_errors(references: Float[Tensor, "n 3 s s"], renders: Float[Tensor, "m 3 s s"]) -> Float[Tensor, "m n"]:
    """Return the error of each render against each reference."""
    columns = [
        torch.cdist(renders.flatten(1).double(), block.flatten(1).double()).square()
        for block in references.split(_COLUMNS_AT_ONCE)
    ]
    return torch.cat(columns, 1) / references[0].numel() + _NO_ERROR
