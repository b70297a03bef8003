"""Curves over the steps of a run: best step, end of improvement, table and plot."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import Said
from support.records import record, row, under

from nvs_eval.cli import main
from nvs_eval.comparison.noise import improved
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, record_file, write_record
from nvs_eval.report.curve_plot import check_plot, drawn, plot_files
from nvs_eval.report.curve_table import curve_table, left_out_notes, sparkline, to_plain
from nvs_eval.report.curves import Curve, Improved, SceneCurves, curves_of, runs_of

STEPS = (500, 1500, 2500, 4000)


def at(step: int | None, *values: float, metric: str = "psnr", **changes: Any) -> Record:
    """Return the record of a step, with one view per value."""
    rows = [replace(row(), name=f"{i:04d}", scores={metric: value}) for i, value in enumerate(values)]
    return record(rows, **{"run": "base", "step": step, **changes})


def run_of(*values: float, **changes: Any) -> list[Record]:
    """Return one record per step, with one view each."""
    return [at(step, value, **changes) for step, value in zip(STEPS, values, strict=False)]


def by(noise: float) -> Improved:
    """Return a test for progress beyond noise of a known size."""

    def better(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
        sign = 1 if before.metrics[metric].higher_is_better else -1
        return sign * (after.means[metric] - before.means[metric]) > noise

    return better


def cannot_tell(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
    return None


def curve_of(records: Sequence[Record], noise: float = 0.5) -> Curve:
    ((curve,),) = (scene.curves for scene in curves_of(records, by(noise)))
    return curve


# --- Curves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "best", "stopped", "worse"),
    [
        ((20, 25, 25.25, 25.375), 4000, 1500, []),
        ((20, 21, 22, 23), 4000, 4000, []),
        ((20, 25, 24, 23), 1500, 1500, [2500, 4000]),
        ((20, 25, 24, 25), 1500, 1500, [2500]),
        ((20, 20.25, 20.5, 20.75), 4000, 1500, []),
        ((25, 20, 21, 24), 500, 500, [1500, 2500, 4000]),
        ((20, 20, 20, 20), 500, 500, []),
    ],
    ids=["levels off", "rises", "overfits", "dips", "creeps", "falls", "flat"],
)
@pytest.mark.parametrize("metric", ["psnr", "lpips_alex"])
def test_the_best_step_and_where_it_stopped_improving(
    metric: str, values: tuple[float, ...], best: int, stopped: int, worse: list[int]
) -> None:
    sign = 1 if metric == "psnr" else -1
    curve = curve_of(run_of(*(sign * value for value in values), metric=metric))
    assert (curve.best, curve.best_value) == (best, sign * max(values))
    assert curve.stopped == stopped
    assert curve.still_improving is (stopped == 4000)
    assert curve.worse == worse
    assert curve.values == [sign * value for value in values]


def test_steps_ascend_for_any_order_of_the_records() -> None:
    records = run_of(20, 25, 24)
    for order in permutations(records):
        curve = curve_of(order)
        assert (curve.steps, curve.values, curve.best) == ([500, 1500, 2500], [20, 25, 24], 1500)


def test_a_verdict_that_depends_on_unknown_comparisons_is_none() -> None:
    ((curve,),) = (scene.curves for scene in curves_of(run_of(20, 25, 24), cannot_tell))
    assert (curve.best, curve.stopped, curve.still_improving, curve.worse) == (1500, None, None, [])


def test_known_comparisons_can_decide_despite_unknown_ones() -> None:
    def better(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
        return None if 25 in (before.means[metric], after.means[metric]) else by(0.5)(before, after, metric)

    # 26 is better than the first step; comparisons with 25 have no answer.
    ((curve,),) = (scene.curves for scene in curves_of(run_of(20, 25, 26), better))
    assert curve.stopped is None
    ((curve,),) = (scene.curves for scene in curves_of(run_of(20, 26, 27), better))
    assert curve.stopped == 2500


def test_the_predicate_is_asked_of_the_earlier_record_first() -> None:
    asked = []

    def better(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
        asked.append((before.step, after.step, metric, tests))
        return False

    curves_of(run_of(20, 25, 24), better)
    # The comparison of the best with a later step is one of three possible ones.
    assert asked == [(500, 1500, "psnr", 1), (500, 2500, "psnr", 1), (2500, 1500, "psnr", 3)]


def test_curves_are_of_one_scene_split_protocol_method_and_run() -> None:
    changes: list[dict[str, Any]] = [{}, {"scene": "owl"}, {"split": "train"}, {"method": "splatfacto"}, {"run": None}]
    records = [each for change in changes for each in run_of(20, 25, **change)]
    found = curves_of([*records, *map(under, run_of(20, 25))], by(0.5))
    assert [(each.scene, each.split, each.fingerprint) for each in found] == [
        ("fox", "test", "9f2c51ab"),
        ("owl", "test", "9f2c51ab"),
        ("fox", "train", "9f2c51ab"),
        ("fox", "test", "00000000"),
    ]
    assert [curve.name for curve in found[0].curves] == ["nerfacto/base", "splatfacto/base", "nerfacto"]


def test_records_without_several_steps_are_skipped() -> None:
    curved = run_of(20, 25)
    lone = [at(2500, 25.0, run="small"), at(None, 25.0, method="folder", run=None), at(None, 25.0)]
    runs, left_out = runs_of([*lone, *curved])
    assert runs == [curved]
    assert left_out == lone
    assert list(left_out_notes(left_out)) == [
        "fox/nerfacto/small is skipped: 2500 is its only step (standard).",
        "fox/folder is skipped: no step (standard).",
        "fox/nerfacto/base is skipped: no step (standard).",
    ]


def test_records_without_a_curve_are_an_error() -> None:
    with pytest.raises(InputError, match=r"A curve needs .* Got fox/nerfacto/base/500\. .*`nvs-eval run .* all`"):
        curves_of(run_of(20), by(0.5))


def test_steps_of_other_views_are_an_error() -> None:
    records = [at(500, 20.0, 21.0), at(1500, 25.0, 26.0), at(2500, 26.0)]
    with pytest.raises(
        InputError, match=r"^fox: nerfacto/base/500 and nerfacto/base/2500 .* different views \(2 and 1"
    ):
        curves_of(records, by(0.5))
    with pytest.raises(InputError, match=r"different references \(1 of 1 views"):
        odd = at(1500, 25.0)
        curves_of([at(500, 20.0), replace(odd, views=[replace(odd.views[0], reference_sha256="1" * 64)])], by(0.5))


def test_metrics_are_chosen() -> None:
    rows = [replace(row(), scores={"psnr": value, "ssim": value / 40}) for value in (20.0, 25.0)]
    records = [record([each], run="base", step=step) for each, step in zip(rows, STEPS, strict=False)]
    (scene,) = curves_of(records, by(0.5), metrics=("ssim", "psnr"))
    assert [curve.metric for curve in scene.curves] == ["ssim", "psnr"]
    with pytest.raises(InputError, match=r"Unknown metric 'psrn'. Did you mean 'psnr'\?"):
        curves_of(records, by(0.5), metrics=("psrn",))


def test_scene_without_the_chosen_metric_has_no_curves() -> None:
    found = curves_of([*run_of(20, 25), *run_of(1, 2, scene="owl", metric="ssim")], by(0.5), metrics=("ssim",))
    assert [scene.scene for scene in found] == ["owl"]


# --- The table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ((0, 1, 2, 3, 4, 5, 6, 7), "▁▂▃▄▅▆▇█"),
        ((7, 0), "█▁"),
        ((0.25, 0.25, 0.25), "▄▄▄"),
        ((3,), "▄"),
        ((20, math.inf, 30), "▁∞█"),
        ((math.inf, math.inf), "∞∞"),
        ((-1e-300, 1e300), "▁█"),
        ((), ""),
    ],
)
def test_sparkline(values: tuple[float, ...], line: str) -> None:
    assert sparkline(values) == line


def said_of(records: Sequence[Record], noise: float = 0.5) -> tuple[list[str], list[str]]:
    """Return the cells of the only row, and the notes."""
    (scene,) = curves_of(records, by(noise))
    table = curve_table(scene)
    (cells,) = table.rows
    return [f"{cell.text}{cell.mark}" for cell in cells], list(table.notes)


def test_a_row_of_the_table() -> None:
    cells, notes = said_of(run_of(20, 25, 25.25))
    assert cells == ["nerfacto", "base", "PSNR [dB] ↑", "20.00", "25.25", "25.25", "2500", "until 1500", "▁██"]
    assert notes[0] == "curve: one character per checkpoint, in the order of the steps: 500, 1500 and 2500"


def test_a_row_shows_that_it_is_still_improving() -> None:
    cells, _ = said_of(run_of(0.5, 0.25, 0.125, metric="lpips_alex"), noise=0.1)
    assert cells[2:] == ["LPIPS (Alex) ↓", "0.500", "0.125", "0.125", "2500", "still", "█▃▁"]


def test_a_row_shows_that_it_got_worse() -> None:
    cells, notes = said_of(run_of(20, 25, 24, 23))
    assert cells[5:8] == ["25.00", "1500", "until 1500!"]
    assert notes[-1] == "! nerfacto/base: worse after 1500 (at 2500, 4000) in PSNR"


@pytest.mark.parametrize(
    ("last", "why"), [(25.0, "? cannot be told with 1 view"), (math.inf, "? cannot be told if a value is inf")]
)
def test_a_row_shows_unknown_progress(last: float, why: str) -> None:
    (scene,) = curves_of(run_of(20, last), cannot_tell)
    table = curve_table(scene)
    shown = "inf" if math.isinf(last) else "25.00"
    assert [cell.text for cell in table.rows[0]][3:8] == ["20.00", shown, shown, "1500", "?"]
    assert table.notes[-1] == why


def test_notes_name_the_steps_of_runs_that_differ() -> None:
    long = [at(step, 20.0, run="long") for step in range(100, 1400, 100)]
    (scene,) = curves_of([*run_of(20, 25), *long], by(0.5))
    assert list(curve_table(scene).notes[1:3]) == [
        "steps of nerfacto/base: 500 and 1500",
        "steps of nerfacto/long: 13 from 100 to 1300",
    ]


def test_plain_values_are_those_of_json() -> None:
    (scene,) = curves_of(run_of(20, 25, math.inf), by(0.5))
    plain = json.loads(json.dumps(to_plain(scene), allow_nan=False))
    assert plain["protocol"] == {"name": "standard", "fingerprint": "9f2c51ab"}
    (curve,) = plain["curves"]
    assert curve["steps"] == [500, 1500, 2500]
    assert curve["values"] == [20, 25, "inf"]
    assert curve["best"] == {"step": 2500, "value": "inf"}
    assert (curve["stopped_improving"], curve["still_improving"], curve["worse_after_best"]) == (None, True, [])
    (scene,) = curves_of(run_of(20, 25.123456789, 25), by(0.05))
    (curve,) = to_plain(scene)["curves"]
    assert (curve["stopped_improving"], curve["still_improving"], curve["worse_after_best"]) == (1500, False, [2500])
    assert curve["best"]["value"] == 25.123456789


# --- Beyond noise ---------------------------------------------------------------------------------------------------


NOISE = (-1.0, 1.0, -0.5, 0.5, -0.75, 0.75, 0.0)


@pytest.mark.parametrize("metric", ["psnr", "lpips_alex"])
@pytest.mark.parametrize(("gain", "answer"), [(2.0, True), (0.25, False), (0.0, False), (-0.25, False), (-2.0, False)])
def test_an_improvement_is_a_gain_beyond_noise(metric: str, gain: float, answer: bool) -> None:
    sign = 1 if metric == "psnr" else -1
    before = at(500, *range(7), metric=metric)
    after = at(1500, *(value + sign * gain + noise for value, noise in enumerate(NOISE)), metric=metric)
    assert improved(before, after, metric) is answer


def test_an_improvement_is_of_the_same_views_in_any_order() -> None:
    before, after = at(500, *range(0, 70, 10)), at(1500, *(10 * i + 2 + noise for i, noise in enumerate(NOISE)))
    assert improved(before, replace(after, views=after.views[::-1]), "psnr") is True


def test_improvement_is_unknown_with_few_views_or_inf() -> None:
    assert improved(at(500, *[20.0] * 5), at(1500, *[30.0] * 5), "psnr") is None
    assert improved(at(500, *[20.0] * 7), at(1500, math.inf, *[20.0] * 6), "psnr") is None


@pytest.mark.parametrize("gain", [0.625, 1.5])
def test_an_improvement_is_harder_to_find_among_many_pairs(gain: float) -> None:
    noise = [each / 2 for each in NOISE]
    before, after = at(500, *range(7)), at(1500, *(value + gain + each for value, each in enumerate(noise)))
    # The standard error is 0.134. Student's quantile for 6 degrees of freedom is 2.4 for one pair and 6.4 for 78.
    assert [improved(before, after, "psnr", tests=tests) for tests in (1, 78)] == [True, gain > 1]


def test_constant_improvement_is_found_among_any_pairs() -> None:
    assert improved(at(500, *range(7)), at(1500, *(i + 0.25 for i in range(7))), "psnr", tests=1000) is True


def noisy(generator: np.random.Generator, means: Sequence[float], views: int) -> list[Record]:
    """Return one record per step, with independent noise on each view."""
    scenery = generator.normal(0, 3, views)
    noise = generator.normal(0, 0.25, (len(means), views))
    return [at(500 * (i + 1), *(scenery + mean + noise[i])) for i, mean in enumerate(means)]


@pytest.mark.parametrize(("steps", "views"), [(5, 7), (12, 20)])
def test_few_plateaus_are_reported_as_worse(steps: int, views: int) -> None:
    generator = np.random.default_rng(20)
    runs = [noisy(generator, [25.0] * steps, views) for _ in range(40)]
    found = [curves_of(run, improved)[0].curves[0] for run in runs]
    # Without the correction for choosing the best, there are 5 and 18.
    assert sum(bool(curve.worse) for curve in found) <= 2


def test_a_decline_is_reported_from_its_first_step() -> None:
    means = [20, 23, 25, 25, 25, 25, 24.5, 24, 23.5, 23]
    (scene,) = curves_of(noisy(np.random.default_rng(20), means, 20), improved)
    (curve,) = scene.curves
    assert curve.best <= 3000
    assert curve.worse == [3500, 4000, 4500, 5000]


# --- The plot -------------------------------------------------------------------------------------------------------


def plotted(curves: SceneCurves, suffix: str) -> bytes:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    return drawn(curves, suffix)


@pytest.fixture
def several() -> SceneCurves:
    """Curves of two runs, with an inf, and names that must be neither formulas nor hidden."""
    odd = run_of(21, 24, 23, method="_odd$x$ & <b>", run="")
    (scene,) = curves_of([*run_of(20, 25, math.inf), *odd], by(0.5))
    return scene


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG\r\n"), (".PDF", b"%PDF-"), (".svg", b"<?xml")])
def test_a_plot_is_a_file_of_its_kind_and_the_same_each_time(suffix: str, magic: bytes, several: SceneCurves) -> None:
    content = plotted(several, suffix)
    assert content.startswith(magic)
    assert content == plotted(several, suffix)
    assert b"Date" not in content


def test_the_text_of_a_plot_is_text(several: SceneCurves) -> None:
    svg = plotted(several, ".svg").decode("utf-8")
    for text in (
        "PSNR [dB] ↑",
        "step",
        "best step",
        "nerfacto/base",
        "_odd$x$ &amp; &lt;b&gt;",
        "nerfacto/base: inf at",
    ):
        assert f">{text}" in svg
    assert ">fox, test views, protocol standard (9f2c51ab)<" in svg
    pdf = plotted(several, ".pdf")
    assert b"/FontFile2" in pdf, "fonts are embedded as TrueType"
    assert b"/Type3" not in pdf


def test_plot_has_a_panel_per_metric_and_a_colour_per_run(several: SceneCurves) -> None:
    svg = plotted(several, ".svg").decode("utf-8")
    assert svg.count('id="axes_') == 1
    assert "#0072b2" in svg
    assert "#d55e00" in svg
    rows = [replace(row(), scores={"psnr": v, "ssim": v / 40, "lpips_alex": 8 / v}) for v in (20.0, 25.0)]
    records = [record([each], run="a", step=step) for each, step in zip(rows, STEPS, strict=False)]
    (scene,) = curves_of(records, by(0.5))
    assert plotted(scene, ".svg").count(b'id="axes_') == 3


def test_a_plot_without_finite_values_states_it() -> None:
    (scene,) = curves_of(run_of(math.inf, math.inf), by(0.5))
    svg = plotted(scene, ".svg")
    assert b">nerfacto/base: inf at 500, 1500<" in svg
    assert b">nerfacto/base<" in svg
    assert b"best step" not in svg, "no ring is drawn"


def test_drawing_changes_no_settings(several: SceneCurves) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")

    def settings() -> dict[str, object]:
        # Reading the backend would select one.
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

    before = settings()
    plotted(several, ".pdf")
    assert settings() == before


def test_another_suffix_is_an_error() -> None:
    with pytest.raises(InputError, match=r"--output must end in .png, .pdf, .svg. Got 'curve.jpg'"):
        check_plot(Path("curve.jpg"))


def test_a_missing_matplotlib_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'nvs-eval\[plot\]'"):
        check_plot(Path("curve.pdf"))


def test_files_of_several_plots_have_distinct_names() -> None:
    def scene(name: str, split: str = "test", protocol: str = "standard", fingerprint: str = "1") -> SceneCurves:
        return SceneCurves(name, split, protocol, fingerprint, [])

    def names(*scenes: SceneCurves) -> list[str]:
        return [path.as_posix() for path in plot_files(Path("out/c.pdf"), scenes)]

    assert names(scene("fox")) == ["out/c.pdf"]
    assert names(scene("fox"), scene("a/b")) == ["out/c-fox.pdf", "out/c-a_b.pdf"]
    assert names(scene("fox"), scene("fox", protocol="gsplat", fingerprint="2")) == [
        "out/c-standard.pdf",
        "out/c-gsplat.pdf",
    ]
    assert names(scene("fox"), scene("fox", fingerprint="2")) == ["out/c-1.pdf", "out/c-2.pdf"]
    assert names(scene("fox"), scene("owl", split="train")) == ["out/c-fox-test.pdf", "out/c-owl-train.pdf"]


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def results(here: Path) -> Path:
    """Folder of records: seven views that first gain much and then nothing, and a run of one step."""
    noise = (0.25, -0.25, 0.5, -0.5, 0.125, -0.125, 0.0)
    values = {500: [20.0] * 7, 1500: [25 + n for n in noise], 2500: [25 - n for n in noise]}
    records = [at(step, *each) for step, each in values.items()]
    for each in (*records, at(2500, *[24.0] * 7, run="small")):
        write_record(record_file(each, here / "out"), each)
    return here / "out"


def test_the_command_prints_the_curve(results: Path, cli: Callable[..., Said]) -> None:
    result = cli("curve", str(results))
    assert result.code == 0
    assert "nerfacto  base  PSNR [dB] ↑  20.00  25.00  25.00     1500  until 1500    ▁██" in result.out
    assert result.err == "fox/nerfacto/small is skipped: 2500 is its only step (standard).\n"


def test_the_command_writes_plots(results: Path, cli: Callable[..., Said]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF-"), (".svg", b"<?xml")):
        result = cli("curve", str(results), "--output", f"plots/curve{suffix}")
        assert result.code == 0
        assert result.err.endswith(f"Written: plots/curve{suffix}\n")
        assert Path(f"plots/curve{suffix}").read_bytes().startswith(magic)
        again = cli("curve", str(results), "--output", f"plots/curve{suffix}")
        assert (again.code, again.out) == (0, result.out)
        assert again.err.endswith(f"Unchanged: plots/curve{suffix}\n")
    Path("plots/curve.svg").write_text("old")
    there = "Error: plots/curve.svg already exists. Use another --output, or --overwrite.\n"
    result = cli("curve", str(results), "--output", "plots/curve.svg")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith(there)
    assert Path("plots/curve.svg").read_text() == "old"
    assert cli("curve", str(results), "--output", "plots/curve.svg", "--overwrite").code == 0
    assert Path("plots/curve.svg").read_text("utf-8").startswith("<?xml")


def test_the_command_prints_json(results: Path, cli: Callable[..., Said]) -> None:
    result = cli("curve", str(results), "--format", "json", "--metrics", "psnr", "--protocol", "standard")
    (scene,) = json.loads(result.out)["curves"]
    assert (scene["scene"], scene["split"]) == ("fox", "test")
    (curve,) = scene["curves"]
    assert (curve["views"], curve["values"]) == (7, [20.0, 25.0, 25.0])
    assert curve["stopped_improving"] == 1500


def test_command_fails_without_a_curve(results: Path, refused: Callable[..., str]) -> None:
    assert "Got fox/nerfacto/small/2500" in refused("curve", str(results / "**/small/**/*.json"))
    assert "--output must end in .png, .pdf, .svg" in refused("curve", str(results), "--output", "curve.gif")
    assert "No record has protocol 'gsplat'" in refused("curve", str(results), "--protocol", "gsplat")
    assert "No records given" in refused("curve")


def test_curve_command_needs_neither_torch_nor_a_display(results: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    code = (
        "import sys; from nvs_eval.cli import main; code = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'matplotlib.pyplot', 'nerfstudio') if name in sys.modules]); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "curve", str(results), "--output", "curve.svg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert Path("curve.svg").is_file()


def test_the_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "curve" in capsys.readouterr().out


def test_a_last_value_that_is_worse_is_not_shown_as_the_best() -> None:
    (scene,) = curves_of(run_of(20.0, 27.841, 27.839), by(0.001))
    assert curve_of(run_of(20.0, 27.841, 27.839), 0.001).worse == [2500]
    texts = {column.name: column.cells[0].text for column in curve_table(scene).columns}
    assert (texts["first"], texts["last"], texts["best"]) == ("20.000", "27.839", "27.841")
    (scene,) = curves_of(run_of(20.0, 27.841, 27.839), by(0.5))
    assert [column.cells[0].text for column in curve_table(scene).columns if column.name == "last"] == ["27.84"]
