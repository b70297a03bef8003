"""Renders in an archive, unpacked into a temporary folder that is removed when nothing refers to it any more.

Archives are untrusted, so all members are checked before anything is written. A path that leaves the folder, a link, a
device, or more data than fits on the disk is an error.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from nvs_eval.errors import InputError, quoted, shortened
from nvs_eval.images.formats import ALL_EXTENSIONS
from nvs_eval.images.stored import NAMED
from nvs_eval.system.files import file_sha256, open_file
from nvs_eval.system.owner import owner_tag, remove_abandoned
from nvs_eval.system.space import in_units, too_little

# Tar archives by their suffix, with the function that opens the stream.
_TARS: Mapping[str, Callable[[Path], Any]] = {
    ".tar": open_file,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
_SUFFIXES = (".zip", *_TARS)
_OTHERS = (".7z", ".rar", ".tar.zst", ".tar.lz4")
_CHUNK = _LONGEST_READ = 1 << 20
_LARGE, _MOST_PER_BYTE = 2**30, 200
_MOST_MEMBERS, _LARGEST_DIRECTORY = 50_000, 2**24
_LONGEST_REASON = 100
_ENCRYPTED = 1


def _temporary_folder() -> Path:
    """Create a temporary folder, and remove those of killed processes of this host. Others may still read theirs."""
    host, dash, process = owner_tag().partition("-")
    prefix = f"nvs-eval-unpacked-{host}{dash}"
    remove_abandoned(Path(tempfile.gettempdir()), prefix)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{process}")).resolve()


@dataclass(frozen=True, eq=False)
class Unpacked:
    """Images and text files unpacked from an archive. The folder is removed when this object is garbage-collected.

    Attributes:
        archive: path of the archive, as the user wrote it.
        sha256: hash of the archive.
        folder: temporary folder.
    """

    archive: Path
    sha256: str
    folder: Path = field(default_factory=_temporary_folder)

    def __post_init__(self) -> None:
        # tempfile.TemporaryDirectory would print a warning when it is removed this way.
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def named(self, text: str) -> str:
        """Replace the temporary folder in a text by the path of the archive."""
        return text.replace(str(self.folder), str(self.archive))


@contextmanager
def naming(unpacked: Unpacked | None) -> Iterator[None]:
    """Make errors and warnings name the archive instead of its temporary folder; None for files that are not in one."""
    if unpacked is None:
        yield
        return
    token = NAMED.set(unpacked.named)
    try:
        yield
    except InputError as error:
        raise type(error)(unpacked.named(str(error))) from error
    finally:
        NAMED.reset(token)


def is_archive(path: Path) -> bool:
    """Return whether this is a file with the suffix of a supported archive.

    Raises:
        InputError: it is an archive of another kind.
    """
    if path.name.lower().endswith(_OTHERS) and path.is_file():
        raise InputError(f"{path} must be one of {', '.join(_SUFFIXES)}. Unpack it and pass the folder.")
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def without_suffix(path: Path) -> Path:
    """Return the path of an archive without its suffix."""
    suffix = next(suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix))
    return path.with_name(path.name[: -len(suffix)] or path.name)


def unpack(archive: Path, *, also: Collection[str]) -> Unpacked:
    """Unpack the images of an archive; hidden files are skipped.

    Args:
        archive: a zip or tar archive.
        also: names of other files to unpack, from any folder.

    Raises:
        InputError: the archive is damaged, does not fit on the disk, or has a member that is or points outside the
            folder.
    """
    with _readable(archive), _opened(archive) as opened:
        wanted: dict[PurePosixPath, Any] = {}
        size = 0
        for member in _members(opened, archive):
            name, kind, member_size = _inspect(member)
            _check_member(archive, name, kind)
            if kind == "file" and _is_wanted(path := PurePosixPath(name), also):
                if path in wanted:
                    raise InputError(
                        f"{archive} must contain each file once. Got {quoted(name)} twice. Unpack it, keep one of the "
                        "two, and pass the folder."
                    )
                wanted[path] = member
                size += member_size
        _check_size(archive, size)
        _check_room(archive, size)
        unpacked = Unpacked(archive, file_sha256(archive))
        for member in wanted.values():
            opened.extract(member, unpacked.folder)
    return unpacked


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn any error of reading an archive into an InputError that names the archive."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Decompressors and the file system have no common exception.
        # zipfile turns an error of the system into one of the file.
        causes = [cause for cause in (error, error.__context__) if isinstance(cause, OSError) and cause.errno]
        reason = (causes[0].strerror if causes else "") or str(error) or type(error).__name__
        if isinstance(error, RecursionError):
            reason = "folders in it are nested too deeply"
        elif isinstance(error, LookupError | TypeError | AttributeError | struct.error):
            reason = "its headers are invalid"
        advice = "It may be damaged or incomplete. Download it again, or unpack it yourself and pass the folder."
        if causes:
            advice = f"Check {archive} and the space in {tempfile.gettempdir()}, which TMPDIR changes."
        raise InputError(
            f"{archive} cannot be unpacked: {shortened(reason, _LONGEST_REASON).rstrip('.')}. {advice}"
        ) from error


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    if archive.name.lower().endswith(".zip"):
        with open_file(archive) as file, zipfile.ZipFile(_Zip(io.FileIO(file.fileno(), closefd=False))) as opened:
            yield opened
        return
    suffix = next(suffix for suffix in _TARS if archive.name.lower().endswith(suffix))
    with _TARS[suffix](archive) as file:
        yield _checked_tar(_Bounded(file, archive), archive)


def _members(opened: zipfile.ZipFile | tarfile.TarFile, archive: Path) -> list[Any]:
    """Return the members of an archive.

    Raises:
        InputError: it has too many, each of which takes longer than its bytes suggest.
    """
    members = list(islice(opened.infolist() if isinstance(opened, zipfile.ZipFile) else opened, _MOST_MEMBERS + 1))
    if len(members) > _MOST_MEMBERS:
        raise InputError(
            f"{archive} must contain at most {_MOST_MEMBERS} files and folders. Got more. Unpack it yourself and pass "
            "the folder."
        )
    return members


class _Zip(io.BufferedReader):
    """Zip archive whose directory, which zipfile reads at once, is not read if it is large."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _LARGEST_DIRECTORY:
            raise ValueError(f"It must contain at most {_MOST_MEMBERS} files and folders")
        return super().read(size)


def _checked_tar(stream: Any, archive: Path) -> tarfile.TarFile:
    """Return the archive in a stream after reading all of it.

    Raises:
        EOFError: its end is missing.
    """
    opened = tarfile.TarFile(fileobj=stream)
    opened.extraction_filter = getattr(tarfile, "data_filter", None)  # Missing before Python 3.10.12 and 3.11.4.
    _members(opened, archive)
    # tarfile takes a file that is cut between two members, or whose next header is damaged, for a whole one.
    stream.seek(opened.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("The end is missing")
    while stream.read(_CHUNK):  # The checksum of a compressed stream is at its end.
        pass
    return opened


class _Bounded:
    """Stream of a tar archive that fails before it unpacks more than the archive may contain, or all of it at once.

    tarfile searches the whole stream for headers, and reads long names of any length.
    """

    def __init__(self, file: Any, archive: Path) -> None:
        self._file, self._archive = file, archive

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> int:
        _check_size(self._archive, position)
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if size > _LONGEST_READ:
            raise ValueError("A header is too long")
        _check_size(self._archive, self._file.tell())
        return self._file.read(size)


def _inspect(member: zipfile.ZipInfo | tarfile.TarInfo) -> tuple[str, str, int]:
    """Return the name, kind ("file", "folder" or a description) and unpacked size of a member."""
    if isinstance(member, tarfile.TarInfo):
        special = f"a link to {quoted(member.linkname)}" if member.issym() or member.islnk() else "a device"
        return member.name, "file" if member.isfile() else "folder" if member.isdir() else special, member.size
    member.filename = member.filename.replace("\\", "/")  # Some programs separate folders with backslashes.
    mode = stat.S_IFMT(member.external_attr >> 16)  # Zero if the archive stores no modes.
    kind = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "a link"}.get(mode, "a device")
    if member.flag_bits & _ENCRYPTED:
        kind = "encrypted"
    return member.filename, "folder" if member.is_dir() else kind, member.file_size


def _check_member(archive: Path, name: str, kind: str) -> None:
    path = PureWindowsPath(name)  # It handles both separators and drives.
    if path.drive or path.root or ".." in path.parts:
        raise InputError(
            f"{archive} contains {quoted(name)}, which is outside the folder it is unpacked into. Nothing was "
            "unpacked. Do not trust this archive, or pack it again with relative paths."
        )
    if kind == "encrypted":
        raise InputError(f"{archive} contains {quoted(name)}, which is encrypted. Unpack it and pass the folder.")
    if kind not in ("file", "folder"):
        raise InputError(
            f"{archive} must contain only files and folders. Got {quoted(name)}, which is {kind}. "
            "Pack the files themselves (tar: `--dereference`)."
        )


def _is_wanted(path: PurePosixPath, also: Collection[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and (path.suffix.lower() in ALL_EXTENSIONS or path.name in also)


def _check_size(archive: Path, size: int) -> None:
    """Check that the unpacked size is not far larger than images make it, since it may be larger than a disk."""
    packed = archive.stat().st_size
    if size > max(_LARGE, _MOST_PER_BYTE * packed):
        raise InputError(
            f"{archive} has {in_units(packed)} and unpacks to {in_units(size)} or more, over {_MOST_PER_BYTE} times as "
            "much. Unpack it yourself if its images are of few colours, and pass the folder."
        )


def _check_room(archive: Path, size: int) -> None:
    folder = tempfile.gettempdir()
    if size > (free := shutil.disk_usage(folder).free):
        needed, left = too_little(size, free)
        raise InputError(
            f"The images in {archive} need {needed} in {folder}, but only {left} are free. Free some "
            "space, set the environment variable TMPDIR, or unpack the archive yourself and pass the folder."
        )
