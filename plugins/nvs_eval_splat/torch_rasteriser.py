"""The rasteriser in torch: any convention, differentiable, for small models.

The tiles of a row are computed together, each with as many Gaussians as the fullest of them, and all pairs of a pixel
and a Gaussian are kept for the gradient. Gradients are those of the definition: decisions (which Gaussians, which
order, where a pixel stops) have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvs_eval_splat.conventions import TILE, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.harmonics import write_basis
from nvs_eval_splat.pinhole import Pinhole


@dataclass(frozen=True)
class Parameters:
    """The parameters of N Gaussians as tensors of one floating type on one device, with the meaning of `Gaussians`.

    Rotations are normalised when they are used; all other parameters are activated.
    """

    means: Tensor
    """[N, 3]."""
    scales: Tensor
    """[N, 3]."""
    rotations: Tensor
    """[N, 4], w, x, y, z."""
    opacities: Tensor
    """[N]."""
    harmonics: Tensor
    """[N, (degree + 1)**2, 3]."""

    @classmethod
    def of(cls, gaussians: Gaussians, dtype: torch.dtype = torch.float32) -> Parameters:
        """Return a copy of Gaussians."""
        names = ("means", "scales", "rotations", "opacities", "harmonics")
        return cls(*(torch.tensor(getattr(gaussians, name), dtype=dtype) for name in names))


@dataclass(frozen=True)
class _Flat:
    """The drawn Gaussians on the image, from front to back. The names are those of the kernels for CPUs."""

    centres: Tensor
    slopes: Tensor
    steps: Tensor
    colours: Tensor
    opacities: Tensor
    rects: Tensor

    def part(self, chosen: Tensor) -> _Flat:
        """Return some of the Gaussians."""
        return _Flat(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def rasterise_tensors(
    parameters: Parameters, camera: Pinhole, convention: Convention, *, background: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Render a view in the type and on the device of the parameters.

    Args:
        parameters: the model.
        camera: camera of the view.
        convention: convention of the rasteriser that is followed.
        background: colour behind the Gaussians, RGB.

    Returns:
        rgb [height, width, 3] and alpha [height, width].
    """
    flat = _flatten(parameters, camera, convention)
    behind = parameters.means.new_tensor(tuple(background))
    rows = []
    for row in range(math.ceil(camera.height / TILE)):
        in_row = flat.part((flat.rects[:, 1] <= row) & (row < flat.rects[:, 3]))
        rows.append(_blend(in_row, row, math.ceil(camera.width / TILE), convention))
    image = torch.cat(rows)[: camera.height, : camera.width]
    rgb, light = image[..., :3], image[..., 3:]
    return rgb + light * behind, 1 - light[..., 0]


def _flatten(parameters: Parameters, camera: Pinhole, convention: Convention) -> _Flat:
    """Project the Gaussians, and return those that are drawn."""
    pose = parameters.means.new_tensor(camera.world_to_camera)
    in_camera = parameters.means @ pose[:3, :3].T + pose[:3, 3]
    depths = in_camera[:, 2].detach().float()
    near = torch.tensor(convention.near, dtype=torch.float32, device=depths.device)
    beyond = depths > near if convention.near_excludes else depths >= near
    order = torch.argsort(depths, stable=True)
    order = order[(beyond & (depths <= convention.far))[order]]
    chosen = Parameters(*(getattr(parameters, name)[order] for name in parameters.__dataclass_fields__))
    a, b, c, before, centres = _project(chosen, in_camera[order], camera, convention)
    det = before + convention.low_pass * (a + c) + convention.low_pass**2
    a, c = a + convention.low_pass, c + convention.low_pass
    opacities = chosen.opacities
    if convention.antialiased:
        # The clamp keeps the gradient of the root finite.
        opacities = opacities * (before / det).clamp(min=max(convention.compensation_floor**2, 1e-30)).sqrt()
    steps = torch.stack([(c / det).sqrt(), c.rsqrt()], dim=-1)
    moments = (a.detach(), c.detach(), det.detach(), opacities.detach())
    rects = _rects(centres.detach(), moments, camera, convention)
    return _Flat(centres, b / c, steps, _colours(chosen, camera), opacities, rects)


def _project(
    parameters: Parameters, in_camera: Tensor, camera: Pinhole, convention: Convention
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return variance along x, covariance, variance along y and determinant, all [N], and centres [N, 2]."""
    centred = convention.principal_point == "centre"
    cx, cy = (camera.width / 2, camera.height / 2) if centred else (camera.cx, camera.cy)
    x, y, z = in_camera.unbind(dim=-1)
    margin_x = convention.jacobian_margin * camera.width / (2 * camera.fx)
    margin_y = convention.jacobian_margin * camera.height / (2 * camera.fy)
    at_x = (x / z).clamp(-cx / camera.fx - margin_x, (camera.width - cx) / camera.fx + margin_x)
    at_y = (y / z).clamp(-cy / camera.fy - margin_y, (camera.height - cy) / camera.fy + margin_y)
    pose = in_camera.new_tensor(camera.world_to_camera)[:3, :3]
    axes = pose @ (_rotation_matrices(parameters.rotations) * parameters.scales[:, None, :])
    side = camera.fx / z[:, None] * (axes[:, 0] - at_x[:, None] * axes[:, 2])
    up = camera.fy / z[:, None] * (axes[:, 1] - at_y[:, None] * axes[:, 2])
    minors = torch.linalg.cross(side, up)
    weight = z + convention.depth_offset
    centres = torch.stack([camera.fx * x / weight + cx, camera.fy * y / weight + cy], dim=-1)
    return (side * side).sum(-1), (side * up).sum(-1), (up * up).sum(-1), (minors * minors).sum(-1), centres


def _rotation_matrices(rotations: Tensor) -> Tensor:
    """Return the matrices [N, 3, 3] of quaternions [N, 4]."""
    w, x, y, z = torch.nn.functional.normalize(rotations, dim=-1).unbind(dim=-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _colours(parameters: Parameters, camera: Pinhole) -> Tensor:
    """Return the colours that the camera sees, [N, 3]."""
    directions = parameters.means - parameters.means.new_tensor(camera.position)
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(dim=-1)
    values: list[Tensor | float] = [0.0] * parameters.harmonics.shape[1]
    write_basis(x, y, z, values)
    colour = torch.full_like(parameters.means, 0.5)
    for band, value in enumerate(values):
        weight = value[:, None] if isinstance(value, Tensor) else value
        colour = colour + weight * parameters.harmonics[:, band]
    return colour.clamp(min=0)


def _rects(centres: Tensor, moments: tuple[Tensor, ...], camera: Pinhole, convention: Convention) -> Tensor:
    """Return the tiles of each Gaussian as first column, first row, end of columns and end of rows, [N, 4].

    Args:
        centres: centres on the image.
        moments: variances along x and y, determinant and opacity.
        camera: camera of the view.
        convention: convention of the rasteriser.
    """
    a, c, det, opacities = moments
    size = centres.new_tensor((camera.width, camera.height))
    tiles = (size / TILE).ceil()
    # Alpha is too small beyond this box, with a margin for rounding.
    limit = 2 * (opacities / convention.alpha_min).clamp(min=1).log()
    reach = (limit[:, None] * torch.stack([a, c], dim=-1)).sqrt() + 1
    low, high = ((centres - reach) / TILE).floor(), ((centres + reach) / TILE).ceil()
    if convention.extent_sigmas is not None:
        middle = (a + c) / 2
        longest = middle + (middle * middle - det).clamp(min=convention.variance_floor).sqrt()
        radii = (convention.extent_sigmas * longest.sqrt()).ceil()[:, None]
        shift = 0.5 if convention.tiles_from == "pixel-index" else 0.0
        first, end = (centres - shift - radii) / TILE, (centres - shift + radii) / TILE
        end = ((end * TILE + TILE - 1) / TILE).floor() if shift else end.ceil()
        missed = ((centres + radii <= 0) | (centres - radii >= size)) if not shift else torch.zeros_like(first).bool()
        low, high = low.maximum(first.floor()), torch.where(missed, -1, high.minimum(end))
    low, high = low.clamp(min=0).minimum(tiles), high.clamp(min=0).minimum(tiles)
    return torch.cat([low, high], dim=-1).long()


def _blend(flat: _Flat, row: int, columns: int, convention: Convention) -> Tensor:
    """Return RGB without background, and the transmittance, of a row of tiles, [TILE, columns * TILE, 4]."""
    floating = {"dtype": flat.centres.dtype, "device": flat.centres.device}
    members, are_members = _lists(flat.rects, columns)
    inside = torch.arange(TILE, **floating) + 0.5
    x = torch.arange(0, columns * TILE, TILE, **floating)[:, None] + inside
    centres = flat.centres[members][..., None, None, :]
    dx, dy = x[None, :, None, :] - centres[..., 0], row * TILE + inside[:, None] - centres[..., 1]
    slopes, steps = flat.slopes[members][..., None, None], flat.steps[members][..., None, None, :]
    along, across = steps[..., 0] * (dx - slopes * dy), steps[..., 1] * dy
    opacities = torch.where(are_members, flat.opacities[members], 0)[..., None, None]
    alpha = opacities * torch.exp(-0.5 * (along * along + across * across))
    least, most, stop = (_single(getattr(convention, name)) for name in ("alpha_min", "alpha_max", "stop"))
    alpha = torch.where(alpha < least, 0, alpha.clamp(max=most)).flatten(start_dim=2)
    after = torch.cumprod(1 - alpha, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]])
    drawn = after > stop if convention.stop_includes else after >= stop
    weights = torch.where(drawn, alpha * before, 0)
    # The transmittance is that behind the last Gaussian that is drawn.
    light = torch.where(drawn, 1 - alpha, 1).prod(dim=0)
    rgb = torch.einsum("kcp,kcr->cpr", weights, flat.colours[members])
    tiles = torch.cat([rgb, light[..., None]], dim=-1).unflatten(1, (TILE, TILE))
    return tiles.transpose(0, 1).flatten(start_dim=1, end_dim=2)


def _lists(rects: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Return the Gaussians of each tile of a row from front to back, and which of them are not filler, [K, columns]."""
    tiles = torch.arange(columns, device=rects.device)
    hits = (rects[:, :1] <= tiles) & (tiles < rects[:, 2:3])
    counts = hits.sum(dim=0)
    fullest = int(counts.max()) if len(rects) else 0
    members = (~hits).to(torch.uint8).argsort(dim=0, stable=True)[:fullest]
    return members, torch.arange(fullest, device=rects.device)[:, None] < counts


def _single(value: float) -> float:
    """Return a threshold in single precision, in which the tools compare."""
    return float(torch.tensor(value, dtype=torch.float32))
