"""Folders, records and commands of the golden test of the product, and the compared part of each answer.

Nothing here imports nvs_eval, so that any revision can be tested. tests/golden/make_product.py writes the answers, and
tests/product/test_golden.py compares them.
"""

from __future__ import annotations

import hashlib
import json
import math
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.protocols import LIGHT, variant

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Runner = Callable[[Sequence[str]], tuple[int, str]]
"""Function that runs a command in the current folder and returns its exit code and stdout."""

VIEWS = 3
HEIGHT, WIDTH = 40, 48


# --- Images -------------------------------------------------------------------------------------------------------


def photograph(view: int) -> Bytes:
    """Return ramps and a texture, computed from integers and therefore equal on every machine."""
    row, column, channel = np.mgrid[:HEIGHT, :WIDTH, :3]
    ramp = np.abs((4 * row + 5 * column + 40 * channel + 31 * view) % 300 - 150)
    return (20 + ramp + (row * row + 7 * column + 3 * view) % 37).astype(np.uint8)


def render(view: int, strength: int = 1) -> Bytes:
    """Return the photograph with a deterministic error that grows with the strength."""
    row, column, channel = np.mgrid[:HEIGHT, :WIDTH, :3]
    error = (row * (view + 2) + column * 3 + channel * 5) % (8 * strength + 1) - 3 * strength
    return np.clip(photograph(view) + error, 0, 255).astype(np.uint8)


def mask(view: int, *, soft: bool = False) -> Bytes:
    """Return a mask that is white in a rectangle. A soft mask is grey at its border."""
    weights = np.zeros((HEIGHT, WIDTH), np.uint8)
    weights[5:36, 8 + view : 44] = 102 if soft else 255
    weights[8:33, 12 + view : 40] = 255
    return weights


def save(path: Path, image: Bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


# --- Folders in the layouts of tools ------------------------------------------------------------------------------


def write_folders(root: Path) -> None:
    """Write all folders that the commands score."""
    _write_plain(root / "plain")
    for step, strength in (("ours_7000", 2), ("ours_30000", 1)):
        _write_iteration(root / "3dgs/garden/test" / step, strength)
    _write_iteration(root / "3dgs/garden/train/ours_30000", 1)
    (root / "3dgs/garden/cfg_args").write_text("Namespace(source_path='/data/360_v2/garden')")
    _write_predictions(root / "predictions-30000")
    _pack(root / "predictions-30000", root)
    _write_canvases(root)


def _write_plain(root: Path) -> None:
    ours, theirs, floats = root / "ours", root / "theirs", root / "floats"
    floats.mkdir(parents=True)
    for view in range(VIEWS):
        name = f"{view:04d}.png"
        save(root / "gt" / name, photograph(view))
        save(ours / name, render(view))
        save(theirs / name, render(view, 3))
        save(root / "some" / name, render(view)) if view else None
        save(root / "half_size" / name, render(view)[::2, ::2])
        for kind in (False, True):
            save(root / ("soft" if kind else "hard") / name, mask(view, soft=kind))
        np.save(floats / f"{view:04d}.npy", (render(view).astype(np.float32) + 0.25) / 256)
        alpha = mask(view, soft=True)
        save(root / "alpha_gt" / name, np.dstack([photograph(view), alpha]))
        save(root / "alpha" / name, np.dstack([render(view), alpha]))
        save(root / "grey_gt" / name, photograph(view)[..., 0])
        save(root / "grey" / name, render(view)[..., 0])
        save(root / "rig_gt" / f"cam{view}" / "0001.png", photograph(view))
        save(root / "rig" / f"cam{view}" / "0001.png", render(view))


def _write_iteration(folder: Path, strength: int) -> None:
    for view in range(VIEWS):
        save(folder / "renders" / f"{view:05d}.png", render(view, strength))
        save(folder / "gt" / f"{view:05d}.png", photograph(view))


def _write_predictions(folder: Path) -> None:
    for view in range(VIEWS):
        save(folder / "color" / f"{view:04d}.png", render(view))
        save(folder / "gt-color" / f"{view:04d}.png", photograph(view))
        save(folder / "mask" / f"{view:04d}.png", mask(view))
    info = {"method": "gaussian-splatting", "render_dataset_metadata": {"scene": "garden"}}
    (folder / "info.json").write_text(json.dumps(info))


def _pack(folder: Path, root: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(root / "predictions-7000.zip", "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))
    with tarfile.open(root / "predictions-100-train.tar.gz", "w:gz") as archive:
        for file in files:
            archive.add(file, Path("predictions", file.relative_to(folder)))


def _write_canvases(root: Path) -> None:
    gsplat = root / "gsplat/garden"
    for view in range(VIEWS):
        for step, strength in ((6999, 2), (29999, 1)):
            canvas = np.concatenate([photograph(view), render(view, strength)], axis=1)
            save(gsplat / "renders" / f"val_step{step}_{view:04d}.png", canvas)
        save(root / "nerfstudio/fox/renders" / f"eval_img_{view:04d}.png", canvas)
        save(root / "nerfstudio/fox/renders" / f"eval_accumulation_{view:04d}.png", render(view)[..., 0])
    (gsplat / "cfg.yml").write_text("data_dir: data/360_v2/garden\n")


# --- YAML files ---------------------------------------------------------------------------------------------------

FLOAT = """\
name: float
alpha: composite
colour_correction: none
out_of_range: keep
quantise: {render: none, reference: none, mask: none}
region: full
crop: 2
mask: valid-pixels
metrics:
  psnr: {data_range: 255}
  mae: {}
  ssim: {kernel: reflect, data_range: pair}
  ssim_uniform: {kernel: uniform7-rgb, data_range: 1}
  ssim_dmpix: {kernel: dmpix, data_range: 1}
round_means: 3
"""
SUITE = """\
name: three
title: Three scenes
source: made up
split: every-8th
scenes:
  - {name: garden, folder: garden, factor: 4}
  - {name: kitchen, folder: kitchen, factor: 2}
  - {name: room, folder: room, factor: 2}
"""
PUBLISHED = """\
name: paper
title: "Paper & others"
source: A paper, 2024
protocol: {name: standard, fingerprint: "9f2c51ab"}
suites: [mipnerf360]
steps: 30000
means:
  mipnerf360: {psnr: "27.21", ssim: "0.815"}
scores:
  garden: {psnr: "27.410", ssim: "0.868", lpips_vgg: "0.103"}
  kitchen: {psnr: "30.317", ssim: "0.922", lpips_vgg: "0.129"}
  room: {psnr: "30.632", ssim: "0.914"}
"""
WHOLE = """\
scenes: [garden]
title: Mine
output_dir: res/whole
protocol: [light.yaml]
methods:
  splats:
    score: 3dgs/{scene}
  theirs:
    score: plain/theirs
    reference: plain/gt
    colour_correct: affine
"""
MASK_MEANINGS = ("multiply", "fill", "bbox", "windows", "ignored")


def write_yaml(root: Path) -> None:
    """Write protocols, a benchmark, published numbers and suites."""
    files = {
        "light": LIGHT,
        "float": FLOAT,
        "three": SUITE,
        "garden": SUITE[: SUITE.index("  - {name: kitchen")],
        "paper": PUBLISHED,
        "whole": WHOLE,
    }
    for meaning in MASK_MEANINGS:
        files[meaning] = variant(name=meaning, mask=meaning)
    files["typo"] = variant(mask="valid-pixel")
    files["lacking"] = WHOLE.replace("[garden]", "[garden, stump]")
    for name, text in files.items():
        (root / f"{name}.yaml").write_text(text, encoding="utf-8")


# --- Records ------------------------------------------------------------------------------------------------------

SIGNATURES = {
    "psnr": ("dB", True, "psnr|range:1|q:round8|v1"),
    "ssim": ("", True, "ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|v1"),
    "lpips_vgg": ("", False, "lpips|net:vgg|heads:0.1|input:scaled|norm:lpips|q:round8|v1"),
}
SCENES = {"garden": 5, "kitchen": 5, "room": 4}
METHODS: dict[str, Sequence[tuple[str | None, int | None]]] = {
    "3dgs": [(None, 7000), (None, 30000)],
    "a_b & co": [(None, None)],
    "nerfacto": [("s1", 20000), ("s2", 20000)],
}


def write_records(root: Path) -> None:
    """Write records of three scenes and three methods under two protocols, and records with lower scores."""
    for scene in SCENES:
        for method, results in METHODS.items():
            for run, step in results:
                for protocol, fingerprint in (("standard", "9f2c51ab"), ("inria-3dgs", "82a74b27")):
                    place = Path(scene, method, run or "", "final" if step is None else str(step))
                    name = f"{protocol}-{fingerprint}.json"
                    plain = _record(scene, method, (run, step), {"name": protocol, "fingerprint": fingerprint})
                    _write_record(root / "records" / place / name, plain)
                    if (scene, method) == ("garden", "3dgs"):
                        _write_record(root / "worse" / place / name, _worse(plain))


def _record(scene: str, method: str, result: tuple[str | None, int | None], protocol: dict[str, Any]) -> dict[str, Any]:
    run, step = result
    metrics = dict(SIGNATURES) if protocol["name"] == "standard" else {"psnr": SIGNATURES["psnr"]}
    gain = math.log10((step or 12000) / 1000) + (0.125 if run == "s2" else 0) + len(method) / 32
    return {
        "schema_version": 1,
        "scene": scene,
        "method": method,
        "run": run,
        "step": step,
        "split": "test",
        "protocol": {"name": protocol["name"], "definition": {"round_means": None}, **protocol},
        "metrics": {
            name: {"unit": unit, "higher_is_better": higher, "signature": signature}
            for name, (unit, higher, signature) in metrics.items()
        },
        "views": [_row(scene, view, gain, list(metrics)) for view in range(SCENES[scene])],
        "provenance": {"nvs_eval": "0.1.0", **({"peak_memory_bytes": 2_500_000_000} if run else {})},
    }


def _row(scene: str, view: int, gain: float, metrics: Sequence[str]) -> dict[str, Any]:
    wave = ((7 * view + len(scene) * 3) % 11 - 5) / 4
    psnr: float = 22.5 + 3 * gain + wave + ((5 * view + round(16 * gain)) % 7) / 8
    scores: dict[str, float | str] = {"psnr": psnr, "ssim": 1 - 2 / psnr, "lpips_vgg": 5 / psnr + view / 128}
    if scene == "room" and view == 0 and gain > 1.65:
        scores["psnr"] = "inf"
    masked = scene == "kitchen"
    row: dict[str, Any] = {
        "name": f"{view:05d}",
        "width": 640,
        "height": 480,
        "scores": {name: scores[name] for name in metrics},
        "render_seconds": 0.5 + view / 64 if gain < 1 else None,
        "render": None,
        "reference": None,
        "reference_sha256": _sha256(f"{scene} {view}"),
        "coverage": 0.25 + view / 64 if masked else None,
    }
    return row | ({"mask_sha256": _sha256(f"mask {view}")} if masked else {})


def _worse(record: dict[str, Any]) -> dict[str, Any]:
    def lower(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "scores": {**row["scores"], "psnr": row["scores"]["psnr"] - 0.75}}

    return {**record, "views": [lower(row) for row in record["views"]]}


def _write_record(path: Path, record: dict[str, Any]) -> None:
    rows = record["views"]
    means = {name: math.fsum(float(row["scores"][name]) for row in rows) / len(rows) for name in record["metrics"]}
    complete = {
        **record,
        "means": {name: "inf" if math.isinf(mean) else mean for name, mean in means.items()},
        "views_sha256": _sha256("".join(f"{row['name']}\n" for row in rows)),
        "references_sha256": _sha256("".join(f"{row['reference_sha256']}\n" for row in rows)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(complete), encoding="utf-8")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- Commands -----------------------------------------------------------------------------------------------------


def _score(*args: str, to: str, protocols: Sequence[str] = ("light.yaml",)) -> list[str]:
    return ["score", *args, "--protocol", *protocols, "--device", "cpu", "--output-dir", f"res/{to}"]


PLAIN = ("plain/ours", "--reference", "plain/gt")
BOTH = ("plain/ours", "plain/theirs", "--reference", "plain/gt")
TWO = ("light.yaml", "float.yaml")
LAYOUTS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "one scene": (("text", "markdown", "latex", "csv", "json"), ("--suite", "garden.yaml", "--protocol", "standard")),
    "three scenes": (("text",), ()),
    "per view": (("text", "csv"), ("--per-view", "--suite", "garden.yaml", "--protocol", "standard")),
    "methods": (("text", "markdown", "latex", "csv"), ("--rows", "method", "--runs", "mean", "--sort", "psnr")),
    "columns": (("text", "latex", "csv"), ("--rows", "method", "--columns", "scene", "--metrics", "psnr")),
    "supplement": (("text", "markdown", "latex"), ("--per-scene", "--protocol", "standard")),
    "published": (
        ("text", "latex", "csv"),
        ("--rows", "method", "--suite", "three.yaml", "--with-published", "paper.yaml", "--protocol", "standard"),
    ),
}
MORE_TABLES: dict[str, Sequence[str]] = {
    "row a scene": ("--rows", "scene", "--mean", "views", "--protocol", "standard"),
    "tied": ("--rows", "method", "--tied", "--protocol", "standard"),
    "decimals": ("--decimals", "psnr=4", "ssim=2", "lpips=5", "--protocol", "standard"),
    "all columns": ("--metrics", "ssim", "views", "coverage", "s/view", "GB", "psnr"),
    "benchmark that lacks scenes": ("--rows", "method", "--suite", "mipnerf360-7"),
    "long csv": ("--long", "--format", "csv", "--metrics", "psnr", "--protocol", "standard"),
    "long json": ("--long", "--format", "json", "--metrics", "ssim", "--suite", "garden.yaml"),
    "colour-blind": ("--format", "latex", "--mark", "colour-blind", "--label", "res", "--protocol", "standard"),
    "bold": ("--format", "latex", "--mark", "bold", "--protocol", "standard"),
    "no marks": ("--mark", "none", "--protocol", "standard"),
}
TABLES = {
    f"{name}, {form}": ["table", "records", *options, "--format", form]
    for name, (forms, options) in LAYOUTS.items()
    for form in forms
}
RECORD = "res/again/plain/ours/final/light-*.json"
FEW = ("--resamples", "200")
GROUPS: dict[str, dict[str, list[str]]] = {
    "layouts": {
        "one folder": _score(*PLAIN, to="one", protocols=TWO),
        "two folders": _score(*BOTH, "--per-view", to="two", protocols=TWO),
        "names": _score(*BOTH, "--scene", "s", "--method", "a", "b", to="names"),
        "some views": _score("plain/some", "--reference", "plain/gt", "--allow-missing", to="some"),
        "rig": _score("plain/rig", "--reference", "plain/rig_gt", to="rig"),
        "floats": _score("plain/floats", "--reference", "plain/gt", to="floats", protocols=TWO),
        "alpha": _score("plain/alpha", "--reference", "plain/alpha_gt", "--background", "white", to="alpha"),
        "grey": _score("plain/grey", "--reference", "plain/grey_gt", "--grey-to-rgb", to="grey"),
        "3DGS": _score("3dgs/garden", to="3dgs", protocols=TWO),
        "3DGS, training views": _score("3dgs/garden/train/ours_30000", to="3dgs_train"),
        "NerfBaselines": _score("predictions-30000", to="predictions"),
        "zip": _score("predictions-7000.zip", to="zip"),
        "tar.gz": _score("predictions-100-train.tar.gz", "--data-masks", to="tar"),
        "gsplat": _score("gsplat/garden", to="gsplat"),
        "ns-eval": _score("nerfstudio/fox/renders", "--method", "nerfacto", to="nerfstudio"),
    },
    "masks and colours": {
        "hard": _score(*BOTH, "--masks", "plain/hard", to="hard", protocols=TWO),
        "soft": _score(*PLAIN, "--masks", "plain/soft", to="soft", protocols=TWO),
        "meanings": _score(
            *PLAIN, "--masks", "plain/hard", to="meanings", protocols=[f"{name}.yaml" for name in MASK_MEANINGS]
        ),
        "quadratic": _score(*PLAIN, "--colour-correct", "quadratic", to="quadratic"),
        "affine": _score(*BOTH, "--colour-correct", "affine", to="affine"),
    },
    "again": {
        "scored": _score(*BOTH, to="again"),
        "rescored": ["rescore", "res/again", "--protocol", "float.yaml", "--device", "cpu"],
        "audited": ["audit", *BOTH, "--protocol", *TWO, "--device", "cpu", "--output-dir", "res/audit"],
        "verified": ["verify", "res/again", "--views", "1"],
        "table": ["table", "res/again"],
        "exported for ns-eval": [
            "export",
            RECORD,
            "--as",
            "ns-eval",
            "--output=res/n",
        ],
        "exported for 3DGS": ["export", RECORD, "--as", "inria", "--output=res/i"],
        "exported again": ["export", RECORD, "--as", "inria", "--output=res/i"],
        "suite": ["suite", "whole.yaml", "--device", "cpu"],
        "suite, done already": [
            "suite",
            "whole.yaml",
            "--device",
            "cpu",
            "--format",
            "markdown",
            "--rows",
            "checkpoint",
        ],
        "suite that lacks a scene": ["suite", "lacking.yaml", "--device", "cpu"],
    },
    "tables": TABLES | {name: ["table", "records", *options] for name, options in MORE_TABLES.items()},
    "comparisons": {
        "two": ["compare", "records/garden/3dgs/30000", "records/garden/a_b*", "--format", "json", *FEW],
        "all": ["compare", "records", "--metrics", "psnr", "--runs", "mean", "--format", "json", *FEW],
        "per view": ["compare", "records/*/3dgs/30000", "records/*/a_b*", "--per-view", "--format", "json", *FEW],
        "same": ["check", "records/garden/3dgs", "--baseline", "records/garden/3dgs", "--format", "json", *FEW],
        "worse": ["check", "worse", "--baseline", "records/garden/3dgs", "--format", "json", *FEW],
        "tolerated": ["check", "worse", "--baseline", "records/garden/3dgs", "--tolerance", "psnr=1", *FEW],
        "gone": ["check", "records/garden/3dgs/7000", "--baseline", "records/garden/3dgs", *FEW],
        "curve": ["curve", "records", "--format", "json"],
    },
    "refusals": {
        "no command": [],
        "unknown command": ["scores"],
        "no reference": _score("plain/ours", to="x"),
        "no folder": _score("nowhere", "--reference", "plain/gt", to="x"),
        "views do not match": _score("plain/some", "--reference", "plain/gt", to="x"),
        "sizes do not match": _score("plain/half_size", "--reference", "plain/gt", to="x"),
        "alpha without background": _score("plain/alpha", "--reference", "plain/alpha_gt", to="x"),
        "grey": _score("plain/grey", "--reference", "plain/grey_gt", to="x"),
        "unknown protocol": _score(*PLAIN, to="x", protocols=["standart"]),
        "typo in a protocol": _score(*PLAIN, to="x", protocols=["typo.yaml"]),
        "too many methods": _score(*PLAIN, "--method", "a", "b", to="x"),
        "unknown background": _score(*PLAIN, "--background", "red", to="x"),
        "unknown memory": _score(*PLAIN, "--max-memory", "lots", to="x"),
        "no masks": _score(*PLAIN, "--masks", "nowhere", to="x"),
        "masks without a meaning": _score(*PLAIN, "--masks", "plain/hard", to="x", protocols=["inria-3dgs"]),
        "no record": ["table", "nowhere"],
        "file that is no record": ["table", "light.yaml"],
        "unknown metric": ["table", "records", "--metrics", "psrn"],
        "unknown format": ["table", "records", "--format", "xml"],
        "unknown benchmark": ["table", "records", "--suite", "mipnerf36"],
        "text in long form": ["table", "records", "--long"],
        "other scenes": ["compare", "records/garden/3dgs/30000", "records/room/3dgs/30000"],
        "no baseline": ["check", "records", "--baseline", "nowhere"],
        "no export": ["export", "nowhere.json", "--as", "inria"],
        "no run": ["run", "--load-config", "nowhere.yml"],
        "nothing to verify": ["verify", "nowhere"],
        "unknown protocol's words": ["protocols", "standart"],
        "suite without a file": ["suite", "nowhere.yaml"],
    },
    "lpips": {
        "named protocols": _score(*BOTH, to="named", protocols=["standard", "inria-3dgs", "gsplat", "multinerf"]),
        "fast": _score(*PLAIN, "--precision", "fast", to="fast", protocols=["inria-3dgs"]),
    },
}
# Commands that print prose or output that varies. Only their exit codes and files are compared.
PROSE = {"audited", "verified", "tolerated", "gone", *GROUPS["refusals"]}


# --- Answers ------------------------------------------------------------------------------------------------------


def write_inputs(root: Path) -> None:
    write_folders(root)
    write_yaml(root)
    write_records(root)


def answers(group: str, run: Runner, more: Sequence[str] = ()) -> dict[str, Any]:
    """Run the commands of a group in order, in the current folder with the inputs, and return their answers."""
    return {name: _answer(name, command, run, more) for name, command in GROUPS[group].items()}


def _answer(name: str, command: Sequence[str], run: Runner, more: Sequence[str]) -> dict[str, Any]:
    before = _files()
    arguments = [path for word in command for path in (_one_file(word) if "-*.json" in word else [word])]
    code, out = run([*arguments, *more])
    written = {path: content for path, content in _files().items() if before.get(path) != content}
    files = {path: _kept(json.loads(content)) for path, content in written.items() if path.endswith(".json")}
    answer: dict[str, Any] = {"code": code, "files": files, "others": sorted(set(written) - set(files))}
    if name not in PROSE:
        answer["out"] = _numbers(json.loads(out)) if command[0] in ("compare", "check", "curve") else out
    return answer


def _one_file(pattern: str) -> list[str]:
    return [str(path) for path in Path().glob(pattern)]


def _files() -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path("res").rglob("*")) if path.is_file()}


def _kept(value: Any) -> Any:
    """Return a summary of a record without its provenance. Other files are returned unchanged."""
    if not (isinstance(value, dict) and "schema_version" in value):
        return value
    identity = [value[name] for name in ("scene", "method", "run", "step", "split")]
    hashes = [value[name][:12] for name in ("views_sha256", "references_sha256")]
    fields = ("name", "width", "height", "coverage")
    return {
        "identity": identity,
        "protocol": [value["protocol"]["name"], value["protocol"]["fingerprint"]],
        "definition": _sha256(json.dumps(value["protocol"]["definition"]))[:12],
        "signatures": {name: metric["signature"] for name, metric in value["metrics"].items()},
        "hashes": [*hashes, *(row["reference_sha256"][:12] for row in value["views"])],
        "rows": [[*map(row.get, fields), *row["scores"].values()] for row in value["views"]],
        "means": value["means"],
        "fields": _sha256(" ".join([*sorted(value), *sorted({name for row in value["views"] for name in row})]))[:12],
    }


def _numbers(value: Any) -> Any:
    """Return a JSON value without sentences, which other tests check, and with numbers rounded to eight digits."""
    if isinstance(value, Mapping):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value if not isinstance(part, str) or " " not in part]
    if isinstance(value, str) and " " in value:
        return "..."
    return float(f"{value:.8g}") if isinstance(value, float) else value
