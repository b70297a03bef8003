"""The data of a model: its photographs by split, the sizes of their references, and the frame of the world."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from nvs_eval.errors import InputError, counted, some
from nvs_eval_splat.cameras import colmap, resolution, splits
from nvs_eval_splat.cameras.camera import Matrix, Photograph
from nvs_eval_splat.cameras.frames import DATA_FRAME, TRANSFORMS, Frame, gsplat_frames, nerfstudio_frame
from nvs_eval_splat.cameras.resolution import Reference, Size
from nvs_eval_splat.models.model import Model
from nvs_eval_splat.pinhole import Pinhole

Kind = Literal["colmap", "blender", "nerfstudio", "cameras.json"]
IMAGES = "images"
_ABOVE = 4
"""Number of folders above a PLY file in which nerfstudio's transformation is searched for."""


@dataclass(frozen=True)
class Shot:
    """A photograph of the evaluated split.

    Attributes:
        name: name of the view.
        photograph: the photograph.
        reference: its image, as the tool prepares it.
        scale: factors of the focal lengths along both axes; None for those of the size.
    """

    name: str
    photograph: Photograph
    reference: Reference
    scale: tuple[float, float] | None = None

    def pinhole(self, frame: Frame) -> Pinhole:
        """Return the camera in a frame of the world.

        Raises:
            InputError: its pose or a number is damaged.
        """
        photograph = self.photograph
        return photograph.pinhole(self.reference.size, frame.moved(photograph.camera_to_world), self.scale)


@dataclass(frozen=True)
class Scene:
    """The data of a model.

    Attributes:
        data: folder of the data.
        kind: kind of the files of cameras.
        photographs: photographs of each split, in the order of the data.
        rule: rule by which photographs are held out.
        model: the model.
        images: folder of images, in words.
        sparse: folder of the sparse model of COLMAP, or None.
        applied: transformation from the original data to these poses, [4, 4].
    """

    data: Path
    kind: Kind
    photographs: Mapping[str, Sequence[Photograph]]
    rule: splits.Rule
    model: Model
    images: str = IMAGES
    sparse: Path | None = None
    applied: Matrix = field(default_factory=lambda: DATA_FRAME.matrix)

    def shots(self, split: str, background: tuple[float, float, float]) -> list[Shot]:
        """Return the photographs of a split whose images exist, ready to be rendered and read.

        Args:
            split: name of the split.
            background: colour behind transparent pixels.

        Raises:
            InputError: the split has no views, or an image is missing or is no image of its camera.
        """
        photographs = self.photographs.get(split, ())
        if not photographs:
            raise self._no_views(split)
        if missing := [str(one.file) for one in photographs if not one.file.is_file()]:
            raise InputError(
                f"{counted(len(missing), 'image')} of {len(photographs)} {split} views cannot be found: "
                f"{some(missing, 2, whole=True)}. Pass the folder of the data with `--data`, and that of its images "
                "with `--images`."
            )
        return [self._shot(name, one, background) for name, one in zip(_names(photographs), photographs, strict=True)]

    def some_training(self, count: int, background: tuple[float, float, float]) -> list[Shot]:
        """Return some training views whose images exist, evenly spaced; none if there are none."""
        usable = [one for one in self.photographs.get("train", ()) if one.file.is_file()]
        places = sorted(
            {round(place * (len(usable) - 1) / max(1, count - 1)) for place in range(count)} if usable else ()
        )
        return [self._shot(usable[place].name, usable[place], background) for place in places]

    def _no_views(self, split: str) -> InputError:
        have = [f"{name} ({counted(len(own), 'view')})" for name, own in self.photographs.items() if own]
        advice = "Pass `--hold 8` or `--split train`" if split == "test" else "Use another `--split`"
        return InputError(
            f"The data at {self.data} has no {split} views. Its splits: {', '.join(have) or 'none'}. Rule: "
            f"{self.rule.words}. {advice}."
        )

    # --- Sizes ---

    def _shot(self, name: str, one: Photograph, background: tuple[float, float, float]) -> Shot:
        stored = resolution.stored_size(one.file)
        if one.size is not None:
            resolution.check_shape(one.file, stored, one.size)
        size = stored if self._resolution is None else resolution.inria_size(stored, self._resolution)
        truncate = self.kind == "blender" and self.model.tool == "3dgs"
        return Shot(name, one, Reference(one.file, stored, size, background, truncate), self._scale(one))

    @property
    def _resolution(self) -> int | None:
        """INRIA's `-r`, or None for a tool that reads images as they are."""
        given = self.model.training.resolution
        return (-1 if given is None else given) if self.model.tool == "3dgs" else None

    @property
    def sizing(self) -> str:
        """The rule of the size of references, in words."""
        if self._resolution is None:
            return f"the images of {self.images}/ as they are"
        if self._resolution == -1:
            return "images wider than 1600 pixels are reduced to this width (-r -1)"
        return f"images are resized by -r {self._resolution}"

    def _scale(self, one: Photograph) -> tuple[float, float] | None:
        """Return gsplat's factors: those of the first image of all, with sizes rounded down before."""
        if self.model.tool != "gsplat" or self._first is None or one.size is None:
            return None
        (photograph, stored), factor = self._first, max(1, self.model.training.factor or 1)
        assert photograph.size is not None
        width, height = (max(1, side // factor) for side in photograph.size)
        return stored[0] / width / factor, stored[1] / height / factor

    @cached_property
    def _first(self) -> tuple[Photograph, Size] | None:
        everything = sorted((one for own in self.photographs.values() for one in own), key=lambda one: one.name)
        first = next((one for one in everything if one.file.is_file()), None)
        if first is None or first.size is None:
            return None
        return first, resolution.stored_size(first.file)

    # --- Frames ---

    def frames(self, choice: str) -> list[Frame]:
        """Return the frames that the model may be in; the first is the likeliest.

        Args:
            choice: `auto`, `data`, `gsplat`, or the path of nerfstudio's `dataparser_transforms.json`.

        Raises:
            InputError: the frame cannot be read or computed.
        """
        if choice == "data":
            return [DATA_FRAME]
        if choice == "gsplat":
            return self.gsplat_frames()
        if choice != "auto":
            return [nerfstudio_frame(Path(choice), self.applied)]
        if self.model.tool == "gsplat" and self.model.training.normalised is not False:
            return self.gsplat_frames()
        beside = None if self.model.tool != "ply" else _beside(self.model.path)
        return [DATA_FRAME if beside is None else nerfstudio_frame(beside, self.applied)]

    def gsplat_frames(self) -> list[Frame]:
        """Return the frames that gsplat's trainer may have computed.

        Raises:
            InputError: the data has no points.
        """
        if self.sparse is None:
            raise InputError(
                f"gsplat's frame is computed from a sparse model of COLMAP, which {self.data} does not have. Pass the "
                "data of the training with `--data`, or `--frame data` if it was not normalised."
            )
        everything = sorted((one for own in self.photographs.values() for one in own), key=lambda one: one.name)
        return gsplat_frames([one.camera_to_world for one in everything], colmap.read_points(self.sparse))


def _beside(ply: Path) -> Path | None:
    """Return nerfstudio's transformation in the folder of a PLY file or a few above it, or None."""
    folders = ply.resolve().parents[:_ABOVE]
    return next((folder / TRANSFORMS for folder in folders if (folder / TRANSFORMS).is_file()), None)


def _names(photographs: Sequence[Photograph]) -> list[str]:
    """Return the names of views: paths below their common folder, without suffix if they differ without it."""
    files = [Path(os.path.abspath(one.file)) for one in photographs]
    common = Path(os.path.commonpath([file.parent for file in files]))
    names = [file.relative_to(common) for file in files]
    short = [name.with_suffix("").as_posix() for name in names]
    return short if len(set(short)) == len(short) else [name.as_posix() for name in names]
