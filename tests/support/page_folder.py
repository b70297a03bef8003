"""A small page folder, written as `nvs_eval.report.page` describes its files, for tests in a browser."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support.protocols import protocol_file
from support.scenes import write_images

import nvs_eval.report.page

SOURCE = Path(nvs_eval.report.page.__file__).parent
WIDTH, HEIGHT = 48, 32
FINGERPRINT = "9f2c51ab"
METRICS = [
    {"key": "psnr", "title": "PSNR", "unit": "dB", "higher_is_better": True, "decimals": 2, "signature": "psnr|v1"},
    {"key": "mae", "title": "MAE", "unit": "", "higher_is_better": False, "decimals": 4, "signature": "mae|v1"},
]
HEAD = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Page</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; "
    "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'\">"
    '<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head><body>'
)


def script() -> str:
    """The script of the page, in one function scope."""
    parts = [file.read_text("utf-8") for file in sorted((SOURCE / "js").glob("*.js"))]
    return "(() => {\n" + "\n".join(parts) + "\n})();\n"


def gradient(place: int) -> np.ndarray:
    """A float image in [0, 1] that differs from view to view; no two of its pixels in a row are equal."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return np.stack([x / WIDTH, y / HEIGHT, np.full_like(x, 0.3 + 0.1 * place)], axis=-1) * 0.8


def write_page(folder: Path, methods: Sequence[str], views: Sequence[str]) -> Path:
    """Write a page with a scene, listed twice; return its HTML file. Renders are offset by 0.02 per method and view.

    The last render of the last view was not kept. The first render is exact in the first view.
    """
    images: dict[str, Any] = {}
    rows = [_view(folder, images, methods, name, place) for place, name in enumerate(views)]
    rows[-1]["renders"][-1] = None
    scene = {
        "name": views[0],
        "split": "test",
        "protocols": [_protocol(methods, rows)],
        "columns": [_column(name, place) for place, name in enumerate(methods)],
        "views": rows,
        "images": images,
        "maps": [],
        "messages": ["1 render was not kept. Use --keep-renders png."],
    }
    put(folder, "data/0.js", scene)
    index = {"path": "data/0.js", "name": views[0], "split": "test", "views": len(views), "columns": len(methods)}
    put(
        folder, "data/index.js", {"version": 1, "title": "Page", "scenes": [index, index], "made_by": "", "command": ""}
    )
    body = (
        f'<header><h1>Page</h1><nav aria-label="Scenes"><ul><li><a href="#s=0">{escape(views[0])}</a></li>'
        '<li><a href="#s=1">again</a></li></ul></nav>'
        '</header><main id="app"></main><script src="page.js"></script></body></html>'
    )
    (folder / "page.js").write_text(script(), "utf-8")
    (folder / "page.css").write_text((SOURCE / "page.css").read_text("utf-8"), "utf-8")
    (folder / "index.html").write_text(HEAD + body, "utf-8")
    return folder / "index.html"


def make_page(folder: Path, methods: Sequence[str], views: Sequence[str]) -> None:
    """Make the page of a scored scene in `folder`, and one that is a single file in `folder`-single."""
    work = folder.with_name(f"{folder.name}-images")
    for column in range(len(methods) + 1):
        images = {name: torch.from_numpy(gradient(place) + 0.02 * column) for place, name in enumerate(views)}
        write_images(work / str(column), images)
    options: dict[str, Any] = {
        "protocol": str(protocol_file(work)),
        "method": list(methods),
        "output_dir": work / "out",
    }
    nvs_eval.score([work / str(column + 1) for column in range(len(methods))], reference=work / "0", **options)
    nvs_eval.page(work / "out", output=folder, maps="ssim", title=methods[1])
    nvs_eval.page(work / "out", output=folder.with_name(f"{folder.name}-single"), single_file=True)


def put(folder: Path, path: str, value: Any) -> None:
    """Write a data file."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value).replace("<", "\\u003c")
    file.write_text(f"NVS.put({json.dumps(path)}, {text});\n", "utf-8")


def _view(folder: Path, images: dict[str, Any], methods: Sequence[str], name: str, place: int) -> dict[str, Any]:
    reference = gradient(place)
    offsets = [0.02 * place * (column + 1) for column in range(len(methods))]
    ids = [f"{place:08x}{column:08x}" for column in range(len(methods) + 1)]
    for key, image in zip(ids, [reference, *(reference + offset for offset in offsets)], strict=True):
        images[key] = _write_image(folder, key, image)
    psnr = ["inf" if offset == 0 else -20 * float(np.log10(offset)) for offset in offsets]
    return {
        "name": name,
        "width": WIDTH,
        "height": HEIGHT,
        "reference": ids[0],
        "renders": ids[1:],
        "seconds": [0.01 * (column + 1) for column in range(len(methods))],
        "coverage": None,
        "nearest": {"distance": 0.1 * (place + 1), "angle": 5.0 * place},
        "scores": {FINGERPRINT: {"psnr": psnr, "mae": offsets}},
        "problems": [],
    }


def _write_image(folder: Path, key: str, image: np.ndarray) -> dict[str, Any]:
    picture = Image.fromarray(np.round(image.clip(0, 1) * 255).astype(np.uint8))
    picture.save(encoded := io.BytesIO(), "PNG")
    put(folder, f"pixels/{key}.js", "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode())
    shuffled = np.frombuffer(image.astype("<f4").tobytes(), np.uint8).reshape(-1, 4).T.tobytes()
    packed = base64.b64encode(zlib.compress(shuffled)).decode()
    put(folder, f"floats/{key}.js", {"w": WIDTH, "h": HEIGHT, "data": packed})
    (folder / "thumbs").mkdir(exist_ok=True)
    picture.save(folder / f"thumbs/{key}.webp")
    return {
        "w": WIDTH, "h": HEIGHT, "thumb": f"thumbs/{key}.webp", "look": None, "pixels": f"pixels/{key}.js",
        "floats": f"floats/{key}.js", "file": f"{key}.png",
    }  # fmt: skip


def _protocol(methods: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def mean(column: int) -> float:
        return float(np.mean([row["scores"][FINGERPRINT]["mae"][column] for row in rows]))

    cells = "".join(
        f'<tr data-column="{column}"><th scope="row"><div>{escape(name)}</div></th><td class="n r1">{mean(column):.4f}'
        f'<sup>≈</sup></td><td class="n">{100 - column}</td></tr>'
        for column, name in enumerate(methods)
    )
    table = (
        '<section><h2>Scene</h2><div class="box" tabindex="0" role="region" aria-label="Scene"><table><thead><tr>'
        '<th scope="col">method</th><th scope="col" class="n">MAE&nbsp;↓</th><th scope="col" class="n">views</th></tr>'
        f"</thead><tbody>{cells}</tbody></table></div></section>"
    )
    return {
        "name": "standard", "fingerprint": FINGERPRINT, "definition": {"alpha": "drop"}, "metrics": METRICS,
        "table_html": table, "compare": {"0,1": [f"{methods[1]} is worse than {methods[0]}."]}, "curves": None,
    }  # fmt: skip


def _column(name: str, place: int) -> dict[str, Any]:
    return {
        "name": name, "method": "method", "run": None, "step": 1000 * (place + 1), "step_name": None,
        "published": False, "seconds_per_view": 0.01 * (place + 1), "gb": None, "size_bytes": None,
        "train_seconds": None, "provenance": {"device": "cpu"}, "kept": "as scored", "record": "record.json",
        "causes": {"words": [f"{name} is blurred."], "views": {}} if place else None,
    }  # fmt: skip
