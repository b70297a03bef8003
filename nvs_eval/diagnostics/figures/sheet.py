"""Contents of a figure or video: results as columns, and views with their images and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nvs_eval.diagnostics.figures.crops import Pixels
from nvs_eval.diagnostics.figures.options import PictureOptions
from nvs_eval.errors import InputError, counted, listed, quoted, some, unknown_name
from nvs_eval.evaluation.kept_images import KeptImages
from nvs_eval.evaluation.kept_renders import Result
from nvs_eval.images.pixels import to_8_bits
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.records.result_id import short_names
from nvs_eval.records.schema import ViewRow
from nvs_eval.report.tables.table import decimals, printable, shown

_REFERENCE = "Reference"


@dataclass(frozen=True)
class Score:
    """A score, or the heading of scores, as text; `best` if no other method's is better; in LaTeX if that differs."""

    text: str
    best: bool = False
    latex: str = ""


@dataclass(frozen=True)
class Shown:
    """A view, with the images and the row of each column.

    Attributes:
        scene: name of the scene.
        title: name of the view, which names it among all views of the records.
        columns: images of each column.
        rows: row of the view in the record of each column.
    """

    scene: str
    title: str
    columns: Sequence[KeptImages]
    rows: Sequence[ViewRow]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rows[0].width, self.rows[0].height

    def check(self) -> None:
        """Check the files of all images, without decoding them.

        Raises:
            InputError: one was not kept or does not exist, or a render has changed.
        """
        for images, row in zip(self.columns, self.rows, strict=True):
            images.check(row)

    def reference(self) -> Pixels:
        """Read the reference.

        Raises:
            InputError: it was not kept, cannot be read or has changed.
        """
        return to_8_bits(self.columns[0].reference(self.rows[0]))

    def renders(self) -> list[Pixels]:
        """Read the render of each column.

        Raises:
            InputError: one was not kept, cannot be read or has changed.
        """
        return [to_8_bits(images.render(row)) for images, row in zip(self.columns, self.rows, strict=True)]

    def scores(self, metric: str, info: MetricInfo) -> list[Score]:
        """Return the score of each column. The best are those that look best; none if there is one column."""
        digits = decimals(metric, info)
        texts = [shown(row.scores[metric], digits) for row in self.rows]
        best = (max if info.higher_is_better else min)(map(float, texts))
        return [Score(text, len(texts) > 1 and float(text) == best) for text in texts]


@dataclass(frozen=True)
class Sheet:
    """Columns and views of a figure or video.

    Attributes:
        names: names of the reference and of each column.
        views: views to show.
        infos: metrics to show.
    """

    names: Sequence[str]
    views: Sequence[Shown]
    infos: Mapping[str, MetricInfo]


def read_sheet(options: PictureOptions) -> Sheet:
    """Read the records, and choose the columns, views and metrics of a figure or video. No image is read.

    Raises:
        InputError: a record, view, metric or protocol does not exist, or records are not of one split and protocol.
    """
    results = _results(options)
    names = short_names([result.record.id for result in results])
    columns: dict[str, dict[str, KeptImages]] = {}
    for name, result in zip(names, results, strict=True):
        columns.setdefault(name, {})[result.record.scene] = KeptImages(result)
    views = [_shown(scene, view, title, columns) for scene, view, title in _chosen(options.views, results)]
    infos = _infos(options.metrics, [images.result.record for view in views for images in view.columns])
    return Sheet([printable(name) for name in _names(options.names, [*columns])], views, infos)


def _results(options: PictureOptions) -> list[Result]:
    """Read the records in the order of the arguments."""
    files = dict(read_record_files(options.records, protocol=options.protocol))
    order = [file for name in options.records for file, _ in read_record_files([name], copies=True) if file in files]
    results = [Result(file, files[file]) for file in dict.fromkeys([*order, *files])]
    protocols = dict.fromkeys(f"{one.record.protocol_title} ({one.record.fingerprint})" for one in results)
    splits = dict.fromkeys(one.record.split for one in results)
    if len(protocols) > 1:
        raise InputError(
            f"The records must be of one protocol. Got {listed([*protocols])}. Choose one with `--protocol`."
        )
    if len(splits) > 1:
        raise InputError(f"The records must be of one split. Got {listed([*splits])}. Name the records of one.")
    return results


def _chosen(names: Sequence[str], results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Return the scene, name and title of each view that was named, or of all views."""
    of_scenes: dict[str, dict[str, None]] = {}
    for result in results:
        of_scenes.setdefault(result.record.scene, {}).update(dict.fromkeys(row.name for row in result.record.views))
    pairs = [(scene, view) for scene, views in of_scenes.items() for view in views]
    scenes_of: dict[str, list[str]] = {}
    for scene, view in pairs:
        scenes_of.setdefault(view, []).append(scene)
    titles = {pair: pair[1] if len(scenes_of[pair[1]]) == 1 else "/".join(pair) for pair in pairs}
    by_name = {"/".join(pair): pair for pair in pairs} | {title: pair for pair, title in titles.items()}
    chosen = []
    for name in names or titles.values():
        if name in by_name:
            chosen.append((*by_name[name], titles[by_name[name]]))
        elif name in scenes_of:
            some_scenes = some(scenes_of[name])
            example = f"`--views {scenes_of[name][0]}/{name}`"
            raise InputError(f"View {quoted(name)} is in several scenes: {some_scenes}. Name one, such as {example}.")
        else:
            raise unknown_name("view", name, titles.values())
    if repeated := [title for place, (*_, title) in enumerate(chosen) if title in [t for *_, t in chosen[:place]]]:
        raise InputError(f"--views must name each view once. Got {quoted(repeated[0])} twice.")
    return chosen


def _shown(scene: str, view: str, title: str, columns: Mapping[str, Mapping[str, KeptImages]]) -> Shown:
    images, rows = [], []
    for name, of_scenes in columns.items():
        if scene not in of_scenes:
            raise InputError(
                f"{name} must have a record of scene {quoted(scene)}. Got {some(of_scenes)}. Name one, or other views."
            )
        result = of_scenes[scene].result
        row = next((row for row in result.record.views if row.name == view), None)
        if row is None:
            raise InputError(
                f"Every record must have view {quoted(title)}. {result.file} has "
                f"{some(row.name for row in result.record.views)}. Name other views, or leave that record out."
            )
        if rows and (row.width, row.height) != (rows[0].width, rows[0].height):
            first = rows[0]
            raise InputError(
                f"View {quoted(title)} must have one size in all records. Got {first.width}x{first.height} in "
                f"{images[0].result.file} and {row.width}x{row.height} in {result.file}. Leave one of them out."
            )
        if rows and row.reference_sha256 != rows[0].reference_sha256:
            raise InputError(
                f"View {quoted(title)} must have one reference in all records. {images[0].result.file} and "
                f"{result.file} were scored on different ones. Leave one of them out."
            )
        images.append(of_scenes[scene])
        rows.append(row)
    return Shown(scene, title, images, rows)


def _infos(metrics: Sequence[str], records: Sequence[Record]) -> dict[str, MetricInfo]:
    common = {
        metric: info
        for metric, info in records[0].metrics.items()
        if all(metric in record.metrics for record in records)
    }
    for metric in metrics:
        if metric not in common:
            raise unknown_name("metric", metric, common)
    return {metric: common[metric] for metric in metrics or [*common][:1]}


def _names(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    if not names:
        return [_REFERENCE, *columns]
    if len(names) not in (len(columns), len(columns) + 1):
        raise InputError(
            f"--names must have {counted(len(columns), 'name')}, one for each method ({some(columns)}), or one more "
            f"for the reference before them. Got {len(names)}."
        )
    return [*([_REFERENCE] if len(names) == len(columns) else []), *names]
