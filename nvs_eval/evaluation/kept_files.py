"""Kept renders and references: their place, and moving them there. Files that a record refers to are never replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.plan import Keep
from nvs_eval.evaluation.rows import relative_path
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import sha256_of_lines
from nvs_eval.system.files import file_sha256, move_or_link
from nvs_eval.system.folders import files_below

RENDERS: dict[Keep, tuple[str, ...]] = {"all": (".npy",), "png": (".png",), "none": ()}
"""Extensions of the renders to keep."""
REFERENCES: dict[Keep, tuple[str, ...]] = {"all": (".png", ".npy"), "png": (".png",), "none": ()}
"""Extensions of the references to keep. One that is kept as floats also has its PNG, for viewing."""


@dataclass(frozen=True)
class KeptFiles:
    """Kept files of a result.

    Attributes:
        keep: kept renders.
        result: folder of the result's records.
        references: folder of the references.
        copies: SHA-256 of the 8-bit copy of each reference that changes in 8 bits, by name of the view.
        renders: name of the folder of the renders.
        sha256: SHA-256 of the file of each render, by name of the view.
    """

    keep: Keep
    result: Path
    references: Path
    copies: Mapping[str, str]
    renders: str = "renders"
    sha256: Mapping[str, str] = field(default_factory=dict)

    def stated_in(self, record: Record, protocol: Protocol) -> Record:
        """Return a record with the paths of the files, and whether these are the images that were scored."""
        exact = self.keep == "all" or (
            protocol.exact_in_png and (not self.copies or protocol.quantise.reference == "round")
        )
        kept = "none" if self.keep == "none" else "as scored" if exact else "8-bit copies of what was scored"
        provenance = {**record.provenance, "kept_renders": kept}
        if self.sha256:
            provenance["kept_sha256"] = self.sha256  # Another command may replace the files of an old record.
        if self.keep == "png" and self.copies:
            # These hashes distinguish an 8-bit copy from a reference that was changed later.
            provenance["reference_copies"] = self.copies
        rows = []
        for row in record.views:
            extension = ".npy" if self.keep == "all" and row.name in self.copies else ".png"
            reference = relative_path(self.references / f"{row.name}{extension}", self.result)
            render = "".join(f"{self.renders}/{row.name}{extension}" for extension in RENDERS[self.keep]) or None
            rows.append(replace(row, render=render, reference=reference if render else None))
        # Checkpoints render floats. That they were scored from 8-bit copies must not look as if these were the renders.
        neutral = [step for step in record.neutral if step != "q-render"]
        return replace(record, views=rows, provenance=provenance, neutral=tuple(neutral))


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
