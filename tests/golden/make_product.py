"""Write product.json: the answers of the commands in support/product_cases.py.

An answer may change only with an entry in CHANGELOG.md. Requires the weights of LPIPS (see `nvs-eval weights`). Run
from the root of the repository; for another revision, replace `.` by its checkout:

    PYTHONPATH=.:tests python tests/golden/make_product.py
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support import product_cases as cases

from nvs_eval.cli import main

for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
    os.environ.pop(name, None)
sys.argv = ["/usr/bin/nvs-eval", "as", "given"]
target = Path(__file__).resolve().with_name("product.json")


def run(command: Sequence[str]) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main(command)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue()


answers = {}
for group in cases.GROUPS:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        cases.write_inputs(Path())
        answers[group] = cases.answers(group, run)
# One line per command, so that diffs are short.
groups = (
    ",\n".join(json.dumps(name) + ": " + json.dumps(answer, ensure_ascii=False) for name, answer in group.items())
    for group in answers.values()
)
text = ",\n".join(f"{json.dumps(name)}: {{\n{group}\n}}" for name, group in zip(answers, groups, strict=True))
text = f"{{{text}}}"
target.write_text(text + "\n", encoding="utf-8")
