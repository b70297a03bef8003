"""Plain data is converted into a type, or an error names the part, its valid values and the actual value."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from nvs_eval.errors import InputError
from nvs_eval.system.schema import Count, Text, convert


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that two commands share."""

    device: str = "auto"
    protocol: tuple[str, ...] = ("standard",)
    masks: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of one command."""

    folders: tuple[Path, ...]
    every: int = 1
    scale: float = 1.0
    grey: bool = False
    exr: Literal["linear", "srgb"] | None = None
    background: str | tuple[float, float, float] | None = None
    steps: Annotated[Literal["last", "all"] | tuple[int, ...], "metadata of another library"] = "last"
    made: Mapping[str, int] = field(default_factory=dict)


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a file."""

    name: Text
    factor: Count = 1
    aliases: list[Text] = []


SCENES = "scenes must be a list of mappings or strings that is not empty, such as `scenes: [fox]`."


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file."""

    title: str
    scenes: Annotated[list[Scene | Text], msgspec.Meta(min_length=1, examples=["scenes: [fox]"])]
    scores: dict[Text, dict[str, Annotated[str, msgspec.Meta(pattern="^[0-9]+$", description="digits in quotes")]]] = {}
    note: Text | None = None


# --- Options --------------------------------------------------------------------------------------------------------


def test_mapping_becomes_dataclass_with_inherited_fields() -> None:
    values = {"folders": ["a", Path("b")], "device": "cpu", "scale": 2, "exr": "srgb", "steps": [1, 2], "masks": None}
    assert convert(values, Options, "score") == Options(
        folders=(Path("a"), Path("b")), device="cpu", scale=2.0, exr="srgb", steps=(1, 2)
    )


def test_a_single_value_becomes_a_tuple() -> None:
    options = convert({"folders": "a", "protocol": "light"}, Options, "score")
    assert (options.folders, options.protocol) == ((Path("a"),), ("light",))


def test_paths_are_converted_by_the_path_function() -> None:
    options = convert({"folders": ["a", "/b"], "masks": "m"}, Options, "score", path=lambda text: Path("/base", text))
    assert (options.folders, options.masks) == ((Path("/base/a"), Path("/b")), Path("/base/m"))


def test_error_of_the_path_function_is_passed_on() -> None:
    def refuse(text: str) -> Path:
        raise InputError(f"{text} has a placeholder")

    for folders in ("{x}", ["{x}"]):
        with pytest.raises(InputError, match=r"^\{x\} has a placeholder$"):
            convert({"folders": folders}, Options, "score", path=refuse)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devise": "cpu"}, "Unknown field of score 'devise'. Did you mean 'device'?"),
        ({"folders": 7}, "folders must be a path or a list of paths. Got 7."),
        ({"folders": ["a", 7]}, "folders[1] must be a path. Got 7."),
        ({"folders": ""}, "folders must be a path or a list of paths. Got ''."),
        ({"device": 3.5}, "device must be a string. Got 3.5. Put names of digits in quotes, such as '0001'."),
        ({"protocol": [1]}, "protocol[0] must be a string. Got 1. Put names of digits in quotes, such as '0001'."),
        ({"protocol": 1}, "protocol must be a string or a list of strings. Got 1. Put names of digits in quotes,"),
        ({"device": None}, "device must be a string. Got None."),
        ({"masks": 3}, "masks must be a path or None. Got 3."),
        ({"every": "8"}, "every must be a whole number. Got '8'."),
        ({"every": True}, "every must be a whole number. Got True."),
        ({"every": 1.5}, "every must be a whole number. Got 1.5."),
        ({"scale": "x"}, "scale must be a number. Got 'x'."),
        ({"grey": "yes"}, "grey must be True or False. Got 'yes'."),
        ({"exr": "lin"}, "Unknown exr 'lin'. Did you mean 'linear'? Known: linear, srgb."),
        ({"exr": 16}, "exr must be 'linear', 'srgb' or None. Got 16."),
        ({"steps": "lats"}, "Unknown steps 'lats'. Did you mean 'last'? Known: all, last."),
        ({"steps": [1.5]}, "steps[0] must be a whole number. Got 1.5."),
        ({"background": [1, 1]}, "background must be a string, 3 numbers or None. Got [1, 1]."),
        ({"background": [1, "1", 1]}, "background[1] must be a number. Got '1'."),
        ({"made": {"psnr": 2.5}}, "made.psnr must be a whole number. Got 2.5."),
        ({"made": 3}, "made must be a mapping. Got 3."),
        ({"made": {("a",): 3}}, "a name in made must be a string. Got ('a',)."),
        ({"made": {1: 3}}, "a name in made must be a string. Got 1. Put names of digits in quotes, such as '0001'."),
        ({"protocol": {"a", }}, "{'a'} is a set, which has no order. Give a list."),
    ],
)  # fmt: skip
def test_wrong_option_is_named_with_its_valid_values(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        convert({"folders": ["a"], **change}, Options, "score")
    assert str(error.value).startswith(message)


def test_missing_option_is_named() -> None:
    with pytest.raises(InputError, match=r"^score lacks folders: there is no default\.$"):
        convert({}, Options, "score")


@pytest.mark.parametrize("value", [None, 3, "text", [1]])
def test_a_value_that_is_not_a_mapping_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^score must be a mapping with the fields device, protocol, masks, folders"):
        convert(value, Options, "score")


DIGITS = " Put names of digits in quotes, such as '0001'."
WORDS = " Put names that are words for True or False in quotes, such as 'no'."


@pytest.mark.parametrize(
    ("kind", "value", "advice"),
    [
        (Text, 1, DIGITS),
        (Text, 1.5, DIGITS),
        (Text | None, datetime.date(2024, 1, 1), DIGITS),
        (tuple[Text, ...], [1], DIGITS),
        (dict[str, int], {1: 3}, DIGITS),
        (Text, False, WORDS),
        (Text, math.nan, ""),
        (Text, b"x", ""),
        (Text, object, ""),
        (Annotated[str, msgspec.Meta(description="digits in quotes")], 1, ""),
        (str | tuple[float, float, float] | None, 0.5, ""),
        (str | int, 1.5, ""),
        (Path, 1, ""),
        (Literal["a", "b"], 1, ""),
    ],
)
def test_advice_to_quote_is_for_names_only(kind: Any, value: object, advice: str) -> None:
    with pytest.raises(InputError, match=r"must be .*\. Got ") as error:
        convert(value, kind, "it")
    assert "".join(str(error.value).partition(" Put ")[1:]) == advice


# --- Files ----------------------------------------------------------------------------------------------------------


def test_mapping_becomes_nested_structs() -> None:
    values = {"title": "t", "scenes": [{"name": "fox", "factor": 2}, "cat"], "scores": {"fox": {"psnr": "20"}}}
    assert convert(values, File, "the file") == File("t", [Scene("fox", 2), "cat"], {"fox": {"psnr": "20"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titel": "x"}, "Unknown field of the file 'titel'. Did you mean 'title'?"),
        ({"scenes": []}, SCENES + " Got []."),
        ({"scenes": "fox"}, SCENES + " Got 'fox'."),
        ({"scenes": ["fox", 7]},
         "scenes[1] must be a mapping with the fields name, factor, aliases or a string. Got 7."),
        ({"scenes": [{"name": "fox", "fcator": 2}]}, "Unknown field of scenes[0] 'fcator'. Did you mean 'factor'?"),
        ({"scenes": [{}]}, "scenes[0] lacks name: there is no default."),
        ({"scenes": [{"name": "fox", "factor": 0}]}, "scenes[0].factor must be a whole number of at least 1. Got 0."),
        ({"scenes": [{"name": "fox", "aliases": "x"}]}, "scenes[0].aliases must be a list of strings. Got 'x'."),
        ({"scenes": [{"name": " "}]}, "scenes[0].name must be a string. Got ' '."),
        ({"scores": {"fox": {"psnr": 20}}}, "scores.fox.psnr must be digits in quotes. Got 20."),
        ({"scores": {"fox": {"psnr": "x"}}}, "scores.fox.psnr must be digits in quotes. Got 'x'."),
        ({"scores": {"fox": 3}}, "scores.fox must be a mapping. Got 3."),
        ({"scores": {1: {}}}, "a name in scores must be a string. Got 1. Put names of digits in quotes,"),
        ({"note": []}, "note must be a string or None. Got []."),
        ({"note": "x" * 100}, ""),
    ],
)  # fmt: skip
def test_wrong_part_of_a_file_is_named_by_its_place(change: dict[str, Any], message: str) -> None:
    values = {"title": "t", "scenes": ["fox"], **change}
    if not message:
        assert convert(values, File, "the file").note == "x" * 100
        return
    with pytest.raises(InputError) as error:
        convert(values, File, "the file")
    assert str(error.value).startswith(message)


def test_several_missing_fields_are_named_together() -> None:
    with pytest.raises(InputError, match=r"^the file lacks title, scenes: there is no default\.$"):
        convert({}, File, "the file")


def test_long_value_is_truncated() -> None:
    with pytest.raises(InputError, match=r"^title must be a string\. Got \['x+\.\.\.\.$"):
        convert({"title": ["x" * 1000], "scenes": ["fox"]}, File, "the file")


def test_endless_nesting_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match=r"^the file is nested too deeply\.$"):
        convert({"title": endless}, File, "the file")


def test_huge_number_in_the_place_of_a_name_is_an_error() -> None:
    with pytest.raises(InputError, match="scene must be a string"):
        convert(10**400, str, "scene")
