"""Steps that changed nothing are found, and whatever these make one number has one value, view by view."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from support.protocols import LIGHT, protocol_of, rounding, variant
from support.scoring import CPU
from torch import Tensor

from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.pixels import quantise
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, load_protocol, named_protocols, parse_protocol
from nvs_eval.records.columns import columns_of
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.records.signatures import NEUTRAL
from nvs_eval.sources.views import Render, View

ID = ResultId("fox", "mine")
ROW = torch.linspace(0, 1, 40)[:, None]


def noise(seed: int, height: int = 40, width: int = 40) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def levels(image: Tensor) -> Tensor:
    return quantise(image.clamp(0, 1), "round")


REFERENCE = levels(0.8 * ROW + 0.2 * noise(0))
NEAR = REFERENCE + 0.1 * (noise(1) - 0.5)
RENDER = levels(NEAR)
FLAT = torch.full((40, 40, 3), 0.98)
ALPHA = noise(3)[..., :1].round()
MASK = noise(4)[..., 0].round()


def view(name: str, reference: Tensor = REFERENCE, render: Tensor = RENDER, **fields: Any) -> View:
    alpha = fields.pop("alpha", None)
    return View(name, reference, (Render(render, alpha=alpha),), background=(1.0, 0.5, 0.0), **fields)


FLOAT, FLAT_PAIR = view("float", render=NEAR.clamp(0, 1)), (levels(FLAT), levels(FLAT + 0.005 * noise(2)))
IMAGES: dict[str, tuple[Sequence[View], set[str]]] = {
    "8-bit": ([view("a"), view("b", render=levels(REFERENCE + 0.2 * noise(5)))], set()),
    "float render": ([FLOAT], {"q-render"}),
    "float reference": ([view("a", reference=NEAR.clamp(0, 1))], {"q-reference"}),
    "one of two views": ([view("a"), FLOAT], {"q-render"}),
    "outside [0, 1]": ([view("a", render=1.2 * NEAR)], {"q-render", "range"}),
    "8-bit outside [0, 1]": ([view("a", render=(1.2 * NEAR * 255).round() / 255)], {"range"}),
    "outside by rounding": ([view("a", render=RENDER * (1 + 5e-7))], {"q-render", "range"}),
    "alpha of the reference": ([view("a", reference_alpha=ALPHA)], {"alpha", "q-reference"}),
    "alpha of the render": ([view("a", alpha=noise(3)[..., :1])], {"alpha", "q-render"}),
    "masks": ([view("a", mask=MASK)], {"mask"}),
    "full masks": ([view("a", mask=torch.ones(40, 40))], {"mask"}),
    "flat": ([view("a", *FLAT_PAIR), view("b", levels(FLAT), levels(FLAT))], set()),
    "equal": ([view("a", render=REFERENCE)], set()),
}


def without_lpips(protocol: Protocol) -> Protocol:
    metrics = {name: value for name, value in protocol.metrics.items() if "lpips" not in name}
    return parse_protocol({"name": protocol.name, **protocol.definition, "metrics": metrics})


def made_up() -> list[Protocol]:
    """Protocols with clamps that change windows, with every meaning of masks, and that keep or crop."""
    clamped = {"kernel": "dmpix", "data_range": 1, "variance_floor": 0.001}
    meanings = ("ignored", "multiply", "fill", "bbox", "windows", "none")
    return [
        protocol_of(variant(name="floor", metrics={"ssim": clamped, "mae": {}})),
        protocol_of(variant(name="pair", metrics={"ssim": {"kernel": "dmpix", "data_range": "pair"}})),
        protocol_of(variant(name="keep", out_of_range="keep", quantise=rounding("truncate"))),
        protocol_of(variant(name="crop", crop=2, quantise=rounding("truncate", "round"))),
        *(protocol_of(variant(LIGHT, name=meaning, mask=meaning)) for meaning in meanings),
    ]


NAMED = [load_protocol(name) for name in named_protocols()]
WITHOUT_LPIPS = [*map(without_lpips, NAMED), *made_up()]


def scored(views: Sequence[View], protocols: Sequence[Protocol], weights: Path | None = None) -> list[Record]:
    scorer = Scorer(protocols, CPU, weights)
    return evaluate(views, [ID], scorer, Session(Path("out")), on_refusal=lambda *_: None)


def check_columns(records: Sequence[Record]) -> int:
    """Check that the values of each column are equal in every view. Return the number of pairs."""
    pairs = 0
    for column in columns_of(records):
        having = [record for record in records if column.has(record)]
        for one, other in combinations(having, 2):
            pairs += 1
            rows = {row.name: row for row in other.views}
            for row in (row for row in one.views if row.name in rows):
                values = row.scores[column.metric], rows[row.name].scores[column.metric]
                where = f"{column.key} of {row.name}: {one.protocol['name']}, {other.protocol['name']}"
                assert math.isclose(*values, rel_tol=0, abs_tol=1e-6), where
    return pairs


@pytest.mark.parametrize("images", IMAGES)
def test_one_number_has_one_value_under_all_protocols(images: str) -> None:
    views, changed = IMAGES[images]
    records = scored(views, WITHOUT_LPIPS)
    assert check_columns(records) > 10
    found = [set(record.neutral) for record in records if record.protocol["definition"]["alpha"] == "composite"]
    plain = [names for names in found if "clamps" in names]
    assert plain
    assert all(names.isdisjoint(changed) for names in plain), images
    # Levels above 1 count as such only where they are clamped.
    unsure = {"q-render"} if "range" in changed else set()
    assert all(names | unsure == (set(NEUTRAL) - changed) | unsure for names in plain), images


def lpips_of(protocol: Protocol) -> Protocol:
    metrics = {name: value for name, value in protocol.metrics.items() if name.startswith("lpips")}
    plain = {"name": protocol.name, **protocol.definition, "metrics": metrics, "colour_correction": "none"}
    return parse_protocol(plain)


@pytest.mark.long
@pytest.mark.parametrize("images", IMAGES)
def test_one_lpips_has_one_value_under_all_protocols(images: str, weights_folder: Callable[[Net], Path | None]) -> None:
    weights_folder("vgg")
    protocols = [lpips_of(protocol) for protocol in NAMED if protocol.nets]
    records = scored(IMAGES[images][0], protocols, weights_folder("alex"))
    assert check_columns(records) >= 1


def test_numbers_differ_where_a_step_changed_something() -> None:
    """The images could tell: no two columns of PSNR have the same values."""
    for images in ("float render", "outside [0, 1]", "alpha of the reference"):
        records = scored(IMAGES[images][0], WITHOUT_LPIPS)
        columns = [column for column in columns_of(records) if column.metric == "psnr"]
        # Clamped by the metric, or before it: two definitions of one number, which stay apart.
        columns = [column for column in columns if "|clamp|" not in column.signature]
        values = [next(r.views[0].scores["psnr"] for r in records if column.has(r)) for column in columns]
        assert len(values) > 1
        assert all(abs(one - other) > 1e-4 for one, other in combinations(values, 2)), images
