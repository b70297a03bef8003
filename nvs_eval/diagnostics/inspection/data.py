"""The report on what a trained run holds out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nvs_eval.diagnostics.inspection import DataView, Finding, Inspection, RunData, doubtful_first, of_all
from nvs_eval.diagnostics.inspection.images import (
    Lookalikes,
    StoredImage,
    format_findings,
    in_pixels,
    size_findings,
    sizes_in_words,
    stored_image,
)
from nvs_eval.errors import InputError, counted, some

CHEAP_PIXELS = 100_000_000
"""Up to how many pixels in all images together are decoded to be compared: a second or two of work."""


@dataclass(frozen=True)
class _Images:
    """The image files of some views: their headers, and what is wrong with the others."""

    which: str
    views: Sequence[DataView]
    found: list[tuple[DataView, StoredImage]] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)
    unreadable: list[InputError] = field(default_factory=list)

    def __post_init__(self) -> None:
        for view in self.views:
            if not view.file.is_file():
                self.missing.append(view.file)
                continue
            try:
                self.found.append((view, stored_image(view.name, view.file)))
            except InputError as error:
                self.unreadable.append(error)

    @property
    def stored(self) -> list[StoredImage]:
        return [image for _, image in self.found]

    @property
    def pixels(self) -> int:
        return sum(image.size[0] * image.size[1] for image in self.stored)

    def of_all(self, count: int) -> str:
        return of_all(count, len(self.views), f"{self.which} image")


def inspect_data(run: RunData) -> Inspection:
    """The report on what a trained run holds out, from the headers of its images and, where two may be alike, more."""
    training, held_out = _Images("training", run.training), _Images("held-out", run.held_out)
    cheap = training.pixels + held_out.pixels <= CHEAP_PIXELS
    findings = [
        *_split_findings(run),
        *_copies_of_training(training, held_out, pixels=cheap),
        *_copies_among(held_out, pixels=cheap),
        *_lost(held_out),
        *_lost(training),
        *_camera_findings(held_out),
        *_camera_findings(training),
        *format_findings([(image.name, image.file, image.format) for image in held_out.stored]),
        *_alpha_findings(run, held_out),
        *size_findings(image.size for image in held_out.stored),
        *_mask_findings(run),
        *(Finding(text) for text in run.preparation),
    ]
    return Inspection(run.name, doubtful_first(findings), _facts(run, held_out, cheap=cheap))


def _facts(run: RunData, held_out: _Images, *, cheap: bool) -> list[tuple[str, str]]:
    total = len({view.file.resolve() for view in (*run.training, *run.held_out)})
    count = f"{len(run.held_out)} of {total}"
    compared = "files, bytes and pixels" if cheap else "files and bytes; pixels not, as there are too many to decode"
    return [
        ("config", str(run.config)),
        ("data", f"{run.data}, read by {run.parser}"),
        ("split", run.rule),
        ("training", counted(len(run.training), "view")),
        ("held out", f"{count}: {', '.join(view.name for view in run.held_out)}" if run.held_out else "none"),
        *([("references", _references(held_out.stored))] if held_out.stored else []),
        ("masks", _masks(run)),
        ("compared", f"{compared}; near duplicates are not looked for"),
    ]


def _references(images: Sequence[StoredImage]) -> str:
    formats = Counter(image.format for image in images)
    return f"{', '.join(sorted(formats))}, {sizes_in_words([image.size for image in images])}"


def _masks(run: RunData) -> str:
    masked = sum(view.mask is not None for view in run.held_out)
    if not masked:
        return "none with the held-out views"
    return f"{masked} of {len(run.held_out)} held-out views have one; scores look at them only where that is asked for"


def _split_findings(run: RunData) -> list[Finding]:
    if not run.held_out:
        return [Finding("No view is held out: there is nothing to evaluate but the training views.", doubtful=True)]
    places = {view.file.resolve() for view in run.training}
    both = [view.name for view in run.held_out if view.file.resolve() in places]
    if len(both) == len(run.held_out):
        return [
            Finding(
                "Every view that is evaluated was trained on: the scores say how well training images are remembered, "
                "not how new views are rendered.",
                doubtful=True,
            )
        ]
    if not both:
        return []
    said = of_all(len(both), len(run.held_out), "held-out view")
    return [Finding(f"{said} in the training list, too: {some(both)}.", doubtful=True)]


def _copies_of_training(training: _Images, held_out: _Images, *, pixels: bool) -> list[Finding]:
    """Those that are in the training list under their own path are told already."""
    lookalikes = Lookalikes(training.stored, pixels=pixels)
    matches = [(image, match) for image in held_out.stored if (match := lookalikes.find(image))]
    copies = [f"{image.name} ({other.name}, {how})" for image, (other, how) in matches if how != "the same file"]
    if not copies:
        return []
    said = of_all(len(copies), len(held_out.views), "held-out view")
    return [Finding(f"{said} trained on under another name: {some(copies)}.", doubtful=True)]


def _copies_among(held_out: _Images, *, pixels: bool) -> list[Finding]:
    lookalikes, copies = Lookalikes([], pixels=pixels), []
    for image in held_out.stored:
        if match := lookalikes.find(image):
            copies.append(f"{match[0].name} and {image.name} ({match[1]})")
        else:
            lookalikes.add(image)
    if not copies:
        return []
    return [Finding(f"Held-out views of one image count twice in every mean: {some(copies)}.", doubtful=True)]


def _lost(images: _Images) -> list[Finding]:
    findings = []
    if images.missing:
        said = images.of_all(len(images.missing))
        findings.append(Finding(f"{said} missing: {some([str(path) for path in images.missing])}.", doubtful=True))
    if images.unreadable:
        said = images.of_all(len(images.unreadable))
        findings.append(Finding(f"{said} unreadable: {some([str(e).rstrip('.') for e in images.unreadable])}.", True))
    return findings


def _camera_findings(images: _Images) -> list[Finding]:
    wrong = [
        f"{view.name} is {in_pixels(image.size)}, its camera {in_pixels(view.size)}"
        for view, image in images.found
        if image.size != view.size
    ]
    if not wrong:
        return []
    return [Finding(f"{images.of_all(len(wrong))} not of the camera's size: {some(wrong)}.", doubtful=True)]


def _alpha_findings(run: RunData, held_out: _Images) -> list[Finding]:
    with_alpha = [image.name for image in held_out.stored if image.alpha]
    if not with_alpha:
        return []
    said = of_all(len(with_alpha), len(held_out.stored), "reference", "have")
    which = "" if len(with_alpha) == len(held_out.stored) else f" ({some(with_alpha)})"
    return [Finding(f"{said} an alpha channel{which}: {run.alpha}.")]


def _mask_findings(run: RunData) -> list[Finding]:
    """Masks that are not there, or not of the camera's size."""
    wrong = []
    for view in run.held_out:
        if view.mask is None:
            continue
        try:
            size = stored_image(view.name, view.mask).size
        except InputError as error:
            wrong.append(str(error).rstrip("."))
            continue
        if size != view.size:
            wrong.append(f"that of {view.name} is {in_pixels(size)}, its camera {in_pixels(view.size)}")
    return [Finding(f"Masks that do not fit: {some(wrong)}.", doubtful=True)] if wrong else []
