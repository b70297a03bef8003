"""Atomic writes, and reading and hashes of files."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import FileError, InputError, listed
from nvs_eval.system.folders import shown
from nvs_eval.system.owner import owner_tag, remove_abandoned
from nvs_eval.system.space import in_units

_PREFIX = ".nvs-eval-"


def write_whole(
    path: Path, write: Callable[[BinaryIO], object], *, replace: bool = True, durable: bool = False
) -> bool:
    """Write a file atomically: under a temporary name in the same folder, then rename it.

    Args:
        path: file to write; missing folders are created. A link is kept, and the file it points to is replaced.
        write: called with the open binary file.
        replace: whether to replace an existing file, also one that another process creates in the meantime.
        durable: whether the file outlasts a crash of the machine, for which the disk needs some milliseconds.

    Returns:
        Whether the file was written; False only if it exists and must not be replaced.

    Raises:
        InputError: the file cannot be written, or something else (a folder, a device) has its name.
    """
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = temporary_name(target.parent)
    try:
        # Mode x never opens an existing file, and the kernel applies the umask, which all threads share.
        with temporary.open("xb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        return _moved(temporary, target, replace=replace)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # A full or broken disk is reported by the error above.
            temporary.unlink(missing_ok=True)


def write_new(contents: Mapping[Path, bytes], *, overwrite: bool) -> Iterator[tuple[Path, bool]]:
    """Write files, each in one piece; yield each path, and whether its file had another content or did not exist.

    Args:
        contents: contents by path.
        overwrite: whether to write all files, also in place of others.

    Raises:
        InputError: at least one file has another content and may not be replaced, and nothing is written; the message
            names all such files. Or a file cannot be written.
    """
    existing = [] if overwrite else [path for path in contents if path.exists()]
    same = {path for path in existing if _has_content(path, contents[path])}
    if taken := [str(path) for path in existing if path not in same]:
        raise InputError(
            f"{listed(taken)} already {'exists' if len(taken) == 1 else 'exist'}. Use another --output, or --overwrite."
        )
    for path, content in contents.items():
        if path not in same:
            write_whole(path, lambda file, content=content: file.write(content))
        yield path, path not in same


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError as error:
        raise InputError(
            f"{path} already exists and cannot be read: {error.strerror}. Use another --output, or --overwrite."
        ) from error


def temporary_name(folder: Path) -> Path:
    """Return a new name for a temporary file in a folder. The files that ended processes left there are removed."""
    clean(folder)
    # A short name, because the file's own name may already have the maximal length.
    return folder / f"{_PREFIX}{owner_tag()}{os.urandom(4).hex()}"


def clean(folder: Path) -> None:
    """Remove the temporary files that ended processes left in a folder, once in this process."""
    _clean(folder.absolute())


@functools.lru_cache(maxsize=1024)
def _clean(folder: Path) -> None:
    remove_abandoned(folder, _PREFIX)


def move_or_link(file: Path, target: Path) -> None:
    """Give a file a second name, in place of any file of that name; where links are not possible, move it.

    Raises:
        OSError: it cannot be done.
    """
    link = temporary_name(target.parent)
    try:
        os.link(file, link)
    except OSError:
        file.replace(target)
        return
    try:
        link.replace(target)
    finally:
        link.unlink(missing_ok=True)  # It still exists if both were names of one file.


def _moved(temporary: Path, target: Path, *, replace: bool) -> bool:
    """Move a file to its name; return False if the name is taken by a file that must not be replaced."""
    if not replace:
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # The file system has no hard links.
            if target.exists():
                return False
        else:
            return True
    temporary.replace(target)
    return True


def check_writable(path: Path) -> None:
    """Check, before any long work, that `write_whole` can start to write a file; leave nothing behind.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        _probe(_target(path).parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_folder_writable(folder: Path) -> None:
    """Check, before any long work, that files can be written to a folder, which need not exist.

    Nothing is left behind and no folder is created or removed, so many processes can check one folder at once.

    Raises:
        InputError: files cannot be written there.
    """
    try:
        _probe(folder)
    except OSError as error:
        # Without the name of the temporary file, which differs each time.
        raise cannot_write(folder, OSError(error.errno, error.strerror)) from error


def check_is_folder(folder: Path) -> None:
    """Check that a folder, which need not exist or be writable, can exist.

    Raises:
        InputError: a file or a device has its name, or that of a folder above it.
    """
    if not _nearest(folder).is_dir():
        raise cannot_write(folder, NotADirectoryError())


def _nearest(folder: Path) -> Path:
    """Return a folder, or its nearest ancestor that exists."""
    while not os.path.lexists(folder):  # A broken link cannot become a folder.
        folder = folder.parent
    return folder


def _probe(folder: Path) -> None:
    tempfile.TemporaryFile(dir=_nearest(folder), prefix=_PREFIX).close()


def _target(path: Path) -> Path:
    """Return the file to write: the target of a link, or the path itself."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or the like"
        raise InputError(f"{path} cannot be written: it is {kind}. Choose another name.")
    return target


def cannot_write(path: Path, error: OSError) -> InputError:
    """Return the message for a file or folder that cannot be written, for an error of the system."""
    # Without the name of the temporary file, which means nothing to the user.
    reason, advice = error.strerror or str(error), "Choose another folder, or free some space."
    if isinstance(error, NotADirectoryError | FileExistsError):
        for part in (path, *path.parents):
            if os.path.lexists(part) and not part.is_dir():
                reason, advice = f"{shown(part)} is not a folder", "Choose another folder."
    return InputError(f"{shown(path)} cannot be written: {reason}. {advice}")


def open_file(path: Path, what: str = "") -> BinaryIO:
    """Open a regular file to read its bytes. A pipe would wait for its writer, and a device might never end.

    Args:
        path: path of the file.
        what: description of the file, with which messages begin (default: its path).

    Raises:
        FileError: it is a pipe, a device or a socket.
        OSError: it cannot be read.
    """

    def opener(name: str, flags: int) -> int:
        check(os.stat(name).st_mode)  # Opening some devices acts on them.
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # A pipe that nobody writes to would block.

    def check(mode: int) -> None:
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # Opening a folder is an error of the system.
            kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
            raise FileError(f"{what or path} must be a regular file. Got {kind}. Save its content to a file.")

    file = open(path, "rb", opener=opener)
    check(os.fstat(file.fileno()).st_mode)  # Another file may have taken its place.
    return file


def read_small(path: Path, largest: int, what: str = "") -> bytes:
    """Return the content of a regular file, if it has at most `largest` bytes.

    Args:
        path: path of the file.
        largest: largest number of bytes.
        what: description of the file, with which messages begin (default: its path).

    Raises:
        InputError: the file is larger, or it is a pipe, a device or a socket.
        OSError: the file cannot be read.
    """
    with open_file(path, what) as file:
        content = b"" if (size := os.fstat(file.fileno()).st_size) > largest else file.read(largest + 1)
    if max(size, len(content)) > largest:
        raise InputError(f"{what or path} must have at most {in_units(largest)}. It has more.")
    return content


def is_file(path: Path) -> bool:
    """Return whether a path from a record, which may be any text, is that of a regular file.

    Raises:
        OSError: the system refuses to say, such as for a folder that may not be read.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return False
        raise


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read a block at a time.

    Raises:
        InputError: it is a pipe, a device or a socket.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
