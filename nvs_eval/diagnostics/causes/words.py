"""Sentences on causes, of a view and of a run, each with what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from nvs_eval.diagnostics.causes.nearest import nearest_words
from nvs_eval.errors import counted, shortened, some
from nvs_eval.records.causes import CAUSES, ViewCauses, kind_of, usual_kind
from nvs_eval.records.schema import ViewRow

NOTHING = "No cause is above its noise."
_MOST_NAMED = 5
_MOSTLY = 0.5
_REGIONS = {
    "border": ("the borders", 0.4, "there, training views see little; crop borders, or add views"),
    "darkest": ("the darkest pixels", 0.5, "check the black level and the background"),
    "brightest": ("the brightest pixels", 0.5, "check highlights and clipped exposure"),
}
"""Regions with the least share of the squared error that is named, and what to do."""
_TIMES = 3
"""Share of the squared error in a region, relative to its share of the pixels, from which it is named."""
_LEAST_ERROR = 2.5e-5
"""Mean squared error (46 dB) below which regions are not named."""
_ADVICE = {
    "exposure": "fit appearance, or report cc_psnr",
    "white balance": "fit appearance, or report cc_psnr",
    "contrast and brightness": "fit appearance, or report cc_psnr",
    "colour": "check the colour space and tone curve, fit appearance, or report cc_psnr",
    "shift": "check the pose",
    "rotation, scale or perspective": "check the pose and focal length",
    "blur": "use more Gaussians or a finer grid",
    "sharpening": "compare how references and training images were resized",
    "floaters": "add views there, or regularise opacity",
    "noise": "train longer, or take more samples per ray",
}


def view_words(view: ViewCauses) -> list[str]:
    """Return sentences on a view: its causes, the largest first, and the regions of its error."""
    total = view.total if len(view.decibels) > 1 else None
    causes = sorted(view.decibels, key=lambda cause: -view.decibels[cause])
    sentences = []
    for cause in causes:
        kind = kind_of(cause, view)
        verb = "are" if kind == "floaters" else "is"
        sentences.append(f"{_part(view.decibels[cause], total)} {verb} {_detail(cause, kind, view)}: {_ADVICE[kind]}.")
    return [*(sentences or [NOTHING]), *_region_words(view)]


def _part(decibels: float, total: float | None) -> str:
    return f"{decibels:.1f} dB" if total is None else f"{decibels:.1f} of {total:.1f} dB"


def _detail(cause: str, kind: str, view: ViewCauses) -> str:
    """Return the name of a cause with its amount."""
    if cause == "colour" and view.colour.gains is not None:
        gains = view.colour.gains
        shown = f"{sum(gains) / 3:.3f}" if kind == "exposure" else ", ".join(f"{gain:.3f}" for gain in gains)
        return f"{kind} (gain {shown})"
    if cause == "pose" and (pose := view.pose) is not None:
        x, y = pose.pixels
        if kind == "shift":
            return f"a shift by {math.hypot(x, y):.2g} px ({_direction(x, y)})"
        return (
            f"{kind} (up to {pose.largest:.2g} px at the corners; {pose.rotation:+.2f}°, size {100 * pose.zoom:+.2f} %)"
        )
    if cause == "sharpness" and (sharpness := view.sharpness) is not None:
        blurred = f"as by a Gaussian of {sharpness.blur:.2g} px"
        return f"{kind} ({blurred if kind == 'blur' else f'an unsharp mask of {sharpness.sharpening:.2g}'})"
    if cause == "floaters":
        left, top, width, height = view.floaters[0].box
        count = counted(len(view.floaters), "floater")
        return f"in {count} (the largest at {left}, {top}: {width}x{height} pixels)"
    return f"noise ({view.noise or 0:.1f} of 255 levels)"


def _direction(x: float, y: float) -> str:
    across = f"{abs(x):.2f} {'right' if x > 0 else 'left'}"
    return f"{across}, {abs(y):.2f} {'down' if y > 0 else 'up'}"


def _region_words(view: ViewCauses) -> Iterator[str]:
    if view.mse < _LEAST_ERROR:
        return
    for name, (title, least, advice) in _REGIONS.items():
        region = view.regions.get(name)
        if region and region.error >= max(least, _TIMES * region.pixels):
            yield (
                f"{100 * region.error:.0f} % of the squared error is in {title}, {100 * region.pixels:.0f} % of the "
                f"pixels: {advice}."
            )


def run_words(views: Mapping[str, ViewCauses], rows: Mapping[str, ViewRow]) -> list[str]:
    """Return sentences on a run: causes of most views with their median dB, views that differ, and the cameras."""
    if len(views) == 1:
        (view,) = views.values()
        return view_words(view)
    total = median(view.total for view in views.values())
    common, usual, sentences = [], [], []
    for cause in CAUSES:
        named = {name: view for name, view in views.items() if cause in view.decibels}
        if len(named) > _MOSTLY * len(views):
            common.append((median(view.decibels.get(cause, 0.0) for view in views.values()), cause, named))
        elif named:
            sentences.append(_outliers(cause, named))
    for decibels, cause, named in sorted(common, key=lambda one: -one[0]):
        kind, count = usual_kind(cause, named.values()), f"{len(named)} of {counted(len(views), 'view')}"
        verb = "are" if kind == "floaters" else "is"
        part = _part(decibels, total if len(common) > 1 and total > decibels else None)
        usual.append(f"{part} {verb} {kind} (median, above noise in {count}): {_ADVICE[kind]}.")
    return [*([*usual, *sentences] or [NOTHING]), *nearest_words(views, rows)]


def _outliers(cause: str, named: Mapping[str, ViewCauses]) -> str:
    """Return a sentence on the views that have a cause that most have not."""
    order = sorted(named, key=lambda name: -named[name].decibels[cause])
    kind, many = usual_kind(cause, named.values()), len(order) > 1
    names = some([shortened(name) for name in order], _MOST_NAMED)
    amount = _amount(cause, kind, [named[name] for name in order])
    lost = _range([view.decibels[cause] for view in named.values()], " dB", 1)
    verb = "lose" if many else "loses"
    return f"{'Views' if many else 'View'} {names} {verb} {lost} by {kind}{amount}: {_ADVICE[kind]}."


def _amount(cause: str, kind: str, views: Sequence[ViewCauses]) -> str:
    if kind == "shift":
        return f" by {_range([math.hypot(*view.pose.pixels) for view in views if view.pose], ' px', 1)}"
    if cause == "sharpness" and kind == "blur":
        return f" of {_range([view.sharpness.blur for view in views if view.sharpness], ' px', 1)}"
    return ""


def _range(values: Sequence[float], unit: str, digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
