"""3D Gaussian splatting and its forks: render.py writes `<model>/<split>/ours_<step>`; mip-splatting adds scales."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.images.formats import EXTENSIONS
from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, last_part, matching, read_text

_STEP = re.compile(r"ours_(.+)")
_SPLITS = ("test", "train")
_SOURCE = re.compile(r"""\bsource_path=('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
_SCALED = re.compile(r"test_preds_(-?\d+)")

Pairs = Callable[[Path], list[tuple[Path, Path, int]]]
"""Function that returns the folders of renders and of references in an `ours_<step>` folder, with their scale."""


def steps_in(folder: Path) -> list[tuple[int | None, str | None, Path]]:
    """Return the `ours_*` folders in a folder as step, name of the step, and path: first those with a number."""
    steps: list[tuple[int | None, str | None, Path]] = [
        (int(match[1]), None, path) if match[1].isdecimal() else (None, match[1], path)
        for path, match in matching(folder, _STEP)
        if path.is_dir()
    ]
    return sorted(steps, key=lambda step: (step[0] is None, step[0] or 0))


def _pairs(step: Path) -> list[tuple[Path, Path, int]]:
    return [(step / "renders", step / "gt", 1)] if (step / "renders").is_dir() else []


def _scaled_pairs(step: Path) -> list[tuple[Path, Path, int]]:
    """Return the pairs of mip-splatting and GOF. The scales -1 and 1 are the data's own."""
    scales = sorted((abs(int(match[1])), match[1], path) for path, match in matching(step, _SCALED))
    return [(path, step / f"gt_{text}", scale) for scale, text, path in scales]


def _read(folder: Path, place: Path, *, pairs: Pairs) -> Contents | None:
    """Read a model, one split, one `ours_<step>`, or one folder of renders in it. A model stands for its test views.

    Raises:
        InputError: a model has no renders of held-out views.
    """
    base = folder.resolve()
    step = next((path for path in (base, base.parent) if _STEP.fullmatch(path.name)), None)
    split = step.parent if step else base if steps_in(base) else base / "test"
    model = split.parent if split.name in _SPLITS else split

    def typed(path: Path) -> Path:
        return folder / path.relative_to(base) if path.is_relative_to(base) else path

    results = [
        RenderFiles(typed(renders), typed(references), number, _split_name(split), step_name=name, scale=scale)
        for number, name, path in steps_in(split)
        if step in (None, path)
        for renders, references, scale in pairs(path)
        if step in (None, base) or renders == base
    ]
    if not results:
        _check_rendered(folder, pairs)
        return None
    return Contents(results, model if place == base else place, _scene(model))


def _check_rendered(model: Path, pairs: Pairs) -> None:
    """Check that a folder is no model whose held-out views are not rendered.

    Raises:
        InputError: it is.
    """
    training = [path.name for _, _, path in steps_in(model / "train") if pairs(path)]
    if training:
        raise InputError(
            f"{model} has renders of training views only (train/{training[-1]}), because no view was held out. Train "
            f"with `train.py --eval`, or name {model / 'train'} to score the training views."
        )
    if (model / "cfg_args").is_file() and not any(path.suffix.lower() in EXTENSIONS for path in model.rglob("*.*")):
        raise InputError(f"{model} is a trained model without renders. Run `render.py -m {model}` first.")


def _split_name(split: Path) -> str:
    return split.name if split.name in _SPLITS else "test"


def _scene(model: Path) -> str | None:
    """Return the name of the training data that `cfg_args` records. The value is read as a literal, never run."""
    literal = _SOURCE.search(read_text(model / "cfg_args"))
    try:
        return last_part(ast.literal_eval(literal[1])) if literal else None
    except (SyntaxError, ValueError):
        return None


GAUSSIAN_SPLATTING = Layout(
    "3D Gaussian splatting", "ours_<step>/renders/ with gt/", partial(_read, pairs=_pairs), ("cfg_args",)
)
MIP_SPLATTING = Layout(
    "mip-splatting and GOF",
    "test_preds_<scale>/ with gt_<scale>/",
    partial(_read, pairs=_scaled_pairs),
    ("cfg_args",),
)
