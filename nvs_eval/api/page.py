"""The page of results: the function `page`. It prints nothing, and imports what is heavy when called."""

from __future__ import annotations

import itertools
import shlex
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.api.scoring import filled
from nvs_eval.errors import InputError, InputWarning, printable, some, unknown_name
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.records.comparable import check_comparable
from nvs_eval.records.files import read_record_files
from nvs_eval.records.groups import Contender
from nvs_eval.report.page.document import table_html, write_document
from nvs_eval.report.page.folder import PageFiles, check_output, new_folder, page_file, write_single
from nvs_eval.report.page.groups import SceneGroup, scenes_of
from nvs_eval.report.page.options import MapName, PageOptions
from nvs_eval.report.page.scenes import Pictures, scene_data
from nvs_eval.report.tables.layout import Layout, layout_of
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.report.tables.tables import tables_of
from nvs_eval.system.arguments import checked, documented

if TYPE_CHECKING:
    from nvs_eval.report.tables.table import Table

FilePath = str | PathLike[str]
_MOST_PAIRS = 100
"""Largest number of pairs of a scene with sentences of `compare`."""


@checked
@documented(PageOptions)
def page(
    records: FilePath | Sequence[FilePath],
    *,
    output: FilePath,
    single_file: bool = False,
    maps: MapName | Sequence[MapName] = (),
    views: str | Sequence[str] = (),
    every: int = 1,
    protocol: str | Sequence[str] = (),
    with_published: str | Sequence[str] = (),
    allow_mixed: bool = False,
    title: str = "nvs-eval",
    device: str = "auto",
    weights_dir: FilePath | None = None,
    overwrite: bool = False,
) -> Path:
    """Make a page to look at results: tables, plots and the images of all views, as `nvs-eval report` does.

    Returns:
        The HTML file to open.

    Raises:
        InputError: A record or view does not exist, results are not comparable, the page may not be written, or the
            disk is too full.

    Warns:
        InputWarning: Images that records name are missing, damaged or changed; the page says which.
    """
    made = make_page(filled(PageOptions, locals()), Callbacks(command=("nvs_eval.page",)))
    if made.lost:
        warnings.warn(InputWarning(made.lost, made.lost), stacklevel=3)
    return made.file


@dataclass(frozen=True)
class Page:
    """A page that was made.

    Attributes:
        file: HTML file to open.
        lost: sentence on images that records name, and that are missing, damaged or changed; "" if there are none.
    """

    file: Path
    lost: str


def make_page(options: PageOptions, callbacks: Callbacks) -> Page:
    """Make the page of records.

    Raises:
        InputError: A record, view or map is not available, the page may not be written, or the disk is too full.
    """
    from nvs_eval.diagnostics.maps import maps_of, write_maps
    from nvs_eval.diagnostics.picture_files import announce, check_room, sources_of
    from nvs_eval.diagnostics.pictures import write_pictures

    check_output(options.output, single=options.single_file, overwrite=options.overwrite)
    chosen = read_record_files(options.records, protocol=options.protocol, on_note=callbacks.say)
    records = [record for _, record in chosen]
    layout = layout_of(records, TableOptions(with_published=options.with_published, allow_mixed=options.allow_mixed))
    if not options.allow_mixed:
        check_comparable(records, files=[file for file, _ in chosen])
    scenes = scenes_of(chosen)
    _check_views(scenes, options)
    sources = [sources_of(scene, scene.chosen(options.views, options.every)) for scene in scenes]
    check_room(sources, options, callbacks)
    announce(sources, options, callbacks)
    maps = [maps_of(scene, options) for scene in scenes]
    place = nullcontext(None) if options.single_file else new_folder(options.output)
    with place as folder:
        files = PageFiles(folder)
        pictures = write_pictures(sources, files, callbacks)
        pictures = write_maps(maps, sources, pictures, files, callbacks)
        html = _write_pages(files, scenes, pictures, layout=layout, options=options, callbacks=callbacks)
        if folder is not None:
            files.write("index.html", html)
            files.finish()
    target = page_file(options.output, single=options.single_file)
    if options.single_file:
        write_single(target, html)
    return Page(target, _lost(scenes, pictures, callbacks))


def _lost(scenes: Sequence[SceneGroup], pictures: Sequence[Pictures], callbacks: Callbacks) -> str:
    """Return a sentence on images that are missing or have changed. Images that were not kept are only a message."""
    lacking = [(printable(scene.name), shown) for scene, shown in zip(scenes, pictures, strict=True) if shown.messages]
    if names := [name for name, shown in lacking if shown.is_complete]:
        callbacks.say(f"Some images of {some(names)} were not kept. The page says how to keep them.")
    if names := [name for name, shown in lacking if not shown.is_complete]:
        return f"Some images of {some(names)} are missing, damaged or changed. The page says which, and why."
    return ""


def _check_views(scenes: Sequence[SceneGroup], options: PageOptions) -> None:
    """Check the selection of views.

    Raises:
        InputError: No scene has a view of that name, or `every` is not positive.
    """
    if options.every < 1:
        raise InputError(f"--every must be at least 1. Got {options.every}.")
    names = {name for scene in scenes for name in scene.views}
    for name in options.views:
        if name not in names:
            raise unknown_name("view", name, names)


def _write_pages(
    files: PageFiles,
    scenes: Sequence[SceneGroup],
    pictures: Sequence[Pictures],
    *,
    layout: Layout,
    options: PageOptions,
    callbacks: Callbacks,
) -> bytes:
    """Write the data of all scenes; return the HTML."""
    from nvs_eval import __version__

    index: list[dict[str, Any]] = []
    with callbacks.progress("Scenes", len(scenes)) as advance:
        for scene, shown in zip(scenes, pictures, strict=True):
            views = scene.chosen(options.views, options.every)
            words = _words(scene)
            base = options.output.parent if options.single_file else options.output
            data = scene_data(scene, layout, shown, views=views, table_html=table_html, words=words, folder=base)
            path = files.put(f"data/{len(index)}.js", data)
            counts = {"views": len(views), "columns": len(scene.columns)}
            index.append({"path": path, "name": data["name"], "split": data["split"], **counts})
            advance()
    return write_document(
        files,
        index,
        title=printable(options.title),
        made_by=f"nvs-eval {__version__}",
        command=printable(shlex.join(callbacks.command)),
        overall=_overall(scenes, layout) if len(scenes) > 1 else [],
    )


def _overall(scenes: Sequence[SceneGroup], layout: Layout) -> list[Table]:
    """Return the tables of the means over the scenes."""
    records = [record for scene in scenes for column in scene.columns for _, record in column.records]
    return tables_of(records, replace(layout, options=replace(layout.options, rows="method")))


def _words(scene: SceneGroup) -> dict[str, dict[str, list[str]]]:
    """Return the sentences of `compare` by fingerprint and pair of columns; none of pairs that cannot be compared."""
    from nvs_eval.comparison.compare import compare_contenders

    words: dict[str, dict[str, list[str]]] = {}
    for fingerprint in scene.protocols:
        sides: list[tuple[int, Contender]] = []
        for place, column in enumerate(scene.columns):
            if (record := column.under(fingerprint)) is not None:
                side = Contender(column.id.method, column.id.run, column.id.step, {scene.name: [record]}, column.name)
                sides.append((place, side))
        words[fingerprint] = {}
        for (a, first), (b, second) in itertools.islice(itertools.combinations(sides, 2), _MOST_PAIRS):
            try:
                words[fingerprint][f"{a},{b}"] = [*compare_contenders([first, second]).pairs[0].words]
            except InputError:
                continue  # They share no view, or their images differ, which the table says.
    return words
