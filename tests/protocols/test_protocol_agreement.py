"""Each named protocol against the peers that compute its numbers, on every pair that it takes.

Run as a script, or by pytest with `-s`, it prints for each protocol the largest deviation from each peer, and of a peer
that is used in float32 also that of its own float32 number, with what this is away from its own float64 one:

    PYTHONPATH=tests python tests/protocols/test_protocol_agreement.py
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
from support.pairs import array_masks, array_pairs, second_photograph
from support.peer_lines import AVERAGE, FEWEST_PAIRS, Deviation, Line, check_that_enough_was_compared, distance
from support.peer_protocols import CC, PROTOCOLS, Tool, quantise
from support.peer_scores import Array, Case, Peer

from nvs_eval.diagnostics.verify.scores import average_error
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.lpips.metric import Lpips, load_lpips
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, Quantise, load_protocol, named_protocols
from nvs_eval.sources.views import Render, View

CPU = torch.device("cpu")
SMALLEST = {"ssim": 11, "lpips": 31}
PSNR_OF_DOUBLES = 2e-5
LARGEST_PSNR = 100.0
"""Beyond it an error is made of rounding: of the colour correction of a negative, say, which is exact."""


def test_every_named_protocol_is_compared() -> None:
    assert {name.split()[0] for name in PROTOCOLS} == set(named_protocols())


def test_the_quantisation_of_tools_by_hand() -> None:
    values = np.array([0.0, 0.49, 0.5, 1.5, 2.5, 254.99, 255.0]) / 255
    assert np.rint(quantise(values, "round") * 255).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert np.rint(quantise(values, "round half to even") * 255).tolist() == [0, 0, 0, 2, 2, 255, 255]
    assert np.rint(quantise(values, "truncate") * 255).tolist() == [0, 0, 0, 1, 2, 254, 255]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_agrees_with_its_peers(
    name: str, weights_folder: Callable[[Net], Path | None], lpips_of: Callable[..., Lpips]
) -> None:
    nets: set[Any] = {metric.split("_")[-1] for metric in PROTOCOLS[name].peers if "lpips" in metric}
    folders = [weights_folder(net) for net in nets]
    print(f"\n{compare(name, lpips_of, folders[0] if folders else None)}")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("instant-ngp", {"out_of_range": "keep"}),
        ("instant-ngp", {"quantise": Quantise("round", "none", "none")}),
        ("zipnerf-pytorch", {"quantise": Quantise("truncate", "truncate", "none")}),
        ("zipnerf-pytorch", {"quantise": Quantise("round", "round", "none")}),
    ],
)
def test_a_protocol_that_says_something_else_is_noticed(
    name: str, changes: dict[str, Any], lpips_of: Callable[..., Lpips]
) -> None:
    with pytest.raises(AssertionError, match=f"{name}, .* ours is"):
        compare(name, lpips_of, protocol=replace(load_protocol(name), **changes))


@pytest.mark.parametrize("emptied", [{}, {"photograph and noise": [None, None]}])
def test_a_golden_file_without_its_pairs_is_noticed(
    emptied: dict[str, Any], lpips_of: Callable[..., Lpips], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {metric: emptied for metric in peer_scores._values("nerfbaselines")}
    monkeypatch.setattr(peer_scores, "_values", lambda file: values)
    with pytest.raises(AssertionError, match="has no default: psnr of 'photograph and noise'"):
        compare("nerfbaselines", lpips_of)


@pytest.mark.parametrize("masked", [False, True])
def test_a_peer_that_answers_too_little_is_noticed(
    masked: bool, lpips_of: Callable[..., Lpips], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked = peer_scores.MAE.answer, Counter[bool]()

    def seldom(case: Case) -> Any:
        asked[bool(case.golden)] += 1
        return answer(case) if bool(case.golden) != masked or asked[masked] < FEWEST_PAIRS else None

    tool = PROTOCOLS["nerfbaselines"]
    peers = {"mae": [Peer("seldom", seldom)]}
    monkeypatch.setitem(PROTOCOLS, "nerfbaselines", replace(tool, peers=peers))
    protocol = load_protocol("nerfbaselines")
    protocol = replace(protocol, metrics={"mae": protocol.metrics["mae"]})
    with pytest.raises(AssertionError, match=f"mae, masked: {masked}: 9 pairs were compared with seldom"):
        compare("nerfbaselines", lpips_of, protocol=protocol)


def compare(
    name: str, lpips_of: Callable[..., Lpips], weights_dir: Path | None = None, protocol: Protocol | None = None
) -> Line:
    """Assert that a protocol agrees with every peer on every pair; the line of the table."""
    tool, line = PROTOCOLS[name], Line(name)
    protocol = protocol or protocol_of(name)

    @cache
    def scorer(lacking: frozenset[str]) -> Scorer:
        left = {metric: given for metric, given in protocol.metrics.items() if metric not in lacking}
        return Scorer([replace(protocol, metrics=left)], CPU, weights_dir)

    assert set(protocol.metrics) - {AVERAGE} == set(tool.peers)
    for pair, reference, render, mask in views(tool):
        prepared = tool.prepare(reference, render, mask)
        taken = scorer(undefined(protocol, pair, prepared.reference.shape))
        view = View(pair, _tensor(reference), (Render(_tensor(render)),), None if mask is None else _tensor(mask))
        (ours,) = taken.score(view)
        golden = "" if mask is None else ", mask"
        case = Case(pair, prepared.reference, prepared.render, prepared.mask, golden, lpips_of)
        corrected = case if prepared.corrected is None else replace(case, render=prepared.corrected)
        peers = tool.peers if mask is None or tool.masked is None else tool.masked
        for metric in (metric for metric in ours if metric != AVERAGE):
            for peer in peers[metric]:
                _compare(line, metric, peer, ours[metric][0], corrected if metric.startswith(CC) else case)
        if AVERAGE in ours:
            parts = (ours[part][0] for part in protocol.metrics[AVERAGE].values())
            assert abs(ours[AVERAGE][0] - average_error(*parts)) <= 1e-9
    check_that_enough_was_compared(line, tool, list(protocol.metrics))
    return line


def _compare(line: Line, metric: str, peer: Peer, ours: float, case: Case) -> None:
    answer = peer.answer(case)
    if answer is None:
        return
    exact, single = answer
    where = f"{line.name}, {metric} of {case.name!r}: ours is {ours!r}, {peer.name}'s {exact!r}"
    if "psnr" in metric and min(ours, exact) > LARGEST_PSNR:
        return
    # A tool that works in float64 holds more of an image than ours, which is float32 and keeps it.
    tolerance = PSNR_OF_DOUBLES if "psnr" in metric and case.render.dtype == np.float64 else peer.tolerance
    assert distance(ours, exact) <= tolerance, where
    if single is not None:
        assert distance(ours, single) <= distance(exact, single) + tolerance, f"{where}, in float32 {single!r}"
    line.found.setdefault((metric, peer.name), Deviation()).add(ours, exact, single)
    line.pairs[metric, peer.name, bool(case.golden)] += 1


def protocol_of(name: str) -> Protocol:
    named, _, correction = name.partition(" ")
    protocol = load_protocol(named)
    if not correction:
        return protocol
    how: Any = correction
    both = protocol.colour_corrected(how)
    return replace(both, metrics={name: given for name, given in both.metrics.items() if name.startswith(CC)})


def views(tool: Tool) -> Iterator[tuple[str, Array, Array, Array | None]]:
    """The pairs that a tool takes, by name; each with a mask too, where it takes one."""
    pairs = array_pairs()
    if tool.beyond != "error":
        pairs = {**pairs, "beyond the range": beyond_the_range()}
    for name, (reference, render) in pairs.items():
        if tool.half and reference.shape[1] - reference.shape[1] // 2 < SMALLEST["ssim"]:
            continue
        yield name, reference, render, None
        if tool.mask != "none" and name in array_masks():
            yield name, reference, render, array_masks()[name]


@cache
def beyond_the_range() -> tuple[Array, Array]:
    """A render that nobody has clamped."""
    cat = (second_photograph() / 255).astype(np.float32)
    return cat, (1.6 * cat - 0.2).astype(np.float32)


def undefined(protocol: Protocol, pair: str, shape: tuple[int, ...]) -> frozenset[str]:
    """The protocol's metrics that are not defined for a pair."""
    small = {family for family, smallest in SMALLEST.items() if min(shape[:2]) < smallest}
    # It has no range of its own; and what a correction fits to one colour is that colour, but for rounding.
    flat = {"flat and flat": ("pair", CC), "flat and noise": (CC,)}.get(pair, ())
    return frozenset(
        metric
        for metric, given in protocol.metrics.items()
        if small & _families(metric) or given.get("data_range") in flat or metric[: len(CC)] in flat
    )


def _families(metric: str) -> set[str]:
    return {"ssim", "lpips"} if metric == AVERAGE else {metric.removeprefix(CC).split("_")[0]}


def _tensor(image: Array) -> torch.Tensor:
    return torch.from_numpy(image)


if __name__ == "__main__":
    for each in PROTOCOLS:
        print(compare(each, cache(load_lpips)), flush=True)
