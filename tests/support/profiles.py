"""ICC profiles and EXIF data, made by hand after their specifications."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

# Colorants relative to D50: X, Y and Z of red, green and blue.
COLORANTS = {
    "sRGB": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB (1998)": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
}
WHITE = (0.9642, 1.0, 0.8249)


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def icc_profile(
    name: str,
    colorants: str = "sRGB",
    curve: float | Callable[[np.ndarray], np.ndarray] = srgb_to_linear,
    *,
    space: bytes = b"RGB ",
    points: int = 1024,
) -> bytes:
    """Return an ICC profile of version 2 from colorants, and an exponent or a function from values to linear light."""
    if callable(curve):
        table = np.rint(65535 * curve(np.linspace(0, 1, points))).astype(">u2")
        trc = b"curv\0\0\0\0" + struct.pack(">I", points) + table.tobytes()
    else:
        trc = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * curve))
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(WHITE),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = trc
    else:
        tags |= {key: _xyz(xyz) for key, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), COLORANTS[colorants], strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc)
    directory, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        directory += struct.pack(">4sII", key, start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(tags)) + directory + data
    header = struct.pack(
        ">I4sI4s4s4s12s4sIIII8sI3i",
        *(128 + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"),
        *(0, 0, 0, 0, bytes(8), 0),
        *(round(65536 * value) for value in WHITE),
    )
    return header.ljust(128, b"\0") + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


def exif_data(
    orientation: int | None = None, *, space: int | None = None, index: bytes = b"", order: str = "<"
) -> bytes:
    """Return EXIF data with an orientation, a colour space and an interoperability index, each if given."""

    def directory(start: int, entries: list[tuple[int, int, int, bytes]]) -> bytes:
        packed = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
        return struct.pack(f"{order}H", len(entries)) + packed + bytes(4)

    def number(tag: int, value: int, kind: str = "H") -> tuple[int, int, int, bytes]:
        return tag, 3 if kind == "H" else 4, 1, struct.pack(f"{order}{kind}", value)

    interoperability = directory(0, [(1, 2, 4, index)] if index else [])
    details = [number(0xA001, space)] if space is not None else []
    main = [number(0x112, orientation)] if orientation is not None else []
    at_details = 8 + 2 + 12 * (len(main) + 1) + 4
    at_index = at_details + 2 + 12 * (len(details) + 1) + 4
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(f"{order}I", 8)
        + directory(8, [*main, number(0x8769, at_details, "I")])
        + directory(at_details, [*details, number(0xA005, at_index, "I")])
        + interoperability
    )
