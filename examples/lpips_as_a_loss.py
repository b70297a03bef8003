"""LPIPS as a training loss: gradient descent draws a picture until LPIPS cannot tell it from another.

python examples/lpips_as_a_loss.py                      draws a pattern, starting from its blur
python examples/lpips_as_a_loss.py PICTURE.png          draws your picture

`load_lpips` gives a function of two images in [0, 1], `[..., 3, H, W]`, whose value is differentiable with respect to
both; its weights are constants.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nvs_eval.images.files import load_image, save_png
from nvs_eval.metrics.lpips.metric import load_lpips
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.metrics.weights.pins import NETS, Net


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Draw, and return LPIPS before and after."""
    options = parse(arguments)
    net = options.net or net_at_hand()
    lpips = load_lpips(net, weights_dir=options.weights_dir)

    reference = load_image(options.picture).permute(2, 0, 1) if options.picture else pattern()
    # A sigmoid keeps what is drawn in (0, 1), where clamping would stop the gradient.
    drawn = torch.logit(blur(reference), eps=1e-3).requires_grad_()
    optimiser = torch.optim.Adam([drawn], lr=0.2)
    before = lpips(reference, drawn.sigmoid()).item()
    for _ in range(options.steps):
        optimiser.zero_grad()
        lpips(reference, drawn.sigmoid()).backward()
        optimiser.step()
    after = lpips(reference, drawn.sigmoid()).item()

    save_png(options.output, drawn.sigmoid().permute(1, 2, 0))
    print(f"LPIPS ({net}) {before:.4f} -> {after:.4f} in {options.steps} steps; see {options.output}")
    return before, after


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw a picture by lowering its LPIPS.")
    parser.add_argument("picture", nargs="?", type=Path, help="an RGB image; a pattern without one")
    parser.add_argument("--net", choices=NETS, help="the first whose weights are on this machine, without one")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("lpips_as_a_loss.png"))
    parser.add_argument("--weights-dir", type=Path, help="where the net's weights are, if in no usual place")
    return parser.parse_args(arguments)


def net_at_hand() -> Net:
    """The first net whose weights are on this machine; AlexNet, to be downloaded, if there is none."""
    for net in NETS:
        if find_backbone(net).verified:
            return net
    return "alex"


def pattern(size: int = 96) -> Tensor:
    """Rings and stripes in colour, `[3, size, size]`."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    waves = [torch.cos(30 * (x**2 + y**2)), torch.cos(25 * x + 5 * y), torch.cos(20 * y)]
    return torch.stack(waves) / 2 + 0.5


def blur(image: Tensor) -> Tensor:
    """The mean over 9x9 pixels."""
    return torch.nn.functional.avg_pool2d(image, 9, stride=1, padding=4, count_include_pad=False)


if __name__ == "__main__":
    main()
