from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.profiles import exif_data, icc_profile

from nvs_eval.images.stored import Tags
from nvs_eval.images.tags import UPRIGHT_SRGB, Judgement, judge

SRGB_XY = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
P3_XY = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def gama(value: int) -> dict[bytes, bytes]:
    return {b"gAMA": struct.pack(">I", value)}


def chrm(xy: tuple[float, ...]) -> dict[bytes, bytes]:
    return {b"cHRM": struct.pack(">8I", *(round(100000 * value) for value in xy))}


def iccp(profile: bytes) -> dict[bytes, bytes]:
    return {b"iCCP": b"name\0\0" + zlib.compress(profile)}


# --- Orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read(orientation: int, prefix: bytes, order: str) -> None:
    exif = exif_data(orientation, order=order)
    assert judge(Tags(exif=prefix + exif)) == Judgement(orientation)
    with_pillow = Image.Exif()
    with_pillow.load(exif)
    assert with_pillow[0x112] == orientation


def test_orientation_as_pillow_writes_it() -> None:
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Maker of a camera", 6
    assert judge(Tags(exif=exif.tobytes())).orientation == 6


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(1, "B"), (3, "H"), (4, "I"), (9, "i")])
def test_orientation_is_read_as_any_integer(kind: int, code: str, order: str) -> None:
    value = struct.pack(f"{order}{code}", 6).ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    exif = start + struct.pack(f"{order}IHHHI4sI", 8, 1, 0x112, kind, 1, value, 0)
    assert judge(Tags(exif=exif)) == Judgement(6)
    if kind != 1:  # Pillow returns these as bytes.
        with_pillow = Image.Exif()
        with_pillow.load(exif)
        assert with_pillow[0x112] == 6


def test_an_orientation_that_is_no_integer_is_damaged() -> None:
    exif = b"MM\0*" + struct.pack(">IHHHI4sI", 8, 1, 0x112, 2, 1, b"6\0\0\0", 0)
    assert judge(Tags(exif=exif)) == Judgement(unreadable="EXIF data")


@pytest.mark.parametrize("orientation", [None, 0, 9, 65535])
def test_undefined_orientations_count_as_upright(orientation: int | None) -> None:
    assert judge(Tags(exif=exif_data(orientation))) == UPRIGHT_SRGB


@pytest.mark.parametrize("exif", [b"junk", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x05\0\0"])
def test_damaged_exif_counts_as_none(exif: bytes) -> None:
    assert judge(Tags(exif=exif)) == Judgement(unreadable="EXIF data")


# --- ICC profiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),  # Version 4 with a parametric curve.
        icc_profile("sRGB IEC61966-2.1"),
        icc_profile("c2ci", points=42),
        icc_profile("Linear space of sRGB with gamma 2.2", curve=2.2),
        icc_profile("Grey of sRGB", space=b"GRAY"),
        icc_profile("Grey gamma 2.2", space=b"GRAY", curve=2.2),
    ],
)
def test_variants_of_srgb_are_srgb(profile: bytes) -> None:
    assert judge(Tags(icc=profile)) == UPRIGHT_SRGB
    assert judge(Tags(png=iccp(profile))) == UPRIGHT_SRGB


def bt709(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("Display P3", icc_profile("Display P3", "Display P3")),
        ("Adobe RGB (1998)", icc_profile("Adobe RGB (1998)", "Adobe RGB (1998)", 2.19921875)),
        ("gamma 1.8", icc_profile("gamma 1.8", curve=1.8)),
        ("Linear", icc_profile("Linear", curve=1.0)),
        ("Rec. 709", icc_profile("Rec. 709", curve=bt709)),
        ("Dot gain", icc_profile("Dot gain", space=b"GRAY", curve=1.75)),
    ],
)
def test_other_profiles_are_named(name: str, profile: bytes) -> None:
    assert judge(Tags(icc=profile)) == Judgement(colours=f"the ICC profile {name!r}")


@pytest.mark.parametrize(
    "tags",
    [
        Tags(icc=b"junk"),
        Tags(icc=icc_profile("Display P3", "Display P3")[:200]),
        Tags(icc=icc_profile("Half", "Display P3").replace(b"RGB XYZ ", b"CMYKXYZ ")),
        Tags(png={b"iCCP": b"name\0\0junk"}),
        Tags(png={b"iCCP": b"no end of the name"}),
        Tags(png={b"iCCP": iccp(icc_profile("Display P3", "Display P3"))[b"iCCP"][:-20]}),
        Tags(png={b"iCCP": b"name\0\0" + zlib.compress(bytes(2**25))}),
    ],
)
def test_a_profile_that_cannot_be_read_counts_as_none(tags: Tags) -> None:
    assert judge(tags) == Judgement(unreadable="ICC profile")


def test_witness_of_display_p3() -> None:
    """The profile made by hand converts as Display P3 does: (200, 100, 100) becomes (213, 95, 98) or so in sRGB."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile("Display P3", "Display P3")))
    image = Image.new("RGB", (1, 1), (200, 100, 100))
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert converted is not None
    # By matrices: linear P3 to linear sRGB (CSS Color 4).
    matrix = np.array([[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786361, 1.0982736]])
    stored = np.array([200, 100, 100]) / 255
    linear = matrix @ np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(converted)[0, 0] - expected).max() < 1.5


# --- Chunks of PNG ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "colours"),
    [
        (gama(45455), ""),
        (gama(45454), ""),
        (gama(45000), ""),
        ({**gama(45455), **chrm(SRGB_XY)}, ""),
        (chrm(SRGB_XY), ""),
        (gama(100000), "gamma 1 (gAMA 100000)"),
        (gama(55556), "gamma 1.8 (gAMA 55556)"),
        (gama(50000), "gamma 2 (gAMA 50000)"),
        ({**gama(45455), **chrm(P3_XY)}, "the primaries of Display P3 (cHRM)"),
        (chrm((0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)), "the primaries of SMPTE-C (cHRM)"),
        (chrm((0.3, 0.3, 0.7, 0.3, 0.2, 0.7, 0.1, 0.1)), "primaries other than sRGB's (cHRM 0.3, 0.3, 0.7, 0.3, "),
        ({b"cICP": bytes([1, 13, 0, 1])}, ""),
        ({b"cICP": bytes([2, 2, 0, 1])}, ""),
        ({b"cICP": bytes([12, 13, 0, 1])}, "Display P3 primaries, sRGB transfer (cICP 12/13/0/1)"),
        ({b"cICP": bytes([9, 16, 0, 1])}, "Rec. 2020 primaries, PQ (HDR) transfer (cICP 9/16/0/1)"),
        ({b"cICP": bytes([1, 8, 0, 1])}, "sRGB primaries, linear transfer (cICP 1/8/0/1)"),
        ({b"cICP": bytes([1, 13, 0, 0])}, "sRGB primaries, sRGB transfer, narrow range (cICP 1/13/0/0)"),
    ],
)
def test_colours_of_chunks(chunks: dict[bytes, bytes], colours: str) -> None:
    judgement = judge(Tags(png=chunks))
    assert judgement.colours.startswith(colours)
    assert bool(judgement.colours) == bool(colours)
    assert not judgement.unreadable


P3 = icc_profile("Display P3", "Display P3")
SRGB = icc_profile("sRGB")


@pytest.mark.parametrize(
    ("chunks", "colours"),
    [
        ({**gama(100000), b"sRGB": b"\0"}, ""),
        ({**gama(100000), **iccp(SRGB)}, ""),
        ({**gama(45455), **iccp(P3)}, "the ICC profile 'Display P3'"),
        ({b"cICP": bytes([1, 13, 0, 1]), **iccp(P3)}, ""),
        ({b"cICP": bytes([12, 13, 0, 1]), b"sRGB": b"\0"}, "Display P3 primaries, sRGB transfer (cICP 12/13/0/1)"),
        ({b"cICP": bytes([2, 2, 0, 1]), **iccp(P3)}, "the ICC profile 'Display P3'"),
    ],
)
def test_precedence_of_chunks(chunks: dict[bytes, bytes], colours: str) -> None:
    assert judge(Tags(png=chunks)) == Judgement(colours=colours)


@pytest.mark.parametrize(
    ("chunks", "unreadable", "colours"),
    [
        ({b"gAMA": b"\0\0"}, "chunk gAMA", ""),
        (gama(0), "chunk gAMA", ""),
        ({b"cHRM": b"\0" * 31}, "chunk cHRM", ""),
        ({b"cICP": b"\1\2\3"}, "chunk cICP", ""),
        ({b"cICP": bytes([1, 13, 5, 1])}, "chunk cICP", ""),
        ({b"iCCP": b"x\0\0junk", **gama(100000)}, "ICC profile", "gamma 1 (gAMA 100000)"),
    ],
)
def test_damaged_chunks_count_as_none(chunks: dict[bytes, bytes], unreadable: str, colours: str) -> None:
    assert judge(Tags(png=chunks)) == Judgement(unreadable=unreadable, colours=colours)


# --- Adobe RGB of cameras ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exif", [exif_data(1, space=65535, index=b"R03\0"), exif_data(space=2)])
def test_adobe_rgb_of_cameras_without_a_profile(exif: bytes) -> None:
    assert judge(Tags(exif=exif)) == Judgement(colours="Adobe RGB (EXIF)")
    assert judge(Tags(exif=exif, icc=SRGB)) == UPRIGHT_SRGB  # The profile takes precedence.


@pytest.mark.parametrize("exif", [exif_data(1, space=1, index=b"R98\0"), exif_data(space=65535), exif_data(1)])
def test_srgb_and_unknown_colours_of_cameras(exif: bytes) -> None:
    assert judge(Tags(exif=exif)) == UPRIGHT_SRGB
