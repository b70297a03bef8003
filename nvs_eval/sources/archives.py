"""Renders in an archive: unpacked into a temporary folder, nothing of it outside, which is removed when it was used.

The archives are other people's. What is in one is looked at as a whole before anything is written: a name that leads
out of the folder, a link or a device is an error, and so is more than there is room for.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from nvs_eval.errors import InputError
from nvs_eval.images.files import EXTENSIONS
from nvs_eval.system.disk import in_units
from nvs_eval.system.files import file_sha256

SUFFIXES = (".zip", ".tar.gz", ".tgz")
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Unpacked:
    """What was unpacked from an archive. Its folder is removed when nothing refers to this any more.

    Attributes:
        archive: as the user gave it.
        sha256: of the archive.
        folder: a temporary one, with the archive's images and the notes that were asked for.
    """

    archive: Path
    sha256: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nvs-eval-")).resolve())

    def __post_init__(self) -> None:
        # tempfile.TemporaryDirectory would warn of being removed this way.
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def named(self, text: str) -> str:
        """A text with the archive's name where it names the temporary folder, which says nothing to the user."""
        return text.replace(str(self.folder), str(self.archive))

    @staticmethod
    @contextmanager
    def naming(unpacked: Unpacked | None) -> Iterator[None]:
        """Errors within name the archive, if there is one."""
        try:
            yield
        except InputError as error:
            if unpacked is None:
                raise
            raise InputError(unpacked.named(str(error))) from error


@dataclass(frozen=True)
class _Member:
    """One member of an archive.

    Attributes:
        name: as the archive has it.
        size: unpacked, in bytes.
        kind: "file", "folder", or what else it is, in words.
        open: opens its content, until the next member is looked at.
    """

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether this is a file with the name of an archive that is read here."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def without_suffix(path: Path) -> Path:
    """The path of an archive without what says that it is one."""
    suffix = next(suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix))
    return path.with_name(path.name[: -len(suffix)] or path.name)


def unpack(archive: Path, *, also: Collection[str]) -> Unpacked:
    """Unpack the images of an archive, hidden ones excepted.

    Args:
        archive: a zip, or a tar compressed by gzip.
        also: the names of further files that are wanted, in whatever folder.

    Raises:
        InputError: it is damaged, needs more room than there is, or holds what would lie or lead elsewhere.
    """
    with _readable(archive):
        _check_room(archive, _check_members(archive, also))
        unpacked = Unpacked(archive, file_sha256(archive))
        for member in _members(archive):
            if _is_wanted(member, also):
                _write(member, unpacked.folder / PurePosixPath(member.name))
    return unpacked


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Whatever is wrong with an archive, the user reads which it was."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Of the decompressors' own, and of the file system: there is no list of them.
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise InputError(
            f"{archive} cannot be unpacked: {reason.rstrip('.')}. It may be damaged or not whole: get it again, or "
            "unpack it yourself and give the folder."
        ) from error


def _check_members(archive: Path, also: Collection[str]) -> int:
    """Check all members, and give the bytes that those which are wanted will take."""
    size = 0
    for member in _members(archive):
        path = PureWindowsPath(member.name)  # Which knows both separators, and drives.
        if path.drive or path.root or ".." in path.parts:
            raise InputError(
                f"{archive} holds {member.name!r}, which leads out of the folder that it is unpacked into: nothing was "
                "unpacked. Do not trust this archive, or pack it again with relative paths."
            )
        if member.kind not in ("file", "folder"):
            raise InputError(
                f"{archive} holds {member.name!r}, which is {member.kind}, and only files and folders are unpacked: "
                "pack the files themselves (of tar, `--dereference`)."
            )
        size += member.size if _is_wanted(member, also) else 0
    return size


def _check_room(archive: Path, size: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"The images in {archive} need {in_units(size)} in {folder}, and {in_units(free)} are free: make room, set "
            "the environment variable TMPDIR, or unpack it yourself and give the folder."
        )


def _is_wanted(member: _Member, also: Collection[str]) -> bool:
    path = PurePosixPath(member.name)
    if member.kind != "file" or any(part.startswith(".") for part in path.parts):
        return False
    return path.suffix.lower() in EXTENSIONS or path.name in also


def _write(member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = member.open()
    assert content is not None, "only what is no file has no content"
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)


def _members(archive: Path) -> Iterator[_Member]:
    return _zip_members(archive) if archive.name.lower().endswith(".zip") else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name = info.filename.replace("\\", "/")  # As some programs separate folders.
            yield _Member(name, info.file_size, _zip_kind(info), partial(opened.open, info))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = stat.S_IFMT(info.external_attr >> 16)  # Zero where it was packed without.
    if info.is_dir():
        return "folder"
    return {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "a link"}.get(mode, "a device")


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:gz") as opened:
        for info in opened:
            yield _Member(info.name, info.size, _tar_kind(info), partial(opened.extractfile, info))
        # To the end, where the checksum over all of it is.
        while opened.fileobj is not None and opened.fileobj.read(_CHUNK):
            pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isfile():
        return "file"
    if info.isdir():
        return "folder"
    return f"a link to {info.linkname!r}" if info.issym() or info.islnk() else "a device"
