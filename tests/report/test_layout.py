"""Layout of tables: rows, columns, means, ranks and published numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from support.pinned import Pinned
from support.records import INFO, record, row
from support.tables import layout

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.records.groups import Contender, checkpoints_of, last_steps, methods_of
from nvs_eval.records.record import MetricInfo, Record, record_file, write_record
from nvs_eval.report.benchmarks import (
    Published,
    Scene,
    Suite,
    load_published,
    load_suite,
    named_published,
    parse_published,
)
from nvs_eval.report.tables.published_rows import check_published
from nvs_eval.report.tables.table import Table
from nvs_eval.report.tables.tables import per_view_tables, tables_of

SUITE = Suite(
    "three",
    "Three scenes",
    "made up",
    "test",
    (Scene("garden", "garden", 1), Scene("stump", "stump", 1), Scene("fox", "fox", 1, aliases=("reynard",))),
)
INRIA = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}


def of(method: str, psnr: float, *, scene: str = "fox", ssim: float = 0.5, views: int = 1, **changes: object) -> Record:
    """Return a record with the same scores on every view."""
    return record(
        [row(f"{index:04}", psnr=psnr, ssim=ssim) for index in range(views)], method=method, scene=scene, **changes
    )


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


def texts(table: Table, header: str) -> list[str]:
    index = headings(table).index(header)
    return [cells[index].text for cells in table.rows]


def ranks(table: Table, header: str) -> list[int | None]:
    index = headings(table).index(header)
    return [cells[index].rank for cells in table.rows]


def values(table: Table, header: str) -> list[float | int | str | None]:
    index = headings(table).index(header)
    return [cells[index].value for cells in table.rows]


PSNR, SSIM = "PSNR [dB] ↑", "SSIM ↑"
TWO = [of("a", 20.0), of("a", 30.0, scene="garden"), of("b", 24.0), of("b", 25.0, scene="garden")]


# --- Contenders -----------------------------------------------------------------------------------------------------


def test_the_last_checkpoint_of_each_run_counts() -> None:
    records = [of("a", 1.0 + step, run=run, step=step) for run in ("x", "y") for step in (500, 30, 7)]
    assert [(each.run, each.step) for each in last_steps(records)] == [("x", 500), ("y", 500)]
    # Records without a step count as oldest.
    assert [each.step for each in last_steps([of("a", 1.0), of("a", 1.0, step=0)])] == [0]


def test_method_with_one_run_per_scene_is_one_contender() -> None:
    records = [of("a", 20.0, run="monday", step=7), of("a", 30.0, scene="garden", run="tuesday", step=7)]
    (contender,) = methods_of(records)
    assert (contender.name, contender.step) == ("a/7", 7)
    assert {scene: len(each) for scene, each in contender.records.items()} == {"fox": 1, "garden": 1}


def test_runs_of_one_scene_are_separate_unless_they_are_seeds() -> None:
    records = [of("a", 20.0, run="x"), of("a", 22.0, run="y"), of("b", 30.0, run="z")]
    assert [each.name for each in methods_of(records)] == ["a/x", "a/y", "b"]
    assert [each.name for each in methods_of(records, runs="mean")] == ["a", "b"]
    (table,) = tables_of(records, layout(rows="method", runs="mean"))
    assert texts(table, PSNR) == ["21.00", "30.00"]
    assert table.notes == ["a: mean of 2 runs per scene"]


def test_checkpoints_are_contenders_by_method_run_and_step() -> None:
    records = [of("a", 1.0, step=1), of("a", 2.0, step=2), of("a", 3.0, step=1, scene="garden")]
    assert [(each.name, list(each.records)) for each in checkpoints_of(records)] == [
        ("a/1", ["fox", "garden"]),
        ("a/2", ["fox"]),
    ]


# --- Rows and columns -----------------------------------------------------------------------------------------------


def test_a_row_per_method_is_the_mean_over_scenes() -> None:
    (table,) = tables_of(TWO, layout(rows="method"))
    assert table.title == "mean of 2 scenes, test views"
    assert headings(table) == ["method", PSNR, SSIM]
    assert texts(table, "method") == ["a", "b"]
    assert texts(table, PSNR) == ["25.00", "24.50"]
    assert ranks(table, PSNR) == [1, 2]


def test_a_mean_over_views_counts_each_view_once() -> None:
    records = [of("a", 20.0, views=3), of("a", 30.0, scene="garden")]
    (scenes,) = tables_of(records, layout(rows="method"))
    (views,) = tables_of(records, layout(rows="method", mean="views"))
    assert (texts(scenes, PSNR), texts(views, PSNR)) == (["25.00"], ["22.50"])
    assert views.title == "mean of the views of 2 scenes, test views"
    # Two runs of a scene share its views.
    seeds = [of("a", 20.0, views=3, run="x"), of("a", 22.0, views=3, run="y"), of("a", 30.0, scene="garden")]
    (views,) = tables_of(seeds, layout(rows="method", runs="mean", mean="views"))
    assert texts(views, PSNR) == [f"{(3 * 21 + 30) / 4:.2f}"]


def test_one_scene_is_no_mean() -> None:
    (table,) = tables_of([of("a", 20.0), of("b", 21.0)], layout(rows="method"))
    assert table.title == "fox, test views"


def test_a_column_per_scene_makes_a_table_per_metric_with_the_mean_last() -> None:
    psnr, ssim = tables_of(TWO, layout(rows="method", columns="scene"))
    assert headings(psnr) == ["method", "fox", "garden", "mean of 2 scenes"]
    assert (psnr.title, ssim.title) == ("PSNR [dB] ↑, test views", "SSIM ↑, test views")
    assert [texts(psnr, scene) for scene in ("fox", "garden", "mean of 2 scenes")] == [
        ["20.00", "24.00"],
        ["30.00", "25.00"],
        ["25.00", "24.50"],
    ]
    assert [ranks(psnr, scene) for scene in ("fox", "garden", "mean of 2 scenes")] == [[2, 1], [1, 2], [1, 2]]
    assert psnr.shared["metric"] == "psnr"
    assert psnr.signatures == [INFO["psnr"].signature]


def test_rows_of_scenes_end_in_their_mean_and_are_not_ranked() -> None:
    a, b = tables_of(TWO, layout(rows="scene"))
    assert (a.title, b.title) == ("a, test views", "b, test views")
    assert texts(a, "scene") == ["fox", "garden", "mean of 2 scenes"]
    assert texts(a, PSNR) == ["20.00", "30.00", "25.00"]
    assert texts(a, "views") == ["1", "1", "2"]
    assert ranks(a, PSNR) == [None] * 3
    assert a.means == 1


def test_scenes_cannot_be_rows_and_columns() -> None:
    with pytest.raises(InputError, match="--rows and --columns must differ"):
        layout(rows="scene", columns="scene")


def test_metrics_and_counts_are_chosen_in_their_order() -> None:
    records = [replace(each, views=[replace(view, render_seconds=2.0) for view in each.views]) for each in TWO]
    (table,) = tables_of(records, layout(rows="method", metrics=("s/view", "ssim", "views")))
    assert headings(table) == ["method", "s/view", SSIM, "views"]
    assert texts(table, "views") == ["2", "2"]
    with pytest.raises(InputError, match=r"Unknown metric 'sim'. Did you mean 'ssim'\? Known: GB, coverage, psnr"):
        tables_of(TWO, layout(metrics=("sim",)))


def test_rows_are_sorted_by_a_metric_or_by_name() -> None:
    worst = of("c", 1.0, ssim=0.9)
    missing = replace(worst, method="d", metrics={"ssim": INFO["ssim"]}, views=[row("0000", ssim=0.1)])
    records = [missing, worst, of("b", 3.0, ssim=0.2), of("a", 2.0, ssim=0.3)]
    assert texts(tables_of(records, layout(sort="psnr"))[0], "method") == ["b", "a", "c", "d"]
    assert texts(tables_of(records, layout(sort="method"))[0], "method") == ["a", "b", "c", "d"]
    assert texts(tables_of(records)[0], "method") == ["d", "c", "b", "a"]
    lower = [replace(each, metrics={**each.metrics, "ssim": MetricInfo("", False, "x")}) for each in records]
    assert texts(tables_of(lower, layout(sort="ssim"))[0], "method") == ["d", "b", "a", "c"]
    with pytest.raises(InputError, match="Unknown metric to sort by 'lpips'"):
        tables_of(records, layout(sort="lpips"))


def test_decimals_are_chosen_by_metric() -> None:
    (table,) = tables_of([of("a", 20.123456, ssim=0.123456)], layout(decimals={"psnr": 4}))
    assert (texts(table, PSNR), texts(table, SSIM)) == (["20.1235"], ["0.123"])
    assert values(table, PSNR) == [20.123456]


# --- Ranks ----------------------------------------------------------------------------------------------------------


def test_ranks_are_by_shown_digits_and_ties_share_one() -> None:
    shown = [28.001, 28.004, 27.0, 29.0, 26.0, 25.0]
    (table,) = tables_of([of(f"m{i}", psnr) for i, psnr in enumerate(shown)])
    assert texts(table, PSNR)[:2] == ["28.00", "28.00"]
    # Two are second, so that no row is third.
    assert ranks(table, PSNR) == [2, 2, None, 1, None, None]
    (finer,) = tables_of([of(f"m{i}", psnr) for i, psnr in enumerate(shown)], layout(decimals={"psnr": 3}))
    assert ranks(finer, PSNR) == [3, 2, None, 1, None, None]


def test_lower_is_better_for_some() -> None:
    records = [record([row("1", lpips_alex=value)], method=str(value)) for value in (0.3, 0.1, 0.2)]
    assert ranks(tables_of(records)[0], "LPIPS (Alex) ↓") == [3, 1, 2]


def test_infinity_is_first_and_the_mean_with_it_infinite() -> None:
    records = [of("a", math.inf), of("b", 20.0), of("a", 30.0, scene="garden"), of("b", 31.0, scene="garden")]
    (table,) = tables_of(records, layout(rows="method"))
    assert (texts(table, PSNR), ranks(table, PSNR)) == (["inf", "25.50"], [1, 2])


def test_missing_metric_is_an_empty_cell_without_rank_or_mean() -> None:
    extra = record([row("0000", psnr=10.0, ssim=0.4, lpips_alex=0.2)], method="c", metrics={**INFO}, scene="fox")
    (table,) = tables_of([*TWO[:1], TWO[2], extra])
    assert texts(table, "LPIPS (Alex) ↓") == ["", "", "0.200"]
    assert ranks(table, "LPIPS (Alex) ↓") == [None] * 3
    (mean,) = tables_of([*TWO, extra, of("c", 11.0, scene="garden")], layout(rows="method"))
    assert texts(mean, "LPIPS (Alex) ↓") == ["", "", ""]
    assert texts(mean, PSNR) == ["25.00", "24.50", "10.50"]


# --- Suites ---------------------------------------------------------------------------------------------------------


def test_a_mean_needs_every_scene_of_the_suite() -> None:
    records = [*TWO, of("a", 40.0, scene="stump"), of("a", 99.0, scene="other")]
    (table,) = tables_of(records, layout(rows="method", suite=SUITE))
    assert table.title == "Three scenes, mean of 3 scenes, test views"
    assert texts(table, PSNR) == ["30.00", ""]
    assert table.notes == ["b: no mean, because stump is missing"]
    psnr, _ = tables_of(records, layout(rows="method", columns="scene", suite=SUITE))
    assert headings(psnr) == ["method", "garden", "stump", "fox", "mean of 3 scenes"]
    assert texts(psnr, "stump") == ["40.00", ""]


def test_a_scene_without_records_prevents_means() -> None:
    (table,) = tables_of(TWO, layout(rows="method", suite=SUITE))
    assert texts(table, PSNR) == ["", ""]
    assert table.notes == ["a, b: no mean, because stump is missing"]


def test_a_mean_that_only_some_metrics_lack_names_them() -> None:
    lacking = record([row("0000", psnr=1.0)], method="b", scene="garden")
    (table,) = tables_of([*TWO[:3], lacking], layout(rows="method"))
    assert (texts(table, PSNR), texts(table, SSIM)) == (["25.00", "12.50"], ["0.500", ""])
    assert table.notes == ["b: no mean of SSIM, because garden is missing"]
    both = [replace(each, scene="stump") for each in (TWO[0], TWO[2])]
    (table,) = tables_of([*TWO[:3], lacking, both[0]], layout(rows="method"))
    assert table.notes == [
        "b: no mean of PSNR, because stump is missing",
        "b: no mean of SSIM, because garden, stump are missing",
    ]


def test_counts_alone_are_a_table() -> None:
    (table,) = tables_of(TWO, layout(rows="method", metrics=("views",)))
    assert headings(table) == ["method", "views"]
    with pytest.raises(InputError, match="--metrics must include a metric"):
        tables_of(TWO, layout(rows="method", columns="scene", metrics=("views",)))
    (twice,) = tables_of(TWO, layout(rows="method", metrics=("psnr", "psnr")))
    assert headings(twice) == ["method", PSNR]


def test_scenes_are_sorted_and_counts_need_a_mean_for_a_sum() -> None:
    (table,) = tables_of([*TWO[:2], of("a", 99.0, scene="stump")], layout(rows="scene", sort="psnr"))
    assert texts(table, "scene") == ["stump", "garden", "fox", "mean of 3 scenes"]
    (table,) = tables_of(TWO[:2], layout(rows="scene", suite=SUITE))
    assert table.title == "Three scenes, a, test views"
    assert (texts(table, PSNR), texts(table, "views")) == (["30.00", "", "20.00", ""], ["1", "", "1", ""])


def test_scenes_go_by_the_suites_names() -> None:
    records = [of("a", 40.0, scene="reynard"), of("a", 40.0, scene="garden")]
    psnr, _ = tables_of(records, layout(rows="method", columns="scene", suite=SUITE))
    assert texts(psnr, "fox") == ["40.00"]


def test_records_of_other_scenes_alone_are_an_error() -> None:
    with pytest.raises(InputError, match=r"of scenes of three \(garden, stump, fox\)\. Got other"):
        tables_of([of("a", 1.0, scene="other")], layout(suite=SUITE))


# --- Comparable rows ------------------------------------------------------------------------------------------------


def test_rows_of_other_images_are_marked_and_not_ranked() -> None:
    odd = replace(TWO[3], views=[replace(view, reference_sha256="1" * 64) for view in TWO[3].views])
    third = of("c", 9.0, scene="garden")
    (table,) = tables_of([*TWO[:3], odd, third, of("c", 8.0)], layout(rows="method"))
    assert ranks(table, PSNR) == [None] * 3
    marks = [cells[0].mark for cells in table.rows]
    assert marks == ["", "†", ""]
    assert table.notes == [
        "† garden: b: not comparable with a: different references (1 of 1 views)",
        "Not all rows are comparable, so none is ranked.",
    ]


def test_steps_of_a_row_are_noted() -> None:
    records = [of("a", 1.0, step=7), of("a", 2.0, step=30), of("a", 3.0, step=9, scene="garden")]
    (table,) = tables_of(records, layout(rows="method"))
    assert table.notes == [
        "Last checkpoint of each run; 1 earlier one not shown.",
        "a: different steps, 9, 30",
    ]


def test_per_view_tables_have_a_row_per_view_of_every_record() -> None:
    records = [of("a", 1.0, run="x", views=2), of("a", 2.0, run="y", views=2)]
    (table,) = per_view_tables(records, layout(rows="scene", metrics=("psnr",), runs="mean"))
    assert headings(table) == ["view", "method", "run", PSNR]
    assert texts(table, PSNR) == ["1.00", "1.00", "2.00", "2.00"]
    steps = [of("a", float(step), step=step) for step in (1, 2)]
    assert texts(per_view_tables(steps, layout(rows="method"))[0], "step") == ["2"]
    assert texts(per_view_tables(steps)[0], "step") == ["1", "2"]
    assert per_view_tables(steps, layout(metrics=("views",))) == []


def test_ties_are_marked_by_the_callable_of_the_layout() -> None:
    asked = []

    def tied(contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
        asked.append(([each.name for each in contenders], list(scenes), metric))
        return [1] if metric == "psnr" else []

    (table,) = tables_of(TWO, layout(rows="method", tied=tied))
    assert asked == [(["a", "b"], ["fox", "garden"], metric) for metric in ("psnr", "ssim")]
    assert [cells[1].mark for cells in table.rows] == ["", "≈"]
    assert table.notes == ["≈: cannot be told from the best with this many views"]


# --- Published numbers ----------------------------------------------------------------------------------------------


def published(**changes: object) -> Published:
    data = {
        "name": "theirs",
        "title": "Theirs",
        "source": "a paper",
        "protocol": {"name": "inria-3dgs", "fingerprint": "82a74b27"},
        "suites": ["mipnerf360"],
        "scores": {"garden": {"psnr": "27.4", "ssim": "0.868"}, "stump": {"psnr": "26.550"}},
        "means": {"mipnerf360": {"psnr": "27.21"}},
        **changes,
    }
    return parse_published({field: value for field, value in data.items() if value is not None})


OURS = [of("ours", 26.0, scene="garden", protocol=INRIA), of("ours", 26.6, scene="stump", protocol=INRIA)]


def test_published_rows_keep_their_own_digits() -> None:
    psnr, ssim = tables_of(OURS, layout(rows="method", columns="scene", published=[published()]))
    assert texts(psnr, "method") == ["ours", "Theirs"]
    assert [cells[0].mark for cells in psnr.rows] == ["", "‡"]
    assert (texts(psnr, "garden"), ranks(psnr, "garden")) == (["26.00", "27.4"], [2, 1])
    assert (texts(psnr, "stump"), ranks(psnr, "stump")) == (["26.60", "26.55"], [1, 2])
    assert texts(psnr, "mean of 2 scenes") == ["26.30", "27.0"]
    assert psnr.notes == ["‡ Theirs: published in a paper; views could not be compared"]
    assert texts(ssim, "mean of 2 scenes") == ["0.500", ""]
    assert ssim.notes[1:] == ["Theirs: no mean, because stump is missing"]


@pytest.mark.parametrize("name", sorted(named_published()))
def test_a_published_mean_is_shown_as_it_was_published(name: str) -> None:
    """The mean of the rounded numbers of scenes may differ in the last digit."""
    theirs = load_published(name)
    fingerprint = theirs.protocol.fingerprint
    protocol = {"name": theirs.protocol.name, "definition": {"round_means": None}, "fingerprint": fingerprint}
    for suite_name, means in theirs.means.items():
        suite = with_scenes(load_suite(suite_name))
        views = [replace(row(), width=suite.width or 48, scores=dict.fromkeys(means, 15.0))]
        index = {} if suite.index is None else {"index_sha256": suite.index.sha256}
        ours = replace(
            record(protocol=protocol, provenance=index), views=views, metrics=dict.fromkeys(means, INFO["psnr"])
        )
        named = [replace(ours, scene=scene) for scene in suite.names]
        decimals = dict.fromkeys(means, 9)
        (table,) = tables_of(named, layout(rows="method", suite=suite, published=[theirs], decimals=decimals))
        assert {column.name: cell.text for column, cell in zip(table.columns, table.rows[1], strict=True)} == {
            "method": theirs.title, **means,
        }  # fmt: skip


def with_scenes(suite: Suite) -> Suite:
    """Return a suite, if it has an index with as many made-up scenes."""
    names = [f"{number:016x}" for number in range(suite.index.scenes)] if suite.index else []
    return structs.replace(suite, scenes=tuple(Scene(name, name, 1) for name in names)) if names else suite


def test_published_means_of_an_index_stand_beside_records_of_that_index() -> None:
    theirs, suite = load_published("pixelsplat"), with_scenes(load_suite("acid"))
    assert suite.index is not None
    protocol = {"name": "pixelsplat", "definition": {"round_means": None}, "fingerprint": theirs.protocol.fingerprint}
    first = of("ours", 26.0, protocol=protocol)

    def ours(scenes: Sequence[str], width: int = 256, sha256: str = suite.index.sha256) -> list[Record]:
        views = [replace(view, width=width) for view in first.views]
        return [replace(first, scene=name, views=views, provenance={"index_sha256": sha256}) for name in scenes]

    whole = ours(suite.names)
    check_published([theirs], whole)
    for chosen in (None, suite):
        (table,) = tables_of(whole, layout(rows="method", metrics=("psnr",), suite=chosen, published=[theirs]))
        assert texts(table, PSNR) == ["26.00", "28.27"]
    for part in (ours(suite.names[1:]), ours(suite.names, sha256="0" * 64)):
        with pytest.raises(InputError, match="must have all scenes of re10k and acid"):
            check_published([theirs], part)
        with pytest.raises(InputError, match="has means over re10k and acid alone"):
            tables_of(part, layout(rows="method", published=[theirs]))
    with pytest.raises(InputError, match=r"448 pixels wide, and those of acid are 256\."):
        tables_of(ours(suite.names, width=448), layout(rows="method", published=[theirs]))


def test_a_published_mean_is_of_all_scenes_of_its_suite() -> None:
    two = Suite("mipnerf360", "two of them", "", "test", (Scene("garden", "garden", 4), Scene("stump", "stump", 4)))
    (table,) = tables_of(OURS, layout(rows="method", suite=two, metrics=("psnr",), published=[published()]))
    assert texts(table, PSNR) == ["26.30", "27.0"]


def test_a_published_scene_of_another_benchmark_is_an_error() -> None:
    def ours(*scenes: str) -> list[Record]:
        return [of("ours", 26.0, scene=scene, protocol=INRIA) for scene in scenes]

    theirs = published(scores={"room": {"psnr": "30.6"}, "garden": {"psnr": "27.4"}})
    message = r"Theirs \(theirs\) has numbers for scenes of mipnerf360\. .* scenes named room\."
    alone, llff, unknown, known = (ours("room", *more) for more in ((), ("fern",), ("attic",), ("attic", "garden")))
    chosen = layout(rows="method", columns="scene", published=[theirs])
    for records, suite in ((alone, None), (llff, None), (llff, load_suite("llff")), (unknown, None)):
        with pytest.raises(InputError, match=message):
            tables_of(records, replace(chosen, suite=suite))
    for records, suite in ((known, None), (alone, load_suite("mipnerf360"))):
        psnr, _ = tables_of(records, replace(chosen, suite=suite))
        assert texts(psnr, "room") == ["26.00", "30.6"]
    # Scenes of all tables count, also for the table of room.
    tables = tables_of(ours("room", "garden"), layout(published=[theirs]))
    assert [texts(table, PSNR) for table in tables] == [["26.00", "30.6"], ["26.00", "27.4"]]


def wide(width: int, *scenes: str) -> list[Record]:
    """Return records of images with a width."""
    records = (of("ours", 26.0, scene=scene, protocol=INRIA) for scene in scenes)
    return [replace(each, views=[replace(view, width=width) for view in each.views]) for each in records]


def test_numbers_of_images_of_1600_pixels_are_never_beside_those_of_other_widths(pinned: Pinned) -> None:
    official, at_1600 = published(), published(name="wide", suites=["mipnerf360-1600"], means=None)
    message = (
        r"\) has numbers for scenes of mipnerf360.* Got images of garden that are {} pixels wide, and those of mipnerf3"
    )
    for suite in (None, load_suite("mipnerf360"), load_suite("mipnerf360-1600")):
        for theirs, width in ((official, 1600), (at_1600, 1237)):
            with pytest.raises(InputError, match=message.format(width)):
                tables_of(wide(width, "garden"), layout(published=[theirs], suite=suite))
    for theirs, width, name in ((official, 1237, "mipnerf360"), (at_1600, 1600, "mipnerf360-1600")):
        for suite in (None, load_suite(name)):
            psnr, _ = tables_of(
                wide(width, "garden", "stump"), layout(rows="method", columns="scene", published=[theirs], suite=suite)
            )
            assert texts(psnr, "garden") == ["26.00", "27.4"]
    with pytest.raises(InputError) as error:
        tables_of([*wide(1600, "garden"), *wide(1237, "garden")], layout(published=[official]))
    pinned("table", error.value)
    with pytest.raises(InputError) as error:
        tables_of(wide(1237, "garden"), layout(published=[at_1600], suite=load_suite("mipnerf360-7")))
    pinned("table", error.value)


def test_published_means_alone_stand_beside_the_mean_of_the_whole_suite(pinned: Pinned) -> None:
    theirs, suite = published(scores=None), load_suite("mipnerf360")
    ours, wider = wide(1237, *suite.names), wide(1600, *suite.names)
    (table,) = tables_of(ours, layout(rows="method", metrics=("psnr",), published=[theirs]))
    assert (texts(table, PSNR), table.rows[1][0].mark) == (["26.00", "27.21"], "‡")
    psnr = tables_of(ours, layout(rows="method", columns="scene", suite=suite, published=[theirs]))[0]
    assert (texts(psnr, "garden"), texts(psnr, "mean of 9 scenes")) == (["26.00", ""], ["26.00", "27.21"])
    with pytest.raises(InputError) as error:
        tables_of(wider, layout(rows="method", published=[theirs]))
    pinned("table", error.value)
    seven = layout(rows="method", published=[theirs], suite=load_suite("mipnerf360-7"))
    for chosen in (layout(published=[theirs]), seven):
        with pytest.raises(InputError) as error:
            tables_of(ours, chosen)
        pinned("table", error.value)


def test_published_means_alone_need_records_of_the_whole_suite(pinned: Pinned) -> None:
    theirs, suite = published(scores=None), load_suite("mipnerf360")
    check_published([theirs], wide(1237, *suite.names))
    with pytest.raises(InputError) as error:
        check_published([theirs], wide(1237, *suite.names[1:]))
    pinned("table", error.value)


def test_a_custom_suite_matches_scenes_by_name() -> None:
    own = Suite("mine", "Mine", "", "test", (Scene("garden", "data/garden", 1), Scene("stump", "data/stump", 1)))
    psnr, _ = tables_of(OURS, layout(rows="method", columns="scene", published=[published()], suite=own))
    assert texts(psnr, "garden") == ["26.00", "27.4"]
    assert psnr.title == "Mine, PSNR [dB] ↑, test views"


def test_published_with_fewer_decimals_ranks_no_better() -> None:
    ours = [of("a", 27.44, scene="garden", protocol=INRIA), of("b", 27.36, scene="garden", protocol=INRIA)]
    theirs = published(scores={"garden": {"psnr": "27.4"}})
    psnr, _ = tables_of(ours, layout(rows="method", columns="scene", published=[theirs]))
    assert (texts(psnr, "garden"), ranks(psnr, "garden")) == (["27.44", "27.36", "27.4"], [1, 1, 1])


def test_a_published_row_without_a_number_is_no_row() -> None:
    theirs = published(scores={"garden": {"psnr": "27.4"}, "stump": {"psnr": "26.5"}})
    (ssim,) = tables_of(OURS, layout(rows="method", metrics=("ssim",), published=[theirs]))
    (views,) = tables_of(OURS, layout(rows="method", mean="views", published=[theirs]))
    assert texts(ssim, "method") == texts(views, "method") == ["ours"]
    assert ssim.notes == views.notes == []


def test_published_mean_is_shown_without_a_named_suite() -> None:
    suite = load_suite("deepblending")
    ours = [of("ours", 26.0, scene=scene, protocol=INRIA) for scene in suite.names]
    (table,) = tables_of(ours, layout(rows="method", metrics=("psnr",), published=[load_published("3dgs")]))
    assert texts(table, PSNR)[1] == load_published("3dgs").means["deepblending"]["psnr"]


def test_notes_of_published_numbers_are_shown() -> None:
    theirs = published(note="scored on black", differs={"ssim": "windows wholly inside"})
    psnr, ssim = tables_of(OURS, layout(rows="method", columns="scene", published=[theirs]))
    assert "‡ Theirs: scored on black" in psnr.notes
    # Notes on a metric are only below its own table.
    assert not any("§" in note for note in psnr.notes)
    assert "§ SSIM of Theirs has no rank: windows wholly inside" in ssim.notes


def test_nothing_is_tied_with_a_best_that_was_published() -> None:
    chosen = layout(rows="method", columns="scene", published=[published()], tied=lambda c, s, m: [0])
    better = [*OURS, *(replace(each, method="far") for each in OURS)]
    psnr, _ = tables_of(better, chosen)
    assert {cells[1].mark for cells in psnr.rows} == {""}
    assert [cells[2].mark for cells in psnr.rows] == ["", "", ""]
    (alone, _) = tables_of(better, replace(chosen, published=[], decimals={"psnr": 9}, tied=lambda c, s, m: [1]))
    assert [cells[1].mark for cells in alone.rows] == ["", ""]
    with pytest.raises(InputError, match="--tied compares means over scenes"):
        layout(mean="views", tied=lambda c, s, m: [])


def test_published_metric_that_differs_is_marked_and_unranked() -> None:
    theirs = published(differs={"ssim": "windows wholly inside"})
    _, ssim = tables_of(OURS, layout(rows="method", columns="scene", published=[theirs]))
    assert [cells[1].mark for cells in ssim.rows] == ["", "§"]
    assert ranks(ssim, "garden") == [None, None]
    assert "§ SSIM of Theirs has no rank: windows wholly inside" in ssim.notes


def test_published_of_another_protocol_is_an_error_unless_mixed(pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        check_published([published()], TWO)
    pinned("table", error.value)
    with pytest.raises(InputError) as error:
        check_published([published()], [of("a", 1.0, protocol=INRIA)])
    pinned("table", error.value)
    check_published([published()], OURS)
    tables = tables_of(TWO, layout(rows="method", columns="scene", published=[published()]))
    assert "Theirs" not in texts(tables[0], "method")
    (psnr, _) = tables_of(TWO, layout(rows="method", columns="scene", published=[published()], allow_mixed=True))
    assert [cells[0].mark for cells in psnr.rows] == ["", "", "‡†"]
    assert ranks(psnr, "garden") == [None] * 3
    assert psnr.notes[0] == "† Theirs: protocol inria-3dgs (82a74b27)"
    with pytest.raises(InputError, match="--with-published must not be used with `--rows scene`"):
        layout(rows="scene", published=[published()])


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return the output of `nvs-eval table` for two methods in two scenes, or the exit code and stderr of an error."""
    for each in (*TWO, *OURS):
        write_record(record_file(each, tmp_path), each)

    def run(*args: str) -> str:
        code = main(["table", str(tmp_path), *args])
        result = capsys.readouterr()
        return result.out if code == 0 else f"{code} {result.err}"

    return run


def test_the_command_chooses_rows_columns_and_protocols(table: Callable[..., str]) -> None:
    supplement = table(
        "--per-scene", "--protocol", "standard", "--metrics", "psnr", "--decimals", "psnr=1", "--sort", "psnr"
    )
    assert supplement == table(
        "--rows", "method", "--columns", "scene", "--protocol", "9f2c51ab", "--metrics", "psnr", "--decimals", "psnr=1",
        "--sort", "psnr",
    )  # fmt: skip
    assert supplement.splitlines()[:5] == [
        "PSNR [dB] ↑, test views",
        "method   fox  garden  mean of 2 scenes",
        "──────────────────────────────────────",
        "a       20.0    30.0              25.0",
        "b       24.0    25.0              24.5",
    ]


def test_the_command_adds_published_numbers_of_its_protocol(table: Callable[..., str]) -> None:
    text = table("--per-scene", "--protocol", "inria-3dgs", "--metrics", "psnr", "--with-published", "3dgs")
    assert "3DGS ‡   27.41  26.55             26.98" in text
    refused = table("--per-scene", "--protocol", "standard", "--with-published", "3dgs")
    assert refused.startswith("2 Error: Records must have the protocol of 3DGS, inria-3dgs (82a74b27)")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--per-scene", "--rows", "scene"], "--per-scene means `--rows method --columns scene`. Omit"),
        (["--decimals", "psnr"], "--decimals needs METRIC=NUMBER, such as psnr=2. Got 'psnr'."),
        (["--decimals", "psnr=x"], "--decimals needs METRIC=NUMBER, such as psnr=2. Got 'psnr=x'."),
        (["--decimals", "psnr=1.5"], "--decimals of psnr must be a whole number from 0 to 15. Got 1.5."),
        (["--decimals", "psrn=1"], "Unknown metric of --decimals 'psrn'. Did you mean 'psnr'?"),
        (["--decimals", "psnr=1", "psnr=2"], "--decimals must name each metric once. Got psnr twice."),
        (["--protocol", "standart"], "No record has protocol 'standart'. Did you mean 'standard'?"),
        (["--suite", "mipnerf361"], "Unknown suite 'mipnerf361'. Did you mean 'mipnerf360'?"),
        (["--with-published", "3dg"], "Unknown source of published numbers '3dg'."),
        (["--format", "tex"], "Unknown format 'tex'."),
        (["--long"], "--long needs --format csv or json. Got --format text."),
    ],
)
def test_bad_options_are_errors_with_advice(args: list[str], message: str, table: Callable[..., str]) -> None:
    refused = table(*args)
    assert refused.startswith("2 Error: ")
    assert message in refused.replace("\n", " ")
