"""Hostile data of a nerfstudio run, given to `nvs-eval inspect` and `nvs-eval run`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from support.commands import Said
from support.hostile import Case

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from support.tiny_run import INSPECT, RUN, write_run

from nvs_eval_nerfstudio import source
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()

from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig  # noqa: E402


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    source._built.clear()


def transforms(change: Callable[[dict[str, Any]], object]) -> Callable[[], None]:
    """Change the description of the data."""

    def make() -> None:
        write_run()
        path = Path("scene", "transforms.json")
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return make


def frames(**values: Any) -> Callable[[], None]:
    return transforms(lambda content: [entry.update(values) for entry in content["frames"]])


def special(path: str, create: Callable[[str], object]) -> Callable[[], None]:
    """Put a pipe or a device in the place of a file."""

    def write() -> None:
        write_run()
        Path(path).unlink(missing_ok=True)
        create(path)

    return write


def zeros(path: str) -> None:
    os.symlink("/dev/zero", path)


def frame(create: Callable[[str], object]) -> Callable[[], None]:
    """Name a pipe or a device as the image of every frame."""

    def write() -> None:
        frames(file_path="special.png")()
        create("scene/special.png")

    return write


def data(content: str) -> Callable[[], None]:
    def write() -> None:
        write_run()
        Path("scene/transforms.json").write_text(content)

    return write


def sized(**size: Any) -> Callable[[], None]:
    return transforms(lambda content: content.update(size))


def picture(mode: str) -> Callable[[], None]:
    """Store the images of all views in a mode of Pillow."""

    def write() -> None:
        write_run()
        for path in Path("scene", "images").iterdir():
            with PIL.Image.open(path) as image:
                size = image.size
            PIL.Image.new(mode, size).save(path)

    return write


def blender(content: bytes) -> Callable[[], None]:
    """Put bytes in the place of the first image of data in the format of Blender."""

    def write() -> None:
        write_run(
            lambda run: setattr(run.pipeline.datamanager, "dataparser", BlenderDataParserConfig(data=Path("scene")))
        )
        for split in ("train", "val", "test"):
            entries = [{"file_path": "./x", "transform_matrix": [[1.0] * 4] * 4}]
            Path("scene", f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 1, "frames": entries}))
        Path("scene", "x.png").write_bytes(content)

    return write


NAN = float("nan")
SIZE = r"Cameras in scene must have 1 to 65535 pixels per side\. Got {} for "
CASES: dict[str, tuple[Callable[[], None], str]] = {
    "data without frames": (transforms(lambda content: content.pop("frames")), r"cannot be parsed \(KeyError: [^`]*$"),
    "poses of texts": (frames(transform_matrix="x"), r"cannot be (read|parsed)"),
    "poses without rows": (frames(transform_matrix=[]), r"cannot be (read|parsed)"),
    "a size that is a text": (transforms(lambda content: content.update(w="x")), r"cannot be (read|parsed)"),
    "data that is a pipe": (special("scene/transforms.json", os.mkfifo), r"transforms\.json, which is a pipe"),
    "data that is a device": (special("scene/transforms.json", zeros), r"transforms\.json, which is a pipe, a device"),
    "an image that is a pipe": (frame(os.mkfifo), r"special\.png.*(pipe|regular file)"),
    "an image that is a device": (frame(zeros), r"special\.png.*(pipe|regular file)"),
    "data that is a list": (data("[1]"), r"cannot be parsed \(AttributeError: [^`]*$"),
    "data that is null": (data("null"), r"cannot be parsed \(TypeError: [^`]*$"),
    "images elsewhere": (frames(file_path="../../../../etc/passwd"), r"."),
    "a camera of no kind": (transforms(lambda content: content.update(camera_model="X")), r"cannot be (read|parsed)"),
    "an endless camera": (sized(w=10**7), SIZE.format(r"10000000x\d+")),
    "a negative camera": (sized(h=-4), SIZE.format(r"\d+x-4")),
    "a pose of no numbers": (frames(transform_matrix=[[NAN] * 4] * 4), "must have finite poses. Got nan"),
    "no focal length": (transforms(lambda content: content.update(fl_x=0)), "finite focal lengths above 0. Got 0x"),
    "a playlist": (blender(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\nhttp://127.0.0.1:9/x.ts\n"), "must be an image"),
    "a palette": (picture("P"), "must be a grey, RGB or RGBA image of 8 bits.*Got a palette"),
    "16 bits": (picture("I;16"), r"must be a grey, RGB or RGBA image of 8 bits.*Got I;16 \(more than 8 bits\)"),
    "a camera without pixels": (sized(w=0), SIZE.format(r"0x\d+")),
}  # fmt: skip


@pytest.mark.parametrize(("name", "command"), [(name, (INSPECT, RUN)[index % 2]) for index, name in enumerate(CASES)])
def test_hostile_data(name: str, command: list[str], meets: Callable[[Case], Said]) -> None:
    make, message = CASES[name]

    def write() -> list[str]:
        make()
        return command

    meets(Case(write, message))


@pytest.mark.parametrize("command", [INSPECT, RUN], ids=["inspect", "run"])
@pytest.mark.parametrize("create", [os.mkfifo, zeros])
def test_depths_of_trusted_data_are_files(
    create: Callable[[str], object], command: list[str], meets: Callable[[Case], Said]
) -> None:
    def make() -> list[str]:
        frames(depth_file_path="depth.png")()
        create("scene/depth.png")
        return [*command, "--trust"]

    meets(Case(make, r"depth\.png must be a regular file"))
