"""Time all protocols on one view, scored together and one after the other. The difference is the work they share.

python benchmarks/audit.py [--width 960 --height 540] [--renders 1] [--rounds 3]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence

import torch

from nvs_eval import Render, Scorer, View, load_protocol, named_protocols
from nvs_eval.evaluation.scorer import Scores


def made_view(width: int, height: int, renders: int) -> View:
    """Return a view of a smooth 8-bit image and float renders of it with noise."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, height // 16, width // 16, generator=generator)
    image = torch.nn.functional.interpolate(small, (height, width), mode="bicubic", align_corners=False)
    reference = (image[0].permute(1, 2, 0).clamp(0, 1) * 255).round() / 255
    noises = [torch.randn(reference.shape, generator=generator) for _ in range(renders)]
    return View("made", reference, tuple(Render((reference + 0.03 * noise).clamp(0, 1)) for noise in noises))


def check(together: Sequence[Scores], alone: Sequence[Scores]) -> None:
    """Check that both ways give the same scores."""
    for a, b in zip(together, alone, strict=True):
        for name, values in a.items():
            for x, y in zip(values, b[name], strict=True):
                assert math.isclose(x, y, rel_tol=1e-6), f"{name}: {x} together, {y} alone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=960, help="width of the view in pixels (default: 960)")
    parser.add_argument("--height", type=int, default=540, help="height of the view in pixels (default: 540)")
    parser.add_argument("--renders", type=int, default=1, help="number of renders (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    arguments = parser.parse_args()
    view = made_view(arguments.width, arguments.height, arguments.renders)
    cpu = torch.device("cpu")
    protocols = [load_protocol(name) for name in named_protocols()]
    joint = Scorer(protocols, cpu)
    single = [Scorer([protocol], cpu) for protocol in protocols]
    times: dict[str, list[float]] = {"together": [], "one after the other": []}
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        together = joint.score(view)
        middle = time.perf_counter()
        alone = [scorer.score(view)[0] for scorer in single]
        times["together"].append(middle - start)
        times["one after the other"].append(time.perf_counter() - middle)
        check(together, alone)
    for way, seconds in times.items():
        print(f"{len(protocols)} protocols {way:<20} median {statistics.median(seconds):6.2f} s of {len(seconds)}")
    a, b = (statistics.median(seconds) for seconds in times.values())
    print(f"ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
