"""The named protocols: their definitions, according to a table of the tools, and their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from nvs_eval.protocols import DEFAULT, Protocol, Quantise, load_protocol, named_protocols


@dataclass(frozen=True)
class Row:
    """Expected definition of a protocol.

    Attributes:
        fingerprint: fingerprint that existing records contain. If it changes, so does the meaning of the protocol:
            increase the version in the metric's signature and add an entry to CHANGELOG.md.
        quantise: quantisation of render, reference and mask.
        beyond: treatment of values outside [0, 1].
        mask: use of masks.
        ssim: kernel and data range, and the variance floor if it is not the kernel's default.
        lpips: nets, scaling of the input, normaliser, and clamping of the input.
        more: other metrics in order, apart from PSNR, SSIM and LPIPS.
        changes: other fields that differ from those of most protocols.
        psnr: parameters of PSNR.
        also: parameters of metrics that only this protocol has.
    """

    fingerprint: str
    quantise: str
    beyond: str
    mask: str
    ssim: str
    lpips: str
    more: str = ""
    changes: tuple[tuple[str, Any], ...] = ()
    psnr: Mapping[str, Any] = field(default_factory=lambda: {"data_range": 1})
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


ALPHA_DROP = (("alpha", "drop"),)
TABLE = {
    "standard": Row("f3d12c27", "round round none", "error", "valid-pixels", "valid 1", "alex vgg, scaled lpips"),
    "nerfstudio": Row("293ef47b", "none none none", "error", "none", "reflect pair", "alex, scaled torchmetrics"),
    "nerfstudio-splatfacto": Row("4e192fd1", "none none none", "clamp", "none", "valid 1", "alex, scaled torchmetrics"),
    "nerfstudio-surface": Row(
        "d22ca0ee", "none none none", "keep", "none", "reflect pair", "alex, unscaled torchmetrics"
    ),
    "inria-3dgs": Row(
        "82a74b27", "round round none", "clamp", "none", "zero 1", "vgg, unscaled lpips", changes=ALPHA_DROP
    ),
    "multinerf": Row(
        "863795d3",
        "round none none",
        "keep",
        "none",
        "dmpix 1",
        "vgg, scaled lpips",
        "cc_psnr cc_ssim",
        (("colour_correction", "quadratic"),),
    ),
    "nerfbaselines": Row(
        "6f71b60a",
        "truncate truncate none",
        "clamp",
        "multiply",
        "dmpix 1",
        "alex, scaled lpips",
        "mae",
        (("round_means", 5),),
    ),
    "nerfbaselines-nerf": Row(
        "5a8ec785",
        "truncate truncate none",
        "clamp",
        "multiply",
        "dmpix 1",
        "alex vgg, scaled lpips",
        "mae",
        (("round_means", 5),),
    ),
    "nerfbaselines-nerfw": Row(
        "ad787f5e",
        "truncate truncate none",
        "clamp",
        "ignored",
        "dmpix 1",
        "alex, scaled lpips",
        "mae",
        (("region", "right-half"), ("round_means", 5)),
    ),
    "gsplat": Row(
        "59cc8415", "none none none", "clamp", "none", "reflect 1", "alex, scaled torchmetrics", changes=ALPHA_DROP
    ),
    "gsplat-vgg": Row(
        "84fdc0be", "none none none", "clamp", "none", "reflect 1", "vgg, unscaled torchmetrics", changes=ALPHA_DROP
    ),
    "instant-ngp": Row("f947fe7c", "none none none", "clamp", "none", "luma5 1", ""),
    "mipnerf": Row("fce6c757", "none none none", "keep", "none", "dmpix 1 floor 0", "vgg, scaled lpips"),
    "nerf": Row("c2098b16", "none none none", "keep", "none", "", ""),
    "ngp-pl": Row("34d56435", "none none none", "keep", "none", "reflect 1", "vgg, scaled torchmetrics clamp"),
    "3dgrut": Row(
        "76e2cdd4",
        "none none none",
        "keep",
        "none",
        "reflect 1",
        "vgg, scaled torchmetrics clamp",
        "cc_psnr cc_ssim cc_lpips_vgg",
        (("colour_correction", "affine"),),
    ),
    "zipnerf-pytorch": Row("bc0d6b91", "round truncate none", "error", "none", "uniform7-gray 255", ""),
    "pixelsplat": Row(
        "e240af75",
        "none none none",
        "keep",
        "none",
        "valid-sample 1",
        "vgg, scaled lpips",
        changes=ALPHA_DROP,
        psnr={"data_range": 1, "clamp": True},
    ),
    "long-lrm": Row("e9fa1427", "none none none", "clamp", "none", "uniform7-rgb 1", "vgg, scaled lpips"),
    "ever": Row("2f38416f", "round round none", "clamp", "none", "zero 1", "vgg, scaled lpips", changes=ALPHA_DROP),
    "4dgaussians": Row(
        "70db5d85",
        "round round none",
        "clamp",
        "none",
        "zero 1",
        "vgg alex, unscaled lpips",
        changes=ALPHA_DROP,
        also={"ms_ssim": {"data_range": 1}, "dssim_ms": {}},
    ),
    "spacetime-gaussians": Row(
        "81b93f4b",
        "none none none",
        "clamp",
        "none",
        "zero 1",
        "alex vgg, unscaled lpips",
        changes=ALPHA_DROP,
        also={"dssim_range1": {"kernel": "zero"}, "dssim_range2": {"kernel": "uniform7-rgb"}},
    ),
    "nvs-bench": Row("ee7d033b", "round round none", "clamp", "none", "reflect pair", "vgg, scaled torchmetrics"),
    "dycheck": Row(
        "32d0478b",
        "truncate truncate truncate",
        "clamp",
        "dycheck",
        "dmpix 1 floor 0",
        "alex, scaled lpips",
        changes=ALPHA_DROP,
    ),
}


def expected_metrics(row: Row) -> dict[str, dict[str, Any]]:
    """Return the parameters of each metric in a row."""
    metrics: dict[str, dict[str, Any]] = {"psnr": dict(row.psnr)}
    if row.ssim:
        kernel, data_range, *floor = row.ssim.split()
        metrics["ssim"] = {"kernel": kernel, "data_range": "pair" if data_range == "pair" else int(data_range)}
        metrics["ssim"] |= {"variance_floor": int(floor[1])} if floor else {}
    if row.lpips:
        nets, options = row.lpips.split(", ")
        scaling, normaliser, *clamp = options.split()
        for net in nets.split():
            metrics[f"lpips_{net}"] = {"net": net, "version": "0.1", "input": scaling, "normaliser": normaliser}
            metrics[f"lpips_{net}"] |= {"clamp": True} if clamp else {}
    metrics |= {name: dict(parameters) for name, parameters in row.also.items()}
    for name in row.more.split():
        metrics[name] = metrics.get(name.removeprefix("cc_"), {})
    return metrics


with_every_protocol = pytest.mark.parametrize("name", TABLE)


def test_named_protocols_are_those_of_the_table() -> None:
    assert set(named_protocols()) == set(TABLE)
    assert DEFAULT in TABLE


@with_every_protocol
def test_definition_agrees_with_the_table(name: str) -> None:
    row = TABLE[name]
    quantise: Any = Quantise(*row.quantise.split())  # type: ignore[arg-type]
    fields: dict[str, Any] = {
        "alpha": "composite",
        "colour_correction": "none",
        "out_of_range": row.beyond,
        "quantise": quantise,
        "region": "full",
        "crop": 0,
        "mask": row.mask,
        "metrics": expected_metrics(row),
        "round_means": None,
    }
    assert load_protocol(name) == Protocol(name=name, **{**fields, **dict(row.changes)})


@with_every_protocol
def test_metrics_agree_with_the_table(name: str) -> None:
    protocol = load_protocol(name)
    assert list(protocol.metrics) == list(protocol.infos) == list(protocol.signatures)
    assert set(protocol.metrics) == set(expected_metrics(TABLE[name]))
    assert next(iter(protocol.metrics)) == "psnr"


@with_every_protocol
def test_fingerprint_is_unchanged(name: str) -> None:
    assert load_protocol(name).fingerprint == TABLE[name].fingerprint


def test_fingerprints_are_unique() -> None:
    assert len({load_protocol(name).fingerprint for name in TABLE}) == len(TABLE)


def test_protocols_with_different_preparation_share_no_signature() -> None:
    def preparation(protocol: Protocol) -> object:
        mask = protocol.mask if protocol.takes_masks else None
        rules = (protocol.quantise.render, protocol.quantise.reference)
        return rules, protocol.out_of_range, protocol.region, protocol.crop, protocol.alpha == "drop", mask

    sharing = []
    for first, second in combinations((load_protocol(name) for name in TABLE), 2):
        if set(first.signatures.values()) & set(second.signatures.values()):
            assert preparation(first) == preparation(second), (first.name, second.name)
            sharing.append((first.name, second.name))
    assert ("nerfbaselines", "nerfbaselines-nerf") in sharing
