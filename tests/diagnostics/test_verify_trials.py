"""Every part of a protocol, by nvs-eval's metrics and by the second opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.pairs import array_pairs
from support.protocols import protocol_of
from support.verifying import (
    FLAT,
    PAIRS,
    ROUNDED,
    nets_here,
    protocol,
)

from nvs_eval.diagnostics.verify.prepare import Pair
from nvs_eval.diagnostics.verify.records import Compared, tolerance_of
from nvs_eval.diagnostics.verify.trials import (
    Case,
    cases_for,
    made_pair,
    our_scores,
    second_opinions,
    with_mask,
)
from nvs_eval.protocols import named_protocols

KERNELS = ("valid", "dmpix", "reflect", "zero", "uniform7-rgb")


def assert_confirmed(cases: Sequence[Case]) -> None:
    ours, others = our_scores(cases, torch.device("cpu"), None), second_opinions(cases, None)
    assert ours.keys() == others.keys()
    compared = [Compared(str(key), key[2], ours[key], others[key], tolerance_of(key[2])) for key in ours]
    assert compared
    assert [each for each in compared if not each.confirmed] == []


@pytest.mark.parametrize("name", sorted(named_protocols()))
def test_every_named_protocol_is_confirmed_masked_and_not(name: str) -> None:
    cases = [
        replace(case, protocols=[protocol for protocol in case.protocols if protocol.name == name])
        for case in cases_for(nets_here())
    ]
    assert any(case.protocols for case in cases)
    assert_confirmed([case for case in cases if case.protocols])


def masked_pairs() -> Mapping[str, Pair]:
    found: dict[str, Pair] = {"made": with_mask(made_pair())}
    random = np.random.RandomState(7)
    for name in PAIRS[:4]:
        reference, render = array_pairs()[name]
        mask = random.rand(*reference.shape[:2]).astype(np.float32)
        mask[: len(mask) // 2] = 1
        mask[-6:, -20:] = 0
        found[name] = Pair(reference, render, mask)
    return found


@pytest.mark.parametrize("meaning", ["ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"])
def test_every_meaning_of_a_mask_is_confirmed_with_every_kernel(meaning: str) -> None:
    kernels = ("valid", "dmpix") if meaning == "dycheck" else (*KERNELS, "luma5", "uniform7-gray")
    quantise = "{render: truncate, reference: round, mask: truncate}"
    protocols = []
    for kernel in kernels:
        extent = 255 if kernel == "uniform7-gray" else 1
        text = protocol(kernel, mask=meaning, quantise=quantise, ssim=f"{{kernel: {kernel}, data_range: {extent}}}")
        protocols.append(protocol_of(text.replace("round_means", "  mae: {}\nround_means")))
    assert_confirmed([Case(name, pair, protocols) for name, pair in masked_pairs().items()])


@pytest.mark.parametrize(
    ("meaning", "kernel"),
    [
        *(("valid-pixels", kernel) for kernel in ("valid", "dmpix", "reflect", "zero", "luma5")),
        *(("dycheck", kernel) for kernel in ("valid", "dmpix")),
    ],
)
def test_a_least_variance_that_matters_is_confirmed(meaning: str, kernel: str) -> None:
    text = protocol("floor", mask=meaning, ssim=f"{{kernel: {kernel}, data_range: 1, variance_floor: 0.001}}")
    assert_confirmed([Case(name, pair, [protocol_of(text)]) for name, pair in masked_pairs().items()])


@pytest.mark.parametrize("rule", ["quadratic", "affine"])
@pytest.mark.parametrize("quantise", [ROUNDED, "{render: none, reference: none, mask: none}"])
def test_colour_correction_is_confirmed(rule: str, quantise: str) -> None:
    text = protocol("corrected", colour_correction=rule, quantise=quantise, out_of_range="clamp")
    more = "  cc_psnr: {data_range: 1}\n  cc_ssim: {kernel: zero, data_range: 1}\n  cc_mae: {}\nround_means"
    protocols = [protocol_of(text.replace("round_means", more))]
    cases = [Case(name, Pair(*array_pairs()[name]), protocols) for name in (*PAIRS, *FLAT)]
    assert_confirmed([*cases, Case("tinted", tinted(), protocols)])
    corrected = our_scores([Case("tinted", tinted(), protocols)], torch.device("cpu"), None)
    assert corrected["corrected", "tinted", "cc_psnr"] > corrected["corrected", "tinted", "psnr"] + 3


def tinted() -> Pair:
    reference, render = array_pairs()["photograph and noise"]
    return Pair(reference, (render * np.float32(0.8) + np.array([0.1, 0, 0.05], np.float32)).clip(0, 1))
