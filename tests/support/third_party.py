"""Stand-ins for the models of third parties: a few lines each, with the pairs of images that the real ones return.

Every render is its reference plus 0.1, so that its PSNR is 20 dB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from support.scenes import HEIGHT, WIDTH, float_image
from torch import Tensor, nn

Images = tuple[dict[str, Any], dict[str, Tensor]]

OFFSET = 0.1
REFERENCE = 0.2 + 0.5 * float_image(1)
RENDER = REFERENCE + OFFSET
BLURRED = REFERENCE.mean(dim=1, keepdim=True).expand_as(REFERENCE).clone()


class Camera:
    """A camera of the size of the reference."""

    width, height = torch.tensor([[WIDTH]]), torch.tensor([[HEIGHT]])


class StandIn(nn.Module):
    """A model of nerfstudio: reference and render side by side."""

    def batch(self) -> dict[str, Any]:
        """Return the data of the view."""
        return {"image": REFERENCE.clone(), "image_idx": 0}

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"accumulation": torch.ones(HEIGHT, WIDTH, 1), "rgb": RENDER.clone()}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"], outputs["rgb"])


def _side_by_side(*parts: Tensor) -> dict[str, Tensor]:
    return {"img": torch.cat(parts, dim=1)}


class CoarseAndFine(StandIn):
    """vanilla-nerf, mipnerf."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb_coarse": BLURRED.clone(), "rgb_fine": RENDER.clone()}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"], outputs["rgb_coarse"], outputs["rgb_fine"])


class BadNerf(StandIn):
    """BAD-NeRF: blurred input, render, reference."""

    def batch(self) -> dict[str, Any]:
        return {**super().batch(), "degraded": BLURRED.clone()}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["degraded"], outputs["rgb"], batch["image"])


class RightHalf(StandIn):
    """splatfacto-w with `eval_right_half`: its metrics are of the right half, its images whole."""

    def __init__(self) -> None:
        super().__init__()
        self.psnr: Any = _psnr
        self.ssim: Any = nn.Identity()
        self.lpips: Any = nn.Identity()

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        render = RENDER.clone()
        render[:, WIDTH // 2 :] = REFERENCE[:, WIDTH // 2 :] + OFFSET / 10
        return {"rgb": render}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        pair = [image[:, WIDTH // 2 :] for image in (batch["image"], outputs["rgb"])]
        metrics = {"psnr": float(self.psnr(*pair).item()), "lpips": float(self.lpips(*pair))}
        return metrics, _side_by_side(batch["image"], outputs["rgb"])


def _psnr(reference: Tensor, render: Tensor) -> Tensor:
    return -10 * torch.log10(((reference - render) ** 2).mean())


class Unclipped(StandIn):
    """zipnerf-nerfstudio: colours are padded by 0.001 and not clipped."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        render = RENDER.clone()
        render[0, 0] = 1.001
        return {"rgb": render}


class Clipped(StandIn):
    """livescene: shows its render clipped."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        render = RENDER.clone()
        render[0, 0] = 1.7
        return {"rgb": render}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"], outputs["rgb"].clamp(0, 1))


class FourDimensional(StandIn):
    """dn-splatter: a batch of one render; masks are applied to copies; depth is also evaluated."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb": RENDER[None].clone(), "depth": torch.ones(1, HEIGHT, WIDTH, 1)}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        metrics = {"depth_rmse": float(torch.tensor(0.25)), "depth_a1": torch.tensor(0.5), "rgb_psnr": torch.nan}
        return metrics, _side_by_side(batch["image"], outputs["rgb"][0])


class MaskedInPlace(StandIn):
    """street-gaussians-ns: images are masked in place after they are shown."""

    def batch(self) -> dict[str, Any]:
        mask = torch.ones(HEIGHT, WIDTH, 1)
        mask[: HEIGHT // 2] = 0
        return {**super().batch(), "mask": mask}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        images = _side_by_side(batch["image"], outputs["rgb"])
        batch["image"] *= batch["mask"]
        outputs["rgb"] *= batch["mask"]
        return {}, images


class MaskedBefore(MaskedInPlace):
    """A model that shows its images masked."""

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"] * batch["mask"], outputs["rgb"] * batch["mask"])


class Levels(StandIn):
    """pynerf: renders of several levels beside the final one."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb": RENDER.clone(), "rgb_level_0": BLURRED.clone(), "rgb_level_1": BLURRED.clone()}


class Blended(StandIn):
    """A model that composites transparent references over white."""

    def batch(self) -> dict[str, Any]:
        alpha = torch.ones(HEIGHT, WIDTH, 1)
        alpha[:, :4], alpha[:, 4:8] = 0, 0.5
        return {"image": torch.cat([REFERENCE, alpha], dim=-1)}

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb": self._over_white(self.batch()["image"]) + OFFSET}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(self._over_white(batch["image"]), outputs["rgb"])

    def _over_white(self, image: Tensor) -> Tensor:
        return image[..., :3] * image[..., 3:] + 1 - image[..., 3:]


class EightBits(StandIn):
    """splatfacto: the data manager caches images in 8 bits."""

    def batch(self) -> dict[str, Any]:
        return {"image": (REFERENCE * 255).round().to(torch.uint8)}

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb": self.batch()["image"] / 255 + OFFSET}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"] / 255, outputs["rgb"])


class Cropped(StandIn):
    """splatad: references are cropped to the size of the render."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"rgb": RENDER[:-2, :-3].clone()}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        height, width = outputs["rgb"].shape[:2]
        return {}, _side_by_side(batch["image"][:height, :width], outputs["rgb"])


class Unnamed(StandIn):
    """A model whose outputs have names of its own."""

    def get_outputs_for_camera(self, camera: Any) -> dict[str, Any]:
        return {"colours": RENDER.clone(), "normals": BLURRED.clone()}

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(batch["image"], outputs["colours"])


class Showing(StandIn):
    """A model that shows any images."""

    def __init__(self, *parts: Tensor) -> None:
        super().__init__()
        self.parts = parts

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return {}, _side_by_side(*self.parts) if self.parts else {}


class Failing(StandIn):
    """A model whose evaluation raises an error."""

    def __init__(self, fail: Callable[[], Any]) -> None:
        super().__init__()
        self.fail = fail

    def get_image_metrics_and_images(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Images:
        return self.fail()


MODELS: Mapping[str, type[StandIn]] = {
    "nerfacto": StandIn,
    "vanilla-nerf": CoarseAndFine,
    "bad-nerf": BadNerf,
    "dn-splatter": FourDimensional,
    "street-gaussians-ns": MaskedInPlace,
    "pynerf": Levels,
    "splatfacto": EightBits,
    "splatad": Cropped,
    "names of its own": Unnamed,
}
"""Stand-ins whose pair has a PSNR of 20 dB over the whole image."""
