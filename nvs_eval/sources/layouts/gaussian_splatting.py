"""3D Gaussian splatting and its forks: render.py writes `<model>/<split>/ours_<step>`; mip-splatting adds scales."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from nvs_eval.errors import InputError, some
from nvs_eval.sources.layouts.layout import (
    Contents,
    IncompleteError,
    Layout,
    RenderFiles,
    has_images,
    last_part,
    matching,
    read_text,
)

_STEP = re.compile(r"ours_(.+)")
_SPLITS = ("test", "train")
_SOURCE = re.compile(r"""\bsource_path=('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
_SCALED = re.compile(r"(?:test_preds|gt)_(-?\d+)")


def steps_in(folder: Path) -> list[tuple[int | None, str | None, Path]]:
    """Return the `ours_*` folders in a folder as step, name of the step, and path: first those with a number."""
    steps: list[tuple[int | None, str | None, Path]] = [
        (int(match[1]), None, path) if match[1].isdecimal() else (None, match[1], path)
        for path, match in matching(folder, _STEP)
        if path.is_dir()
    ]
    return sorted(steps, key=lambda step: (step[0] is None, step[0] or 0))


def _pairs(step: Path) -> list[tuple[Path, Path, int]]:
    """Return the folders of renders and of references in an `ours_<step>` folder, with their scale.

    One of the two may be missing. mip-splatting and GOF write two for each scale; -1 and 1 are the data's own scale.
    """
    scales = sorted({(abs(int(match[1])), match[1]) for _, match in matching(step, _SCALED)})
    scaled = [(step / f"test_preds_{text}", step / f"gt_{text}", scale) for scale, text in scales]
    plain = (step / "renders").is_dir() or ((step / "gt").is_dir() and not scaled)
    return [(step / "renders", step / "gt", 1), *scaled] if plain else scaled


def _read(folder: Path, place: Path) -> Contents | None:
    """Read a model, one split, one `ours_<step>`, or one folder of renders in it. A model stands for its test views.

    Raises:
        InputError: a model has no renders of held-out views, or a step has several of one scale.
    """
    base = folder.resolve()
    step = next((path for path in (base, base.parent) if _STEP.fullmatch(path.name)), None)
    split = step.parent if step else base if steps_in(base) else base / "test"
    model = split.parent if split.name in _SPLITS else split

    def typed(path: Path) -> Path:
        return folder / path.relative_to(base) if path.is_relative_to(base) else path

    results: list[RenderFiles] = []
    empty: list[str] = []
    for number, name, path in steps_in(split):
        if step in (None, path):
            pairs = [pair for pair in _pairs(path) if step in (None, base) or pair[0] == base]
            _check_scales(pairs)
            empty += [] if pairs or step else [path.name]
            results += [
                RenderFiles(typed(renders), typed(references), number, _split_name(split), step_name=name, scale=scale)
                for renders, references, scale in pairs
            ]
    if not any(has_images(side) for files in results for side in (files.renders, files.references)):
        if results or base == model:
            _check_held_out(folder if base == model else model, results)
        return None
    passed = f"{typed(split)}: steps without renders are not read: {some(empty)}."
    return Contents(results, model if place == base else place, _scene(model), warnings=(passed,) if empty else ())


def _check_scales(pairs: Sequence[tuple[Path, Path, int]]) -> None:
    first: dict[int, Path] = {}
    for renders, _, scale in pairs:
        if scale in first:
            raise InputError(
                f"{renders.parent} has renders of one scale twice: {first[scale].name}/ and {renders.name}/. Name the "
                "one to score, or remove the other."
            )
        first[scale] = renders


def _check_held_out(model: Path, empty: Sequence[RenderFiles]) -> None:
    """Check that no view was held out of a model's training because of its options.

    Args:
        model: folder of the model.
        empty: steps whose folders have no images.

    Raises:
        IncompleteError: it has renders of training views only, or such folders.
    """
    training = [path for _, _, path in steps_in(model / "train")]
    rendered = [path.name for path in training if any(has_images(renders) for renders, _, _ in _pairs(path))]
    if rendered:
        raise IncompleteError(
            f"{model} has renders of training views only (train/{rendered[-1]}), because no view was held out. Train "
            f"with `train.py --eval`, or name {model / 'train'} to score the training views."
        )
    if empty:
        raise IncompleteError(
            f"{model} has empty folders of renders ({empty[-1].renders}), because no view was held out or rendering "
            "failed. Train with `train.py --eval`, and run `render.py` again."
        )


def _incomplete(folder: Path) -> str | None:
    if not (folder / "cfg_args").is_file() and not (folder / "point_cloud").is_dir():
        return None
    return f"{folder} is a trained model without renders. Run `render.py -m {folder}` first."


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
    "3D Gaussian splatting, mip-splatting and GOF",
    "ours_<step>/renders/ with gt/, or test_preds_<scale>/ with gt_<scale>/",
    _read,
    ("cfg_args",),
    _incomplete,
)
