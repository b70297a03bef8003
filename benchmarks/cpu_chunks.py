"""Time one view on the CPU for different numbers of rays per forward pass, and check that the values are equal.

python benchmarks/cpu_chunks.py outputs/fox/nerfacto/base/config.yml [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from nvs_eval_nerfstudio.source import open_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="config.yml of a nerfstudio run")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    arguments = parser.parse_args()
    times: dict[int, list[float]] = {}
    first = None
    for _ in range(arguments.rounds):
        for rays in (512, 1024, 2048, 4096, 8192, 16384, 32768):
            (source,) = open_run(
                arguments.config, steps="last", split="test", views=(), every=1000, data=None,
                device=torch.device("cpu"), eval_num_rays_per_chunk=rays, trust=True, warn=print,
            )  # fmt: skip
            pipeline = source._load()
            from nvs_eval_nerfstudio.eval_data import evaluation_pairs
            from nvs_eval_nerfstudio.quiet import quiet

            with quiet(), torch.no_grad():
                pairs = evaluation_pairs(pipeline.datamanager, "test", source.run.indices, torch.device("cpu"))
                camera, _ = next(pairs)
                start = time.perf_counter()
                render = pipeline.model.get_outputs_for_camera(camera)["rgb"]
            times.setdefault(rays, []).append(time.perf_counter() - start)
            first = render if first is None else first
            assert torch.equal(render, first), f"values differ with {rays} rays per pass"
    for rays, seconds in times.items():
        print(f"{rays:>6} rays   median {statistics.median(seconds):6.2f} s   of {len(seconds)}")


if __name__ == "__main__":
    main()
