"""A suite: the scenes of a benchmark, as the papers that report it use them.

A mean over a suite means all of its scenes. Suites are data, the files in `configs/suites/`. Nothing here imports
torch or numpy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.system.schema import Count, Text, convert
from nvs_eval.system.yaml_files import find_file, named_files, read_as


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
        tuple[Scene, ...], msgspec.Meta(min_length=1, examples=["scenes: [{name: garden, folder: garden, factor: 4}]"])
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
