"""Sizes that protocols require, which are checked before anything is scored or rendered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import ALEX, LIGHT, SQUEEZE, changed, protocol_file, protocol_of, variant
from support.scenes import fill
from support.scoring import outcomes, view

from nvs_eval.errors import InputError
from nvs_eval.evaluation.sizes import check_sizes, smallest_size
from nvs_eval.images.files import save_png
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol, named_protocols

KERNELS = ["valid", "dmpix", "reflect", "zero", "uniform7-rgb", "luma5"]


@pytest.mark.parametrize("region", ["full", "right-half"])
@pytest.mark.parametrize("crop", [0, 3])
@pytest.mark.parametrize("metric", [*KERNELS, "lpips_squeeze"])
def test_smallest_size_is_the_first_that_the_scorer_accepts(
    metric: str, crop: int, region: str, weights_folder: Callable[[Net], Path | None]
) -> None:
    own: dict[str, Any] = {"lpips_squeeze": SQUEEZE} if metric == "lpips_squeeze" else {}
    ssim = {"kernel": "zero" if own else metric, "data_range": 1}
    protocol = changed(crop=crop, region=region, metrics={"ssim": ssim, **own})
    width, height = smallest_size(protocol)
    weights = weights_folder("squeeze") if own else None

    def is_accepted(width: int, height: int) -> bool:
        if not width or not height:
            return False
        image = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0))
        (outcome,) = outcomes(protocol, view(image, image / 2), weights_dir=weights)
        return outcome.error is None

    assert is_accepted(width, height)
    assert not is_accepted(width, height - 1)
    assert not is_accepted(width - 1, height)


def test_smallest_sizes_of_the_named_protocols() -> None:
    sizes = {name: smallest_size(load_protocol(name)) for name in named_protocols()}
    # AlexNet needs 31 pixels, VGG16 needs 16; the right half of 61 columns has 31.
    assert sizes["standard"] == (31, 31)
    assert sizes["inria-3dgs"] == (16, 16)
    assert sizes["nerfbaselines-nerfw"] == (61, 31)
    assert smallest_size(changed(metrics={"lpips_alex": ALEX})) == (31, 31)


def test_first_views_that_are_too_small_are_named(pinned: Pinned) -> None:
    protocols = [protocol_of(LIGHT), changed(name="cut", crop=2, region="right-half")]
    large = [("a", (48, 40))]
    assert check_sizes(protocols, large) == protocols
    for sizes in ([*large, ("b", (10, 40))], [(name, (20, 15)) for name in "abcdefg"]):
        with pytest.raises(InputError) as raised:
            check_sizes(protocols, sizes)
        pinned("score", raised.value)


def test_audit_skips_a_protocol_only_if_it_can_score_no_view(pinned: Pinned) -> None:
    protocols = [protocol_of(LIGHT), changed(name="wide", region="right-half")]
    errors: list[InputError] = []
    assert (
        check_sizes(protocols, [("a", (20, 20)), ("b", (48, 40))], lambda _, error: errors.append(error)) == protocols
    )
    assert errors == []
    assert check_sizes(protocols, [("a", (20, 20)), ("b", (20, 20))], lambda _, e: errors.append(e)) == protocols[:1]
    pinned("audit", errors[0])


# --- Commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["score", "audit"])
def test_small_image_is_found_before_anything_is_scored(
    command: str, refused: Callable[..., str], here: Path, pinned: Pinned
) -> None:
    protocol_file(here, variant(metrics={"lpips_squeeze": SQUEEZE}), "nets.yaml")
    for folder in ("gt", "ours"):
        fill(Path("garden", folder), [102, 51])
        save_png(Path("garden", folder, "0003.png"), torch.rand(16, 40, 3))
    pinned(
        command, refused(command, "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "nets.yaml")
    )


def test_small_view_is_found_before_anything_is_rendered(
    refused: Callable[..., str], here: Path, opener: Opener, pinned: Pinned
) -> None:
    protocol_file(here, variant(crop=15), "cut.yaml")
    pinned("run", refused("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "cut.yaml"))
    assert opener.rendered == []


def test_small_kept_render_is_found_before_anything_is_scored_again(
    cli: Callable[..., Said], here: Path, pinned: Pinned
) -> None:
    protocol_file(here, variant(name="bare", metrics={"ssim": {"kernel": "zero", "data_range": 1}}), "bare.yaml")
    for folder in ("gt", "ours"):
        save_png(Path("small", folder, "0001.png"), torch.rand(8, 40, 3))
    assert cli("score", "small/ours", "--reference", "small/gt", "--protocol", "bare.yaml").code == 0
    result = cli("rescore", "nvs-eval-results", "--protocol", "light.yaml")
    assert (result.code, result.out) == (2, "")
    pinned("rescore", result.err)
