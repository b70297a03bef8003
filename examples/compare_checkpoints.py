"""Compare the last two checkpoints of a run, and find out which views gained and lost most.

nvs-eval run --load-config outputs/fox/nerfacto/base/config.yml --steps all
python examples/compare_checkpoints.py nvs-eval-results/fox/nerfacto/base
"""

from __future__ import annotations

import sys

import nvs_eval


def main(folder: str) -> None:
    """Print what differs between the last two steps, under each protocol."""
    records = nvs_eval.read_records(folder)
    before, after = sorted({record.step for record in records if record.step is not None})[-2:]
    sides = ([record for record in records if record.step == step] for step in (before, after))
    for comparison in nvs_eval.compare(*sides):
        (pair,) = comparison.pairs
        print(f"Step {after} against {before}, protocol {comparison.protocol}:")
        print(*pair.words, sep="\n")
        for metric, difference in pair.differences.items():
            gain, loss = difference.changes[0], difference.changes[-1]
            print(f"{metric}: {gain.view} gained most, {loss.view} lost most")


if __name__ == "__main__":
    main(sys.argv[1])
