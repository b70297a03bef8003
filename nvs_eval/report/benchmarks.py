"""Benchmark suites and published numbers: the files in `configs/suites/` and `configs/published/`.

A suite lists the scenes of a benchmark as papers use them; a mean over a suite needs all of them. Published numbers are
from papers and pages of tools, with their source and protocol; docs/published.md describes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from nvs_eval.errors import InputError, shortened, unknown_name
from nvs_eval.metrics.registry import known_metrics
from nvs_eval.system.schema import Count, Name, Text, convert
from nvs_eval.system.yaml_files import config_folder, find_file, named_files, read_as

if TYPE_CHECKING:
    from nvs_eval.records.record import Record


class Scene(Struct, frozen=True, forbid_unknown_fields=True):
    """A scene of a benchmark.

    Attributes:
        name: name in papers, and in records.
        folder: folder in the published data.
        factor: downscaling factor of the images that papers use; those of factor 4 are in `images_4`.
        held_out: number of held-out views, or None if no source states it.
        aliases: other names of the scene.
    """

    name: Name
    folder: Text
    factor: Count
    held_out: Count | None = None
    aliases: tuple[Name, ...] = ()


class Index(Struct, frozen=True, forbid_unknown_fields=True):
    """The evaluation index of a benchmark: a file, not included here, that lists its scenes and their views.

    Attributes:
        sha256: hash of the file.
        source: where the file is published.
        scenes: number of scenes that the file uses.
    """

    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits in quotes")]
    source: Text
    scenes: Count


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """The scenes that the means of a benchmark are over.

    Attributes:
        name: name for `--suite`.
        title: name in tables.
        source: the paper, with its address.
        split: held-out views: `every-8th` (the first of every eight images sorted by name), or `test` (the test views
            of the data set).
        scenes: scenes in the usual order of papers; none if they are in an index.
        width: width of all images in pixels, if the scenes are also scored in other sizes, or None.
        index: file that lists the scenes, or None.
    """

    name: Name
    title: Text
    source: Text
    split: Literal["every-8th", "test"]
    scenes: Annotated[
        tuple[Scene, ...], Meta(min_length=1, examples=["scenes: [{name: garden, folder: garden, factor: 4}]"])
    ] = ()
    width: Count | None = None
    index: Index | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scenes, in their order."""
        return tuple(scene.name for scene in self.scenes)

    @property
    def by_name(self) -> dict[str, Scene]:
        """Scenes by their names and aliases."""
        return {name: scene for scene in self.scenes for name in (scene.name, *scene.aliases)}

    @property
    def is_whole(self) -> bool:
        """Whether all scenes are listed; those of an index only after `with_scenes_of`."""
        return self.index is None or len(self.scenes) == self.index.scenes

    def scene(self, name: str) -> Scene | None:
        """Return the scene with a name or alias, or None."""
        return self.by_name.get(name)

    def is_covered_by(self, names: Iterable[str]) -> bool:
        """Return whether all scenes are among some names or aliases."""
        by_name = self.by_name
        return {by_name.get(name) for name in names} >= {*self.scenes}

    def with_scenes_of(self, records: Iterable[Record]) -> Suite:
        """Return the suite, if it has an index with the scenes of the records that were scored with it."""
        if (index := self.index) is None:
            return self
        scenes = dict.fromkeys(r.scene for r in records if r.provenance.get("index_sha256") == index.sha256)
        return replace(self, scenes=tuple(Scene(scene, scene, 1) for scene in scenes))


def named_suites() -> dict[str, Path]:
    """Return the files of the suites that come with nvs-eval, by name."""
    return named_files("suites")


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a suite by name, or from a YAML file.

    Raises:
        InputError: the name is unknown, or the file is not a suite. The message names the field.
    """
    return read_as(find_file(name_or_path, "suite", named_suites()), "suite", parse_suite)


def parse_suite(data: object) -> Suite:
    """Make a suite from plain data, and check every field.

    Raises:
        InputError: a field is unknown, missing or of the wrong type, or a scene is listed twice. The message names it.
    """
    suite = convert(data, Suite, "a suite")
    if bool(suite.scenes) == (suite.index is not None):
        state = "both" if suite.scenes else "neither"
        raise InputError(f"a suite must have scenes, or an index of them. Got {state}.")
    names: set[str] = set()
    for name in (name for scene in suite.scenes for name in (scene.name, *scene.aliases)):
        if name in names:
            raise InputError(f"scenes must have distinct names and aliases. Got {shortened(name)} twice. Remove one.")
        names.add(name)
    return suite


_BOUNDS = {metric: about.bounds for metric, about in known_metrics().items() if about.bounds}
"""Plausible range of each metric that published numbers may have."""

Digits = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9]+(\.[0-9]+)?\Z",
        description='a number in quotes with all published digits, such as "26.550" (without quotes, it becomes 26.55)',
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
    Mapping[Name, Annotated[Mapping[str, Digits], Meta(min_length=1)]],
    Meta(min_length=1, examples=['garden: {psnr: "27.41", ssim: "0.868"}']),
]


class PublishedProtocol(Struct, frozen=True, forbid_unknown_fields=True):
    """The protocol of nvs-eval that published numbers were computed under."""

    name: Name
    fingerprint: Fingerprint


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of one method from one source.

    Attributes:
        name: name for `--with-published`.
        title: name of the method in tables.
        source: the paper or page, with its address.
        protocol: the protocol that the numbers were computed under.
        suites: names of the suites that the scenes belong to, since two suites have a scene called room.
        scores: scores by scene and metric, in the unit of the metric, with all published digits. Empty if the source
            has means alone.
        means: published means by suite and metric.
        differs: metrics that were computed differently from the protocol, with the reason.
        steps: number of training steps, or None if the source does not distinguish them.
        note: remark for the reader, or None.
    """

    name: Name
    title: Text
    source: Text
    protocol: PublishedProtocol
    suites: Annotated[tuple[Name, ...], Meta(min_length=1, examples=["suites: [mipnerf360]"])]
    scores: Rows = {}
    means: Rows = {}
    differs: Annotated[Mapping[Text, Text], Meta(min_length=1, examples=["ssim: windows wholly inside"])] = {}
    steps: Count | None = None
    note: Text | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that have a number, in the order of appearance."""
        rows = (*self.scores.values(), *self.means.values())
        return tuple(dict.fromkeys(metric for row in rows for metric in row))


def named_published() -> dict[str, Path]:
    """Return the files of the published numbers that come with nvs-eval, by name."""
    return named_files("published")


@cache
def named_signatures() -> Mapping[str, Mapping[str, str]]:
    """Return the signatures of the metrics of named protocols, by fingerprint and metric."""
    return json.loads((config_folder() / "signatures.json").read_text(encoding="utf-8"))


def load_published(name_or_path: str | Path) -> Published:
    """Load published numbers by name, or from a YAML file.

    Raises:
        InputError: the name is unknown, or the file has no published numbers. The message names the field.
    """
    path = find_file(name_or_path, "source of published numbers", named_published())
    return read_as(path, "published", parse_published)


def parse_published(data: object) -> Published:
    """Make published numbers from plain data, and check every field.

    Raises:
        InputError: a field is unknown, missing, of the wrong type or implausible. The message names it.
    """
    published = convert(data, Published, "published numbers")
    if not (published.scores or published.means):
        raise InputError(
            "published numbers must have scores or means. Got neither. Add the numbers of a scene or suite."
        )
    if repeated := [name for name in dict.fromkeys(published.suites) if published.suites.count(name) > 1]:
        raise InputError(f"suites must be distinct. Got {shortened(repeated[0])} twice. Remove one.")
    _check_plausible("scores", published.scores)
    _check_plausible("means", published.means)
    _check_known(published)
    return published


def decimals_of(digits: str) -> int:
    """Return the number of published decimals."""
    return len(digits.partition(".")[2])


def _check_plausible(field: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    for place, metric, digits in ((place, *number) for place, row in rows.items() for number in row.items()):
        if metric not in _BOUNDS:
            raise unknown_name(f"metric of {field}.{shortened(place)}", metric, _BOUNDS)
        low, high = _BOUNDS[metric]
        if not low <= float(digits) <= high:
            raise InputError(
                f"{field}.{shortened(place)}.{metric} must be between {low:g} and {high:g}. Got {shortened(digits)}. "
                "Check the source."
            )


def _check_known(published: Published) -> None:
    """Check that each scene is in one of the suites, and that the keys of means and differences exist."""
    _check_names("suite", published.suites, named_suites())
    suites = [load_suite(name) for name in published.suites]
    for scene in published.scores:
        homes = [suite.name for suite in suites if scene in suite.names]
        if not homes:
            raise unknown_name("scene", scene, (name for suite in suites for name in suite.names))
        if len(homes) > 1:
            raise InputError(
                f"each scene must be in one suite. Got {shortened(scene)} in {' and '.join(homes)}. Make one file "
                "per suite."
            )
    _check_names("suite of means", published.means, named_suites())
    _check_names("metric of differs", published.differs, published.metrics)


def _check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
