"""Kept renders and references: their place, and moving them there. Files that a record refers to are never replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.record import read_record
from nvs_eval.records.result_id import sha256_of_lines
from nvs_eval.system.files import file_sha256, move_or_link
from nvs_eval.system.folders import files_below


def kept_files(folder: Path, extensions: Collection[str]) -> dict[Path, Path]:
    """Return the files with some extensions below a folder, by their path in it.

    Raises:
        InputError: a folder cannot be read.
    """
    return {file.relative_to(folder): file for file in files_below(folder) if file.suffix in extensions}


def place_of_renders(renders: Mapping[Path, str], folder: Path, replaced: Collection[Path] | None) -> Path:
    """Return the folder for renders: `renders` in the result's folder, or `renders-<hash>` if others are there.

    Args:
        renders: SHA-256 of the files of the renders, by their path in the folder.
        folder: folder of the result.
        replaced: files of the records that are replaced, with their renders; None if no file may be replaced.

    Raises:
        OSError: a file cannot be read.
    """
    place = folder / "renders"
    taken = [name for name in renders if (place / name).exists()]
    if taken and replaced is not None:
        used = _renders_of(file for file in folder.glob("*.json") if file not in replaced)
        taken = [name for name in taken if place / name in used]
    if all(renders[name] == file_sha256(place / name) for name in taken):
        return place
    digest = sha256_of_lines(f"{name.as_posix()} {sha256}" for name, sha256 in renders.items())
    return folder / f"renders-{digest[:8]}"


def _renders_of(records: Iterable[Path]) -> set[Path]:
    """Return the files of the renders of records; none of a file that is not a record."""
    files: set[Path] = set()
    for file in records:
        with suppress(InputError):
            files |= {file.parent / row.render for row in read_record(file).views if row.render}
    return files


def move_files(files: Mapping[Path, Path], target: Path) -> None:
    """Put files into another folder, each atomically; undo it if one fails. Where links are possible, they also stay.

    Args:
        files: files, by their path in the new folder.
        target: the new folder.

    Raises:
        OSError: a file cannot be moved.
    """
    created: list[Path] = []
    try:
        for name, file in files.items():
            destination = target / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            if not destination.exists():
                created.append(destination)
            move_or_link(file, destination)
    except OSError:
        for destination in created:
            destination.unlink(missing_ok=True)
        raise
