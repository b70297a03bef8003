"""Score two folders of renders against their references, print the table, and write it as LaTeX.

    python examples/score_folders.py REFERENCES RENDERS [RENDERS ...]

Nothing is downloaded: the protocol `nerf` computes PSNR alone. With LPIPS weights, try `standard`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nvs_eval


def main(references: str, *renders: str) -> list[nvs_eval.Record]:
    """Score, print and write `table.tex`; return the records."""
    records = nvs_eval.score(renders, reference=references, protocol="nerf", output_dir="results")
    print(nvs_eval.table(records))
    Path("table.tex").write_text(nvs_eval.table(records, format="latex"), encoding="utf-8")
    for record in records:
        worst = min(record.views, key=lambda row: row.scores["psnr"])
        print(f"{record.method}: worst view {worst.name}, {worst.scores['psnr']:.2f} dB")
    return records


if __name__ == "__main__":
    main(*sys.argv[1:])
