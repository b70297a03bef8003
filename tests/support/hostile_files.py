"""Small scenes, records and files that hostile ones are made of."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from support.pngs import chunk
from support.records import record, row

from nvs_eval.records.record import to_plain

PROTOCOL = """\
name: light
alpha: composite
colour_correction: none
out_of_range: error
quantise: {render: round, reference: round, mask: none}
region: full
crop: 0
mask: valid-pixels
metrics:
  psnr: {data_range: 1}
round_means: null
"""
ESCAPE = "\x1b]0;x\x07\x1b[31m\x9b1m\u202e\x7f"
"""Characters that act on a terminal: a title, a colour, a colour in one byte, and a reversal of the text."""
LONG = "A" * 100_000
VIEWS = ("0001", "0002")
SCORE = ["score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml"]


def picture(level: int = 100, form: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Return the bytes of a small image."""
    out = io.BytesIO()
    Image.new(mode, (16, 12), level if mode != "RGB" else (level, level, level)).save(out, form, **options)
    return out.getvalue()


def scene() -> None:
    """Write a protocol, and a scene of two views with references and renders."""
    Path("light.yaml").write_text(PROTOCOL)
    for folder, level in (("gt", 100), ("ours", 110)):
        Path("garden", folder).mkdir(parents=True)
        for view in VIEWS:
            Path("garden", folder, f"{view}.png").write_bytes(picture(level))


def scored(content: bytes | Callable[[Path], object], name: str = "0001.png", *options: str) -> Callable[[], list[str]]:
    """Return a maker of a scene with a hostile render in place of that of the first view."""

    def make() -> list[str]:
        scene()
        Path("garden/ours/0001.png").unlink()
        put(Path("garden/ours", name), content)
        return [*SCORE, *options]

    return make


def put(path: Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write a file, or call the function that makes it."""
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def bound_socket(path: Path) -> None:
    """Make a socket with a short name, because the paths of sockets are limited."""
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        listener.bind(path.name)
    finally:
        os.chdir(here)
        listener.close()


def linked_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def sparse(size: int, start: bytes = b"") -> Callable[[Path], None]:
    """Return a maker of a file of this size that takes no space."""

    def make(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return make


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IEND", b"")])


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns of names that it has already.
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[tarfile.TarInfo | str, bytes], mode: str = "w", end: bool = True) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content + bytes(max(0, min(info.size - len(content), 1 << 20)))))
    return out.getvalue() if end else out.getvalue()[:1024]


def archived(name: str, content: bytes | Callable[[Path], object]) -> Callable[[], list[str]]:
    """Return a maker of a scene whose renders are in a hostile archive."""

    def make() -> list[str]:
        scene()
        put(Path(name), content)
        return ["score", name, "--reference", "garden/gt", "--protocol", "light.yaml", "--method", "ours"]

    return make


def plain_record(**changes: Any) -> dict[str, Any]:
    """Return a record of two views as JSON values, with some entries replaced."""
    made = to_plain(record([row(view, psnr=28.25) for view in VIEWS], step=30))
    return {**made, **changes}


def recorded(
    change: Callable[[dict[str, Any]], object] | bytes, *command: str, **options: Any
) -> Callable[[], list[str]]:
    """Return a maker of a hostile record, `r.json`: a changed record, or bytes."""

    def make() -> list[str]:
        if callable(change):
            plain = plain_record(**options)
            text = json.dumps(changed if isinstance(changed := change(plain), dict) else plain)
            Path("r.json").write_text(text)
        else:
            Path("r.json").write_bytes(change)
        return [*(command or ("table",)), "r.json"]

    return make


def named(**names: Any) -> Iterable[dict[str, Any]]:
    """Return two records whose names are replaced, of different methods."""
    for method in ("a", "b"):
        yield plain_record(**{**names, "method": f"{method}{names.get('method', '')}"})
