"""Work folders: where a command writes renders until they are scored, locked against others, with a note of their own.

A note is written last, when all renders are there: so what an interrupted command rendered serves the next.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nvs_eval.evaluation.resume import same_renders
from nvs_eval.system.files import FolderLock, lock_folder, write_whole

_NOTE, _PREFIX = ".rendered", ".rendering-"


class Note(msgspec.Struct):
    """What a work folder holds.

    Attributes:
        provenance: what identifies the renders.
        floats: whether there are float32 renders.
        pngs: whether there are 8-bit renders.
        protocols: fingerprints of the protocols that they were made for.
        reference_sha256: sha256 of each view's reference.
        seconds: time each render took, where known.
        inexact_references: the views whose reference is another in 8 bits, with the sha256 of that copy.
        in_range: whether every render is in [0, 1], which a PNG of it cannot tell.
        peak_memory_bytes: peak memory while they were rendered, where known.
    """

    provenance: dict[str, Any]
    floats: bool
    pngs: bool
    protocols: tuple[str, ...] = ()
    reference_sha256: dict[str, str] = {}
    seconds: dict[str, float | None] = {}
    inexact_references: dict[str, str] = {}
    in_range: bool = True
    peak_memory_bytes: int | None = None

    def serves(self, wanted: Note, names: Sequence[str]) -> bool:
        """Whether the renders are those of the wanted checkpoint and views, in every form that is wanted."""
        return (
            same_renders(self.provenance, wanted.provenance)
            and list(self.seconds) == list(self.reference_sha256) == list(names)
            and self.floats >= wanted.floats
            and self.pngs >= wanted.pngs
            and (wanted.floats or self.in_range)
        )


@dataclass(frozen=True)
class WorkFolder:
    """A work folder that this command has to itself.

    Attributes:
        path: of the folder.
        lock: of the folder.
    """

    path: Path
    lock: FolderLock

    @classmethod
    def new(cls, parent: Path) -> WorkFolder:
        """Make a work folder in another.

        Raises:
            OSError: it cannot be made.
        """
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
            # Another command may take a new folder for a leftover before it is locked.
            if (lock := lock_folder(path)) is not None:
                return cls(path, lock)

    def renders(self, note: Note) -> dict[str, Path]:
        """File of each view's render to score."""
        extension = ".npy" if note.floats else ".png"
        return {name: self.path / "renders" / f"{name}{extension}" for name in note.reference_sha256}

    def references(self, note: Note) -> dict[str, Path]:
        """File of each view's reference to score."""
        extensions = {name: ".npy" if name in note.inexact_references else ".png" for name in note.reference_sha256}
        return {name: self.path / "references" / f"{name}{extension}" for name, extension in extensions.items()}

    def files(self, note: Note, *, pngs: bool) -> set[Path]:
        """All files that a complete folder has: those to score, and what may be kept of references and renders."""
        kept = ["references", "renders"] if pngs else ["references"]
        copies = {self.path / kind / f"{name}.png" for kind in kept for name in note.reference_sha256}
        return {*self.renders(note).values(), *self.references(note).values(), *copies}

    def read_note(self) -> Note | None:
        """Read the note; None where there is none, or none that can be trusted."""
        try:
            return msgspec.json.decode((self.path / _NOTE).read_bytes(), type=Note)
        except (OSError, ValueError):
            return None

    def write_note(self, note: Note) -> None:
        """Note that all views are written.

        Raises:
            InputError: the note cannot be written.
        """
        text = msgspec.json.encode(note)
        write_whole(self.path / _NOTE, lambda file: file.write(text))

    def remove(self) -> None:
        """Remove the folder, and give the lock back."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.release()

    def remove_leftover(self) -> None:
        """Remove the folder of an earlier command, unless there are no locks to say that it has ended."""
        if self.lock.is_held:
            self.remove()


def leftovers(parent: Path) -> Iterator[WorkFolder]:
    """The work folders of commands that were interrupted: at which no other command is at work."""
    for path in sorted(parent.glob(f"{_PREFIX}*")):
        if (lock := lock_folder(path)) is not None:
            yield WorkFolder(path, lock)


def remove_leftovers(parent: Path, protocols: Collection[str]) -> None:
    """Remove the leftovers that nobody needs: incomplete ones, and renders made for protocols that have their records.

    Args:
        parent: folder of the result's records.
        protocols: fingerprints of the protocols that have their records.
    """
    for work in leftovers(parent):
        note = work.read_note()
        if note is None or set(note.protocols) <= set(protocols):
            work.remove_leftover()
        else:
            work.lock.release()
