"""Benchmark suites, and numbers published of their scenes: the files in `configs/suites/` and `configs/published/`.

A suite is the scenes of a benchmark, as the papers that report it use them: a mean over a suite means all of them.
Published numbers are from papers and from tools' own pages, each with its source and the protocol that it was computed
by; docs/published.md says what is in them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.registry import known_metrics
from nvs_eval.system.schema import Count, Text, convert
from nvs_eval.system.yaml_files import find_file, named_files, read_as


class Scene(Struct, frozen=True, forbid_unknown_fields=True):
    """A scene of a benchmark.

    Attributes:
        name: as papers call it, and as records should.
        folder: its folder in the data as they are published.
        factor: by which the published images are smaller than the originals: the images of factor 4 lie in `images_4`.
        held_out: the number of held-out views, or None where no source says it.
        aliases: other names that it goes by.
    """

    name: Text
    folder: Text
    factor: Count
    held_out: Count | None = None
    aliases: tuple[Text, ...] = ()


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """The scenes over which a benchmark's means are taken.

    Attributes:
        name: by which it is asked for.
        title: as a table shows it.
        source: the paper, and where it is found.
        split: which views are held out: `every-8th`, the first of each eight of the images sorted by name; `test`, the
            data set's own test views.
        scenes: in the order usual in papers.
    """

    name: Text
    title: Text
    source: Text
    split: Literal["every-8th", "test"]
    scenes: Annotated[
        tuple[Scene, ...], Meta(min_length=1, examples=["scenes: [{name: garden, folder: garden, factor: 4}]"])
    ]

    @property
    def names(self) -> tuple[str, ...]:
        """The scenes' names, in their order."""
        return tuple(scene.name for scene in self.scenes)

    def scene(self, name: str) -> Scene | None:
        """The scene of a name or an alias, or None."""
        return next((scene for scene in self.scenes if name in (scene.name, *scene.aliases)), None)


def named_suites() -> dict[str, Path]:
    """The suites that come with nvs-eval: their files by name."""
    return named_files("suites")


def load_suite(name_or_path: str | Path) -> Suite:
    """A named suite, or one from a YAML file.

    Raises:
        InputError: the name is unknown, or the file is not a suite; the message names the field.
    """
    return read_as(find_file(name_or_path, "suite", named_suites()), "suite", parse_suite)


def parse_suite(data: object) -> Suite:
    """A suite from plain data, every field of it checked.

    Raises:
        InputError: a field is unknown, missing or of the wrong type, or a scene is there twice; the message names it.
    """
    suite = convert(data, Suite, "a suite")
    names: set[str] = set()
    for name in (name for scene in suite.scenes for name in (scene.name, *scene.aliases)):
        if name in names:
            raise InputError(f"the scene {name} is given twice, by name or alias: leave one out.")
        names.add(name)
    return suite


_BOUNDS = {metric: about.bounds for metric, about in known_metrics().items() if about.bounds}
"""The metrics that may be published, and the range of plausible values of each."""

Digits = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9]+(\.[0-9]+)?\Z",
        description='a number in quotes with the digits that were published, such as "26.550": unquoted, it is 26.55',
    ),
]
Fingerprint = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9a-f]{8}\Z",
        description="eight hexadecimal digits in quotes, as `nvs-eval protocols` prints them",
    ),
]
Rows = Annotated[
    Mapping[Text, Annotated[Mapping[str, Digits], Meta(min_length=1)]],
    Meta(min_length=1, examples=['garden: {psnr: "27.41", ssim: "0.868"}']),
]


class PublishedProtocol(Struct, frozen=True, forbid_unknown_fields=True):
    """The protocol of this project by which published numbers were computed."""

    name: Text
    fingerprint: Fingerprint


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of one method from one source.

    Attributes:
        name: by which they are asked for.
        title: the method, as a table shows it.
        source: where the numbers are from: paper or page, and where it is found.
        protocol: that they were computed by.
        suites: the names of the suites whose scenes these are: what tells the two scenes called room apart.
        scores: of each scene, by metric: in its unit, with the digits that were published, trailing zeros too.
        means: of each suite whose mean was published, by metric.
        differs: metrics that are not what the protocol computes, though the key is the same, with the reason.
        steps: of the training, or None where that is not what names the result.
        note: what else a reader should know, or None.
    """

    name: Text
    title: Text
    source: Text
    protocol: PublishedProtocol
    suites: Annotated[tuple[Text, ...], Meta(min_length=1, examples=["suites: [mipnerf360]"])]
    scores: Rows
    means: Rows = {}
    differs: Annotated[Mapping[Text, Text], Meta(min_length=1, examples=["ssim: windows wholly inside"])] = {}
    steps: Count | None = None
    note: Text | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of which there is any number, in the order of their first."""
        rows = (*self.scores.values(), *self.means.values())
        return tuple(dict.fromkeys(metric for row in rows for metric in row))


def named_published() -> dict[str, Path]:
    """The published numbers that come with nvs-eval: their files by name."""
    return named_files("published")


def load_published(name_or_path: str | Path) -> Published:
    """Published numbers by name, or from a YAML file.

    Raises:
        InputError: the name is unknown, or the file does not hold published numbers; the message names the field.
    """
    return read_as(find_file(name_or_path, "published result", named_published()), "published", parse_published)


def parse_published(data: object) -> Published:
    """Published numbers from plain data, every field of it checked.

    Raises:
        InputError: a field is unknown, missing, of the wrong type or beyond what is plausible; the message names it.
    """
    published = convert(data, Published, "published numbers")
    if repeated := [name for name in dict.fromkeys(published.suites) if published.suites.count(name) > 1]:
        raise InputError(f"the suite {repeated[0]} is given twice: leave one out.")
    _check_plausible("scores", published.scores)
    _check_plausible("means", published.means)
    _check_known(published)
    return published


def decimals_of(digits: str) -> int:
    """How many decimals a number was published with."""
    return len(digits.partition(".")[2])


def _check_plausible(field: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    for place, metric, digits in ((place, *number) for place, row in rows.items() for number in row.items()):
        if metric not in _BOUNDS:
            raise unknown_name(f"metric of {field}.{place}", metric, _BOUNDS)
        low, high = _BOUNDS[metric]
        if not low <= float(digits) <= high:
            raise InputError(
                f"{field}.{place}.{metric} must lie between {low:g} and {high:g}. Got {digits}. See the source."
            )


def _check_known(published: Published) -> None:
    """Check that each scene is of one of the suites, and that means and differences are of what is there."""
    _check_names("suite", published.suites, named_suites())
    suites = [load_suite(name) for name in published.suites]
    for scene in published.scores:
        homes = [suite.name for suite in suites if scene in suite.names]
        if not homes:
            raise unknown_name("scene", scene, (name for suite in suites for name in suite.names))
        if len(homes) > 1:
            raise InputError(f"the scene {scene} is of {' and of '.join(homes)}: make a file for each.")
    _check_names("suite of means", published.means, named_suites())
    _check_names("metric of differs", published.differs, published.metrics)


def _check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
