"""The data of a model: found beside it, at the place that it names, or where the user says."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nvs_eval.errors import InputError, some
from nvs_eval_splat.cameras import colmap, splits, transforms
from nvs_eval_splat.cameras.camera import Photograph
from nvs_eval_splat.cameras.json_files import read_json
from nvs_eval_splat.cameras.scene import IMAGES, Scene
from nvs_eval_splat.models.model import Model

_CAMERAS, _TRANSFORMS = "cameras.json", "transforms.json"
_BLENDER = {split: f"transforms_{split}.json" for split in ("train", "test", "val")}
_SUFFIXES = (".png", ".PNG", ".jpg", ".JPG", ".jpeg")


def open_scene(model: Model, *, data: Path | None, hold: int | None, images: str | None) -> Scene:
    """Return the data of a model.

    Args:
        model: the model.
        data: folder of the data (default: the one that the model names).
        hold: every how many photographs one is held out (default: the rule of the tool).
        images: folder of images below the data (default: that of the tool).

    Raises:
        InputError: there is no data, or its cameras cannot be read or are no undistorted pinholes.
    """
    if images is not None and (os.path.isabs(images) or ".." in Path(images).parts):
        raise InputError(f"--images must be a folder below that of the data, such as images_4. Got {images}.")
    place = data or model.training.data
    if place is None or not place.exists():
        raise _no_data(model, data)
    if place.is_file():
        return _nerfstudio(model, place, hold, images)
    openers: list[Callable[[], Scene | None]] = [
        lambda: _colmap(model, place, hold, images),
        lambda: _blender(model, place, hold),
        lambda: _nerfstudio(model, place / _TRANSFORMS, hold, images) if (place / _TRANSFORMS).is_file() else None,
        lambda: _listed(model, place, hold, images),
    ]
    if model.tool == "ply" and model.training.normalised:  # nerfstudio trains on transforms.json if it exists.
        openers.insert(0, openers.pop(2))
    for opener in openers:
        if (scene := opener()) is not None:
            return scene
    raise InputError(
        f"{place} has no cameras: neither {colmap.PLACES[0]} of COLMAP nor transforms.json, transforms_train.json or "
        "the model's cameras.json. Pass the folder of the scene with `--data`."
    )


def _no_data(model: Model, data: Path | None) -> InputError:
    if data is not None:
        return InputError(f"--data must be the folder of the scene, with images and cameras. {data} does not exist.")
    if model.training.data is not None:
        return InputError(f"The data of {model.path} is not at {model.training.data}. Pass its folder with `--data`.")
    return InputError(
        f"{model.path} does not say what it was trained on. Pass the folder of the scene with `--data`: images and "
        "the cameras of COLMAP (sparse/0), or transforms.json."
    )


def _colmap(model: Model, data: Path, hold: int | None, images: str | None) -> Scene | None:
    if (folder := colmap.model_folder(data)) is None:
        return None
    name = images or _image_folder(model, data)
    photographs = [_existing(one, data / name) for one in colmap.read_photographs(folder, data / name)]
    rule = splits.of_interval(hold, model.training.hold, folder)
    return Scene(data, "colmap", rule.split(photographs, [p.name for p in photographs]), rule, model, name, folder)


def _image_folder(model: Model, data: Path) -> str:
    """Return the name of the folder of images that a tool reads."""
    factor = model.training.factor if model.tool == "gsplat" else None
    if factor is not None and factor > 1:
        # gsplat resizes JPEGs itself, into this folder.
        own = f"{IMAGES}_{factor}_png"
        return own if (data / own).is_dir() else f"{IMAGES}_{factor}"
    return model.training.images or IMAGES


def _existing(one: Photograph, images: Path) -> Photograph:
    """Return a photograph with the file that exists: also without the folders of its name, or with another suffix."""
    if one.file.is_file():
        return one
    flat = images / Path(one.name).name
    others = [flat, *(file.with_suffix(suffix) for file in (one.file, flat) for suffix in _SUFFIXES)]
    return replace(one, file=next((other for other in others if other.is_file()), one.file))


def _blender(model: Model, data: Path, hold: int | None) -> Scene | None:
    files = {split: data / name for split, name in _BLENDER.items() if (data / name).is_file()}
    if "train" not in files and "test" not in files:
        return None
    if hold is not None:
        raise InputError(f"--hold is for data without splits. {data} has {some(_BLENDER[split] for split in files)}.")
    photographs = {split: transforms.read_transforms(path) for split, path in files.items()}
    trained_on = model.training.hold == 0
    words = f"files: {' and '.join(path.name for path in files.values())} name the views"
    if trained_on:
        words += "; the model was trained on all of them (eval=False)"
    return Scene(data, "blender", photographs, splits.Rule(lambda place, name: False, words, trained_on), model)


def _nerfstudio(model: Model, file: Path, hold: int | None, images: str | None) -> Scene:
    photographs = transforms.read_transforms(file, images=images)
    photographs.sort(key=lambda one: one.file)
    content = read_json(file, dict)
    names = [one.name for one in photographs]
    rule = splits.of_transforms(file, content, names, hold)
    applied = transforms.applied_transform(file, content)
    by_split = rule.split(photographs, names)
    return Scene(file.parent, "nerfstudio", by_split, rule, model, images or IMAGES, applied=applied)


def _listed(model: Model, data: Path, hold: int | None, images: str | None) -> Scene | None:
    """Return the data of a model whose cameras.json is all there is, with the images in a folder."""
    folder = model.path if model.path.is_dir() else model.path.parent
    if not (file := folder / _CAMERAS).is_file():
        return None
    name = images or model.training.images or (IMAGES if (data / IMAGES).is_dir() else ".")
    photographs = transforms.read_cameras_json(file, data / name)
    rule = splits.of_interval(hold, model.training.hold, None)
    return Scene(data, "cameras.json", rule.split(photographs, [p.name for p in photographs]), rule, model, name)
