"""Report on the data of a trained run, from the headers of its images and, for possible copies, their pixels.

To add a warning, write a function of an `InspectedRun` that yields findings and list it in `WARNINGS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
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
    tag_findings,
)
from nvs_eval.errors import InputError, counted, some
from nvs_eval.images.files import stored_header

CHEAP_PIXELS = 100_000_000
"""Total number of pixels up to which all images are decoded and compared, which takes a second or two."""


@dataclass(frozen=True)
class DataView:
    """View in the data of a run.

    Attributes:
        name: name of the view, as in `run`; for a training view, the path of its image below the data.
        file: image file, which may be missing.
        size: width and height of the camera.
        mask: mask file, or None.
    """

    name: str
    file: Path
    size: tuple[int, int]
    mask: Path | None = None


@dataclass(frozen=True)
class RunData:
    """Views of a trained run, as its training tool splits them.

    Attributes:
        name: scene, method and run.
        config: configuration of the run.
        data: folder or file of the data.
        parser: name of the data's reader.
        rule: which views are held out and why.
        training: views that are trained on.
        held_out: views that are evaluated.
        alpha: how an alpha channel is treated.
        preparation: other steps of preparing references for scoring, a sentence each.
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
    """Image files of views: headers of the readable ones, and reasons for the others."""

    def __init__(self, kind: str, views: Sequence[DataView]) -> None:
        self.noun, self.total = f"{kind} image", len(views)
        self.readable: list[tuple[DataView, StoredImage]] = []
        self.unusable: dict[str, list[str]] = {"missing": [], "unreadable": []}
        for view in views:
            if not view.file.exists():
                self.unusable["missing"].append(str(view.file))
                continue
            try:
                self.readable.append((view, stored_image(view.name, view.file)))
            except InputError as error:
                self.unusable["unreadable"].append(str(error).rstrip("."))

    @property
    def stored(self) -> list[StoredImage]:
        """Headers of the readable files."""
        return [image for _, image in self.readable]


@dataclass(frozen=True)
class InspectedRun:
    """Facts of a run, and its image files."""

    data: RunData
    training: ImageFiles
    held_out: ImageFiles

    @property
    def compare_pixels(self) -> bool:
        """Whether the images are few enough to decode all of them."""
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
    no_pixels = "files and bytes, but not pixels (too many to decode)"
    compared = "files, bytes and pixels" if run.compare_pixels else no_pixels
    return [
        ("config", str(data.config)),
        ("data", f"{data.data}, read by {data.parser}"),
        ("split", data.rule),
        ("training", counted(len(data.training), "view")),
        ("held out", f"{len(data.held_out)} of {total}: {names}" if data.held_out else "none"),
        *([("references", f"{formats}, {sizes_in_words([image.size for image in images])}")] if images else []),
        ("masks", _masks(data)),
        ("compared", f"{compared}; near duplicates are not detected"),
    ]


def _masks(data: RunData) -> str:
    masked = sum(view.mask is not None for view in data.held_out)
    if not masked:
        return "none for the held-out views"
    return f"{masked} of {len(data.held_out)} held-out views have one, used for scoring only with `--data-masks`"


# --- Warnings ---------------------------------------------------------------------------------------------------------


def _split(run: InspectedRun) -> Iterator[Finding]:
    held_out = {view.name: view.file for view in run.data.held_out}
    return split_findings([view.file for view in run.data.training], held_out)


def split_findings(training: Iterable[Path], held_out: Mapping[str, Path]) -> Iterator[Finding]:
    """Yield a finding if evaluated views are training views, or none is held out.

    Args:
        training: image files that are trained on.
        held_out: image file of each evaluated view, by name.
    """
    trained = {file.resolve() for file in training}
    both = [name for name, file in held_out.items() if file.resolve() in trained]
    if not held_out:
        text = "No view is held out: only the training views can be evaluated."
    elif len(both) == len(held_out):
        text = (
            "Every evaluated view is a training view: the scores measure how well training images are remembered, not "
            "how well new views are rendered."
        )
    elif both:
        text = f"{of_all(len(both), len(held_out), 'held-out view')} also in the training list: {some(both)}."
    else:
        return
    yield Finding(text, doubtful=True)


def _copies_of_training(run: InspectedRun) -> Iterator[Finding]:
    """Find held-out views that are in the training list as another file; `_split` finds the same files."""
    lookalikes = Lookalikes(run.training.stored, pixels=run.compare_pixels)
    matches = [(image, match) for image in run.held_out.stored if (match := lookalikes.find(image))]
    copies = [f"{image.name} ({copy.name}, {how})" for image, (copy, how) in matches if how != "the same file"]
    text, total = "{count} also trained on under another name: {names}.", len(run.data.held_out)
    return findings_on(copies, text, total, noun="held-out view", doubtful=True)


def _copies_among_held_out(run: InspectedRun) -> Iterator[Finding]:
    lookalikes, copies = Lookalikes([], pixels=run.compare_pixels), []
    for image in run.held_out.stored:
        if match := lookalikes.find(image):
            copies.append(f"{match[0].name} and {image.name} ({match[1]})")
        else:
            lookalikes.add(image)
    return findings_on(
        copies, "Held-out views with the same image count more than once in every mean: {names}.", doubtful=True
    )


def _unusable_images(run: InspectedRun) -> Iterator[Finding]:
    for images in (run.held_out, run.training):
        for state, files in images.unusable.items():
            text = f"{{count}} {state}: {{names}}."
            yield from findings_on(files, text, images.total, noun=images.noun, doubtful=True, whole=True)


def _camera_sizes(run: InspectedRun) -> Iterator[Finding]:
    for images in (run.held_out, run.training):
        wrong = [
            f"{view.name} is {in_pixels(image.size)}, its camera {in_pixels(view.size)}"
            for view, image in images.readable
            if image.size != view.size
        ]
        text = "{count} a size that differs from the camera's: {names}."
        yield from findings_on(wrong, text, images.total, noun=images.noun, verb="have", doubtful=True)


def _formats(run: InspectedRun) -> Iterator[Finding]:
    return format_findings([(image.name, image.file, image.format) for image in run.held_out.stored])


def _tags(run: InspectedRun) -> Iterator[Finding]:
    headers = []
    for image in run.held_out.stored:
        with suppress(InputError):  # Formats that only the trainer reads.
            headers.append((image.name, stored_header(image.file)))
    return tag_findings(headers)


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
                wrong.append(f"the mask of {view.name} is {in_pixels(size)}, its camera {in_pixels(view.size)}")
    return findings_on(wrong, "Some masks do not fit: {names}.", doubtful=True, whole=True)


def _preparation(run: InspectedRun) -> Iterator[Finding]:
    return map(Finding, run.data.preparation)


WARNINGS = (
    _split,
    _copies_of_training,
    _copies_among_held_out,
    _unusable_images,
    _camera_sizes,
    _formats,
    _tags,
    _alpha,
    _sizes,
    _mask_sizes,
    _preparation,
)
"""Warnings in the order of the report, which puts doubtful findings first."""
