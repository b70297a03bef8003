"""Which protocols share a table, and which columns it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.records import record, row, under

from nvs_eval.records.columns import Other, columns_of
from nvs_eval.records.joint import joint, joint_by_scene
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.records.signatures import NEUTRAL

ROUND, TRUNC, FLOAT = ("q:round8", "q:trunc8|beyond:clamp|mask:multiply", "q:float|beyond:keep")
VALID, ZERO = ("ssim|pad:valid|{}|v1", "ssim|pad:zero|{}|v1")


def of(protocol: str, preparation: str, ssim: str = VALID, **changes: Any) -> Record:
    """Return a record of PSNR and SSIM; their values are those of `scores`, one per view."""
    scores: Mapping[str, float] = changes.pop("scores", {"0001": 20.0, "0002": 30.0})
    metrics = {
        "psnr": MetricInfo("dB", True, f"psnr|range:1|{preparation}|v1"),
        "ssim": MetricInfo("", True, ssim.format(preparation)),
    }
    entry = {"name": protocol, "definition": {"round_means": 5}, "fingerprint": protocol[0] * 8}
    value = 0.9 if ssim == VALID else 0.8
    views = [row(name, psnr=score, ssim=value) for name, score in scores.items()]
    return record(views, **{"protocol": entry, "metrics": metrics, "neutral": NEUTRAL, **changes})


A, B = of("a", ROUND), of("b", TRUNC)


def columns(*records: Record, others: tuple[Other, ...] = ()) -> dict[str, list[str]]:
    """Return the records of each column, by the names of their protocols and methods."""
    return {
        column.key: [f"{one.protocol['name']}/{one.method}" for one in records if column.has(one)]
        for column in columns_of(records, others)
    }


# --- Columns --------------------------------------------------------------------------------------------------------


def test_one_number_is_one_column() -> None:
    both = ["a/nerfacto", "b/nerfacto"]
    assert columns(A, B) == {"psnr": both, "ssim": both}
    assert columns(A, of("b", TRUNC, ZERO)) == {"psnr": both, "ssim[pad:valid]": both[:1], "ssim[pad:zero]": both[1:]}
    # Records without neutral steps, such as older ones, have none.
    assert columns(replace(A, neutral=()), replace(B, neutral=()))["psnr[q:round8]"] == both[:1]


def test_a_neutral_step_must_be_neutral_in_the_record_that_is_put_under_another_signature() -> None:
    floats = replace(of("f", FLOAT), neutral=("range",))
    assert columns(A, floats)["psnr"] == ["a/nerfacto", "f/nerfacto"]  # A has 8-bit levels and so the float number.
    rounded = replace(A, method="rounded", neutral=("range",))
    assert columns(rounded, floats)["psnr[q:float]"] == ["f/nerfacto"]
    # A value may be two numbers.
    assert columns(A, rounded, floats)["psnr[q:round8]"] == ["a/nerfacto", "a/rounded"]
    assert columns(A, rounded, floats)["psnr[q:float]"] == ["a/nerfacto", "f/nerfacto"]


def test_different_clamps_that_change_nothing_are_one_number() -> None:
    one, other = (of(name, ROUND, f"ssim|floor:{floor}|{{}}|v1") for name, floor in (("a", "0"), ("b", "2^-46")))
    assert columns(one, other)["ssim"] == ["a/nerfacto", "b/nerfacto"]
    assert [column.signature for column in columns_of([one, other])][1] == "ssim|q:round8|v1"


def test_other_numbers_get_a_column_only_with_a_record() -> None:
    same = Other("psnr", "psnr|range:1|q:float|v1", "theirs", "paper")
    others = (same, replace_metric(same), Other("mae", "mae|q:float|v1", "theirs", "paper"))
    psnr, ssim = columns_of([A], others)
    assert (psnr.key, psnr.signature, psnr.has_number("paper")) == ("psnr", same.signature, True)
    assert (ssim.key, ssim.has_number("paper")) == ("ssim", False)


def replace_metric(other: Other) -> Other:
    return other._replace(metric="ssim", signature="ssim|pad:zero|q:float|v1")


# --- Protocols that share a table -----------------------------------------------------------------------------------


def test_records_of_one_protocol_stay_as_they_are() -> None:
    other = replace(A, method="other", neutral=())
    (group,) = joint([A, other])
    assert all(one is same for one, same in zip(group.records, [A, other], strict=True))
    assert group.unified == group.apart == {}


def test_records_of_one_result_are_merged() -> None:
    (group,) = joint([A, of("b", TRUNC, ZERO, scores={"0002": 30.00001, "0001": 20.0})])
    (merged,) = group.records
    assert (merged.protocol_title, merged.fingerprint, merged.id) == ("a + b", "aaaaaaaa + bbbbbbbb", A.id)
    assert merged.views[1].scores == {"psnr": 30.0, "ssim[pad:valid]": 0.9, "ssim[pad:zero]": 0.8}
    assert merged.means["psnr"] == 25.0
    assert group.unified == {(("a", "b"), ("range", "q-reference", "q-render", "mask")): ["psnr"]}


def test_means_of_several_protocols_are_not_rounded() -> None:
    (group,) = joint([of("a", ROUND, scores={"0001": 20.000000001}), of("b", TRUNC, scores={"0001": 20.000000001})])
    assert group.records[0].means["psnr"] == 20.000000001


def test_rows_may_lack_columns() -> None:
    (group,) = joint([A, of("b", TRUNC, ZERO, method="other")])
    assert [list(one.metrics) for one in group.records] == [["psnr", "ssim[pad:valid]"], ["psnr", "ssim[pad:zero]"]]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (of("b", TRUNC, scores={"0001": 20.0, "0002": 30.5}), "different renders (psnr of '0002' is 30 and 30.5)"),
        (of("b", TRUNC, scores={"0001": 20.0}), "different views (2 and 1; only the first has 0002)"),
        (
            replace(B, method="x", views=[replace(view, reference_sha256="1" * 64) for view in B.views]),
            "different references (2 of 2 views)",
        ),
        (
            replace(B, method="x", views=[replace(view, coverage=0.5, mask_sha256="1" * 64) for view in B.views]),
            "different masks (2 of 2 views; nerfacto has none)",
        ),
    ],
    ids=["values", "views", "references", "masks"],
)
def test_what_differs_stays_apart(other: Record, why: str) -> None:
    one, two = joint([A, other])
    assert (one.records, two.records, one.apart) == ([A], [other], {})
    ((names, reason),) = two.apart.items()
    assert names == ("a", "b")
    assert reason.endswith(why)


def test_protocols_without_a_number_in_common_have_tables_of_their_own() -> None:
    older = replace(A, neutral=())
    assert [group.apart for group in joint([older, under(older)])] == [{}, {}]
    assert len(joint([A, replace(B, split="train")])) == 2


def test_protocols_of_other_scenes_share_the_tables_of_each_scene() -> None:
    garden = replace(A, scene="garden")
    assert [len(group.records) for group in joint([A, B, garden])] == [2, 1]
    groups = joint_by_scene([A, B, garden], ["fox", "garden"])
    assert [group.records[0].fingerprint for group in groups] == ["aaaaaaaa + bbbbbbbb", "aaaaaaaa"]
    # Where some scenes and views suffice, they are shared.
    fewer = of("b", TRUNC, scores={"0001": 20.0}, method="x")
    assert [len(group.records) for group in joint([A, garden], [fewer], whole=False)] == [3]
    assert len(joint([A, garden], [fewer])) == 2


def test_results_of_two_sides_are_not_merged() -> None:
    (group,) = joint([A], [of("b", TRUNC, scores={"0001": 1.0, "0002": 2.0})])
    assert [[one.means["psnr"] for one in side] for side in group.sides] == [[25.0], [1.5]]


def test_a_protocol_can_join_two_others() -> None:
    rounded = replace(A, method="r", neutral=("range", "mask"))
    floats = replace(of("f", FLOAT), method="f", neutral=("range", "mask"))
    assert len(joint([rounded, floats])) == 2
    (group,) = joint([rounded, floats, replace(B, method="b")])
    assert group.records[0].protocol_title == "a + f + b"
