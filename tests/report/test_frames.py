"""Records as DataFrames: columns, types, and every digit."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import replace
from typing import Any

import pytest
from support.records import INFO, record, row

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.report.frames import COLUMNS, data_frame, write_csv, write_json

IDENTITY = ["scene", "method", "run", "step", "split", "protocol", "fingerprint", "view"]
THIRD = 20 + 1 / 3


@pytest.fixture
def pandas() -> Any:
    return pytest.importorskip("pandas")


RECORDS = [
    record([row("a", psnr=THIRD, ssim=0.1 + 0.2), row("b", psnr=math.inf, ssim=1.0)], run="base", step=2500),
    record([row("a", psnr=21.5, lpips_alex=0.125)], method="other"),
]


def test_long_has_a_row_per_view_and_metric_in_full_precision(pandas: Any) -> None:
    frame = data_frame(RECORDS)
    assert list(frame.columns) == [*IDENTITY, "metric", "value", "unit", "higher_is_better"] == list(COLUMNS)
    values = {(method, view, metric): value for method, view, metric, value in
              frame[["method", "view", "metric", "value"]].itertuples(index=False)}  # fmt: skip
    assert values == {
        ("nerfacto", "a", "psnr"): THIRD,
        ("nerfacto", "a", "ssim"): 0.1 + 0.2,
        ("nerfacto", "b", "psnr"): math.inf,
        ("nerfacto", "b", "ssim"): 1.0,
        ("other", "a", "psnr"): 21.5,
        ("other", "a", "lpips_alex"): 0.125,
    }
    psnr, lpips = frame[frame.metric == "psnr"], frame[frame.metric == "lpips_alex"]
    assert set(psnr.unit) == {INFO["psnr"].unit} and psnr.higher_is_better.all()
    assert set(lpips.unit) == {""} and not lpips.higher_is_better.any()
    first = frame.iloc[0]
    assert [first[name] for name in IDENTITY[:-1]] == [
        "fox", "nerfacto", "base", 2500, "test", "standard", "9f2c51ab",
    ]  # fmt: skip


def test_wide_has_a_row_per_view_and_a_column_per_metric(pandas: Any) -> None:
    frame = data_frame(RECORDS, shape="wide")
    assert list(frame.columns) == [*IDENTITY, "psnr", "ssim", "lpips_alex"]
    assert frame[["method", "view"]].to_numpy().tolist() == [["nerfacto", "a"], ["nerfacto", "b"], ["other", "a"]]
    assert frame.psnr.tolist() == [THIRD, math.inf, 21.5]
    assert frame.ssim.tolist()[:2] == [0.1 + 0.2, 1.0] and math.isnan(frame.ssim[2])
    assert math.isnan(frame.lpips_alex[0]) and frame.lpips_alex[2] == 0.125


@pytest.mark.parametrize("shape", ["long", "wide"])
@pytest.mark.parametrize("records", [RECORDS, RECORDS[1:], []], ids=["some", "without step and run", "none"])
def test_columns_have_their_types_for_any_records(shape: Any, records: list[Any], pandas: Any) -> None:
    frame = data_frame(records, shape=shape)
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types.pop("step") == "Int64"
    scores = [name for name in ("value", "psnr", "ssim", "lpips_alex") if name in types]
    assert {types.pop(name) for name in scores} <= {"float64"}
    assert types.pop("higher_is_better", "boolean") == "boolean"
    assert {kind.split("[")[0] for kind in types.values()} == {"string"}
    if len(records) == 1:
        assert frame.step.isna().all() and frame.run.isna().all()


def test_both_shapes_have_the_same_values(pandas: Any) -> None:
    long = data_frame(RECORDS).pivot_table(index=["method", "view"], columns="metric", values="value")
    wide = data_frame(RECORDS, shape="wide").set_index(["method", "view"])
    for name in ("psnr", "ssim", "lpips_alex"):
        assert long[name].fillna(-1).to_dict() == wide[name].fillna(-1).to_dict()


def test_means_by_method_are_those_of_the_records(pandas: Any) -> None:
    frame = data_frame(RECORDS, shape="wide")
    means = frame.groupby(["method", "run", "step"], dropna=False).ssim.mean()
    assert means.iloc[0] == pytest.approx(RECORDS[0].means["ssim"], rel=1e-15)
    assert len(means) == 2


def test_a_frame_equals_the_long_csv(pandas: Any) -> None:
    frame = data_frame(RECORDS)
    types = frame.dtypes.astype(str).to_dict()
    read = pandas.read_csv(io.StringIO("".join(write_csv(RECORDS))), dtype=types, float_precision="round_trip")
    # CSV cannot distinguish the empty unit from a missing one.
    read["unit"] = read["unit"].fillna("")
    pandas.testing.assert_frame_equal(read, frame, check_exact=True)


def test_a_missing_pandas_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"A DataFrame needs pandas.* `pip install 'nvs-eval\[pandas\]'`\."):
        nvs_eval.data_frame(RECORDS)


OWN = record([replace(row("a", psnr=20.0), own={"depth_rmse": THIRD}), row("b", psnr=21.0)])


def test_models_own_metrics_are_rows_without_a_direction(pandas: Any) -> None:
    frame = data_frame([OWN])
    assert frame[["view", "metric"]].to_numpy().tolist() == [["a", "psnr"], ["a", "own/depth_rmse"], ["b", "psnr"]]
    own = frame.iloc[1]
    assert (own.value, own.unit) == (THIRD, "") and own.higher_is_better is pandas.NA
    wide = data_frame([OWN], shape="wide")
    assert wide["own/depth_rmse"][0] == THIRD and pandas.isna(wide["own/depth_rmse"]).tolist() == [False, True]


def test_models_own_metrics_in_csv_and_json() -> None:
    assert "".join(write_csv([OWN])).splitlines()[2].endswith(f",a,own/depth_rmse,{THIRD!r},,")
    rows = json.loads("".join(write_json([OWN])))["rows"]
    assert [line["metric"] for line in rows] == ["psnr", "own/depth_rmse", "psnr"]
    assert (rows[1]["value"], rows[1]["higher_is_better"]) == (THIRD, None)


def test_parts_and_views_that_failed_have_columns_of_their_own(pandas: Any) -> None:
    part = replace(RECORDS[0], selection="0a1b2c3d", provenance={"failed": {"c": "damaged", "d": "damaged"}})
    records = [part, RECORDS[1]]
    header, *lines = "".join(write_csv(records)).splitlines()
    assert header.split(",") == [*COLUMNS, "selection", "failed"]
    assert {tuple(line.split(",")[-2:]) for line in lines} == {("0a1b2c3d", "2"), ("", "0")}
    rows = json.loads("".join(write_json(records)))["rows"]
    assert [(row["selection"], row["failed"]) for row in rows] == [("0a1b2c3d", 2)] * 4 + [(None, 0)] * 2
    for shape in ("long", "wide"):
        frame = data_frame(records, shape=shape)
        assert list(frame.columns[-2:]) == ["selection", "failed"]
        assert frame.failed.tolist() == [2] * (4 if shape == "long" else 2) + [0] * (2 if shape == "long" else 1)
        assert frame.selection.isna().sum() == (2 if shape == "long" else 1)
        assert frame.value.sum() == math.inf if shape == "long" else frame.psnr[0] == THIRD
