"""Work folders: locked folders where a command writes renders until they are scored, described by a note.

The note is written last, after all renders, so that the next command can use the renders of an interrupted one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nvs_eval.evaluation.resume import same_renders
from nvs_eval.system.files import FolderLock, lock_folder, write_whole

_NOTE, _PREFIX = ".rendered", ".rendering-"


class Note(msgspec.Struct):
    """Description of the renders in a work folder.

    Attributes:
        provenance: identity of the renders.
        floats: whether there are float32 renders.
        pngs: whether there are 8-bit renders.
        protocols: fingerprints of the protocols that they were rendered for.
        reference_sha256: sha256 of each view's reference.
        seconds: render time of each view, if known.
        inexact_references: views whose reference changes in 8 bits, with the sha256 of the 8-bit copy.
        clipped_renders: views whose render exceeds [0, 1], which a PNG cannot show. It is also stored as floats.
        peak_memory_bytes: peak memory while rendering, if known.
        own: values of the model's own metrics in each view, by the model's names.
    """

    provenance: dict[str, Any]
    floats: bool
    pngs: bool
    protocols: tuple[str, ...] = ()
    reference_sha256: dict[str, str] = {}
    seconds: dict[str, float | None] = {}
    inexact_references: dict[str, str] = {}
    clipped_renders: list[str] = []
    peak_memory_bytes: int | None = None
    own: dict[str, dict[str, float]] = {}

    def serves(self, wanted: Note, names: Sequence[str]) -> bool:
        """Return whether the renders have the wanted checkpoint, views and file formats."""
        return (
            same_renders(self.provenance, wanted.provenance)
            and list(self.seconds) == list(self.reference_sha256) == list(names)
            and self.floats >= wanted.floats
            and self.pngs >= wanted.pngs
        )


@dataclass(frozen=True)
class WorkFolder:
    """Work folder locked by this command.

    Attributes:
        path: path of the folder.
        lock: lock of the folder.
    """

    path: Path
    lock: FolderLock

    @classmethod
    def new(cls, parent: Path) -> WorkFolder:
        """Create a work folder in a parent folder.

        Raises:
            OSError: The folder cannot be created.
        """
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
            # Another command may mistake a new folder for a leftover before it is locked.
            if (lock := lock_folder(path)) is not None:
                return cls(path, lock)

    def renders(self, note: Note) -> dict[str, Path]:
        """Return the file of each view's render to score."""
        as_floats = set(note.reference_sha256 if note.floats else note.clipped_renders)
        extensions = {name: ".npy" if name in as_floats else ".png" for name in note.reference_sha256}
        return {name: self.path / "renders" / f"{name}{extension}" for name, extension in extensions.items()}

    def references(self, note: Note) -> dict[str, Path]:
        """Return the file of each view's reference to score."""
        extensions = {name: ".npy" if name in note.inexact_references else ".png" for name in note.reference_sha256}
        return {name: self.path / "references" / f"{name}{extension}" for name, extension in extensions.items()}

    def files(self, note: Note, *, pngs: bool) -> set[Path]:
        """Return all files of a complete folder: those to score, and those that may be kept."""
        kept = ["references", "renders"] if pngs else ["references"]
        copies = {self.path / kind / f"{name}.png" for kind in kept for name in note.reference_sha256}
        return {*self.renders(note).values(), *self.references(note).values(), *copies}

    def read_note(self) -> Note | None:
        """Read the note; return None if it is missing or invalid."""
        try:
            return msgspec.json.decode((self.path / _NOTE).read_bytes(), type=Note)
        except (OSError, ValueError):
            return None

    def write_note(self, note: Note) -> None:
        """Write the note, after all views are written.

        Raises:
            InputError: The note cannot be written.
        """
        text = msgspec.json.encode(note)
        write_whole(self.path / _NOTE, lambda file: file.write(text))

    def remove(self) -> None:
        """Remove the folder and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.release()


def leftovers(parent: Path) -> Iterator[WorkFolder]:
    """Yield the work folders of interrupted commands, locked. Without locks, no command is known to have ended."""
    for path in sorted(parent.glob(f"{_PREFIX}*")):
        lock = lock_folder(path)
        if lock is not None and lock.is_held:
            yield WorkFolder(path, lock)


def remove_leftovers(
    parent: Path, provenance: Mapping[str, Any], names: Sequence[str], protocols: Collection[str]
) -> None:
    """Remove leftovers that are no longer of use: incomplete ones, and renders for protocols that have records.

    Args:
        parent: folder of the result's records.
        provenance: identity of the renders that have records. Renders of another checkpoint are kept.
        names: names of the views that have records. Renders of others are kept.
        protocols: fingerprints of the protocols that have records.
    """
    for work in leftovers(parent):
        note = work.read_note()
        if note is None or (
            same_renders(note.provenance, provenance)
            and set(note.reference_sha256) <= set(names)
            and set(note.protocols) <= set(protocols)
        ):
            work.remove()
        else:
            work.lock.release()
