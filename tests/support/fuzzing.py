"""Damaged image files, read in a child process: every outcome must be an image or an InputError.

By hand, thousands of changes of every format: `PYTHONPATH=tests python -m support.fuzzing --changes 2000`.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from support.pngs import png_bytes

from nvs_eval.errors import InputError, InputWarning
from nvs_eval.images.files import Reading, load_image, probe_image

READING = Reading(grey_to_rgb=True, background=(0.0, 0.0, 0.0), exr="srgb", ignore_colour_tags=True)
_SECONDS, _BYTES = 20, 2**29
_SLOPE = np.add.outer(np.arange(24), np.arange(32))
_RGB = (_SLOPE[..., None] * (2, 3, 4) + np.random.default_rng(0).integers(0, 20, (24, 32, 3))).astype(np.uint8)
_RGBA = np.dstack([_RGB, _RGB[..., :1]])


def _pillow(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _palette() -> bytes:
    file = io.BytesIO()
    Image.fromarray(_RGB).quantize(7).save(file, format="PNG", transparency=bytes([0, 128]))
    return file.getvalue()


def _tiff(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", **options)  # type: ignore[arg-type]
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, _RGB / np.float32(255))
    return file.getvalue()


def _exr(channels: str, compression: str) -> bytes:
    import OpenEXR

    with tempfile.TemporaryDirectory() as folder:
        values = (_RGBA if channels == "RGBA" else _RGB).astype(np.float16) / np.float16(255)
        values[..., 3:] = 1
        header = {"compression": getattr(OpenEXR, compression), "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {channels: values}) as file:
            file.write(f"{folder}/image.exr")
        return Path(folder, "image.exr").read_bytes()


FILES: dict[str, Callable[[], bytes]] = {
    "png8.png": lambda: _pillow(_RGB, format="PNG", icc_profile=b"x" * 200),
    "png8a.png": lambda: _pillow(_RGBA, format="PNG"),
    "palette.png": _palette,
    "png16.png": lambda: png_bytes(_RGB.astype(np.int64) * 257),
    "png16a.png": lambda: png_bytes(_RGBA.astype(np.int64) * 257),
    "jpeg.jpg": lambda: _pillow(_RGB, format="JPEG", exif=Image.Exif()),
    "progressive.jpg": lambda: _pillow(_RGB, format="JPEG", progressive=True),
    "array.npy": _npy,
    "zip.exr": lambda: _exr("RGB", "ZIP_COMPRESSION"),
    "piz.exr": lambda: _exr("RGBA", "PIZ_COMPRESSION"),
    "dwa.exr": lambda: _exr("RGB", "DWAA_COMPRESSION"),
    "lossless.webp": lambda: _pillow(_RGBA, format="WEBP", lossless=True),
    "lossy.webp": lambda: _pillow(_RGB, format="WEBP"),
    "raw.tif": lambda: _tiff(_RGB),
    "zip16.tif": lambda: _tiff(_RGB.astype(np.uint16) * 257, compression="zlib", predictor=True, rowsperstrip=5),
    "lzw.tif": lambda: _tiff(_RGB / np.float32(255), compression="lzw", tile=(16, 16)),
    "jpeg.tif": lambda: _tiff(_RGB, compression="jpeg"),
    "zstd.tif": lambda: _tiff(_RGBA, compression="zstd"),
    "rgb.bmp": lambda: _pillow(_RGB, format="BMP"),
    "palette.bmp": lambda: _pillow(_RGB[..., 0], format="BMP"),
    "rgb.ppm": lambda: _pillow(_RGB, format="PPM"),
    "plain.ppm": lambda: b"P3 32 24 255\n" + " ".join(map(str, _RGB.ravel())).encode(),
    "rgb.pfm": lambda: b"PF\n32 24\n-1.0\n" + (_RGB / np.float32(255)).astype("<f4").tobytes(),
    "rgb.hdr": lambda: bytes(imagecodecs.rgbe_encode(_RGB / np.float32(255), header=True)),
    "rgb.avif": lambda: _pillow(_RGB, format="AVIF"),
    "deep.avif": lambda: bytes(imagecodecs.avif_encode(_RGB.astype(np.uint16) * 4, bitspersample=10, level=90)),
}
"""Function that makes a small file of each kind, by its name."""


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Damage a file: one changed byte mostly, or several, a cut, or a missing or additional part.

    Half of the damaged PNGs get the right checksums, so that the damage reaches the decoder.
    """
    changed = bytearray(content)
    start, length = int(random.integers(len(content))), int(random.integers(1, 9))
    match int(random.integers(10)):
        case 0:
            del changed[start:]
        case 1:
            del changed[start : start + length]
        case 2:
            changed[start:start] = random.bytes(length)
        case 3 | 4:
            changed[start : start + length] = random.bytes(len(changed[start : start + length]))
        case _:
            changed[start] ^= int(random.integers(1, 256))
    return _with_checksums(bytes(changed)) if content[1:4] == b"PNG" and random.random() < 0.5 else bytes(changed)


def _with_checksums(png: bytes) -> bytes:
    """Return a PNG with right checksums of all its chunks, as far as their lengths are right."""
    parts, start = [png[:8]], 8
    while start + 12 <= len(png):
        end = start + 8 + int.from_bytes(png[start : start + 4], "big")
        body = png[start + 4 : end]
        parts += [png[start : start + 4], body, struct.pack(">I", zlib.crc32(body))]
        start = end + 4
    return b"".join(parts)


def outcome(path: Path) -> str:
    """Read a file and return "image", "error", or a description of anything else."""
    try:
        probe_image(path, READING)
        image = load_image(path, READING)
        return "image" if image.ndim == 3 and image.shape[2] == 3 else f"shape {tuple(image.shape)}"
    except InputError:
        return "error"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fuzz(name: str, changes: int) -> dict[str, int]:
    """Read damaged copies of a kind of file in this process, and count the outcomes.

    The process ends with a traceback if one takes too long.
    """
    content, random, counts = FILES[name](), np.random.default_rng(7), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        path = Path(folder, name)
        path.write_bytes(content)
        if (whole := outcome(path)) != "image":
            return {f"undamaged: {whole}": 1}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(changes):
            path.write_bytes(damaged(content, random))
            faulthandler.dump_traceback_later(_SECONDS, exit=True)
            counts[outcome(path)] += 1
            faulthandler.cancel_dump_traceback_later()
        memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory)
    return dict(counts) | ({"memory": memory} if memory > _BYTES else {})


def in_child(names: Sequence[str], changes: int, seconds: float) -> dict[str, dict[str, int]]:
    """Run `fuzz` for several kinds in a child process. A kind that ends the process has the outcome `ended`."""
    command = [sys.executable, "-m", "support.fuzzing", "--changes", str(changes), "--child", *names]
    # pytest finds the package `support` by its configuration, which a child process does not read.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            lines = child.communicate(timeout=seconds)[0].splitlines()
        except subprocess.TimeoutExpired:
            child.kill()
            lines = child.communicate()[0].splitlines()
    counts = [json.loads(line) for line in lines if line.startswith("{")]  # OpenEXR prints lines of its own.
    ended = [{"ended": 1}] if child.returncode else []
    return dict(zip(names, counts + ended, strict=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="KIND", help=f"kinds of files (default: all): {', '.join(FILES)}")
    parser.add_argument("--changes", type=int, default=2000, help="damaged copies of each kind")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or [*FILES]
    faults = 0
    for name in names:
        counts = fuzz(name, options.changes) if options.child else in_child([name], options.changes, 3600)[name]
        faults += not {*counts} <= {"image", "error"}
        print(json.dumps(counts) if options.child else f"{name} {json.dumps(counts)}", flush=True)
    return 0 if options.child else int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
