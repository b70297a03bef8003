"""Each named protocol agrees with the peers that compute its numbers, on every pair that it admits.

With `pytest -s`, it prints the largest deviation of each protocol from each peer. Run as a script (`make agreement`),
it writes the table of these deviations into docs/agreement.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import peer_scores
from support.pairs import array_masks, array_pairs, large_pairs, second_photograph
from support.peer_lines import AVERAGE, FEWEST_PAIRS, Deviation, Kind, Line, check_number_of_pairs, distance
from support.peer_page import PAGE, insert, rows_of
from support.peer_protocols import CC, METRICS, PROTOCOLS, Tool, quantise
from support.peer_scores import Answer, Array, Case, Peer
from support.protocols import BARE, changed

from nvs_eval.diagnostics.verify.scores import average_error
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.describe import family_of
from nvs_eval.metrics.lpips.metric import Lpips, load_lpips
from nvs_eval.metrics.registry import FAMILIES
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, Quantise, load_protocol, named_protocols
from nvs_eval.sources.views import Render, View

CPU = torch.device("cpu")
SMALLEST = {"ssim": 11, "dssim": 11, "lpips": 31, "ms_ssim": 161, "dssim_ms": 161}
LARGE = {"ms_ssim", "dssim_ms"}
"""Metrics that need large pairs, on which the others are not computed, since LPIPS in float64 is slow."""
TOOLS = {**PROTOCOLS, **METRICS}
PSNR_OF_DOUBLES = 2e-5
CLAIM = 1e-6
"""Deviation below which all metrics are, according to docs/agreement.md, apart from PSNR in dB (`PSNR_OF_DOUBLES`)."""
LARGEST_PSNR = 100.0
"""PSNR above which the error is mere rounding, for example after the exact colour correction of a negative."""


def test_every_named_protocol_is_compared() -> None:
    assert {name.split()[0] for name in PROTOCOLS} == set(named_protocols())


def test_quantisation_of_tools() -> None:
    values = np.array([0.0, 0.49, 0.5, 1.5, 2.5, 254.99, 255.0]) / 255
    assert np.rint(quantise(values, "round") * 255).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert np.rint(quantise(values, "round half to even") * 255).tolist() == [0, 0, 0, 2, 2, 255, 255]
    assert np.rint(quantise(values, "truncate") * 255).tolist() == [0, 0, 0, 1, 2, 254, 255]


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_protocol_agrees_with_its_peers(
    name: str, weights_folder: Callable[[Net], Path | None], lpips_of: Callable[..., Lpips]
) -> None:
    nets = protocol_of(name).nets
    folders = [weights_folder(net) for net in nets]
    print(f"\n{compare(name, lpips_of, folders[0] if folders else None)}")


def test_page_has_every_metric_of_every_protocol() -> None:
    rows = {(protocol.split()[0], metric) for protocol, metric, *_ in rows_of(PAGE.read_text(encoding="utf-8"))}
    protocols = {name: set(load_protocol(name).metrics) - {AVERAGE} for name in named_protocols()}
    assert {(name, metric) for name, metrics in protocols.items() for metric in metrics} <= rows
    assert {family_of(metric) for _, metric in rows} == set(FAMILIES)


def test_page_has_every_peer_and_kind_of_pairs() -> None:
    rows = {tuple(row[:3]): row[3:6] for row in rows_of(PAGE.read_text(encoding="utf-8"))}
    for name, tool in TOOLS.items():
        masked = {} if tool.mask == "none" else tool.masked or tool.peers
        for kinds, by_metric in (((0, 1), tool.peers), ((2,), masked)):
            for metric, peer in ((metric, peer) for metric, peers in by_metric.items() for peer in peers):
                assert all(rows[name, metric, peer.name][kind] for kind in kinds), (name, metric, peer.name)


def test_deviations_of_the_page_are_below_the_claim() -> None:
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    for name, metric, peer, *deviations, _ in rows:
        claimed = PSNR_OF_DOUBLES if "psnr" in metric else CLAIM
        assert all(float(deviation) <= claimed for deviation in deviations if deviation), (name, metric, peer)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("instant-ngp", {"out_of_range": "keep"}),
        ("instant-ngp", {"quantise": Quantise("round", "none", "none")}),
        ("zipnerf-pytorch", {"quantise": Quantise("truncate", "truncate", "none")}),
        ("zipnerf-pytorch", {"quantise": Quantise("round", "round", "none")}),
    ],
)
def test_changed_protocol_is_detected(name: str, changes: dict[str, Any], lpips_of: Callable[..., Lpips]) -> None:
    with pytest.raises(AssertionError, match=f"{name}, .*: nvs-eval gives"):
        compare(name, lpips_of, protocol=replace(load_protocol(name), **changes))


@pytest.mark.parametrize("content", [{}, {"photograph and noise": [None, None]}])
def test_golden_file_without_pairs_is_detected(
    content: dict[str, Any], lpips_of: Callable[..., Lpips], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {metric: content for metric in peer_scores._values("nerfbaselines")}
    monkeypatch.setattr(peer_scores, "_values", lambda file: values)
    with pytest.raises(AssertionError, match="has no default: psnr of 'photograph and noise'"):
        compare("nerfbaselines", lpips_of)


@pytest.mark.parametrize("masked", [False, True])
def test_peer_with_too_few_answers_is_detected(
    masked: bool, lpips_of: Callable[..., Lpips], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, calls = peer_scores.MAE.answer, Counter[bool]()

    def seldom(case: Case) -> Any:
        calls[bool(case.golden)] += 1
        return answer(case) if bool(case.golden) != masked or calls[masked] < FEWEST_PAIRS else None

    tool = TOOLS["nerfbaselines"]
    peers = {"mae": [Peer("seldom", seldom)]}
    monkeypatch.setitem(TOOLS, "nerfbaselines", replace(tool, peers=peers))
    protocol = load_protocol("nerfbaselines")
    protocol = replace(protocol, metrics={"mae": protocol.metrics["mae"]})
    with pytest.raises(AssertionError, match=f"mae, masked: {masked}: 9 pairs were compared with seldom"):
        compare("nerfbaselines", lpips_of, protocol=protocol)


def compare(
    name: str, lpips_of: Callable[..., Lpips], weights_dir: Path | None = None, protocol: Protocol | None = None
) -> Line:
    """Assert that a protocol agrees with every peer on every pair, and return its row of the table."""
    tool, line = TOOLS[name], Line(name)
    protocol = protocol or protocol_of(name)

    @cache
    def scorer(undefined_metrics: frozenset[str]) -> Scorer:
        metrics = {name: parameters for name, parameters in protocol.metrics.items() if name not in undefined_metrics}
        return Scorer([replace(protocol, metrics=metrics)], CPU, weights_dir)

    assert set(protocol.metrics) - {AVERAGE} == set(tool.peers)
    for pair, reference, render, mask in views(tool):
        prepared = tool.prepare(reference, render, mask)
        view = View(pair, _tensor(reference), (Render(_tensor(render)),), None if mask is None else _tensor(mask))
        (ours,) = scorer(undefined(protocol, pair, prepared.reference.shape)).score(view)
        golden = "" if mask is None else ", mask"
        kind: Kind = "8-bit" if _in_levels(reference, render) else "float"
        case = Case(pair, prepared.reference, prepared.render, prepared.mask, golden, lpips_of)
        corrected = case if prepared.corrected is None else replace(case, render=prepared.corrected)
        peers = tool.peers if mask is None or tool.masked is None else tool.masked
        for metric in (metric for metric in ours if metric != AVERAGE):
            for peer in peers[metric]:
                value, scored = ours[metric][0], corrected if metric.startswith(CC) else case
                if answer := _compare(f"{name}, {metric} of {pair!r}", metric, peer, value, scored):
                    key = metric, peer.name, kind if mask is None else "masked"
                    line.deviations.setdefault(key, Deviation()).add(value, *answer)
        if AVERAGE in ours:
            parts = (ours[part][0] for part in protocol.metrics[AVERAGE].values())
            assert abs(ours[AVERAGE][0] - average_error(*parts)) <= 1e-9
    check_number_of_pairs(line, tool, list(protocol.metrics))
    return line


def _in_levels(*images: Array) -> bool:
    """Return whether all values are those of 8-bit images."""
    return all(np.array_equal(image, (np.rint(image * 255) / 255).astype(np.float32)) for image in images)


def _compare(where: str, metric: str, peer: Peer, ours: float, case: Case) -> Answer:
    """Assert that a value agrees with a peer's, and return the peer's; None if they cannot be compared."""
    answer = peer.answer(case)
    if answer is None:
        return None
    exact, single = answer
    where = f"{where}: nvs-eval gives {ours!r}, {peer.name} {exact!r}"
    if "psnr" in metric and min(ours, exact) > LARGEST_PSNR:
        return None
    # Tools that prepare images in float64 keep more digits than float32 images.
    tolerance = PSNR_OF_DOUBLES if "psnr" in metric and case.render.dtype == np.float64 else peer.tolerance
    assert distance(ours, exact) <= tolerance, where
    if single is not None:
        assert distance(ours, single) <= distance(exact, single) + tolerance, f"{where}, in float32 {single!r}"
    return answer


def protocol_of(name: str) -> Protocol:
    if name in METRICS:
        return _alone(name)
    named, _, correction = name.partition(" ")
    protocol = load_protocol(named)
    if not correction:
        return protocol
    kind: Any = correction
    both = protocol.colour_corrected(kind)
    corrected = {name: parameters for name, parameters in both.metrics.items() if name.startswith(CC)}
    return replace(both, metrics=corrected)


def _alone(metric: str) -> Protocol:
    """Return a protocol of one metric with default parameters."""
    tool = METRICS[metric]
    rules = {"clipped": "clamp", "error": "error", "kept": "keep"}
    mask = "valid-pixels" if tool.mask == "weights" else "none"
    protocol = changed(BARE, name=metric, out_of_range=rules[tool.beyond], mask=mask, metrics={metric: {}})
    return replace(protocol, metrics={metric: {}})


def views(tool: Tool) -> Iterator[tuple[str, Array, Array, Array | None]]:
    """Yield the pairs that a tool admits, by name, each without a mask and, if possible, with one."""
    pairs = array_pairs()
    if tool.beyond != "error":
        pairs = {**pairs, "beyond the range": beyond_the_range()}
    if LARGE & set(tool.peers):
        pairs = {**pairs, **large_pairs()}
    for name, (reference, render) in pairs.items():
        if tool.half and reference.shape[1] - reference.shape[1] // 2 < SMALLEST["ssim"]:
            continue
        yield name, reference, render, None
        if tool.mask != "none" and name in array_masks():
            yield name, reference, render, array_masks()[name]


@cache
def beyond_the_range() -> tuple[Array, Array]:
    """Return a pair whose render has values outside [0, 1]."""
    cat = (second_photograph() / 255).astype(np.float32)
    return cat, (1.6 * cat - 0.2).astype(np.float32)


def undefined(protocol: Protocol, pair: str, shape: tuple[int, ...]) -> frozenset[str]:
    """Return the metrics that are not defined for a pair."""
    small = {family for family, smallest in SMALLEST.items() if min(shape[:2]) < smallest}
    # A flat pair has no data range, and a correction fitted to a flat reference returns that colour, up to rounding.
    flat = {"flat and flat": ("pair", CC), "flat and noise": (CC,)}.get(pair, ())
    others = set(protocol.metrics) - LARGE if pair in large_pairs() else set()
    return frozenset(
        metric
        for metric, parameters in protocol.metrics.items()
        if small & _families(metric) or parameters.get("data_range") in flat or metric[: len(CC)] in flat
    ).union(others)


def _families(metric: str) -> set[str]:
    if metric == AVERAGE:
        return {"ssim", "lpips"}
    plain = metric.removeprefix(CC)
    return {plain if plain in LARGE else plain.split("_")[0]}


def _tensor(image: Array) -> torch.Tensor:
    return torch.from_numpy(image)


if __name__ == "__main__":
    lines = [compare(tool_name, cache(load_lpips)) for tool_name in TOOLS]
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), lines), encoding="utf-8")
