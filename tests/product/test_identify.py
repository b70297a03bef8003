"""`nvs-eval identify`: the answer as printed and as JSON, the exit code, and wrong input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.pinned import Pinned
from support.protocols import CLAMPING, FLOAT, HALF, LIGHT, UNMASKED, protocol_file, variant
from support.scenes import float_image, image, write_garden, write_images, write_masks

import nvs_eval

SCENE = ("garden/ours", "--reference", "garden/gt", "--numbers", "numbers.json")


@pytest.fixture(autouse=True)
def protocols(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the named protocols by some that need no weights, and write images that score differently under each."""
    import nvs_eval.protocols as module

    zero = variant(name="zero", mask="none", metrics={"ssim": {"kernel": "zero", "data_range": 1}})
    texts = {"standard": LIGHT.replace("name: light", "name: standard"), "float": FLOAT, "half": HALF, "zero": zero}
    texts["unmasked"] = UNMASKED
    for name, text in texts.items():
        protocol_file(here, text, f"{name}.yaml")
    protocol_file(here, CLAMPING, "clamping.yaml")
    monkeypatch.setattr(module, "named_protocols", lambda: {name: here / f"{name}.yaml" for name in sorted(texts)})
    write_garden(here / "garden")
    for folder, seed in (("gt", 1), ("ours", 5)):
        for file in (here / "garden" / folder).iterdir():
            file.unlink()
        images = {"0001": float_image(seed), "0002": float_image(seed + 1)}
        images = {name: one if folder == "ours" else (one * 255).round() / 255 for name, one in images.items()}
        write_images(here / "garden" / folder, images, "npy")


def numbers_of(protocol: str, decimals: int = 4, **more: Any) -> dict[str, str]:
    (record,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol=protocol)
    return {key.upper(): f"{value:.{decimals}f}" for key, value in record.means.items()} | more


def write(numbers: object, name: str = "numbers.json") -> None:
    # A tool writes numbers, here with all of their decimals.
    Path(name).write_text(re.sub(r'"(\d+\.\d+)"', r"\1", json.dumps(numbers)))


def test_the_protocol_of_the_numbers_is_named(cli: Callable[..., Said], pinned: Pinned) -> None:
    write({"ours_30000": numbers_of("zero.yaml"), "fps": 12.5})
    result = cli("identify", *SCENE)
    assert result.code == 0
    pinned("identify", result.out)
    assert not Path("nvs-eval-results").exists()


def test_protocols_that_these_images_cannot_tell_apart_are_named(cli: Callable[..., Said], pinned: Pinned) -> None:
    write({"ours_30000": numbers_of("standard.yaml")})
    result = cli("identify", *SCENE)
    assert result.code == 0
    pinned("identify", result.out)


def test_no_protocol_is_the_no_of_a_gate(cli: Callable[..., Said], pinned: Pinned) -> None:
    protocol_file(Path(), variant(name="other", quantise={"render": "truncate", "reference": "round", "mask": "none"}))
    write({"ours_30000": numbers_of("light.yaml")})
    result = cli("identify", *SCENE)
    assert result.code == 1
    assert "\nnone: " in result.out
    pinned("identify", result.out)


def test_json_has_all_numbers_and_the_function_the_same(cli: Callable[..., Said]) -> None:
    numbers = numbers_of("half.yaml", 5)
    write(numbers)
    result = cli("identify", *SCENE, "--format", "json")
    assert result.code == 0
    plain = json.loads(result.out)
    found = nvs_eval.identify("garden/ours", reference="garden/gt", numbers=numbers)
    assert plain == {"nvs_eval_identify": 1, **json.loads(json.dumps(found.to_plain()))}
    assert plain["protocols"] == found.protocols
    assert "half" in plain["protocols"]
    (standard,) = [one for one in plain["candidates"] if one["protocol"] == "float"]
    assert standard["agrees"] is False
    assert standard["metrics"]["SSIM"]["metric"] == "ssim"
    assert "metrics.ssim.data_range: 1" not in standard["agrees_with"]


def test_masks_leave_protocols_out(cli: Callable[..., Said], pinned: Pinned) -> None:
    masks = write_masks(Path("masks"), {"0001": 0.5, "0002": 0.5})
    (record,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol="standard.yaml", masks=masks)
    write({key: f"{value:.4f}" for key, value in record.means.items()})
    result = cli("identify", *SCENE, "--masks", str(masks))
    assert result.code == 0
    pinned("identify", result.out + result.err)


def test_named_protocols_and_views(cli: Callable[..., Said]) -> None:
    (record,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol="clamping.yaml")
    rows = [f"{row.name}.png,{row.scores['psnr']:.3f},{row.scores['ssim']:.3f}" for row in record.views]
    Path("views.csv").write_text("\n".join(["image,PSNR,SSIM", *rows]))
    result = cli("identify", *SCENE[:-1], "views.csv", "--protocol", "clamping.yaml", "half.yaml", "--format", "json")
    assert result.code == 0
    assert "clamping" in json.loads(result.out)["protocols"]


def test_values_outside_the_range_leave_protocols_out(cli: Callable[..., Said], pinned: Pinned) -> None:
    write_images(Path("garden/ours"), {"0001": 1.1 * image(5), "0002": image(6)}, "npy")
    (record,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol="clamping.yaml")
    write({key: f"{value:.4f}" for key, value in record.means.items()})
    result = cli("identify", *SCENE, "--protocol", "standard.yaml", "clamping.yaml")
    assert result.code == 0
    pinned("identify", result.out)


@pytest.mark.parametrize(
    ("numbers", "arguments"),
    [
        ("{}", SCENE),
        ('{"psnr": 20.0, "lpips": 0.2}', SCENE),
        ('{"lpips": 0.2}', SCENE),
        ('{"a": {"psnr": 20.0}, "b": {"psnr": 21.0}}', SCENE),
        ('{"psnr": {"0007.png": 20.0}}', SCENE),
        ('{"psnr": 20.0}', ("garden/ours", "garden/theirs", *SCENE[1:])),
        ('{"psnr": 20.0}', ("garden/ours", "--reference", "garden/gt", "--numbers", "missing.json")),
        ('{"psnr": 20.0}', ("garden/nothing", *SCENE[1:])),
    ],
    ids=[
        "no metric",
        "no protocol with all",
        "no protocol",
        "two results",
        "other view",
        "two folders",
        "no file",
        "no renders",
    ],
)
def test_wrong_input_is_an_error(
    numbers: str, arguments: tuple[str, ...], refused: Callable[..., str], pinned: Pinned
) -> None:
    Path("numbers.json").write_text(numbers)
    pinned("identify", refused("identify", *arguments))


def test_numbers_of_one_of_several_results_are_chosen_by_name(cli: Callable[..., Said]) -> None:
    own = numbers_of("zero.yaml")
    write({"theirs": {key: "8.0" for key in own}, "ours": own})
    result = cli("identify", *SCENE, "--format", "json")
    assert (result.code, json.loads(result.out)["protocols"]) == (0, ["zero"])
