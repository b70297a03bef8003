"""PLY files of splats, with the properties of INRIA's `point_cloud.ply`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from nvs_eval.errors import FileError, InputError, counted, listed, some
from nvs_eval_splat.models.parameters import DEGREES, Parameters
from nvs_eval_splat.models.ply import Element, Header, check_size, read_columns, read_header

_VERTEX = "vertex"
_GROUPS = {
    "means": ("x", "y", "z"),
    "dc": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacities": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "rotations": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
_UNUSED = ("nx", "ny", "nz")
_FILTER = "filter_3D"
_CONVERT = "Convert it with `splat-transform INPUT OUTPUT.ply`"
_COMPRESSED = {
    ".spz": "is a compressed splat (SPZ)",
    ".sog": "is a compressed splat (SOG)",
    ".ksplat": "is a compressed splat (ksplat)",
    ".splat": "is a quantised splat without spherical harmonics (antimatter15's .splat)",
    ".zip": "is an archive",
}


def refuse_suffix(path: Path) -> None:
    """Refuse formats of splats that are recognised by their suffix.

    Raises:
        InputError: it is a compressed format.
    """
    name = path.name.lower()
    for suffix, words in _COMPRESSED.items():
        if name.endswith(suffix):
            raise InputError(
                f"{path} {words}. nvs-eval reads the model before compression, or its PLY. {_CONVERT} to score what "
                "the compression has left."
            )


def splat_header(path: Path) -> tuple[Header, Element, int]:
    """Read and check the header of a splat.

    Returns:
        The header, its vertices, and the degree of its spherical harmonics.

    Raises:
        InputError: the file cannot be read, or is not a plain splat. The message says what it is.
    """
    header = read_header(path)
    element = header.elements.get(_VERTEX)
    names = {} if element is None else element.types
    if "packed_position" in names or "chunk" in header.elements:
        raise InputError(f"{path} is a compressed PLY (SuperSplat's). {_CONVERT} to score what is left in it.")
    if element is None:
        raise FileError(f"{path} must have the element vertex. Its elements: {some(header.elements) or 'none'}.")
    _check_kind(path, names)
    needed = [name for group in _GROUPS.values() for name in group]
    if missing := [name for name in needed if name not in names]:
        points = " It is a point cloud, not a splat." if "opacity" in missing and "scale_0" in missing else ""
        lacks = counted(len(missing), "property", "properties")
        raise InputError(f"{path} lacks {lacks} of a splat: {some(missing)}.{points}")
    rest = [name for name in names if name.startswith("f_rest_")]
    if len(rest) not in DEGREES or set(rest) != {f"f_rest_{index}" for index in range(len(rest))}:
        raise InputError(
            f"{path} must have the properties f_rest_0 to f_rest_8, 23 or 44, or none (spherical harmonics of degree "
            f"1, 2, 3 or 0). Got {counted(len(rest), 'property', 'properties')}."
        )
    known = {*needed, *rest, *_UNUSED, _FILTER}
    if other := [name for name in names if name not in known]:
        raise InputError(
            f"{path} has {listed(other[:5])}, which a plain splat does not have: the renderer of its method uses more "
            "than nvs-eval draws. Render it with its own code and pass the images to `nvs-eval score`."
        )
    if wrong := [name for name in known if names.get(name) not in (None, "f4", "f8")]:
        raise FileError(f"{path}: its property {min(wrong)} must be float or double.")
    check_size(path, header, element)
    return header, element, DEGREES[len(rest)]


def _check_kind(path: Path, names: Collection[str]) -> None:
    """Refuse primitives that are not Gaussians with three axes.

    Raises:
        InputError: the file has them.
    """
    kind = ""
    if "scale_1" in names and "scale_2" not in names:
        kind = "surfels with two scales, as 2D Gaussian splatting trains them"
    elif any(name == "beta" or name.startswith(("beta_", "sb_params")) for name in names):
        kind = "Beta kernels (Deformable Beta Splatting)"
    if kind:
        raise InputError(
            f"{path} has {kind}, which nvs-eval does not draw. Render it with its own code and pass the images to "
            "`nvs-eval score`."
        )


def read_splat_ply(path: Path) -> Parameters:
    """Read the parameters of a splat.

    Raises:
        InputError: the file cannot be read, or is not a plain splat.
    """
    refuse_suffix(path)
    header, element, degree = splat_header(path)
    rest = 3 * ((degree + 1) ** 2 - 1)
    groups = {**_GROUPS, "rest": [f"f_rest_{index}" for index in range(rest)]}
    if _FILTER in element.types:
        groups["filter"] = (_FILTER,)
    arrays = read_columns(path, header, element, groups)
    # The file has all coefficients of red, then green, then blue.
    above = arrays.pop("rest").reshape(element.count, 3, rest // 3).transpose(0, 2, 1)
    harmonics = np.concatenate([arrays["dc"][:, None], above], axis=1)
    filter_3d = arrays["filter"][:, 0] if "filter" in arrays else None
    opacities = arrays["opacities"][:, 0]
    return Parameters(arrays["means"], arrays["scales"], arrays["rotations"], opacities, harmonics, filter_3d)
