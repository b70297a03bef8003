"""Work folders: locked folders where a command writes renders until they are scored, described by a note.

The note grows by a line for each view, after its files are written, so that the next command goes on at the view where
an interrupted one was.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nvs_eval.evaluation.inputs import same_renders
from nvs_eval.system.journal import Journal, read_lines
from nvs_eval.system.locks import FolderLock, lock_folder
from nvs_eval.system.owner import is_abandoned, owner_tag

_NOTE, _PREFIX = ".rendered", ".rendering-"


class Note(msgspec.Struct, frozen=True):
    """Description of the renders in a work folder.

    Attributes:
        provenance: identity of the renders.
        floats: whether there are float32 renders.
        pngs: whether there are 8-bit renders.
        protocols: fingerprints of the protocols that they were rendered for.
    """

    provenance: dict[str, Any]
    floats: bool
    pngs: bool
    protocols: tuple[str, ...] = ()

    def serves(self, wanted: Note) -> bool:
        """Return whether the renders are of the wanted checkpoint, in the wanted file formats."""
        same = same_renders(self.provenance, wanted.provenance)
        return same and self.floats >= wanted.floats and self.pngs >= wanted.pngs


class Rendered(msgspec.Struct, frozen=True, tag="view"):
    """A view in a work folder.

    Attributes:
        name: name of the view.
        reference_sha256: sha256 of the reference.
        seconds: render time, if known.
        own: values of the model's own metrics, by the model's names.
        reference_copy: sha256 of the 8-bit copy of a reference that changes in 8 bits; None for others.
        clipped: whether the render exceeds [0, 1], which a PNG cannot show. It is also stored as floats.
    """

    name: str
    reference_sha256: str
    seconds: float | None
    own: dict[str, float]
    reference_copy: str | None = None
    clipped: bool = False


class _Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The last line of a note: all views are rendered."""

    peak_memory_bytes: int | None


@dataclass
class WorkFolder:
    """Work folder locked by this command.

    Attributes:
        path: path of the folder.
        lock: lock of the folder.
        note: description of the renders; None if it is invalid.
        views: views whose files are written, by name.
        peak_memory_bytes: peak memory while rendering, if known.
    """

    path: Path
    lock: FolderLock
    note: Note | None
    views: dict[str, Rendered] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    _journal: Journal | None = field(init=False, default=None)

    @classmethod
    def new(cls, parent: Path, note: Note) -> WorkFolder:
        """Create a work folder in a parent folder.

        Raises:
            OSError: The folder cannot be created.
        """
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_PREFIX}{owner_tag()}"))
            # Another command may mistake a new folder for a leftover before it is locked.
            if (lock := lock_folder(path)) is not None:
                return cls(path, lock, note)

    def read(self) -> None:
        """Read the note and its views, as far as they are valid."""
        note, *lines = read_lines(self.path / _NOTE) or [b""]
        with suppress(ValueError):
            self.note = msgspec.json.decode(note, type=Note)
            for line in map(_decode, lines):
                if isinstance(line, Rendered):
                    self.views[line.name] = line
                elif line is not None:
                    self.peak_memory_bytes = line.peak_memory_bytes

    def add(self, view: Rendered) -> None:
        """Note a view whose files are written.

        Raises:
            OSError: The note cannot be written.
        """
        self._append(view)
        self.views[view.name] = view

    def finish(self, peak_memory_bytes: int | None) -> None:
        """Note that all views are rendered.

        Raises:
            OSError: The note cannot be written.
        """
        self.peak_memory_bytes = peak_memory_bytes
        self._append(_Finished(peak_memory_bytes))

    def _append(self, line: Rendered | _Finished) -> None:
        if self._journal is None:
            self._journal = Journal(self.path / _NOTE, map(msgspec.json.encode, (self.note, *self.views.values())))
        self._journal.append(msgspec.json.encode(line))

    @property
    def has_floats(self) -> bool:
        """Whether all renders are stored as floats."""
        return self.note is not None and self.note.floats

    def render(self, view: Rendered) -> Path:
        """Return the file of a view's render to score."""
        return self.path / "renders" / f"{view.name}{'.npy' if view.clipped or self.has_floats else '.png'}"

    def reference(self, view: Rendered) -> Path:
        """Return the file of a view's reference to score."""
        return self.path / "references" / f"{view.name}{'.npy' if view.reference_copy else '.png'}"

    def copies(self, view: Rendered, *, pngs: bool) -> set[Path]:
        """Return the files of a view that may be kept."""
        kinds = ("references", "renders") if pngs else ("references",)
        return {self.path / kind / f"{view.name}.png" for kind in kinds}

    def close(self) -> None:
        """Release the folder, which stays for the next command."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self.lock.release()

    def remove(self) -> None:
        """Remove the folder and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()


def _decode(line: bytes) -> Rendered | _Finished | None:
    try:
        return msgspec.json.decode(line, type=Rendered | _Finished)
    except ValueError:
        return None  # Damaged; its view is rendered again.


def leftovers(parent: Path) -> Iterator[WorkFolder]:
    """Yield the work folders of interrupted commands, locked.

    On file systems without locks, those whose command has ended are claimed by a new name.
    """
    for path in sorted(parent.glob(f"{_PREFIX}*")):
        if (lock := lock_folder(path)) is None:
            continue
        claimed = path if lock.is_held else _claimed(path)
        if claimed is not None:
            work = WorkFolder(claimed, lock, None)
            work.read()
            yield work


def _claimed(path: Path) -> Path | None:
    """Rename a folder whose command has ended, so that this command has it; None if another command has it."""
    with suppress(OSError):
        if is_abandoned(path):
            return path.rename(path.with_name(f"{_PREFIX}{owner_tag()}{os.urandom(4).hex()}"))
    return None


def remove_leftovers(
    parent: Path, provenance: Mapping[str, Any], names: Collection[str], protocols: Collection[str]
) -> None:
    """Remove leftovers that are no longer of use: unreadable ones, and renders for protocols that have records.

    Args:
        parent: folder of the result's records.
        provenance: identity of the renders that have records. Renders of another checkpoint are kept.
        names: names of the views that have records. Renders of others are kept.
        protocols: fingerprints of the protocols that have records.
    """
    for work in leftovers(parent):
        note = work.note
        if note is None or (
            same_renders(note.provenance, provenance)
            and set(work.views) <= set(names)
            and set(note.protocols) <= set(protocols)
        ):
            work.remove()
        else:
            work.close()
