"""The commands answer what they answered before the project was rearranged: numbers, tables, files and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import product_cases as cases
from support.commands import Said

from nvs_eval.metrics.weights.pins import Net

GOLDEN: dict[str, Any] = json.loads(Path(__file__).parents[1].joinpath("golden/product.json").read_text("utf-8"))


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, numbers by more than 1e-6."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        for name in old:
            yield from differences(old[name], new[name], f"{path}/{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}/{index}")
    elif isinstance(old, float) and isinstance(new, float):
        if abs(old - new) > 1e-6:
            yield f"{path}: {old} became {new}"
    elif old != new or type(old) is not type(new):
        yield f"{path}: {old!r} became {new!r}"


@pytest.mark.parametrize("group", cases.GROUPS)
def test_commands_answer_as_before(
    group: str, here: Path, cli: Callable[..., Said], weights_folder: Callable[[Net], Path | None]
) -> None:
    def run(command: Any) -> tuple[int, str]:
        answer = cli(*command)
        return answer.code, answer.out

    more: list[str] = []
    if group == "lpips":
        folder, _ = weights_folder("alex"), weights_folder("vgg")
        more = ["--weights-dir", str(folder)] if folder else []
    cases.write_inputs(here)
    answers = cases.answers(group, run, more)
    assert "\n".join(differences(GOLDEN[group], json.loads(json.dumps(answers)))) == ""


def test_a_difference_is_seen() -> None:
    assert not list(differences({"a": [1.0, "x"]}, {"a": [1.0 + 9e-7, "x"]}))
    assert list(differences({"a": [1.0, "x"]}, {"a": [1.0 + 2e-6, "x"]})) == ["/a/0: 1.0 became 1.000002"]
    assert list(differences({"code": 0}, {"code": 2})) == ["/code: 0 became 2"]
    assert list(differences({"out": "a"}, {"out": "a", "files": {}}))
    assert list(differences([1.0], [1]))
