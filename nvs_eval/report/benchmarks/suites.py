"""A suite: the scenes of a benchmark, as the papers that report it use them.

A mean over a suite means all of its scenes. Suites are data, the files in `configs/suites/`. Nothing here imports
torch or numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.system.yaml_files import (
    checked_count,
    checked_keys,
    checked_list,
    checked_text,
    find_file,
    named_files,
    read_as,
)

Split = Literal["every-8th", "test"]


@dataclass(frozen=True)
class Scene:
    """A scene of a benchmark.

    Attributes:
        name: as papers call it, and as records should.
        folder: its folder in the data as they are published.
        factor: by which the published images are smaller than the originals: the images of factor 4 lie in `images_4`.
        held_out: the number of held-out views, or None where no source says it.
        aliases: other names that it goes by.
    """

    name: str
    folder: str
    factor: int
    held_out: int | None = None
    aliases: Sequence[str] = ()


@dataclass(frozen=True)
class Suite:
    """The scenes over which a benchmark's means are taken.

    Attributes:
        name: by which it is asked for.
        title: as a table shows it.
        source: the paper, and where it is found.
        split: which views are held out: `every-8th`, the first of each eight of the images sorted by name; `test`, the
            data set's own test views.
        scenes: in the order usual in papers.
    """

    name: str
    title: str
    source: str
    split: Split
    scenes: Sequence[Scene]

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
    values = checked_keys(data, "a suite", ("name", "title", "source", "split", "scenes"))
    name, title, source = (checked_text(values[field], field) for field in ("name", "title", "source"))
    if values["split"] not in get_args(Split):
        raise unknown_name("split", str(values["split"]), get_args(Split))
    example = "scenes: [{name: garden, folder: garden, factor: 4}]"
    scenes = tuple(_scene(scene) for scene in checked_list(values["scenes"], "scenes", example))
    _check_distinct(scenes)
    return Suite(name, title, source, values["split"], scenes)


def _scene(data: object) -> Scene:
    values = checked_keys(data, "a scene", ("name", "folder", "factor"), ("held_out", "aliases"))
    name = checked_text(values["name"], "a scene's name")
    held_out, aliases = values.get("held_out"), values.get("aliases", [])
    if not isinstance(aliases, list):
        raise InputError(f"aliases of {name} is {aliases!r}, and a list of names is needed.")
    return Scene(
        name,
        checked_text(values["folder"], f"folder of {name}"),
        checked_count(values["factor"], f"factor of {name}"),
        None if held_out is None else checked_count(held_out, f"held_out of {name}"),
        tuple(checked_text(alias, f"an alias of {name}") for alias in aliases),
    )


def _check_distinct(scenes: Sequence[Scene]) -> None:
    seen: set[str] = set()
    for name in (name for scene in scenes for name in (scene.name, *scene.aliases)):
        if name in seen:
            raise InputError(f"the scene {name} is given twice, by name or alias: leave one out.")
        seen.add(name)
