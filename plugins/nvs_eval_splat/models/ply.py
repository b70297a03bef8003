"""PLY files: the header, and the values of the vertices as float32 columns.

The header of a stranger's file is only believed as far as the size of the file confirms it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import FileError, InputError, counted, quoted, shortened
from nvs_eval.images.stored import check_memory
from nvs_eval.system.files import open_file

_LARGEST_HEADER = 2**16
_ROWS_AT_ONCE = 2**16
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_NAME = re.compile(r"\S{1,100}")
_LEAST_TEXT = 2
"""Bytes of the shortest number in a text, with its separator."""


@dataclass(frozen=True)
class Element:
    """An element of a PLY file, such as its vertices.

    Attributes:
        name: name of the element.
        count: number of its rows, as the header says.
        types: numpy's type of each property, by name, without the byte order; None for a list.
    """

    name: str
    count: int
    types: Mapping[str, str | None]

    @property
    def row_bytes(self) -> int | None:
        """Bytes of a row in a binary file; None if it has lists."""
        sizes = [np.dtype(kind).itemsize if kind else None for kind in self.types.values()]
        return None if None in sizes else sum(size for size in sizes if size)


@dataclass(frozen=True)
class Header:
    """The header of a PLY file.

    Attributes:
        order: byte order as numpy writes it, `<` or `>`; "" for text.
        elements: elements in the order of the file, by name.
        comments: texts of comments.
        size: bytes of the header.
    """

    order: str
    elements: Mapping[str, Element]
    comments: Sequence[str]
    size: int


def read_header(path: Path) -> Header:
    """Read the header of a PLY file.

    Raises:
        InputError: the file cannot be read, or its header is not that of a PLY file.
    """
    try:
        with open_file(path) as file:
            return _header(path, file)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error


def _header(path: Path, file: BinaryIO) -> Header:
    start = file.read(_LARGEST_HEADER)
    match = re.search(rb"(?m)^end_header[ \t]*\r?\n", start)
    if not start.startswith(b"ply") or not match:
        reason = f"has no end_header in its first {_LARGEST_HEADER} bytes" if start.startswith(b"ply") else "is no PLY"
        raise FileError(f"{path} must be a PLY file. It {reason}.")
    order, elements, comments = None, {}, []
    types: dict[str, str | None] = {}
    for line in start[: match.start()].decode("utf-8", "replace").splitlines()[1:]:
        match line.split():
            case ["comment" | "obj_info", *_]:
                comments.append(line.partition(" ")[2])
            case ["format", str(kind), "1.0"] if kind in _FORMATS:
                order = _FORMATS[kind]
            case ["element", str(name), str(count)] if count.isdecimal() and len(count) < 19 and name not in elements:
                types = {}
                elements[name] = Element(name, int(count), types)
            case ["property", "list", str(), str(), str(name)] if elements and name not in types:
                types[name] = None
            case ["property", str(kind), str(name)] if elements and kind in _TYPES and name not in types:
                types[name] = _TYPES[kind]
            case []:
                continue
            case _:
                raise FileError(f"{path}: its header has the line {quoted(line)}, which is not of a PLY file.")
    if order is None:
        raise FileError(f"{path}: its header names no format.")
    return Header(order, elements, comments, match.end())


def check_size(path: Path, header: Header, element: Element) -> int:
    """Check that a file has all rows of an element, without reading them.

    Returns:
        The place of its first row.

    Raises:
        InputError: the file is shorter or longer than its header says.
    """
    size = path.stat().st_size
    if not header.order:
        values = sum(part.count * len(part.types) for part in header.elements.values())
        if size - header.size + 1 < _LEAST_TEXT * values:
            raise FileError(f"{path} is truncated: {counted(size, 'byte')} cannot hold the {values} values it names.")
        return header.size
    start = first = header.size
    for part in header.elements.values():
        if part.row_bytes is None:
            raise FileError(f"{path}: its element {shortened(part.name)} has lists, which a splat does not have.")
        end = start + part.count * part.row_bytes
        if end > size:
            whole = max(0, size - start) // max(1, part.row_bytes)
            raise FileError(
                f"{path} is truncated: it has {whole} of the {part.count} rows of {shortened(part.name)} that its "
                "header names. Copy it again."
            )
        if part is element:
            first = start
        start = end
    if start != size:
        raise FileError(
            f"{path} is {counted(size - start, 'byte')} longer than its header says. It is damaged. Copy it again."
        )
    return first


def read_columns(
    path: Path, header: Header, element: Element, groups: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.float32]]:
    """Read properties of an element as float32, a block of rows at a time.

    Args:
        path: PLY file.
        header: its header.
        element: element of the file.
        groups: names of the properties of each array.

    Returns:
        Arrays of shape `[rows, properties]`, by the names of the groups.

    Raises:
        InputError: the file is not what its header says, or there is not enough memory.
    """
    start = check_size(path, header, element)
    width = sum(map(len, groups.values()))
    check_memory(f"{path} has {counted(element.count, 'Gaussian')} and", 4 * width * element.count)
    arrays = {name: np.empty((element.count, len(columns)), np.float32) for name, columns in groups.items()}
    if not header.order:
        _read_text(path, header, element, groups, arrays)
        return arrays
    kind = np.dtype([(name, f"{header.order}{kind}") for name, kind in element.types.items()])
    with open_file(path) as file:
        file.seek(start)
        for row in range(0, element.count, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, element.count - row)
            block = file.read(count * kind.itemsize)
            if len(block) < count * kind.itemsize:
                raise FileError(f"{path} became shorter while it was read.")
            rows = np.frombuffer(block, kind)
            for name, columns in groups.items():
                for index, column in enumerate(columns):
                    arrays[name][row : row + count, index] = rows[column]
    return arrays


def _read_text(
    path: Path,
    header: Header,
    element: Element,
    groups: Mapping[str, Sequence[str]],
    arrays: Mapping[str, NDArray[np.float32]],
) -> None:
    """Read the rows of a text. Its element must be the first, and each row one line."""
    if next(iter(header.elements.values())) is not element:
        raise FileError(f"{path}: the first element of a text must be {shortened(element.name)}.")
    place = {name: index for index, name in enumerate(element.types)}
    with open_file(path) as file:
        file.seek(header.size)
        text = io.TextIOWrapper(file, encoding="ascii", errors="replace")
        for row in range(element.count):
            values = text.readline(_LARGEST_HEADER).split()
            try:
                numbers = np.array(values, np.float64)
            except ValueError as error:
                raise FileError(f"{path}: row {row + 1} must be numbers. Got {quoted(' '.join(values))}.") from error
            if len(numbers) != len(place):
                raise FileError(f"{path}: row {row + 1} must have {counted(len(place), 'number')}. Got {len(numbers)}.")
            for name, columns in groups.items():
                arrays[name][row] = numbers[[place[column] for column in columns]]
        if text.read(4096).strip() and len(header.elements) == 1:
            raise InputError(f"{path} has more than the {counted(element.count, 'row')} that its header names.")
