"""The report on the data of a trained run, from the headers of its images and, where two may be alike, their pixels.

A new warning is a function of an `InspectedRun` that yields findings, listed in `WARNINGS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.diagnostics.inspection.findings import (
    Finding,
    Inspection,
    Lookalikes,
    StoredImage,
    findings_on,
    format_findings,
    in_pixels,
    of_all,
    size_findings,
    sizes_in_words,
    stored_image,
)
from nvs_eval.errors import InputError, counted, some

CHEAP_PIXELS = 100_000_000
"""Number of pixels in all images together up to which they are decoded to be compared: a second or two of work."""


@dataclass(frozen=True)
class DataView:
    """A view in the data of a run.

    Attributes:
        name: of the view, as `run` calls it; of a training view, the path of its image below the data.
        file: its image, which may be missing.
        size: width and height of its camera.
        mask: its mask, or None.
    """

    name: str
    file: Path
    size: tuple[int, int]
    mask: Path | None = None


@dataclass(frozen=True)
class RunData:
    """The views that a trained run holds out, as the tool that trained it has them.

    Attributes:
        name: scene, method and run.
        config: the run's configuration.
        data: folder or file of the data.
        parser: name of its reader.
        rule: which views are held out and why, in words.
        training: the views that are trained on.
        held_out: the views that are evaluated.
        alpha: what becomes of an alpha channel, in words.
        preparation: what else is done to references before they are scored, a sentence each.
    """

    name: str
    config: Path
    data: Path
    parser: str
    rule: str
    training: Sequence[DataView]
    held_out: Sequence[DataView]
    alpha: str
    preparation: Sequence[str] = ()


class ImageFiles:
    """The image files of some views: the headers of those that can be read, and what is wrong with the others."""

    def __init__(self, kind: str, views: Sequence[DataView]) -> None:
        self.noun, self.total = f"{kind} image", len(views)
        self.readable: list[tuple[DataView, StoredImage]] = []
        self.lost: dict[str, list[str]] = {"missing": [], "unreadable": []}
        for view in views:
            if not view.file.is_file():
                self.lost["missing"].append(str(view.file))
                continue
            try:
                self.readable.append((view, stored_image(view.name, view.file)))
            except InputError as error:
                self.lost["unreadable"].append(str(error).rstrip("."))

    @property
    def stored(self) -> list[StoredImage]:
        """Those that can be read."""
        return [image for _, image in self.readable]


@dataclass(frozen=True)
class InspectedRun:
    """The facts of a run, and its image files."""

    data: RunData
    training: ImageFiles
    held_out: ImageFiles

    @property
    def compare_pixels(self) -> bool:
        """Whether decoding all images is cheap."""
        sizes = [image.size for images in (self.training, self.held_out) for image in images.stored]
        return sum(width * height for width, height in sizes) <= CHEAP_PIXELS


def inspect_run(data: RunData) -> Inspection:
    """Report on the data of a trained run."""
    run = InspectedRun(data, ImageFiles("training", data.training), ImageFiles("held-out", data.held_out))
    findings = [finding for warning in WARNINGS for finding in warning(run)]
    findings.sort(key=lambda finding: not finding.doubtful)
    return Inspection(data.name, findings, _facts(run))


# --- Facts ------------------------------------------------------------------------------------------------------------


def _facts(run: InspectedRun) -> list[tuple[str, str]]:
    data, images = run.data, run.held_out.stored
    total = len({view.file.resolve() for view in (*data.training, *data.held_out)})
    names = ", ".join(view.name for view in data.held_out)
    formats = ", ".join(sorted({image.format for image in images}))
    too_many = "files and bytes; pixels not, as there are too many to decode"
    compared = "files, bytes and pixels" if run.compare_pixels else too_many
    return [
        ("config", str(data.config)),
        ("data", f"{data.data}, read by {data.parser}"),
        ("split", data.rule),
        ("training", counted(len(data.training), "view")),
        ("held out", f"{len(data.held_out)} of {total}: {names}" if data.held_out else "none"),
        *([("references", f"{formats}, {sizes_in_words([image.size for image in images])}")] if images else []),
        ("masks", _masks(data)),
        ("compared", f"{compared}; near duplicates are not looked for"),
    ]


def _masks(data: RunData) -> str:
    masked = sum(view.mask is not None for view in data.held_out)
    if not masked:
        return "none with the held-out views"
    return f"{masked} of {len(data.held_out)} held-out views have one; scores look at them only where that is asked for"


# --- Warnings ---------------------------------------------------------------------------------------------------------


def _split(run: InspectedRun) -> Iterator[Finding]:
    held_out = run.data.held_out
    trained = {view.file.resolve() for view in run.data.training}
    both = [view.name for view in held_out if view.file.resolve() in trained]
    if not held_out:
        text = "No view is held out: there is nothing to evaluate but the training views."
    elif len(both) == len(held_out):
        text = (
            "Every view that is evaluated was trained on: the scores say how well training images are remembered, not "
            "how new views are rendered."
        )
    elif both:
        text = f"{of_all(len(both), len(held_out), 'held-out view')} in the training list, too: {some(both)}."
    else:
        return
    yield Finding(text, doubtful=True)


def _copies_of_training(run: InspectedRun) -> Iterator[Finding]:
    """Held-out views that lie in the training list as another file; `_split` finds the same files."""
    lookalikes = Lookalikes(run.training.stored, pixels=run.compare_pixels)
    matches = [(image, match) for image in run.held_out.stored if (match := lookalikes.find(image))]
    copies = [f"{image.name} ({other.name}, {how})" for image, (other, how) in matches if how != "the same file"]
    text, total = "{count} trained on under another name: {names}.", len(run.data.held_out)
    return findings_on(copies, text, total, noun="held-out view", doubtful=True)


def _copies_among_held_out(run: InspectedRun) -> Iterator[Finding]:
    lookalikes, copies = Lookalikes([], pixels=run.compare_pixels), []
    for image in run.held_out.stored:
        if match := lookalikes.find(image):
            copies.append(f"{match[0].name} and {image.name} ({match[1]})")
        else:
            lookalikes.add(image)
    return findings_on(copies, "Held-out views of one image count twice in every mean: {names}.", doubtful=True)


def _lost_images(run: InspectedRun) -> Iterator[Finding]:
    for images in (run.held_out, run.training):
        for state, files in images.lost.items():
            text = f"{{count}} {state}: {{names}}."
            yield from findings_on(files, text, images.total, noun=images.noun, doubtful=True)


def _camera_sizes(run: InspectedRun) -> Iterator[Finding]:
    for images in (run.held_out, run.training):
        wrong = [
            f"{view.name} is {in_pixels(image.size)}, its camera {in_pixels(view.size)}"
            for view, image in images.readable
            if image.size != view.size
        ]
        text = "{count} not of the camera's size: {names}."
        yield from findings_on(wrong, text, images.total, noun=images.noun, doubtful=True)


def _formats(run: InspectedRun) -> Iterator[Finding]:
    return format_findings([(image.name, image.file, image.format) for image in run.held_out.stored])


def _alpha(run: InspectedRun) -> Iterator[Finding]:
    images = run.held_out.stored
    names = [image.name for image in images if image.alpha]
    text = "{count} an alpha channel{which}: {rule}."
    return findings_on(names, text, len(images), verb="have", rule=run.data.alpha)


def _sizes(run: InspectedRun) -> Iterator[Finding]:
    return size_findings(image.size for image in run.held_out.stored)


def _mask_sizes(run: InspectedRun) -> Iterator[Finding]:
    wrong = []
    for view in run.data.held_out:
        try:
            size = stored_image(view.name, view.mask).size if view.mask else view.size
        except InputError as error:
            wrong.append(str(error).rstrip("."))
        else:
            if size != view.size:
                wrong.append(f"that of {view.name} is {in_pixels(size)}, its camera {in_pixels(view.size)}")
    return findings_on(wrong, "Masks that do not fit: {names}.", doubtful=True)


def _preparation(run: InspectedRun) -> Iterator[Finding]:
    return map(Finding, run.data.preparation)


WARNINGS = (
    _split,
    _copies_of_training,
    _copies_among_held_out,
    _lost_images,
    _camera_sizes,
    _formats,
    _alpha,
    _sizes,
    _mask_sizes,
    _preparation,
)
"""In the order of the report, in which those that make numbers doubtful come first."""
