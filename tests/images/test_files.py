from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image
from support.pngs import chunk, png_bytes

from nvs_eval.errors import InputError
from nvs_eval.images.files import Header, Reading, load_image, probe_image, save_npy, save_png
from nvs_eval.images.pixels import by_planes, quantise
from nvs_eval.system.files import write_whole

RANDOM = np.random.RandomState(0)
RGB8 = RANDOM.randint(0, 256, (5, 7, 3)).astype(np.uint8)
ALPHA8 = RANDOM.randint(0, 256, (5, 7, 1)).astype(np.uint8)
WHITE = Reading(background=(1.0, 1.0, 1.0))
GREY_OVER_BLACK = Reading(grey_to_rgb=True, background=(0.0, 0.0, 0.0))


def deep(channels: int) -> np.ndarray:
    values = RANDOM.randint(0, 65536, (5, 7, channels))
    values[0, :3] = [[0], [65535], [257]]
    return values


def float32(values: np.ndarray, largest: int) -> torch.Tensor:
    return torch.from_numpy((values.astype(np.float64) / largest).astype(np.float32))


@pytest.mark.parametrize("name", ["rgb.png", "rgba.png", "deep.png", "rgb.jpg", "rgb.npy"])
def test_channels_are_contiguous_after_reading(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    match name:
        case "deep.png":
            path.write_bytes(png_bytes(deep(3)))
        case "rgb.npy":
            np.save(path, RGB8.astype(np.float32) / 255)
        case _:
            iio.imwrite(path, np.concatenate([RGB8, ALPHA8], axis=-1) if "rgba" in name else RGB8)
    image = load_image(path, WHITE)
    assert image.shape == (5, 7, 3)
    assert by_planes(image).data_ptr() == image.data_ptr()


# --- PNG and JPEG -------------------------------------------------------------------------------------------------


def test_png_keeps_all_levels(tmp_path: Path) -> None:
    levels = torch.arange(256).repeat(3, 1).T.reshape(16, 16, 3) / 255
    save_png(tmp_path / "levels.png", levels)
    assert torch.equal(load_image(tmp_path / "levels.png"), levels)


def test_png_is_clamped_and_rounded(tmp_path: Path) -> None:
    image = torch.rand(6, 5, 3, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    save_png(tmp_path / "image.png", image)
    assert torch.equal(load_image(tmp_path / "image.png"), quantise(image.clamp(0, 1), "round"))


@pytest.mark.parametrize("name", ["deep.png", "misnamed.jpg"])
def test_16_bit_png_is_read_exactly(name: str, tmp_path: Path) -> None:
    values = deep(3)
    (tmp_path / name).write_bytes(png_bytes(values))
    assert torch.equal(load_image(tmp_path / name), float32(values, 65535))
    # imageio silently reads the same file as 8 bits.
    assert iio.imread(tmp_path / name).dtype == np.uint8


def test_16_bit_png_with_alpha_and_in_grey(tmp_path: Path) -> None:
    values = deep(4)
    (tmp_path / "rgba.png").write_bytes(png_bytes(values))
    image, alpha = float32(values[..., :3], 65535), float32(values[..., 3:], 65535)
    assert torch.equal(load_image(tmp_path / "rgba.png", WHITE), image * alpha + (1 - alpha))
    grey = deep(1)
    (tmp_path / "grey.png").write_bytes(png_bytes(grey))
    assert torch.equal(load_image(tmp_path / "grey.png", GREY_OVER_BLACK), float32(grey, 65535).expand(-1, -1, 3))


def test_jpeg_is_not_rotated_by_its_exif(tmp_path: Path) -> None:
    plain, rotated = tmp_path / "plain.jpg", tmp_path / "rotated.jpg"
    exif = Image.Exif()
    exif[0x112] = 6  # Rotated by 90 degrees for display.
    Image.fromarray(RGB8).save(plain)
    Image.fromarray(RGB8).save(rotated, exif=exif)
    assert load_image(rotated).shape == (5, 7, 3)
    assert torch.equal(load_image(rotated), load_image(plain))
    assert probe_image(rotated).size == (7, 5)


def test_palette_is_looked_up(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB8).quantize(6)
    palette.save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as saved:
        assert saved.mode == "P"
    assert torch.equal(load_image(tmp_path / "palette.png"), float32(np.asarray(palette.convert("RGB")), 255))


# --- Instructions -------------------------------------------------------------------------------------------------


def test_alpha_needs_an_instruction(tmp_path: Path) -> None:
    path = tmp_path / "rgba.png"
    Image.fromarray(np.concatenate([RGB8, ALPHA8], axis=-1)).save(path)
    image, alpha = float32(RGB8, 255), float32(ALPHA8, 255)
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=r"rgba\.png has an alpha channel.* `--background white`"):
            read(path)
        with pytest.raises(InputError, match=r"rgba\.png has an alpha channel, which the protocol does not allow"):
            read(path, Reading(alpha="error", background=(1.0, 1.0, 1.0)))
    colour = (0.25, 0.5, 1.0)
    expected = image * alpha + torch.tensor(colour) * (1 - alpha)
    assert torch.equal(load_image(path, Reading(background=colour)), expected)
    assert torch.equal(load_image(path, Reading(alpha="drop")), image)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_an_alpha_channel(depth: int, tmp_path: Path) -> None:
    path, values = tmp_path / "key.png", deep(3) // (1 if depth == 16 else 257)
    colour = struct.pack(">HHH", *values[2, 3])
    path.write_bytes(png_bytes(values, depth=depth, before_pixels=chunk(b"tRNS", colour)))
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=r"key\.png has an alpha channel"):
            read(path)
    expected = float32(values, 2**depth - 1)
    expected[2, 3] = 1
    assert torch.equal(load_image(path, WHITE), expected)


def test_a_palette_with_alpha_is_looked_up(tmp_path: Path) -> None:
    path, palette = tmp_path / "palette.png", Image.fromarray(RGB8).quantize(4)
    palette.save(path, transparency=bytes([0, 128, 255, 255]))
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=r"palette\.png has an alpha channel"):
            read(path)
    alpha = float32(np.array([0, 128, 255, 255])[np.asarray(palette)][..., None], 255)
    colours = float32(np.asarray(palette.convert("RGB")), 255)
    assert torch.equal(load_image(path, WHITE), colours * alpha + (1 - alpha))


def test_grey_needs_an_instruction(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(RGB8[..., 0]).save(path)
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=r"grey\.png must be RGB\. Got a grey image\. .*`--grey-to-rgb`"):
            read(path)
    assert torch.equal(load_image(path, Reading(grey_to_rgb=True)), float32(RGB8[..., :1], 255).expand(-1, -1, 3))


def test_grey_with_alpha_needs_both(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.concatenate([RGB8[..., :1], ALPHA8], axis=-1)).save(path)
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=r"Got a grey image"):
            read(path, WHITE)
        with pytest.raises(InputError, match=r"has an alpha channel"):
            read(path, Reading(grey_to_rgb=True))
    grey, alpha = float32(RGB8[..., :1], 255), float32(ALPHA8, 255)
    assert torch.equal(load_image(path, GREY_OVER_BLACK), (grey * alpha).expand(-1, -1, 3))


# --- Refusals -----------------------------------------------------------------------------------------------------


def save_cmyk(path: Path) -> None:
    Image.new("CMYK", (7, 5)).save(path)


@pytest.mark.parametrize("read", [load_image, probe_image])
def test_cmyk_is_refused(read: Any, tmp_path: Path) -> None:
    save_cmyk(tmp_path / "cmyk.jpg")
    with pytest.raises(InputError, match=r"cmyk\.jpg must be RGB .* Got CMYK"):
        read(tmp_path / "cmyk.jpg", GREY_OVER_BLACK)


def test_a_one_bit_png_is_a_grey_image(tmp_path: Path) -> None:
    bits = RGB8[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    with pytest.raises(InputError, match="Got a grey image"):
        load_image(tmp_path / "bits.png")
    expected = float32(bits[..., None], 1).expand(-1, -1, 3)
    assert torch.equal(load_image(tmp_path / "bits.png", GREY_OVER_BLACK), expected)
    assert probe_image(tmp_path / "bits.png", GREY_OVER_BLACK).size == bits.shape[::-1]


@pytest.mark.parametrize("name", ["empty.png", "empty.jpg", "empty.npy", "empty.exr"])
def test_empty_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"{name} cannot be read as an image: it is empty\."):
        load_image(tmp_path / name)


@pytest.mark.parametrize("name", ["image.png", "deep.png", "image.jpg", "image.npy"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_file_is_named(name: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / name
    image = RANDOM.randint(0, 256, (40, 40, 3)).astype(np.uint8)
    if name == "deep.png":
        path.write_bytes(png_bytes(257 * image.astype(np.uint16)))
    elif name == "image.npy":
        np.save(path, image / np.float32(255))
    else:
        Image.fromarray(image).save(path)
    load_image(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=rf"{name} cannot be read as an image: ."):
        load_image(path)


def test_missing_files_folders_and_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"none\.png cannot be read as an image: No such file or directory"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"folder\.png cannot be read as an image: Is a directory"):
        load_image(tmp_path / "folder.png")
    (tmp_path / "x.png").write_bytes(b"Not an image")
    with pytest.raises(
        InputError, match=r"x\.png must be an image \(PNG, JPEG, .*, PPM, PFM, HDR\)\. Its content is none of them"
    ):
        load_image(tmp_path / "x.png")


# --- NPY ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy_floats_are_read_unchanged(dtype: type, tmp_path: Path) -> None:
    values = RANDOM.rand(5, 7, 3).astype(dtype) * 2 - dtype(0.5)
    np.save(tmp_path / "image.npy", values)
    assert torch.equal(load_image(tmp_path / "image.npy"), torch.from_numpy(values.astype(np.float32)))
    np.save(tmp_path / "turned.npy", np.asfortranarray(values))
    assert torch.equal(load_image(tmp_path / "turned.npy"), torch.from_numpy(values.astype(np.float32)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (RGB8, r"must contain floats in \[0, 1\]\. Got uint8"),
        (np.zeros((3, 5, 7), np.float32), r"must have shape \[height, width, 3\]\. Got \[3, 5, 7\]"),
        (np.zeros((5, 7), np.float32), r"must have shape \[height, width, 3\]\. Got \[5, 7\]"),
        (np.array([{}], dtype=object), r"cannot be read as an image: .*"),
    ],
)
def test_npy_of_another_type_or_shape_is_refused(values: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", values, allow_pickle=True)
    for read in (load_image, probe_image):
        with pytest.raises(InputError, match=rf"image\.npy {message}"):
            read(tmp_path / "image.npy")


def test_saved_npy_is_the_image(tmp_path: Path) -> None:
    image = torch.rand(7, 5, 3).permute(1, 0, 2) * 3 - 1
    save_npy(tmp_path / "deep" / "er" / "image.npy", image.requires_grad_())
    assert torch.equal(load_image(tmp_path / "deep" / "er" / "image.npy"), image)


# --- Probing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "reading", [Reading(), WHITE, Reading(grey_to_rgb=True), GREY_OVER_BLACK, Reading(alpha="drop")]
)
def test_probing_agrees_with_loading(depth: int, channels: int, reading: Reading, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png_bytes(deep(channels) if depth == 16 else deep(channels) // 257, depth=depth))
    results = []
    for read in (probe_image, load_image):
        try:
            results.append(read(path, reading))
        except InputError as error:
            results.append(str(error))
    probed, loaded = results
    assert probed == (loaded if isinstance(loaded, str) else Header((loaded.shape[1], loaded.shape[0])))


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.jpeg", "image.npy", "IMAGE.PNG"])
def test_probing_gives_width_and_height(name: str, tmp_path: Path) -> None:
    if name.endswith("npy"):
        np.save(tmp_path / name, RGB8 / np.float32(255))
    else:
        Image.fromarray(RGB8).save(tmp_path / name)
    assert probe_image(tmp_path / name).size == (7, 5)
    assert load_image(tmp_path / name).shape == (5, 7, 3)


# --- Writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("in the encoder")])
def test_failing_write_leaves_the_old_file_and_nothing_else(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    save_png(path, torch.zeros(4, 5, 3))

    def fail(_: Image.Image, file: Any, **__: object) -> None:
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(InputError if isinstance(error, OSError) else ValueError) as caught:
        save_png(path, torch.ones(4, 5, 3))
    assert isinstance(error, ValueError) or "image.png cannot be written" in str(caught.value)
    assert torch.equal(load_image(path), torch.zeros(4, 5, 3))
    assert [file.name for file in tmp_path.iterdir()] == ["image.png"]


def test_a_file_does_not_exist_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    existed = []
    write_whole(path, lambda file: existed.append(path.exists()) or file.write(b"whole"))
    assert existed == [False]
    assert path.read_bytes() == b"whole"


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"image\.png cannot be written: "):
        save_png(tmp_path / "file" / "image.png", torch.zeros(4, 5, 3))
