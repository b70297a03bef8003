"""Renders in an archive, unpacked into a temporary folder that is removed once nothing refers to it.

Archives come from strangers, so all members are checked before anything is written: a name that leads out of the
folder, a link or a device is an error, and so is more than there is room for.
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from nvs_eval.errors import InputError
from nvs_eval.images.files import EXTENSIONS
from nvs_eval.system.files import file_sha256, in_units

_SUFFIXES = (".zip", ".tar.gz", ".tgz")
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Unpacked:
    """Images and notes unpacked from an archive. Their folder is removed when nothing refers to this any more.

    Attributes:
        archive: path of the archive, as the user wrote it.
        sha256: hash of the archive.
        folder: the temporary folder.
    """

    archive: Path
    sha256: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nvs-eval-")).resolve())

    def __post_init__(self) -> None:
        # tempfile.TemporaryDirectory would warn of being removed this way.
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def named(self, text: str) -> str:
        """Replace the temporary folder in a text by the archive, which the user knows."""
        return text.replace(str(self.folder), str(self.archive))


@contextmanager
def naming(unpacked: Unpacked | None) -> Iterator[None]:
    """Make errors name the archive in place of its temporary folder; None where files come from no archive."""
    try:
        yield
    except InputError as error:
        if unpacked is None:
            raise
        raise InputError(unpacked.named(str(error))) from error


def is_archive(path: Path) -> bool:
    """Whether this is a file with the name of an archive that is read here."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def without_suffix(path: Path) -> Path:
    """Cut the suffix of an archive off its path."""
    suffix = next(suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix))
    return path.with_name(path.name[: -len(suffix)] or path.name)


def unpack(archive: Path, *, also: Collection[str]) -> Unpacked:
    """Unpack the images of an archive; hidden ones are skipped.

    Args:
        archive: a zip, or a tar compressed by gzip.
        also: names of other files to unpack, from any folder.

    Raises:
        InputError: it is damaged, needs more room than there is, or has a member that would lie or lead elsewhere.
    """
    with _readable(archive), _opened(archive) as opened:
        wanted, size = [], 0
        for member in opened.infolist() if isinstance(opened, zipfile.ZipFile) else opened.getmembers():
            name, kind, member_size = _inspect(member)
            _check_member(archive, name, kind)
            if kind == "file" and _is_wanted(PurePosixPath(name), also):
                wanted.append(member)
                size += member_size
        _check_room(archive, size)
        unpacked = Unpacked(archive, file_sha256(archive))
        for member in wanted:
            opened.extract(member, unpacked.folder)
    return unpacked


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn any error of reading an archive into an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Decompressors and the file system have no common error.
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise InputError(
            f"{archive} cannot be unpacked: {reason.rstrip('.')}. It may be damaged or not whole: get it again, or "
            "unpack it yourself and give the folder."
        ) from error


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield opened
        return
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)  # Missing before Python 3.10.12 and 3.11.4.
        opened.getmembers()
        while stream.read(_CHUNK):  # The checksum over everything is at the end.
            pass
        yield opened


def _inspect(member: zipfile.ZipInfo | tarfile.TarInfo) -> tuple[str, str, int]:
    """Name, kind ("file", "folder", or another kind in words) and unpacked size of a member."""
    if isinstance(member, tarfile.TarInfo):
        special = f"a link to {member.linkname!r}" if member.issym() or member.islnk() else "a device"
        return member.name, "file" if member.isfile() else "folder" if member.isdir() else special, member.size
    member.filename = member.filename.replace("\\", "/")  # Some programs separate folders by backslashes.
    mode = stat.S_IFMT(member.external_attr >> 16)  # Zero where it was packed without.
    kind = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "a link"}.get(mode, "a device")
    return member.filename, "folder" if member.is_dir() else kind, member.file_size


def _check_member(archive: Path, name: str, kind: str) -> None:
    path = PureWindowsPath(name)  # Which knows both separators, and drives.
    if path.drive or path.root or ".." in path.parts:
        raise InputError(
            f"{archive} holds {name!r}, which leads out of the folder that it is unpacked into: nothing was "
            "unpacked. Do not trust this archive, or pack it again with relative paths."
        )
    if kind not in ("file", "folder"):
        raise InputError(
            f"{archive} holds {name!r}, which is {kind}, and only files and folders are unpacked: "
            "pack the files themselves (of tar, `--dereference`)."
        )


def _is_wanted(path: PurePosixPath, also: Collection[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and (path.suffix.lower() in EXTENSIONS or path.name in also)


def _check_room(archive: Path, size: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"The images in {archive} need {in_units(size)} in {folder}, and {in_units(free)} are free: make room, set "
            "the environment variable TMPDIR, or unpack it yourself and give the folder."
        )
