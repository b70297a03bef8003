"""Hostile archives of renders."""

from __future__ import annotations

import functools
import gc
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.hostile import Case
from support.hostile_files import ESCAPE, LONG, archived, linked_to, picture, tarred, zipped

PAIR = (("0001.png", picture()), ("0002.png", picture()))
ONE, OTHER = PAIR


def info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made, target.encode()


def claiming(size: int) -> bytes:
    """Return a zip archive whose first file claims another unpacked size."""
    content = bytearray(zipped(*PAIR))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature)
        content[at + place : at + place + 4] = struct.pack("<I", size)
    return bytes(content)


def with_flag(bit: int, method: int | None = None) -> bytes:
    """Return a zip archive whose files have a flag, or another method of compression."""
    content = bytearray(zipped(*PAIR))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + place] |= bit
            if method is not None:
                content[at + place + 2 : at + place + 4] = struct.pack("<H", method)
    return bytes(content)


def without_name() -> bytes:
    """Return a zip archive with a file whose name has no characters."""
    content = bytearray(zipped(("x", picture())))
    for signature, place in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        at = content.index(signature)
        content[at + place : at + place + 2] = bytes(2)
        content[at + place + 2 : at + place + 4] = b"\x01\0"  # Its name becomes an extra field.
    return bytes(content)


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    return info(name, kind, size=size).tobuf(tarfile.GNU_FORMAT)


def many(members: int) -> bytes:
    """Return a zip archive whose directory repeats an entry."""
    content = zipped(("a.txt", b""))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory = content[start:end] * members
    size = struct.pack("<I", len(directory))
    return content[:start] + directory + content[end : end + 12] + size + content[end + 16 :]


MOST = r"must contain at most 50000 files and folders\. Got more"
gzipped = functools.cache(gzip.compress)


def packed(header: bytes, megabytes: int, compress: Callable[[bytes], bytes]) -> bytes:
    """Return a compressed tar archive of a header and zeros."""
    return compress(header) + compress(bytes(2**20)) * megabytes


def sparse_tar() -> bytes:
    made = info("0001.png")
    made.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**45)}
    return tarred((made, b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)), *PAIR[1:])


CASES = {
    "view twice": Case(archived("r.zip", zipped(ONE, OTHER, ONE)), r"each file once\. Got '0001\.png' twice"),
    "view twice in tar": Case(archived("r.tar", tarred(ONE, OTHER, ONE)), r"each file once\. Got '0001\.png' twice"),
    "view twice by another path": Case(
        archived("r.tar", tarred(ONE, OTHER, ("./0001.png", picture()))), "each file once"
    ),
    "view twice with backslashes": Case(
        archived("r.zip", zipped(("a/1.png", b""), ("a\\1.png", b""))), "each file once"
    ),
    "view twice by extension": Case(archived("r.zip", zipped(*PAIR, ("0001.jpg", picture()))), "same view name '0001'"),
    "path above": Case(archived("r.zip", zipped(("../x.png", b""))), "is outside the folder"),
    "path above in tar": Case(archived("r.tar", tarred(("a/../../x.png", b""))), "is outside the folder"),
    "absolute path": Case(archived("r.tar", tarred(("/tmp/x.png", b""))), "is outside the folder"),
    "path of Windows": Case(archived("r.zip", zipped(("C:\\x.png", b""))), "is outside the folder"),
    "long path above": Case(archived("r.tar", tarred((f"../{LONG[:5000]}.png", b""))), r"A\.\.\.', which is outside"),
    "link": Case(
        archived("r.tar", tarred((info("0001.png", tarfile.SYMTYPE, "/etc/passwd"), b""), OTHER)),
        "a link to '/etc/passwd'",
    ),
    "hard link": Case(
        archived("r.tar", tarred((info("0001.png", tarfile.LNKTYPE, "../../x"), b""), OTHER)), "a link to"
    ),
    "link in zip": Case(archived("r.zip", zipped(zip_link("0001.png", "/etc/passwd"), OTHER)), "which is a link"),
    "folder that is a link": Case(
        archived("r.tar", tarred((info("a", tarfile.SYMTYPE, "/"), b""), ("a/1.png", b""))), "a link to '/'"
    ),
    "pipe": Case(archived("r.tar", tarred((info("0001.png", tarfile.FIFOTYPE), b""), OTHER)), "which is a device"),
    "device": Case(archived("r.tar", tarred((info("0001.png", tarfile.CHRTYPE), b""), OTHER)), "which is a device"),
    "4 GB": Case(archived("r.zip", claiming(2**32 - 2)), r"unpacks to 4\.3 GB or more, over 200 times as much"),
    "more than claimed": Case(archived("r.zip", claiming(10)), "cannot be unpacked"),
    "8 GB in tar.gz": Case(
        archived("r.tar.gz", packed(tar_header("0001.png", 2**33 - 1), 20, gzip.compress)), "over 200 times"
    ),
    "2 GB in tar.gz": Case(
        archived("r.tar.gz", packed(tar_header("0001.png", 2**31), 2100, gzipped)), "over 200 times"
    ),
    "8 GB in tar.xz": Case(
        archived("r.tar.xz", packed(tar_header("0001.png", 2**33 - 1), 20, lzma.compress)), "over 200 times"
    ),
    "long name": Case(
        archived("r.tar.gz", packed(tar_header("././@LongLink", 2**29, tarfile.GNUTYPE_LONGNAME), 512, gzipped)),
        "header is too long",
    ),
    "long extended header": Case(
        archived("r.tar.gz", packed(tar_header("x", 2**29, tarfile.XHDTYPE), 512, gzipped)), "header is too long"
    ),
    "sparse file of 32 TB": Case(archived("r.tar", sparse_tar()), "over 200 times|cannot be unpacked"),
    "cut": Case(archived("r.zip", zipped(*PAIR)[:-30]), "cannot be unpacked"),
    "cut tar": Case(archived("r.tar", tarred(*PAIR, end=False)), "cannot be unpacked"),
    "password": Case(archived("r.zip", with_flag(1)), r"which is encrypted\. Unpack it and pass the folder\.$"),
    "no name": Case(archived("r.zip", without_name()), "cannot be unpacked: its headers are invalid"),
    "path of 2000 folders": Case(
        archived("r.zip", zipped((f"{'a/' * 2000}0001.png", picture()))), "(too deeply|File name too long)"
    ),
    "unknown compression": Case(archived("r.zip", with_flag(0, 99)), "cannot be unpacked"),
    "zip called tar": Case(archived("r.tar.gz", zipped(*PAIR)), "cannot be unpacked"),
    "empty": Case(archived("r.zip", b""), "cannot be unpacked"),
    "no images": Case(archived("r.zip", zipped((".hidden.png", b""), ("run.sh", b""))), "no images"),
    "file that is a folder": Case(
        archived("r.tar", tarred(("0001.png", b"a"), ("0001.png/2.png", b"a"))), "cannot be unpacked"
    ),
    "long name of a file": Case(
        archived("r.tar", tarred((f"{LONG[:300]}.png", b"a"))), "cannot be unpacked: File name too long"
    ),
    "names that act": Case(archived("r.tar", tarred((f"{ESCAPE}.png", picture()), OTHER)), r"x1b\]0;x"),
    "name that is no text": Case(archived("r.tar", tarred(("\udcff\udcfe.png", picture()), OTHER)), r"udcff"),
    "50,001 members": Case(archived("r.zip", many(50_001)), MOST),
    "17 MB of members": Case(archived("r.zip", many(340_000)), "unpacked: It must contain at most 50000"),
    "50,001 members in tar": Case(archived("r.tar", tar_header("a.txt", 0) * 50_001), MOST),
    "pipe called zip": Case(archived("r.zip", os.mkfifo), r"r\.zip"),
    "device called tar": Case(archived("r.tar", linked_to("/dev/zero")), r"r\.tar"),
    "7z": Case(archived("r.7z", b"7z\xbc\xaf\x27\x1c"), "must be one of"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_archive(case: Case, meets: Callable[[Case], Said], tmp_path: Path) -> None:
    meets(case)
    gc.collect()  # The traceback of an error may keep the archive.
    assert not list(tmp_path.glob("nvs-eval-*/*")), "unpacked files are left"
