"""Pictures of the page: the images that records name, checked against what was scored, and written once each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nvs_eval.diagnostics.picture_files import SceneSources, Source, render_file
from nvs_eval.errors import LONGEST_PATH, InputError, ResourceError, counted, printable, shortened, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.images.previews import Preview, preview
from nvs_eval.records.result_id import safe_name, sha256_of_lines
from nvs_eval.report.page.folder import PageFiles
from nvs_eval.report.page.groups import Column
from nvs_eval.report.page.scenes import Pictures
from nvs_eval.system.hashes import remembered_sha256
from nvs_eval.system.prefetch import prefetch

_ID = 16
_AT_ONCE = 8
"""Images of a group that is made in the background."""


@dataclass(frozen=True)
class Shown:
    """An image as it was written, or why it could not be.

    Attributes:
        id: identifier; "" for an image that cannot be shown.
        file_sha256: hash of the file.
        sha256: hash of the pixels, as in records.
        about: facts for the page.
        error: why it cannot be shown.
    """

    id: str = ""
    file_sha256: str = ""
    sha256: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def write_pictures(scenes: Sequence[SceneSources], files: PageFiles, callbacks: Callbacks) -> list[Pictures]:
    """Write each image of some scenes once; return the pictures of each scene.

    Raises:
        OSError: a file cannot be written.
        ResourceError: there is not enough memory.
    """
    sources = {source.key: source for scene in scenes for source in scene.all}
    shown: dict[tuple[str, str], Shown] = {}
    written: dict[tuple[str, str], Shown] = {}
    keys, groups = list(sources), []
    for start in range(0, len(keys), _AT_ONCE):
        groups.append([partial(_shown, sources[key], files, written) for key in keys[start : start + _AT_ONCE]])
    with callbacks.progress("Images", len(keys)) as advance, closing(prefetch(groups)) as results:
        places = iter(keys)
        for several in results:
            for one in several:
                shown[next(places)] = one
                advance()
    return [_pictures(scene, shown) for scene in scenes]


def _shown(source: Source, files: PageFiles, written: dict[tuple[str, str], Shown]) -> Shown:
    digest = ""
    try:
        digest = remembered_sha256(source.path)
        key = digest, repr(source.reading)
        made = None if key in written else preview(source.path, source.reading, look=not files.is_single)
    except ResourceError:
        raise
    except InputError as error:
        return Shown(file_sha256=digest, error=str(error))
    except OSError as error:
        path = shortened(str(source.path), LONGEST_PATH)
        return Shown(error=f"{path} cannot be read: {error.strerror}.")
    if made is not None:  # Two threads may write the same content.
        written[key] = _written(digest, made, source, files)
    return written[key]


def _written(digest: str, made: Preview, source: Source, files: PageFiles) -> Shown:
    name = digest[:_ID] if made.is_plain else sha256_of_lines([digest, repr(source.reading)])[:_ID]
    about = {
        "w": made.width,
        "h": made.height,
        "thumb": files.put_image(f"thumbs/{name}.webp", made.thumb, "image/webp"),
        "look": made.look and files.put_image(f"looks/{name}.webp", made.look, "image/webp"),
        "pixels": files.put_url(f"pixels/{name}.js", made.pixels, "image/png"),
        "floats": made.floats and files.put_floats(f"floats/{name}.js", made.width, made.height, made.floats),
        "file": f"{safe_name(source.path.stem)}.png",
    }
    return Shown(name, digest, made.sha256, about)


def _pictures(sources: SceneSources, shown: Mapping[tuple[str, str], Shown]) -> Pictures:
    """Return the pictures of a scene, with sentences on files that changed since they were scored."""
    problems = {name: list(texts) for name, texts in sources.problems.items()}
    references = {name: shown[source.key] for name, source in sources.references.items()}
    renders = {place: shown[source.key] for place, source in sources.renders.items()}
    for name, sentence in (*_of_references(sources, references), *_of_renders(sources, renders)):
        problems.setdefault(name, []).append(sentence)
    changed = [_changed_renders(sources, place, renders) for place in range(len(sources.scene.columns))]
    faults = [*filter(None, changed), *_of_views(problems, sources)]
    return Pictures(
        references={name: one.id for name, one in references.items() if one.id},
        renders={place: one.id for place, one in renders.items() if one.id},
        images={one.id: one.about for one in (*references.values(), *renders.values()) if one.id},
        problems=problems,
        messages=[*sources.messages, *faults],
        is_complete=sources.is_complete and not faults,
    )


def _of_references(sources: SceneSources, references: Mapping[str, Shown]) -> Iterator[tuple[str, str]]:
    """Yield a sentence for each reference that cannot be read, or is not the scored one."""
    for name, one in references.items():
        columns = [column for column in sources.scene.columns if name in column.rows]
        others = [column.name for column in columns if _is_other(column, name, one)]
        path = printable(str(sources.references[name].path))
        if one.error:
            yield name, one.error
        elif others:
            were = "was" if len(others) == 1 else "were"
            yield name, f"The reference {path} is not the image that {some(others)} {were} scored against."


def _of_renders(sources: SceneSources, renders: Mapping[tuple[str, int], Shown]) -> Iterator[tuple[str, str]]:
    """Yield a sentence for each render that cannot be read, has changed or has another size."""
    for (name, place), one in renders.items():
        path = printable(str(sources.renders[name, place].path))
        column = sources.scene.columns[place]
        row = column.rows[name][1]
        if one.error:
            yield name, one.error
        elif _kept_sha256(column, name) not in (None, one.file_sha256):
            yield name, f"The render {path} has changed since it was scored. Its scores are of another image."
        elif (size := (one.about["w"], one.about["h"])) != (row.width, row.height):
            scored = f"{row.width}x{row.height}"
            yield name, f"The render {path} has {size[0]}x{size[1]} pixels. An image of {scored} pixels was scored."


def _of_views(problems: Mapping[str, Sequence[str]], sources: SceneSources) -> Iterator[str]:
    """Yield a sentence on the views whose images cannot be read or have changed."""
    names = [name for name, texts in problems.items() if len(texts) > len(sources.problems.get(name, ()))]
    if names:
        yield f"{counted(len(names), 'view')} with images that are damaged or have changed: {some(names)}."


def _is_other(column: Column, name: str, shown: Shown) -> bool:
    """Return whether a reference is neither the scored image nor its 8-bit copy."""
    (_, record), row = column.rows[name]
    return shown.sha256 not in (row.reference_sha256, record.provenance.get("reference_copies", {}).get(name))


def _kept_sha256(column: Column, name: str) -> str | None:
    kept = column.rows[name][0][1].provenance.get("kept_sha256")
    return kept.get(name) if isinstance(kept, dict) else None


def _changed_renders(sources: SceneSources, place: int, renders: Mapping[tuple[str, int], Shown]) -> str:
    """Return a sentence if the files of a result are not those that were scored, which its record knows as a whole."""
    column = sources.scene.columns[place]
    inputs = column.record.provenance.get("inputs_sha256")
    if not isinstance(inputs, dict):
        return ""
    hashes, shown = {}, set(sources.views)
    for name in sorted(row.name for row in column.record.views):
        one = renders.get((name, place))
        hashes[name] = one.file_sha256 if one else "" if name in shown else _hash_of_other(column, name)
    if all(hashes.values()):
        is_same = inputs.get("renders") == sha256_of_lines(f"{name} {digest}" for name, digest in hashes.items())
        kind = "" if is_same else "have changed since they were scored, so their scores are of other images."
    elif any(hashes.values()):
        kind = "may have changed since they were scored: that can be told only while all of them exist."
    else:
        return ""
    return kind and f"Renders of {column.name} {kind}"


def _hash_of_other(column: Column, name: str) -> str:
    """Return the hash of a render that the page does not show; "" if it cannot be read."""
    with suppress(OSError, InputError):
        return remembered_sha256(path) if (path := render_file(column, name)) else ""
    return ""
