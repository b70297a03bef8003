"""Image files that records name, for the page of `report`: which exist, and what their copies on a page need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import LONGEST_PATH, InputError, counted, shortened, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.images.files import Reading
from nvs_eval.records.files import output_dir_of
from nvs_eval.report.page.groups import Column, SceneGroup
from nvs_eval.report.page.options import PageOptions
from nvs_eval.sources.image_source import reading_of
from nvs_eval.system.files import is_file
from nvs_eval.system.space import in_units, too_little

_GROWTH, _GROWTH_LOSSY, _GROWTH_MAP = {".png": 1.7, ".npy": 1.5}, 7.0, 0.3
"""Bytes of an image on the page per byte of its file, by suffix and for formats that compress more; more for a map."""
_LARGEST_SINGLE, _MUCH = 250 * 10**6, 10**9
_MANY = 5000
"""Number of views of a scene with which a browser opens a page in some seconds."""


@dataclass(frozen=True)
class Source:
    """An image file of a scene, and how to read it."""

    path: Path
    reading: Reading

    @property
    def key(self) -> tuple[str, str]:
        """Key that equal sources share."""
        return os.path.realpath(self.path), repr(self.reading)


@dataclass(frozen=True)
class SceneSources:
    """The image files of a scene.

    Attributes:
        scene: the results.
        views: names of the views with pictures.
        references: file of the reference of each view.
        renders: file of the render of each view and column.
        problems: sentences on files that are missing, by view.
        messages: sentences on the whole scene.
        is_complete: whether all files that records name exist.
    """

    scene: SceneGroup
    views: Sequence[str]
    references: Mapping[str, Source]
    renders: Mapping[tuple[str, int], Source]
    problems: Mapping[str, list[str]]
    messages: Sequence[str]
    is_complete: bool

    @property
    def all(self) -> list[Source]:
        """All files, view by view."""
        columns = range(len(self.scene.columns))
        return [
            source
            for name in self.views
            for source in (self.references.get(name), *(self.renders.get((name, place)) for place in columns))
            if source is not None
        ]


def sources_of(scene: SceneGroup, views: Sequence[str]) -> SceneSources:
    """Find the images of a scene that still exist. A message on missing ones names each result once."""
    missing: dict[_Missing, dict[str, None]] = {}
    renders: dict[tuple[str, int], Source] = {}
    references: dict[str, Source] = {}
    readings = {id(record): reading_of(record) for column in scene.columns for _, record in column.records}
    for place, column in enumerate(scene.columns):
        for name in (name for name in views if name in column.rows):
            (file, record), row = column.rows[name]
            for kind, relative in (("render", row.render), ("reference", row.reference)):
                path = None if relative is None else _plain(file.parent / relative)
                if path is None:
                    missing.setdefault(_not_kept(column, kind), {})[name] = None
                elif (why := _why_unread(path)) is not None:
                    missing.setdefault(_lost(column, kind, path.parent, why), {})[name] = None
                elif kind == "render":
                    renders[name, place] = Source(path, readings[id(record)])
                else:
                    references.setdefault(name, Source(path, readings[id(record)]))
    problems: dict[str, list[str]] = {}
    messages, is_complete = [], True
    for one, names in missing.items():
        if lacking := [name for name in names if one.kind == "render" or name not in references]:
            messages.append(f"{counted(len(lacking), 'view')} without a {one.kind}: {one.why}")
            is_complete = is_complete and not one.is_lost
        for name in lacking:
            problems.setdefault(name, []).append(one.why)
    return SceneSources(scene, views, references, renders, problems, messages, is_complete)


def render_file(column: Column, name: str) -> Path | None:
    """Return the file that a record names as the render of a view, whether or not it exists; None if none was kept."""
    (file, _), row = column.rows[name]
    return None if row.render is None else _plain(file.parent / row.render)


@dataclass(frozen=True)
class _Missing:
    """Why images are missing, and how to have them; lost if a record names files."""

    kind: str
    why: str
    is_lost: bool


def _plain(path: Path) -> Path:
    """Return a path without `..`, unless that is another file because of links."""
    plain = Path(os.path.normpath(path))
    try:
        return plain if os.path.samefile(plain, path) else path
    except (OSError, ValueError):
        return path


def _why_unread(path: Path) -> str | None:
    """Return why the system refuses to read a file, "" if it does not exist, or None if it exists."""
    try:
        return None if is_file(path) else ""
    except OSError as error:
        return error.strerror


def _lost(column: Column, kind: str, folder: Path, why: str) -> _Missing:
    images, where = _images(column, kind), shortened(os.path.normpath(folder), LONGEST_PATH)
    if why:
        return _Missing(kind, f"{images} in {where} cannot be read: {why}.", True)
    advice = "Put them back, or score them where they are now."
    return _Missing(kind, f"{images} are no longer in {where}. {advice}", True)


def _not_kept(column: Column, kind: str) -> _Missing:
    images = _images(column, kind)
    if (origin := column.record.provenance.get("renders_from")) is not None:
        where = shortened(str(origin), LONGEST_PATH)
        return _Missing(kind, f"{images} have no files of their own in {where}. Unpack it and score the folder.", False)
    advice = "Run it again with `--keep-renders png`, or `all` for floats."
    return _Missing(kind, f"{images} were not kept. {advice}", False)


def _images(column: Column, kind: str) -> str:
    return f"The renders of {column.name}" if kind == "render" else "The references"


def announce(scenes: Sequence[SceneSources], options: PageOptions, callbacks: Callbacks) -> None:
    """Name scenes with many views, and folders of images that are not below the records or the working directory.

    Records may be those of strangers, so a page copies nothing from elsewhere silently.
    """
    records = [record for one in scenes for column in one.scene.columns for record in column.records]
    own = (output_dir_of(file, record) or file.parent for file, record in records)
    given = {*own, *filter(os.path.isdir, options.records)}
    roots = {Path.cwd(), *(Path(os.path.realpath(folder)) for folder in given)}
    folders = {Path(os.path.realpath(source.path)).parent for one in scenes for source in one.all}
    others = sorted(folder for folder in folders if not roots.intersection((folder, *folder.parents)))
    if others:
        names = [shortened(str(folder), LONGEST_PATH) for folder in others]
        callbacks.say(f"The page contains images of other folders: {some(names, whole=True)}.")
    for one in scenes:
        if (count := len(one.views)) > _MANY:
            name, step = shortened(one.scene.name), count // _MANY + 1
            callbacks.say(f"{name} has {count} views, so its page opens slowly. Show fewer with `--every {step}`.")


def check_room(scenes: Sequence[SceneSources], options: PageOptions, callbacks: Callbacks) -> None:
    """Check that the page fits on the disk, or into a single file.

    Raises:
        InputError: it does not. Nothing has been written yet.
    """
    sources = {source.key: source.path for scene in scenes for source in scene.all}
    needed = sum(path.stat().st_size * _GROWTH.get(path.suffix.lower(), _GROWTH_LOSSY) for path in sources.values())
    needed = int(needed * (1 + len(options.maps) * _GROWTH_MAP))
    fewer = "Choose fewer views with `--views` or `--every`"
    if options.single_file and needed > _LARGEST_SINGLE:
        raise InputError(
            f"A single file must have at most {in_units(_LARGEST_SINGLE)}. Got images for about {in_units(needed)}. "
            f"{fewer}, or omit `--single-file`."
        )
    folder = next(path for path in options.output.resolve().parents if path.exists())
    if needed > (free := shutil.disk_usage(folder).free):
        size, left = too_little(needed, free)
        raise InputError(f"The page needs about {size} in {folder}, but only {left} are free. {fewer}.")
    if needed > _MUCH:
        callbacks.say(f"The page takes about {in_units(needed)}.")
