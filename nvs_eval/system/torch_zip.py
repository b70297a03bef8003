"""The zip archive of a file of `torch.save`, whose entries must be what its directory says.

torch maps tensors from the file without reading their entries. It would take other bytes for the tensor of an entry
that is too short, damaged, contained twice or at another place.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nvs_eval.errors import counted, shortened

_LARGEST_PICKLE = 2**25
_MOST_ENTRIES = 20_000


class UnreadableError(ValueError):
    """A file of `torch.save` that is damaged or contains more than tensors. The message is the reason."""


def check_entries(path: Path) -> dict[int, int]:
    """Check the entries of an archive, without reading them.

    Returns:
        The size of each entry, in bytes, by the place of its first byte in the file.

    Raises:
        UnreadableError: an entry is not what the directory says.
    """
    end = _directory_start(path)
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        _check_kinds(archive.infolist())
        return _sizes(file, archive.infolist(), end)


def check_checksums(path: Path) -> None:
    """Read all entries (0.5 s for 500 MB) and compare their checksums.

    An archive that torch wrote without checksums (`set_crc32_options(False)`) has none to compare.

    Raises:
        UnreadableError: an entry is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.CRC for entry in archive.infolist()) and (name := archive.testzip()):
            raise UnreadableError(f"its entry {shortened(name)} is damaged (its checksum differs)")


def check_storages(reader: Any, sizes: Mapping[int, int], storages: Mapping[str, int]) -> None:
    """Check that the entry of each tensor has the bytes of the tensor.

    Args:
        reader: torch's reader of the archive, which finds entries by rules of its own, for example in any case.
        sizes: size of each entry by its place.
        storages: size that the tensors need, by the key of their entry.

    Raises:
        UnreadableError: it has more or fewer.
    """
    for key, needed in storages.items():
        size = sizes.get(reader.get_record_offset(f"data/{key}"))
        if size != needed:
            found = "another entry" if size is None else counted(size, "byte")
            raise UnreadableError(
                f"its entry data/{shortened(key)} must have the {counted(needed, 'byte')} of its tensor. Got {found}"
            )


def _directory_start(path: Path) -> int:
    """Return where the directory starts. It must end the file, because readers disagree on which one to use."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 98))
        tail = file.read().rjust(98, b"\0")
    length, start, comment = struct.unpack("<IIH", tail[-10:])
    end = size - 22
    if tail[-42:-38] == b"PK\6\7":  # A large archive has a second record and its location.
        end = size - 98 if tail[:4] == b"PK\6\6" else -1
        length, start = struct.unpack("<QQ", tail[40:56])
        end = end if struct.unpack("<Q", tail[-34:-26]) == (end,) else -1
    if tail[-22:-18] != b"PK\5\6" or comment or start + length != end:
        raise UnreadableError("its directory must be its only one and its end")
    return start


def _check_kinds(entries: Sequence[zipfile.ZipInfo]) -> None:
    names = [entry.filename.lower() for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):  # By this name torch recognises it.
        raise UnreadableError("it is a program (TorchScript), not weights. Save its state_dict() with torch.save")
    if len(names) > _MOST_ENTRIES:
        raise UnreadableError(f"it must have at most {_MOST_ENTRIES} entries")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableError(f"it contains the entry {shortened(twice)} twice")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise UnreadableError("its entries must not be compressed or encrypted")
    if any(entry.file_size > _LARGEST_PICKLE for entry in entries if entry.filename.lower().endswith(".pkl")):
        raise UnreadableError(f"the structure of its tensors must have at most {_LARGEST_PICKLE // 2**20} MiB")


def _sizes(file: BinaryIO, entries: Sequence[zipfile.ZipInfo], end: int) -> dict[int, int]:
    """Return the size of each entry by its place, after comparing the directory with the header before each entry."""
    sizes: dict[int, int] = {}
    free = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        file.seek(entry.header_offset)
        header = file.read(30).ljust(30, b"\0")
        name_length, extra_length = struct.unpack("<HH", header[26:])
        name = file.read(name_length)
        start = entry.header_offset + 30 + name_length + extra_length
        coding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
        if header[:4] != b"PK\3\4" or name != entry.orig_filename.encode(coding) or entry.header_offset < free:
            raise UnreadableError(f"its directory names another place for the entry {shortened(entry.filename)}")
        free = start + entry.file_size
        if free > end:
            raise UnreadableError(f"its entry {shortened(entry.filename)} is incomplete")
        sizes[start] = entry.file_size
    return sizes
