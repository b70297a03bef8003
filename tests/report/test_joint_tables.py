"""Tables of records of several protocols: a column for each number, and a dash where a row has none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from support.pinned import Pinned
from support.records import row

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.protocols import load_protocol
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import NEUTRAL
from nvs_eval.report.benchmarks import load_published, named_published, named_signatures
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.tables import chosen_records, tables_of
from nvs_eval.report.writers import FORMATS

VALUES = {"psnr": 27.0, "ssim": 0.8, "lpips_alex": 0.2, "lpips_vgg": 0.3, "cc_psnr": 28.0, "cc_ssim": 0.9}


def of(name: str, method: str, *, corrected: bool = False, **changes: Any) -> Record:
    """Return a record of 8-bit images under a named protocol."""
    protocol = load_protocol(name)
    if corrected:
        protocol = protocol.colour_corrected("affine")
    infos = {key: info for key, info in protocol.infos.items() if key in VALUES}
    shift = {"psnr": 0.0, "ssim": 0.01 * len(name), "lpips_vgg": -0.01 * len(name)}
    scores = {key: VALUES[key] + shift.get(key, 0.0) for key in infos}
    views = [row(f"{index:04d}", **scores) for index in range(3)]
    return Record(
        "garden", method, None, None, "test", protocol.stamp, infos, views, {}, **{"neutral": NEUTRAL, **changes}
    )


ONE, TWO = of("standard", "a"), of("inria-3dgs", "a")
OTHER = replace(of("inria-3dgs", "b"), views=[replace(v, scores={**v.scores, "psnr": 26.0}) for v in TWO.views])


def test_a_table_of_two_protocols(pinned: Pinned) -> None:
    pinned("table", nvs_eval.table([ONE, TWO, OTHER]))
    narrowed = nvs_eval.table([ONE, TWO, OTHER], protocol="standard")
    assert narrowed == nvs_eval.table([ONE])
    assert "SSIM ↑" in narrowed


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "text"])
def test_each_format_has_the_columns_and_the_note(format: str) -> None:
    text = nvs_eval.table([ONE, TWO, OTHER], format=format)
    ssim = "ssim[pad:zero]" if format in ("csv", "json") else "SSIM (zero padding)"
    assert ssim in text
    if format != "csv":
        assert "PSNR is one number under standard and inria-3dgs here: no image has alpha" in re.sub("-{}", "-", text)
    if format == "latex":
        assert re.search(r"b & \S+26\.00 & -- & \S+0\.900 & -- & -- & \S+0\.200 &", text)


def test_json_has_null_where_a_row_has_no_number() -> None:
    (table,) = json.loads(nvs_eval.table([ONE, TWO, OTHER], format="json"))["tables"]
    assert table["rows"][1]["ssim[pad:valid]"] == {"value": None, "text": "-", "rank": None, "mark": ""}
    assert [one["psnr"]["rank"] for one in table["rows"]] == [1, 2]
    assert table["shared"]["protocol"] == "standard + inria-3dgs"
    assert len(table["signatures"]) == 6


def test_metrics_and_sort_name_all_columns_of_a_metric_or_one() -> None:
    text = nvs_eval.table([OTHER, ONE, TWO], metrics=["ssim[pad:zero]", "psnr"], sort="psnr", decimals={"ssim": 5})
    lines = [line.split() for line in text.splitlines()]
    assert lines[3:5] == [["a", "0.90000", "27.00"], ["b", "0.90000", "26.00"]]
    both = nvs_eval.table([ONE, TWO], metrics="ssim", format="csv").splitlines()[0]
    assert both == "scene,split,protocol,fingerprint,method,ssim[pad:valid],ssim[pad:zero]"
    with pytest.raises(InputError, match="ssim\\[pad:zero\\]"):
        nvs_eval.table([ONE, TWO], metrics="ssim[pad:zer]")


def test_tables_per_scene_and_per_view() -> None:
    titles = [
        table.title
        for table in tables_of([ONE, TWO], Layout(options=replace(Layout().options, rows="method", columns="scene")))
    ]
    assert titles[1:3] == ["SSIM (no padding) ↑, test views", "SSIM (zero padding) ↑, test views"]
    views = nvs_eval.table([ONE, TWO, OTHER], per_view=True, format="csv").splitlines()
    assert len(views) == 1 + 6
    assert views[4].startswith("garden,test,standard + inria-3dgs,f3d12c27 + 82a74b27,0000,b,26.0,,0.9,")


def test_the_long_form_has_the_protocols_apart() -> None:
    assert chosen_records([ONE, TWO], Layout()) == [ONE, TWO]


def test_records_that_differ_are_noted() -> None:
    other = replace(TWO, views=[replace(view, scores={**view.scores, "psnr": 20.0}) for view in TWO.views])
    text = nvs_eval.table([ONE, other])
    assert text.count("garden, test views") == 2
    assert (
        "inria-3dgs is apart from standard, with which it has numbers in common: garden/a: different renders (psnr of "
        "'0000' is 27 and 20)"
    ) in text


# --- Published numbers ----------------------------------------------------------------------------------------------


def test_a_colour_corrected_record_stands_beside_the_published_row(pinned: Pinned) -> None:
    corrected = of("inria-3dgs", "mine", corrected=True, neutral=())
    text = nvs_eval.table([corrected], with_published="3dgs")
    assert f"({load_protocol('inria-3dgs').fingerprint})" not in text
    pinned("table", text)


def test_published_numbers_of_another_protocol_have_the_columns_in_common() -> None:
    text = nvs_eval.table([ONE], with_published="3dgs")
    assert re.search(r"3DGS ‡ +27\.41 *\n", text)
    assert "‡ 3DGS: SSIM and LPIPS (VGG) are other numbers under protocol inria-3dgs (82a74b27)" in text
    with pytest.raises(InputError, match="Records must have the protocol of 3DGS"):
        nvs_eval.table([replace(ONE, neutral=())], with_published="3dgs")


@pytest.mark.parametrize("name", named_published())
def test_the_signatures_of_published_protocols_are_known(name: str) -> None:
    """`python tests/golden/make_signatures.py` writes the file."""
    protocol = load_published(name).protocol
    assert named_signatures()[protocol.fingerprint] == load_protocol(protocol.name).signatures
