"""Arguments that fit their annotations are passed on; others raise an error that describes the valid values."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest

from nvs_eval.errors import InputError
from nvs_eval.system.arguments import checked


@dataclass(frozen=True)
class Result:
    """An element of a list."""

    name: str


Results = Annotated[Sequence[Result], msgspec.Meta(description="a list of results, in [brackets] if one")]
FilePath = str | os.PathLike[str]


@checked
def call(
    *names: FilePath | Sequence[FilePath],
    results: Results = (),
    file: FilePath | None = None,
    words: str | Sequence[str] = (),
    steps: Literal["last", "all"] | Sequence[int] = "last",
    background: str | tuple[float, float, float] | None = None,
    memory: int | str | None = None,
    decimals: Mapping[str, int] | None = None,
    mean: Literal["scenes", "views"] = "scenes",
) -> NotImportedYet:  # pyright: ignore[reportUndefinedVariable]
    """Return the arguments."""
    return (names, results, file, words, steps, background, memory, decimals, mean)


@pytest.mark.parametrize(
    "arguments",
    [
        {"results": [Result("a")]},
        {"results": (Result("a"), Result("b"))},
        {"file": "x"},
        {"file": Path("x")},
        {"words": "x"},
        {"words": ("x", "y")},
        {"steps": "all"},
        {"steps": (1, 2)},
        {"background": "white"},
        {"background": np.ones(3)},
        {"background": (Fraction(1, 2), 0, math.nan)},
        {"memory": 2**70},
        {"decimals": {"psnr": np.int64(3)}},
        {"mean": "views"},
    ],
)
def test_fitting_argument_is_passed_on_unchanged(arguments: dict[str, Any]) -> None:
    assert any(value is arguments[name] for name in arguments for value in call(**arguments))


def test_paths_are_one_or_several() -> None:
    assert call("a", Path("b"), ["c", Path("d")])[0] == ("a", Path("b"), ["c", Path("d")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"results": Result("a")}, "results must be a list of results, in [brackets] if one. Got Result(name='a')."),
        ({"results": "ab"}, "results must be a list of results, in [brackets] if one. Got 'ab'."),
        ({"results": [{"name": "a"}]}, "results must be a list of results, in [brackets] if one. Got [{'name': 'a'}]."),
        ({"file": 7}, "file must be a path or None. Got 7."),
        ({"file": b"x"}, "file must be a path or None. Got b'x'."),
        ({"words": Path("x")}, "words must be a string or a list of strings. Got PosixPath('x')."),
        ({"words": {"x"}}, "{'x'} is a set, which has no order."),
        ({"words": ["x", 2]}, "words[1] must be a string. Got 2."),
        ({"steps": 2500}, "steps must be 'last', 'all' or a list of whole numbers. Got 2500."),
        ({"steps": [True]}, "steps[0] must be a whole number. Got True."),
        ({"background": math.nan}, "background must be a string, 3 numbers or None. Got nan."),
        ({"memory": 1.5}, "memory must be a whole number, a string or None. Got 1.5."),
        ({"decimals": 3}, "decimals must be a mapping or None. Got 3."),
        ({"decimals": {"psnr": "2"}}, "decimals.psnr must be a whole number. Got '2'."),
        ({"mean": "scene"}, "Unknown mean 'scene'. Did you mean 'scenes'? Known: scenes, views."),
        ({"mean": None}, "mean must be 'scenes' or 'views'. Got None."),
    ],
)
def test_wrong_argument_is_named_with_its_valid_values(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        call(**arguments)
    assert str(error.value).startswith(message)


def test_wrong_positional_argument_is_named() -> None:
    with pytest.raises(InputError, match=r"^names must be a path or a list of paths\. Got 3\.$"):
        call("a", 3)  # pyright: ignore[reportArgumentType]
